"""The eager step: forward and backward against the same terms summed by hand.

    python benchmarks/eager.py [--device cuda]

The base is one expression of torch.nn.functional, which logs nothing. lossreg runs with its
defaults (`checks: first`, `on_nonfinite: raise`) and with both off; the loop is a ModuleDict that
logs each term. pytorch-metric-learning's MultipleLosses gives every loss the same two tensors, so
its table has only terms of these two, each written as a module of its three arguments.
"""

from __future__ import annotations

import functools
import importlib.util
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 - everyone's name for it
from torch import nn

import arms
import lossreg
import objectives

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    Objective = Callable[[objectives.Values], Tensor]

SIZES = {(32, 10): (1, 3, 5, 10), (1024, 1000): (5,)}
STEPS = {(32, 10): (2, 100), (1024, 1000): (2, 1)}
"""For each size, the rounds for each requested round, and the steps in a round."""


def composite(terms: dict[str, dict[str, object]], device: str, **options: str) -> Objective:
    loss = lossreg.build({"terms": terms, **options}).to(device)
    return lambda values: loss(values).total


def gradients(objective: Objective, values: objectives.Values) -> list[Tensor]:
    leaves = [tensor for tensor in values.values() if tensor.requires_grad]
    computed = torch.autograd.grad(objective(values), leaves, allow_unused=True)
    return [torch.zeros(()) if gradient is None else gradient for gradient in computed]


def assert_equal(objective: Objective, expected: Objective, values: objectives.Values) -> None:
    torch.testing.assert_close(objective(values), expected(values))
    for one, other in zip(gradients(objective, values), gradients(expected, values), strict=True):
        torch.testing.assert_close(one, other)


def step(objective: Objective, values: objectives.Values) -> Callable[[], None]:
    def run() -> None:
        objective(values).backward()
        values["logits"].grad = values["prediction"].grad = None

    return run


def measured(
    competitors: dict[str, Objective], shape: tuple[int, int], options: object
) -> dict[str, arms.Ratio]:
    values = objectives.batch(*shape, options.device)
    base = next(iter(competitors.values()))
    for objective in competitors.values():
        assert_equal(objective, base, values)
    rounds, steps = STEPS[shape]
    timed = {name: step(objective, values) for name, objective in competitors.items()}
    return arms.ratios(timed, options.rounds * rounds, steps=steps, device=options.device)


def competitors(count: int, device: str) -> dict[str, Objective]:
    terms = objectives.terms(count)
    loop = objectives.Loop(count)
    bare = objectives.Bare(count).to(device)
    bare.weights = bare.weights.to(device)
    return {
        "by hand": objectives.BY_HAND[count],
        "lossreg": composite(terms, device),
        "lossreg, `checks: never`, `on_nonfinite: ignore`": composite(
            terms, device, checks="never", on_nonfinite="ignore"
        ),
        "modules, one stack, one dot, one detach": lambda values: bare(values)[0],
        "a ModuleDict loop that logs": lambda values: loop(values)[0],
    }


class OfThree(nn.Module):
    """A loss as pytorch-metric-learning calls it."""

    def __init__(self, function: Callable[..., Tensor], params: dict[str, object]) -> None:
        super().__init__()
        self.function = functools.partial(function, **params)

    def forward(self, embeddings: Tensor, labels: Tensor, indices_tuple: None = None) -> Tensor:
        del indices_tuple
        return self.function(embeddings, labels)


FUNCTIONS = {
    "mse": F.mse_loss,
    "l1": F.l1_loss,
    "smooth_l1": F.smooth_l1_loss,
    "poisson_nll": F.poisson_nll_loss,
    "bce_with_logits": F.binary_cross_entropy_with_logits,
}


def same_tensors(count: int, device: str) -> dict[str, Objective]:
    from pytorch_metric_learning.losses import MultipleLosses

    terms = dict(list(objectives.SAME_TENSORS.items())[:count])
    peer = MultipleLosses(
        {name: OfThree(FUNCTIONS[term["type"]], term["params"]) for name, term in terms.items()},
        weights={name: term["weight"] for name, term in terms.items()},
    )
    return {
        "MultipleLosses": lambda values: peer(values["prediction"], values["target"]),
        "lossreg": composite(terms, device),
        "lossreg, `checks: never`, `on_nonfinite: ignore`": composite(
            terms, device, checks="never", on_nonfinite="ignore"
        ),
    }


def main() -> None:
    options = arms.begin(__doc__, rounds=20)
    columns, peers = {}, {}
    has_peer = importlib.util.find_spec("pytorch_metric_learning") is not None
    for shape, counts in SIZES.items():
        for count in counts:
            name = f"{count} of {shape[0]:,} x {shape[1]:,}"
            columns[name] = measured(competitors(count, options.device), shape, options)
            if has_peer:
                peers[name] = measured(same_tensors(count, options.device), shape, options)
    print(arms.table("Over the same terms summed by hand", columns))
    if has_peer:
        print(arms.table("Over pytorch-metric-learning's MultipleLosses", peers))
    if options.device != "cpu":
        values = objectives.batch(32, 10, options.device)
        print(arms.never_waits(step(composite(objectives.terms(10), options.device), values)))


if __name__ == "__main__":
    main()
