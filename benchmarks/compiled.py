"""The compiled step: what torch.compile makes of a composite, against eager and against one term.

    python benchmarks/compiled.py [--device cuda]

inductor, 256 x 50,000, forward and backward; the eager base is the same sum written by hand.
Compilations, kernels (forward + backward), bytes saved for backward and bytes at the peak of a
step are counted, not timed.
"""

from __future__ import annotations

import gc
import re
from typing import TYPE_CHECKING, Any

import torch
import torch._dynamo
import torch._functorch.config
import torch._inductor.config
import torch.nn.functional as F  # noqa: N812 - everyone's name for it
from torch._dynamo.testing import CompileCounterWithBackend
from torch._inductor.utils import run_and_get_code
from torch.profiler import ProfilerActivity, profile

import arms
import lossreg

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    Values = dict[str, Tensor]
    Objective = Callable[[Values], Tensor]

ROWS, COLUMNS = 256, 50_000
KERNEL = re.compile(r"async_compile\.(?:cpp|triton)\w*\(")
STEPS = 1_000

REGRESSION = {
    "fit": {"type": "mse", "weight": 0.7, "inputs": ["scores", "signs"]},
    "abs": {"type": "l1", "weight": 2.0, "inputs": ["scores", "signs"]},
    "robust": {"type": "smooth_l1", "weight": 0.3, "inputs": ["scores", "signs"]},
    "near": {
        "type": "smooth_l1",
        "weight": 0.1,
        "inputs": ["scores", "signs"],
        "params": {"beta": 0.5},
    },
    "hinge": {"type": "hinge_embedding", "weight": 0.5, "inputs": ["scores", "signs"]},
}
EXPONENTIALS = {
    "fit": {"type": "mse", "weight": 0.7, "inputs": ["scores", "probabilities"]},
    "abs": {"type": "l1", "weight": 2.0, "inputs": ["scores", "probabilities"]},
    "robust": {"type": "smooth_l1", "weight": 0.3, "inputs": ["scores", "probabilities"]},
    "tags": {"type": "bce_with_logits", "weight": 0.1, "inputs": ["scores", "probabilities"]},
    "counts": {"type": "poisson_nll", "weight": 0.5, "inputs": ["scores", "probabilities"]},
}
LOGARITHMS = {"from": "scores", "apply": ["log_softmax"]}
SOFTMAX = {
    "classify": {"type": "cross_entropy", "weight": 0.7, "inputs": ["scores", "labels"]},
    "smooth": {
        "type": "cross_entropy",
        "weight": 2.0,
        "inputs": ["scores", "labels"],
        "params": {"label_smoothing": 0.1},
    },
    "likely": {"type": "nll", "weight": 0.3, "inputs": [LOGARITHMS, "labels"]},
    "distil": {
        "type": "kl_div",
        "weight": 0.1,
        "inputs": [LOGARITHMS, "probabilities"],
        "params": {"reduction": "batchmean"},
    },
    "soft": {"type": "cross_entropy", "weight": 0.5, "inputs": ["scores", "probabilities"]},
}


def regression_by_hand(v: Values) -> Tensor:
    scores, target = v["scores"], v["signs"]
    return (
        0.7 * F.mse_loss(scores, target)
        + 2.0 * F.l1_loss(scores, target)
        + 0.3 * F.smooth_l1_loss(scores, target)
        + 0.1 * F.smooth_l1_loss(scores, target, beta=0.5)
        + 0.5 * F.hinge_embedding_loss(scores, target)
    )


def exponentials_by_hand(v: Values) -> Tensor:
    scores, target = v["scores"], v["probabilities"]
    return (
        0.7 * F.mse_loss(scores, target)
        + 2.0 * F.l1_loss(scores, target)
        + 0.3 * F.smooth_l1_loss(scores, target)
        + 0.1 * F.binary_cross_entropy_with_logits(scores, target)
        + 0.5 * F.poisson_nll_loss(scores, target)
    )


def softmax_by_hand(v: Values) -> Tensor:
    scores, labels, probabilities = v["scores"], v["labels"], v["probabilities"]
    logarithms = F.log_softmax(scores, -1)
    return (
        0.7 * F.cross_entropy(scores, labels)
        + 2.0 * F.cross_entropy(scores, labels, label_smoothing=0.1)
        + 0.3 * F.nll_loss(logarithms, labels)
        + 0.1 * F.kl_div(logarithms, probabilities, reduction="batchmean")
        + 0.5 * F.cross_entropy(scores, probabilities)
    )


def batch(rows: int, columns: int, device: str) -> Values:
    torch.manual_seed(0)
    return {
        "scores": torch.rand(rows, columns, device=device, requires_grad=True),
        "signs": torch.randint(2, (rows, columns), device=device) * 2.0 - 1,
        "labels": torch.randint(columns, (rows,), device=device),
        "probabilities": torch.randn(rows, columns, device=device).softmax(-1),
    }


