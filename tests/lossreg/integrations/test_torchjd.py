"""TorchJD's aggregators on terms whose gradients conflict, against the closed form."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn

torchjd = pytest.importorskip("torchjd")

from torchjd import autojac  # noqa: E402
from torchjd.aggregation import MGDA, Mean, PCGrad, Sum, UPGrad  # noqa: E402

import documents  # noqa: E402
import lossreg  # noqa: E402
from documents import Document  # noqa: E402
from lossreg.errors import InputError  # noqa: E402
from lossreg.integrations.accumulation import optimizer_steps  # noqa: E402
from lossreg.integrations.torchjd import Jacobian  # noqa: E402
from properties import ulps  # noqa: E402

DOUBLE = torch.float64
LEFT, RIGHT = torch.tensor([-1.0, 0.0], dtype=DOUBLE), torch.tensor([2.0, 0.5], dtype=DOUBLE)
START = torch.tensor([0.3, 1.0], dtype=DOUBLE)


def square(target: str, weight: Any = 1.0, **more: Any) -> dict[str, Any]:
    """The squared distance to a target."""
    params = {"reduction": "sum"}
    return {"type": "mse", "inputs": ["x", target], "params": params, "weight": weight, **more}


def built(**terms: Any) -> lossreg.CompositeLoss:
    return lossreg.build({"terms": terms}).double()


def combined(loss: lossreg.CompositeLoss, aggregator: Any, **values: Tensor) -> Tensor:
    x = START.clone().requires_grad_()
    jacobian = Jacobian(loss, [x], aggregator)
    jacobian.backward({"x": x, "left": LEFT, "right": RIGHT, **values})
    jacobian.to_grad()
    assert x.grad is not None
    return x.grad


def gradients(left: float = 1.0, right: float = 1.0) -> tuple[Tensor, Tensor]:
    """Those of the two weighted squares, by hand."""
    return 2 * left * (START - LEFT), 2 * right * (START - RIGHT)


def shortest(first: Tensor, second: Tensor) -> Tensor:
    """The shortest vector between two gradients, which is MGDA's, in closed form."""
    apart = second - first
    share = (second @ apart / (apart @ apart)).clamp(0, 1)
    return share * first + (1 - share) * second


def without_conflict(first: Tensor, second: Tensor) -> Tensor:
    """PCGrad's: each is projected onto the other's normal plane if they conflict."""
    inner = first @ second
    assert inner < 0
    return first + second - inner / (first @ first) * first - inner / (second @ second) * second


@pytest.mark.parametrize(("aggregator", "expected"), [(MGDA, shortest), (PCGrad, without_conflict)])
@pytest.mark.parametrize("weights", [(1.0, 1.0), (5.0, 1.0), (1.0, 0.25)])
def test_conflicting_gradients_are_combined_with_their_weights(
    aggregator: Any, expected: Any, weights: tuple[float, float]
) -> None:
    left, right = weights
    loss = built(left=square("left", left), right=square("right", right))
    torch.testing.assert_close(
        combined(loss, aggregator()), expected(*gradients(left, right)), rtol=1e-12, atol=1e-12
    )


def test_upgrad_is_the_mean_of_the_projections() -> None:
    pytest.importorskip("quadprog")
    loss = built(left=square("left"), third=SILENT["absent"], right=square("right"))
    # It solves a regularised problem.
    expected = without_conflict(*gradients()) / 2
    torch.testing.assert_close(combined(loss, UPGrad()), expected, rtol=1e-3, atol=1e-3)


def test_schedules_move_the_rows() -> None:
    schedule = {"schedule": "linear", "start": 1.0, "end": 3.0, "steps": 2}
    loss = built(left=square("left", schedule), right=square("right"))
    for weight in (1.0, 2.0, 3.0):
        expected = shortest(*gradients(left=weight))
        torch.testing.assert_close(combined(loss, MGDA()), expected, rtol=1e-12, atol=1e-12)
        loss.step()


SILENT: dict[str, Any] = {
    "a constant weight of 0": square("left", 0.0),
    "a scheduled weight of 0": square(
        "left", {"schedule": "linear", "start": 0.0, "end": 1.0, "steps": 9}
    ),
    "not active": square("left", active={"from_step": 3}),
    "absent": square("nowhere", optional=True),
}


@pytest.mark.parametrize("kind", SILENT)
def test_a_term_that_says_nothing_is_not_given_to_the_aggregator(kind: str) -> None:
    loss = built(left=square("left"), third=SILENT[kind], right=square("right"))
    found = combined(loss, MGDA())
    torch.testing.assert_close(found, shortest(*gradients()), rtol=1e-12, atol=1e-12)
    assert torch.equal(combined(loss, Mean()), sum(gradients()) / 2)


