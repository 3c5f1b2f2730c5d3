from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import lossreg
from parts import assert_parts_give_the_whole, rows
from properties import CONFIGS, assert_same_as_by_hand, leaves

CONFIG = CONFIGS / "raft.yaml"


def step(iterations: int = 4) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    options: dict[str, Any] = {"generator": generator, "dtype": torch.float64}
    true_flow = torch.randn(6, 2, 3, 5, **options)
    true_flow[0, :, 1, 2] = torch.tensor([300.0, -300.0])  # together 424 pixels
    true_flow[1, :, 0, 0] = torch.tensor([390.0, 0.0])
    valid = torch.rand(6, 3, 5, **options) < 0.7
    valid[0, 1, 2] = valid[1, 0, 0] = True
    valid[4] = False
    return {
        "flows": [torch.randn(6, 2, 3, 5, **options).requires_grad_() for _ in range(iterations)],
        "true_flow": true_flow,
        "valid": valid,
    }


def by_hand(values: dict[str, Any]) -> Tensor:
    flows, true_flow = values["flows"], values["true_flow"]
    counts = values["valid"] & (true_flow.norm(dim=1) < 400)
    total = true_flow.new_zeros(())
    for iteration, flow in enumerate(flows):
        errors = counts[:, None] * (flow - true_flow).abs()
        total = total + 0.8 ** (len(flows) - 1 - iteration) * errors.mean()
    return total


@pytest.mark.parametrize("iterations", [1, 4, 12])
def test_it_equals_the_formula(iterations: int) -> None:
    assert_same_as_by_hand(lossreg.build(CONFIG), lambda: step(iterations), by_hand)


@pytest.mark.parametrize("sizes", [[4, 2], [1, 2, 2, 1]])
def test_micro_batches_equal_the_formula(sizes: list[int]) -> None:
    assert_parts_give_the_whole(
        lossreg.build(CONFIG),
        step,
        lambda values: rows(values, sizes),
        by_hand,
        known=("true_flow", "valid"),
    )


def test_it_is_one_graph() -> None:
    values, twins = step(), step()
    compiled = torch.compile(lossreg.build(CONFIG), backend="aot_eager", fullgraph=True)
    total, expected = compiled(values).total, by_hand(twins)
    torch.testing.assert_close(total, expected)
    total.backward()
    expected.backward()
    for leaf, twin in zip(leaves(values), leaves(twins), strict=True):
        torch.testing.assert_close(leaf.grad, twin.grad)


def test_only_valid_pixels_of_moderate_motion_learn() -> None:
    values = step()
    lossreg.build(CONFIG)(values).total.backward()
    for flow in values["flows"]:
        assert not flow.grad[4].any()
        assert not flow.grad[0, :, 1, 2].any()
        assert flow.grad[1, :, 0, 0].all()