class Compiled:
    """A composite compiled by inductor, with the number of its compilations."""

    def __init__(self, terms: dict[str, Any], device: str) -> None:
        torch._dynamo.reset()  # noqa: SLF001 - torch gives up after compiling a function often
        self.counter = CompileCounterWithBackend("inductor")
        self.loss = lossreg.build({"terms": terms}).to(device)
        self.loss.compile(backend=self.counter, fullgraph=True)

    def __call__(self, values: Values) -> Tensor:
        return self.loss(values).total


def gradient(objective: Objective, values: Values) -> Tensor:
    (found,) = torch.autograd.grad(objective(values), [values["scores"]])
    return found


def step(objective: Objective, values: Values) -> Callable[[], None]:
    def run() -> None:
        objective(values).backward()
        values["scores"].grad = None

    return run


def saved(objective: Objective, values: Values) -> str:
    """The bytes saved from forward to backward, each storage once; and whose they are."""
    storages = {}

    def keep(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        total = objective(values)
    inputs = {tensor.untyped_storage().data_ptr() for tensor in values.values()}
    own = sum(size for pointer, size in storages.items() if pointer not in inputs)
    del total
    return f"{(sum(storages.values()) - own) / 2**20:,.1f} MiB of inputs, {own:,} B more"


def peak(run: Callable[[], None], device: str) -> str:
    """The most bytes that a step allocates at a time."""
    run()
    gc.collect()
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        return f"{(torch.cuda.max_memory_allocated(device) - before) / 2**20:,.1f} MiB"
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    held = most = 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return f"{most / 2**20:,.1f} MiB"


def compilations_over_many_steps(device: str) -> int:
    """How often five terms compile while a weight moves at each of 1,000 steps."""
    ramp = {"schedule": "cosine", "start": 1.0, "end": 0.1, "steps": STEPS}
    compiled = Compiled({**REGRESSION, "fit": {**REGRESSION["fit"], "weight": ramp}}, device)
    values = batch(32, 10, device)
    for _ in range(STEPS):
        compiled(values).backward()
        compiled.loss.step()
    return compiled.counter.frame_count


def measured(
    terms: dict[str, Any], by_hand: Objective, options: Any
) -> tuple[dict[str, arms.Ratio], dict[str, arms.Ratio], dict[str, dict[str, object]]]:
    """Times over eager's, times over those of one term, and the counts of each objective."""
    device = options.device
    values = batch(ROWS, COLUMNS, device)
    first = dict(list(terms.items())[:1])
    counts: dict[str, dict[str, object]] = {"eager, by hand": {}}
    objectives: dict[str, Objective] = {"eager, by hand": by_hand}
    for name, chosen in (("1 term, compiled", first), ("5 terms, compiled", terms)):
        objective = objectives[name] = Compiled(chosen, device)
        _, sources = run_and_get_code(gradient, objective, values)
        kernels = [len(KERNEL.findall(source)) for source in sources]
        counts[name] = {
            "compilations": objective.counter.frame_count,
            "kernels": " + ".join(map(str, kernels)),
        }
    torch.testing.assert_close(objectives["5 terms, compiled"](values), by_hand(values))
    torch.testing.assert_close(
        gradient(objectives["5 terms, compiled"], values), gradient(by_hand, values)
    )
    for name, objective in objectives.items():
        counts[name]["saved for backward"] = saved(objective, values)
        counts[name]["peak of a step"] = peak(step(objective, values), device)
    timed = {name: step(objective, values) for name, objective in objectives.items()}
    over_eager = arms.ratios(timed, options.rounds, device=device)
    one, five = "1 term, compiled", "5 terms, compiled"
    over_one = arms.ratios({one: timed[one], five: timed[five]}, options.rounds, device=device)
    if device != "cpu":
        print(arms.never_waits(timed[five]))
    return over_eager, over_one, counts


def main() -> None:
    options = arms.begin(__doc__, rounds=15)
    # A kernel from a cache has no source, so it could not be counted.
    torch._inductor.config.fx_graph_cache = False  # noqa: SLF001
    torch._functorch.config.enable_autograd_cache = False  # noqa: SLF001
    print(f"\nCompilations over {STEPS:,} steps of moving weights: ", end="")
    print(compilations_over_many_steps(options.device))
    over_eager, over_one, counts = {}, {}, {}
    for title, terms, by_hand in (
        ("elementwise", REGRESSION, regression_by_hand),
        ("with exp and log", EXPONENTIALS, exponentials_by_hand),
        ("softmax", SOFTMAX, softmax_by_hand),
    ):
        over_eager[title], over_one[title], counted = measured(terms, by_hand, options)
        for name, count in counted.items():
            counts[f"{title}: {name}"] = count
    print(arms.table("Five terms over the same, eager, by hand", over_eager))
    print(arms.table("Five terms over one, both compiled", over_one))
    kinds = ("compilations", "kernels", "saved for backward", "peak of a step")
    columns = {
        kind: {name: count.get(kind, "") for name, count in counts.items()} for kind in kinds
    }
    print(arms.table("Counted", columns))


if __name__ == "__main__":
    main()
