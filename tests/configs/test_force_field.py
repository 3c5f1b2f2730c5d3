from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import lossreg
from parts import assert_parts_give_the_whole
from properties import CONFIGS, assert_same_as_by_hand

CONFIG = CONFIGS / "force_field.yaml"
ATOMS = [3, 1, 6, 2, 4]


def step() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int, learns: bool = False) -> Tensor:
        numbers = torch.randn(shape, generator=generator, dtype=torch.float64)
        return numbers.requires_grad_(learns)

    return {
        "energy": drawn(5, learns=True),
        "forces": drawn(16, 3, learns=True),
        "labels": {"energy": drawn(5), "forces": drawn(16, 3)},
        "atoms": torch.tensor(ATOMS),
        "structure": torch.arange(5).repeat_interleave(torch.tensor(ATOMS)),
        "importance": torch.tensor([1.0, 0.1, 1.0, 2.0, 0.5], dtype=torch.float64),
    }


def by_hand(values: dict[str, Any], share: float = 1.0) -> Tensor:
    labels, atoms, importance = values["labels"], values["atoms"], values["importance"]
    energy = importance * ((labels["energy"] - values["energy"]) / atoms).square()
    each_atom = importance.repeat_interleave(atoms)[:, None]
    forces = each_atom * (labels["forces"] - values["forces"]).square()
    return share * energy.mean() + 100 * forces.mean()


def cut(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Two structures, and the three others."""
    parts, atom = [], 0
    for structures in (slice(0, 2), slice(2, 5)):
        count = sum(ATOMS[structures])
        atoms = slice(atom, atom + count)
        labels = values["labels"]
        parts.append(
            {
                "energy": values["energy"][structures],
                "forces": values["forces"][atoms],
                "labels": {
                    "energy": labels["energy"][structures],
                    "forces": labels["forces"][atoms],
                },
                "atoms": values["atoms"][structures],
                "structure": values["structure"][atoms] - structures.start,
                "importance": values["importance"][structures],
            }
        )
        atom += count
    return parts


def test_it_equals_the_formula() -> None:
    assert_same_as_by_hand(lossreg.build(CONFIG), step, by_hand)


def test_the_last_stage_is_for_the_energies() -> None:
    loss = lossreg.build(CONFIG)
    for _ in range(449):
        loss.step_epoch()
    assert_same_as_by_hand(loss, step, by_hand)
    loss.step_epoch()
    assert_same_as_by_hand(loss, step, lambda values: by_hand(values, 1000.0))


@pytest.mark.parametrize("epochs", [0, 450])
def test_micro_batches_equal_the_formula(epochs: int) -> None:
    loss = lossreg.build(CONFIG)
    for _ in range(epochs):
        loss.step_epoch()
    assert_parts_give_the_whole(
        loss,
        step,
        cut,
        lambda values: by_hand(values, 1000.0 if epochs else 1.0),
        known=("labels", "atoms", "structure", "importance"),
    )
