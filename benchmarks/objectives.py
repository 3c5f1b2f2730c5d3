"""The measured objectives, as lossreg declares them and written by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812 - everyone's name for it
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    Values = dict[str, Tensor]

TERMS: dict[str, dict[str, Any]] = {
    "classify": {"type": "cross_entropy", "weight": 0.7, "inputs": ["logits", "labels"]},
    "fit": {"type": "mse", "weight": 2.0, "inputs": ["prediction", "target"]},
    "tags": {
        "type": "bce_with_logits",
        "weight": 0.3,
        "inputs": ["logits", "probabilities"],
    },
    "robust": {"type": "smooth_l1", "weight": 0.1, "inputs": ["prediction", "target"]},
    "distil": {
        "type": "kl_div",
        "weight": 0.5,
        "inputs": [{"from": "logits", "apply": ["log_softmax"]}, "probabilities"],
        "params": {"reduction": "batchmean"},
    },
    "abs": {"type": "l1", "weight": 0.2, "inputs": ["prediction", "target"]},
    "signs": {"type": "soft_margin", "weight": 0.4, "inputs": ["logits", "signs"]},
    "counts": {"type": "poisson_nll", "weight": 0.6, "inputs": ["prediction", "counts"]},
    "hinge": {"type": "hinge_embedding", "weight": 0.8, "inputs": ["prediction", "signs"]},
    "margin": {"type": "multi_margin", "weight": 0.9, "inputs": ["logits", "labels"]},
}

SAME_TENSORS: dict[str, dict[str, Any]] = {
    name: {"type": kind, "weight": weight, "inputs": ["prediction", "target"], "params": params}
    for name, kind, weight, params in (
        ("fit", "mse", 0.7, {}),
        ("abs", "l1", 2.0, {}),
        ("robust", "smooth_l1", 0.3, {}),
        ("near", "smooth_l1", 0.1, {"beta": 0.5}),
        ("tenth", "smooth_l1", 0.5, {"beta": 0.1}),
        ("far", "smooth_l1", 0.2, {"beta": 2.0}),
        ("counts", "poisson_nll", 0.4, {}),
        ("fully", "poisson_nll", 0.6, {"log_input": False, "eps": 9.0}),
        ("tags", "bce_with_logits", 0.8, {}),
        ("more", "mse", 0.9, {}),
    )
}
"""Ten terms of the same two tensors."""


def terms(count: int) -> dict[str, dict[str, Any]]:
    """The first `count` terms."""
    return dict(list(TERMS.items())[:count])


def batch(rows: int, columns: int, device: str) -> Values:
    """The values of a step."""
    torch.manual_seed(0)
    signs = torch.randint(2, (rows, columns), device=device) * 2.0 - 1
    return {
        "logits": torch.randn(rows, columns, device=device, requires_grad=True),
        "prediction": torch.rand(rows, columns, device=device, requires_grad=True),
        "labels": torch.randint(columns, (rows,), device=device),
        "probabilities": torch.randn(rows, columns, device=device).softmax(-1),
        "target": torch.rand(rows, columns, device=device),
        "signs": signs,
        "counts": torch.randint(5, (rows, columns), device=device).float(),
    }


def one(v: Values) -> Tensor:
    return 0.7 * F.cross_entropy(v["logits"], v["labels"])


def three(v: Values) -> Tensor:
    return (
        0.7 * F.cross_entropy(v["logits"], v["labels"])
        + 2.0 * F.mse_loss(v["prediction"], v["target"])
        + 0.3 * F.binary_cross_entropy_with_logits(v["logits"], v["probabilities"])
    )


def five(v: Values) -> Tensor:
    return (
        0.7 * F.cross_entropy(v["logits"], v["labels"])
        + 2.0 * F.mse_loss(v["prediction"], v["target"])
        + 0.3 * F.binary_cross_entropy_with_logits(v["logits"], v["probabilities"])
        + 0.1 * F.smooth_l1_loss(v["prediction"], v["target"])
        + 0.5 * F.kl_div(F.log_softmax(v["logits"], -1), v["probabilities"], reduction="batchmean")
    )


def ten(v: Values) -> Tensor:
    return (
        0.7 * F.cross_entropy(v["logits"], v["labels"])
        + 2.0 * F.mse_loss(v["prediction"], v["target"])
        + 0.3 * F.binary_cross_entropy_with_logits(v["logits"], v["probabilities"])
        + 0.1 * F.smooth_l1_loss(v["prediction"], v["target"])
        + 0.5 * F.kl_div(F.log_softmax(v["logits"], -1), v["probabilities"], reduction="batchmean")
        + 0.2 * F.l1_loss(v["prediction"], v["target"])
        + 0.4 * F.soft_margin_loss(v["logits"], v["signs"])
        + 0.6 * F.poisson_nll_loss(v["prediction"], v["counts"])
        + 0.8 * F.hinge_embedding_loss(v["prediction"], v["signs"])
        + 0.9 * F.multi_margin_loss(v["logits"], v["labels"])
    )


BY_HAND: dict[int, Callable[[Values], Tensor]] = {1: one, 3: three, 5: five, 10: ten}


def paths(term: dict[str, Any]) -> list[str]:
    """The paths of a term's tensors."""
    return [route if isinstance(route, str) else route["from"] for route in term["inputs"]]


class LogSoftmaxKLDiv(nn.Module):
    """A module with the transform inside, for a loop that has no transforms."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.kl_div(F.log_softmax(logits, -1), target, reduction="batchmean")


MODULES: dict[str, Callable[[], nn.Module]] = {
    "classify": nn.CrossEntropyLoss,
    "fit": nn.MSELoss,
    "tags": nn.BCEWithLogitsLoss,
    "robust": nn.SmoothL1Loss,
    "distil": LogSoftmaxKLDiv,
    "abs": nn.L1Loss,
    "signs": nn.SoftMarginLoss,
    "counts": nn.PoissonNLLLoss,
    "hinge": nn.HingeEmbeddingLoss,
    "margin": nn.MultiMarginLoss,
}


class Bare(nn.Module):
    """The least that calls losses as modules: one stack, one dot product, one detach."""

    def __init__(self, count: int) -> None:
        super().__init__()
        chosen = terms(count)
        self.losses = nn.ModuleList(MODULES[name]() for name in chosen)
        self.inputs = [paths(term) for term in chosen.values()]
        self.weights = torch.tensor([term["weight"] for term in chosen.values()])

    def forward(self, values: Values) -> tuple[Tensor, Tensor]:
        raw = [
            loss(values[first], values[second])
            for loss, (first, second) in zip(self.losses, self.inputs, strict=True)
        ]
        stacked = torch.stack(raw)
        return torch.dot(stacked, self.weights), stacked.detach()


class Loop(nn.Module):
    """What many training scripts have: a ModuleDict, weights, and a loop that logs each term."""

    def __init__(self, count: int) -> None:
        super().__init__()
        chosen = terms(count)
        self.losses = nn.ModuleDict({name: MODULES[name]() for name in chosen})
        self.weights = {name: term["weight"] for name, term in chosen.items()}
        self.inputs = {name: paths(term) for name, term in chosen.items()}

    def forward(self, values: Values) -> tuple[Tensor, Values]:
        total, logged = 0, {}
        for name, loss in self.losses.items():
            value = loss(*[values[key] for key in self.inputs[name]])
            logged[name] = value.detach()
            total = total + self.weights[name] * value
        return total, logged