def test_a_term_at_its_optimum_is_given_to_the_aggregator() -> None:
    loss = built(left=square("left"), here=square("start"))
    assert torch.equal(combined(loss, MGDA(), start=START), torch.zeros_like(START))


def test_without_any_row_the_gradient_is_0() -> None:
    loss = built(left=square("left", {"schedule": "linear", "start": 0.0, "end": 1.0, "steps": 9}))
    assert torch.equal(combined(loss, MGDA()), torch.zeros_like(START))


def test_a_learned_weight_is_in_the_row_of_its_term() -> None:
    loss = built(
        left=square("left", {"learned": "log_variance", "initial": 0.5}), right=square("right")
    )
    x = START.clone().requires_grad_()
    parameters = [x, *loss.parameters()]
    jacobian = Jacobian(loss, parameters, Sum())
    values = {"x": x, "left": LEFT, "right": RIGHT}
    jacobian.backward(values)
    assert [parameter.jac.shape[0] for parameter in parameters] == [2, 2]
    jacobian.to_grad()
    expected = torch.autograd.grad(loss(values).total, parameters)
    for parameter, wanted in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.grad, wanted, rtol=1e-13, atol=1e-13)


TERMS: dict[str, Any] = {
    "classify": {
        "type": "cross_entropy",
        "inputs": ["logits", "labels"],
        "params": {"weight": [0.2, 1.0, 5.0]},
    },
    "follow": {
        "type": "smooth_l1",
        "inputs": ["logits", "wanted"],
        "mask": "valid",
        "weight": {"schedule": "linear", "start": 1.0, "end": 3.0, "steps": 4},
    },
    "whole": {"type": "mse", "inputs": ["logits", "wanted"], "params": {"reduction": "sum"}},
    "rare": {"type": "l1", "inputs": ["logits", "seldom"], "optional": True, "weight": 2.0},
}
SIZES = (3, 7, 1, 5)


def network() -> nn.Linear:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Linear(4, 3).double()


def ragged() -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    batches = [
        {
            "x": torch.randn(rows, 4, generator=generator, dtype=DOUBLE),
            "labels": torch.randint(3, (rows,), generator=generator),
            "wanted": torch.randn(rows, 3, generator=generator, dtype=DOUBLE),
            "valid": torch.rand(rows, 3, generator=generator) < 0.5,
        }
        for rows in SIZES
    ]
    batches[2]["labels"][:] = -100
    batches[2]["valid"][:] = False
    return batches


