from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import lossreg
from parts import assert_parts_give_the_whole
from properties import CONFIGS, assert_same_as_by_hand

CONFIG = CONFIGS / "pinn.yaml"


def step() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    options: dict[str, Any] = {"generator": generator, "dtype": torch.float64}
    return {
        "laplacian": torch.randn(12, **options).requires_grad_(),
        "source": torch.randn(12, **options),
        "edge": torch.randn(5, **options).requires_grad_(),
        "value": torch.randn(5, **options),
        "lam": {
            "inside": torch.rand(12, **options).requires_grad_(),
            "edge": torch.rand(5, **options).requires_grad_(),
        },
    }


def by_hand(values: dict[str, Any]) -> Tensor:
    lam = values["lam"]
    residual = (lam["inside"] * (values["laplacian"] - values["source"]) ** 2).mean()
    boundary = (lam["edge"] * (values["edge"] - values["value"]) ** 2).mean()
    return residual + boundary


def cut(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Two parts, whose points are not split in the same proportion."""
    parts = []
    for inside, edge in ((slice(0, 3), slice(0, 3)), (slice(3, 12), slice(3, 5))):
        lam = values["lam"]
        parts.append(
            {
                "laplacian": values["laplacian"][inside],
                "source": values["source"][inside],
                "edge": values["edge"][edge],
                "value": values["value"][edge],
                "lam": {"inside": lam["inside"][inside], "edge": lam["edge"][edge]},
            }
        )
    return parts


def test_it_equals_the_formula() -> None:
    assert_same_as_by_hand(lossreg.build(CONFIG), step, by_hand)


def test_a_point_may_weigh_the_square_of_lam() -> None:
    def squared(values: dict[str, Any]) -> Tensor:
        return by_hand({**values, "lam": {name: x.square() for name, x in values["lam"].items()}})

    overrides = [
        f"loss.terms.{term}.sample_weight.apply=[square]" for term in ("residual", "boundary")
    ]
    assert_same_as_by_hand(lossreg.build(CONFIG, overrides=overrides), step, squared)


def test_micro_batches_equal_the_formula() -> None:
    assert_parts_give_the_whole(
        lossreg.build(CONFIG), step, cut, by_hand, known=("source", "value", "lam")
    )


def test_weights_climb_where_the_error_is_large_while_the_network_descends() -> None:
    values, loss = step(), lossreg.build(CONFIG)
    network = [values["laplacian"], values["edge"]]
    weights = [values["lam"]["inside"], values["lam"]["edge"]]
    optimizers = (torch.optim.SGD(network, lr=0.1), torch.optim.SGD(weights, lr=0.1, maximize=True))
    before = [tensor.detach().clone() for tensor in weights]
    errors = (values["laplacian"] - values["source"]).detach().abs()
    loss(values).total.backward()
    for optimizer in optimizers:
        optimizer.step()
    assert ((values["laplacian"] - values["source"]).abs() < errors).all()
    climbed = [after.detach() - weight for after, weight in zip(weights, before, strict=True)]
    assert all((climb > 0).all() for climb in climbed)
    assert torch.equal(climbed[0].argsort(), errors.argsort())