def big(batches: list[dict[str, Tensor]], **more: Tensor) -> tuple[list[Tensor], Tensor]:
    """The Jacobian of one big batch, and what MGDA makes of it."""
    model, loss = network(), built(**TERMS)
    values = {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
    jacobian = Jacobian(loss, model.parameters(), MGDA())
    jacobian.backward({**values, **more, "logits": model(values["x"])})
    rows = [parameter.jac.clone() for parameter in model.parameters()]
    jacobian.to_grad()
    return rows, model.weight.grad


def test_micro_batches_have_the_rows_of_the_big_batch() -> None:
    model, loss = network(), built(**TERMS)
    jacobian = Jacobian(loss, model.parameters(), MGDA())
    (step,) = optimizer_steps(ragged(), 4)
    for batch in step:
        values = {**batch, "logits": model(batch["x"])}
        step.add(loss, jacobian.backward(values, step.denominators(loss)))
    rows, expected = big(ragged())
    for parameter, row in zip(model.parameters(), rows, strict=True):
        assert not parameter.jac[3].any()  # of the absent term
        assert ulps(parameter.jac, row, of_largest=True) <= 8
    jacobian.to_grad()
    torch.testing.assert_close(model.weight.grad, expected, rtol=1e-11, atol=1e-11)
    joined = {name: torch.cat([batch[name] for batch in ragged()]) for name in ragged()[0]}
    out = built(**TERMS)({**joined, "logits": model(joined["x"])})
    for name, value in out.log_dict().items():
        torch.testing.assert_close(step.log_dict()[name], value.detach(), rtol=1e-12, atol=1e-12)


def test_a_term_that_one_micro_batch_has_is_a_row() -> None:
    model, loss = network(), built(**TERMS)
    jacobian = Jacobian(loss, model.parameters(), MGDA())
    batches: list[dict[str, Tensor]] = ragged()
    batches[1]["seldom"] = batches[1]["wanted"]
    (step,) = optimizer_steps(batches, 4)
    for batch in step:
        jacobian.backward({**batch, "logits": model(batch["x"])}, step.denominators(loss))
    four = [parameter.jac.clone().flatten(1) for parameter in model.parameters()]
    jacobian.to_grad()
    expected = MGDA()(torch.cat(four, dim=1))[: model.weight.numel()]
    torch.testing.assert_close(model.weight.grad.flatten(), expected, rtol=1e-12, atol=1e-12)


def test_a_trainers_division_is_not_in_the_rows() -> None:
    found = []
    for divided in (1, 4):
        model, loss = network(), built(**TERMS)
        jacobian = Jacobian(loss, model.parameters(), Sum())
        (step,) = optimizer_steps(ragged(), 4, trainer_divides_by=divided)
        for batch in step:
            jacobian.backward({**batch, "logits": model(batch["x"])}, step.denominators(loss))
        jacobian.to_grad()
        found.append(model.weight.grad)
    torch.testing.assert_close(found[0], found[1], rtol=1e-13, atol=1e-13)


def test_rows_go_to_mtl_backward() -> None:
    body, heads = network(), (nn.Linear(3, 2).double(), nn.Linear(3, 2).double())
    loss = built(left=square("wanted"), right={**square("wanted", 5.0), "inputs": ["y", "wanted"]})
    features = body(torch.ones(1, 4, dtype=DOUBLE))
    values = {"x": heads[0](features), "y": heads[1](features), "wanted": torch.zeros(1, 2)}
    values["wanted"] = values["wanted"].double()
    expected = torch.autograd.grad(loss(values).total, heads[1].weight, retain_graph=True)
    rows = Jacobian(loss, body.parameters(), MGDA()).rows(values)
    autojac.mtl_backward(list(rows.values()), features=features)
    torch.testing.assert_close(heads[1].weight.grad, expected[0])
    assert body.weight.jac.shape[0] == 2


def test_what_has_no_gradient_and_what_comes_too_early_is_refused() -> None:
    loss, x = built(left=square("left")), START.clone().requires_grad_()
    with pytest.raises(ValueError, match="at least one parameter"):
        Jacobian(loss, [START], MGDA())
    with pytest.warns(lossreg.ConfigWarning, match="all weights are zero"):
        idle = built(left=square("left", 0.0))
    with pytest.raises(ValueError, match="every term has the weight 0"):
        Jacobian(idle, [x], MGDA())
    jacobian = Jacobian(loss, [x], MGDA())
    with pytest.raises(InputError, match=r"call jacobian\.backward"):
        jacobian.to_grad()
    jacobian.backward({"x": x, "left": LEFT})
    with pytest.raises(InputError, match="share this step: give denominators"):
        jacobian.backward({"x": x, "left": LEFT})


def test_a_nan_is_reported_with_its_term() -> None:
    loss, x = built(left=square("left")), START.clone().requires_grad_()
    jacobian = Jacobian(loss, [x], MGDA())
    with pytest.raises(lossreg.NonFiniteError, match="term 'left' is nan"):
        jacobian.backward({"x": x, "left": LEFT * torch.nan})


@pytest.mark.nightly
def test_two_ranks_have_the_rows_of_the_big_batch(tmp_path: Path) -> None:
    running = [
        subprocess.Popen(
            [sys.executable, __file__, str(rank), str(tmp_path)],
            env={**os.environ, "PYTHONPATH": str(Path(documents.__file__).parent)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        told = [process.communicate(timeout=400)[1] for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0, 0], "\n".join(told)


def as_a_rank(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=(folder / "meeting").as_uri(), rank=rank, world_size=2
    )
    model, loss = network(), built(**TERMS)
    jacobian = Jacobian(loss, model.parameters(), MGDA())
    batches = ragged()
    with pytest.raises(InputError, match="share this step: give denominators"):
        jacobian.backward({**batches[0], "logits": model(batches[0]["x"])})
    (step,) = optimizer_steps(batches[2 * rank :][:2], 2)
    for batch in step:
        jacobian.backward({**batch, "logits": model(batch["x"])}, step.denominators(loss))
    jacobian.to_grad()
    distributed.destroy_process_group()
    torch.testing.assert_close(model.weight.grad, big(batches)[1], rtol=1e-11, atol=1e-11)


def test_the_page_runs() -> None:
    Document("docs/trainers.md").section("## TorchJD").run_python()


if __name__ == "__main__":
    as_a_rank(int(sys.argv[1]), Path(sys.argv[2]))
