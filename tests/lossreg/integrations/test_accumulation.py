"""What trainers' adapters and hand-written loops share, against one big batch."""

from __future__ import annotations

import subprocess
import sys
from collections import UserDict
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

import lossreg
from lossreg.errors import InputError
from lossreg.integrations.accumulation import (
    OptimizerStep,
    known_values,
    mean_over_ranks,
    optimizer_steps,
    sum_of,
)
from lossreg.integrations.averaging import Average
from properties import ulps

DOUBLE = torch.float64
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
}
SIZES = (3, 7, 1, 5, 2, 6)


def composite(**terms: Any) -> lossreg.CompositeLoss:
    return lossreg.build({"terms": terms or TERMS}).double()


def network() -> nn.Linear:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Linear(4, 3).double()


def ragged(*, hollow: bool = True) -> list[dict[str, Tensor]]:
    """Micro-batches of different sizes; if hollow, the third has no entry that counts."""
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
    if hollow:
        batches[2]["labels"][:] = -100
        batches[2]["valid"][:] = False
    return batches


def joined(batches: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}


def assert_same_gradients(model: nn.Module, twin: nn.Module) -> None:
    """Within 8 units in the last place of each parameter's largest entry."""
    for parameter, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert parameter.grad is not None
        assert other.grad is not None
        assert ulps(parameter.grad, other.grad, of_largest=True) <= 8


@pytest.mark.parametrize("divided", [1, 4])
@pytest.mark.parametrize("micro_batches", [1, 2, 4, 6, 9])
def test_steps_are_those_of_one_big_batch(micro_batches: int, divided: int) -> None:
    # A mean of nothing is nan, as in torch, where a step is one such batch.
    batches = ragged(hollow=micro_batches > 1)
    model, twin = network(), network()
    loss, other = composite(), composite()
    optimizers = [torch.optim.SGD(each.parameters(), lr=0.1) for each in (model, twin)]
    steps = optimizer_steps(batches, micro_batches, trainer_divides_by=divided)
    for count, step in enumerate(steps):
        big = joined(batches[count * micro_batches :][:micro_batches])
        expected = other({**big, "logits": twin(big["x"])})
        expected.total.backward()
        for batch in step:
            out = step.compute(loss, {**batch, "logits": model(batch["x"])})
            (out.total / divided).backward()
        assert_same_gradients(model, twin)
        logged = step.log_dict("train/")
        assert list(logged) == list(expected.log_dict("train/"))
        for name, value in expected.log_dict("train/").items():
            torch.testing.assert_close(logged[name], value, rtol=1e-13, atol=1e-13)
            assert not logged[name].requires_grad
        # The same numbers in both, so that only one step's rounding is compared.
        twin.load_state_dict(model.state_dict())
        for optimizer, objective in zip(optimizers, (loss, other), strict=True):
            optimizer.step()
            optimizer.zero_grad()
            objective.step()
        twin.load_state_dict(model.state_dict())
    assert count == -(-len(batches) // micro_batches) - 1


def test_a_division_that_nobody_names_gives_another_gradient() -> None:
    model, twin, loss = network(), network(), composite()
    for divided, each in ((1, model), (4, twin)):
        (step,) = optimizer_steps(ragged(), 6, trainer_divides_by=divided)
        for batch in step:
            out = step.compute(loss, {**batch, "logits": each(batch["x"])})
            (out.total / 4).backward()
    torch.testing.assert_close(model.weight.grad * 4, twin.weight.grad)


def test_batches_are_read_a_step_at_a_time_and_unchanged() -> None:
    batches, read = ragged(), []

    def loader() -> Any:
        for index, batch in enumerate(batches):
            read.append(index)
            yield batch

    lengths = []
    for step in optimizer_steps(loader(), micro_batches=4):
        assert len(read) == sum(lengths) + len(step)
        start = sum(lengths)
        assert all(batch is batches[start + index] for index, batch in enumerate(step))
        lengths.append(len(step))
    assert lengths == [4, 2]


def test_only_the_last_micro_batch_is_the_last() -> None:
    for step in optimizer_steps(ragged(), micro_batches=4):
        assert [step.is_last for _ in step] == [False] * (len(step) - 1) + [True]


def test_one_batch_on_one_rank_is_not_counted() -> None:
    # Nothing shows how many triplets there are before the model runs.
    terms = {"t": {"type": "triplet_margin", "inputs": ["a", "p", "n"]}}
    loss = composite(**terms)
    vectors = torch.randn(3, 5, 2, dtype=DOUBLE).unbind()
    batch = dict(zip("apn", vectors, strict=True))
    (step,) = optimizer_steps([batch], 1)
    assert step.denominators(loss) is None
    assert step.compute(loss, batch).total == loss(batch).total
    (step,) = optimizer_steps([batch, batch], 2)
    with pytest.raises(InputError, match="term 't'"):
        step.compute(loss, batch)


def test_parts_of_a_tuple_are_named() -> None:
    batches = [(b["x"], b["labels"], b["wanted"], b["valid"]) for b in ragged()]
    names = ("x", "labels", "wanted", "valid")
    loss, model, twin = composite(), network(), network()
    (step,) = optimizer_steps(batches, 6, names=names)
    for x, labels, wanted, valid in step:
        values = {"labels": labels, "wanted": wanted, "valid": valid}
        step.compute(loss, logits=model(x), **values).total.backward()
    big = joined(ragged())
    loss({**big, "logits": twin(big["x"])}).total.backward()
    assert_same_gradients(model, twin)


class Named(NamedTuple):
    x: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Record:
    x: Tensor
    labels: Tensor


class Attributes:
    def __init__(self, x: Tensor, labels: Tensor) -> None:
        self.x, self.labels = x, labels


@pytest.mark.parametrize(
    "make",
    [Named, Record, Attributes, dict, lambda **parts: UserDict(parts)],
    ids=["NamedTuple", "dataclass", "object", "dict", "UserDict"],
)
def test_batches_with_names_are_read_as_they_are(make: Any) -> None:
    loss = composite(classify=TERMS["classify"])
    batches = [make(x=b["x"], labels=b["labels"]) for b in ragged()]
    assert all(known_values(batch) is batch for batch in batches)
    (step,) = optimizer_steps(batches, 6)
    found = step.denominators(loss)
    assert found is not None
    expected = loss.denominators([{"labels": b["labels"]} for b in ragged()])
    assert torch.equal(found.values, expected.values)


@pytest.mark.parametrize("name", ["BatchEncoding", "ModelOutput"])
def test_batches_of_hugging_face_have_names(name: str) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    labels = torch.tensor([1, -100, 2])
    if name == "BatchEncoding":
        batch = transformers.BatchEncoding({"labels": labels})
    else:
        from transformers.utils import ModelOutput

        batch = dataclass(type("Out", (ModelOutput,), {"__annotations__": {"labels": Tensor}}))(
            labels=labels
        )
    loss = composite(classify=TERMS["classify"])
    assert known_values(batch) is batch
    (step,) = optimizer_steps([batch, batch], 2)
    assert step.denominators(loss) is not None


def test_what_is_known_may_be_computed() -> None:
    term = {"type": "l1", "inputs": ["logits", "wanted"], "divide_by": {"number": "objects"}}
    loss, model, twin = composite(count=term), network(), network()

    def known(batch: dict[str, Tensor]) -> dict[str, Any]:
        return {**batch, "objects": batch["valid"].sum()}

    (step,) = optimizer_steps(ragged(), 6, known=known)
    for batch in step:
        step.compute(loss, {**known(batch), "logits": model(batch["x"])}).total.backward()
    big = joined(ragged())
    loss({**known(big), "logits": twin(big["x"])}).total.backward()
    assert_same_gradients(model, twin)


@pytest.mark.parametrize(
    ("batch", "names", "message"),
    [
        ([torch.ones(1)] * 2, None, r"a batch is a list, .* as in names=\('image', 'labels'\)"),
        (torch.ones(2), None, "a batch is a Tensor, which has no names"),
        ((torch.ones(1),) * 3, ("x", "y"), "a tuple of 3, but there are 2 names: x, y"),
        ({"x": torch.ones(1)}, ("x",), "a batch is a dict, which has names of its own"),
        ((torch.ones(1),), "x", r"expected a sequence of names, found 'x': write \('x',\)"),
    ],
)
def test_names_that_do_not_fit_are_refused(batch: Any, names: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        known_values(batch, names)


def test_one_tensor_takes_one_name() -> None:
    batch = torch.ones(2)
    assert known_values(batch, ["x"]) == {"x": batch}


def test_numbers_below_1_and_two_ways_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="expected at least 1 micro-batch in a step, found 0"):
        optimizer_steps([], 0)
    with pytest.raises(ValueError, match="or `known`, not both"):
        optimizer_steps([], 2, names=("x",), known=dict)
    with pytest.raises(ValueError, match="trainer_divides_by is at least 1, found 0"):
        OptimizerStep([], trainer_divides_by=0)


def test_several_objectives_share_a_step() -> None:
    first, second = composite(classify=TERMS["classify"]), composite(whole=TERMS["whole"])
    model = network()
    (step,) = optimizer_steps(ragged(), 6)
    with pytest.raises(ValueError, match="computed no objective yet"):
        step.log_dict()
    for batch in step:
        step.compute(first, {**batch, "logits": model(batch["x"])})
    assert step.summed().total == step.summed(first).total
    with pytest.raises(ValueError, match="did not compute that objective"):
        step.summed(second)
    for batch in step:  # a second pass over the same micro-batches
        step.compute(second, {**batch, "logits": model(batch["x"])})
    big = joined(ragged())
    for objective in (first, second):
        expected = objective({**big, "logits": model(big["x"])}).log_dict("g/")
        found = step.log_dict("g/", objective=objective)
        torch.testing.assert_close(found, {k: v.detach() for k, v in expected.items()})
    with pytest.raises(ValueError, match="computed 2 objectives: say which is meant"):
        step.log_dict()


def test_a_micro_batch_that_is_computed_again_counts_once_in_the_log() -> None:
    loss, model = composite(), network()
    (step,) = optimizer_steps(ragged(), 6)
    for _ in range(2):
        for batch in step:
            for _ in range(2):
                step.compute(loss, {**batch, "logits": model(batch["x"])})
    big = joined(ragged())
    expected = loss({**big, "logits": model(big["x"])})
    torch.testing.assert_close(step.summed().total, expected.total.detach())


def test_an_output_made_elsewhere_is_added() -> None:
    loss, model = composite(), network()
    (step,) = optimizer_steps(ragged(), 6)
    for batch in step:
        values = {**batch, "logits": model(batch["x"])}
        step.add(loss, loss(values, denominators=step.denominators(loss)))
    big = joined(ragged())
    expected = loss({**big, "logits": model(big["x"])})
    torch.testing.assert_close(step.summed().total, expected.total.detach())


def test_an_optional_term_is_logged_with_its_weight_if_any_micro_batch_has_it() -> None:
    term = {"type": "mse", "inputs": ["logits", "extra"], "optional": True, "weight": 0.5}
    loss, model = composite(**TERMS, extra=term), network()
    batches = ragged()
    batches[1]["extra"] = batches[1]["wanted"]
    logged = []
    for step in optimizer_steps(batches, 3):
        for batch in step:
            step.compute(loss, {**batch, "logits": model(batch["x"])})
        logged.append(step.log_dict())
    assert [each["weight/extra"].item() for each in logged] == [0.5, 0.0]
    assert logged[0]["loss/extra"] > 0


def test_denominators_of_another_step_are_refused() -> None:
    loss, model = composite(), network()
    (step,) = optimizer_steps(ragged(), 6)
    for batch in step:
        step.compute(loss, {**batch, "logits": model(batch["x"])})
    loss.step()
    with pytest.raises(InputError, match="expected the denominators of step 1"):
        step.compute(loss, {**batch, "logits": model(batch["x"])})


def test_the_mean_over_one_rank_is_the_rank_itself() -> None:
    loss, batch = composite(), ragged()[0]
    out = loss({**batch, "logits": batch["wanted"]})
    assert mean_over_ranks(out) is out
    assert sum_of([out]).total == out.total.detach()


def test_a_validation_set_is_averaged_as_one_batch() -> None:
    terms = {name: TERMS[name] for name in ("classify", "follow")}
    loss, model = composite(**terms), network()
    average = Average(loss)
    assert average.mean() is None
    for batch in ragged():
        average.add({**batch, "logits": model(batch["x"])})
    found = average.mean()
    assert found is not None
    big = joined(ragged())
    expected = loss({**big, "logits": model(big["x"])})
    wanted = {name: value.detach() for name, value in expected.log_dict().items()}
    torch.testing.assert_close(found.log_dict(), wanted, rtol=1e-14, atol=0)
    assert not found.total.requires_grad


def test_what_learned_weights_add_is_averaged_too() -> None:
    term = {**TERMS["classify"], "weight": {"learned": "log_variance", "initial": 0.3}}
    loss, model = composite(classify=term), network()
    average = Average(loss)
    for batch in ragged():
        average.add({**batch, "logits": model(batch["x"])})
    found, big = average.mean(), joined(ragged())
    assert found is not None
    expected = loss({**big, "logits": model(big["x"])}).log_dict()
    assert "regularizer/classify" in expected
    torch.testing.assert_close(found.log_dict(), {k: v.detach() for k, v in expected.items()})


def test_a_sum_is_averaged_over_the_batches() -> None:
    loss, model = composite(whole=TERMS["whole"]), network()
    average, totals = Average(loss), []
    for batch in ragged():
        values = {**batch, "logits": model(batch["x"])}
        average.add(values)
        totals.append(loss(values).total.detach())
    found = average.mean()
    assert found is not None
    torch.testing.assert_close(found.total, torch.stack(totals).mean())


def test_a_term_that_cannot_be_counted_weighs_batches_by_their_size() -> None:
    loss = composite(t={"type": "triplet_margin", "inputs": ["a", "p", "n"]})
    average = Average(loss)
    generator = torch.Generator().manual_seed(0)
    batches = [
        dict(zip("apn", torch.randn(3, n, 2, generator=generator).double().unbind(), strict=True))
        for n in (5, 2)
    ]
    for values in batches:
        average.add(values, size=len(values["a"]))
    found = average.mean()
    assert found is not None
    torch.testing.assert_close(found.total, loss(joined(batches)).total)


def test_an_optional_term_is_averaged_over_the_batches_that_have_it() -> None:
    term = {"type": "mse", "inputs": ["extra", "wanted"], "optional": True, "weight": 0.5}
    loss = composite(extra=term, whole=TERMS["whole"])
    average, batches = Average(loss), ragged()[:2]
    seldom = {**batches[1], "extra": batches[1]["wanted"] + 2.0, "logits": batches[1]["wanted"]}
    for values in ({**batches[0], "logits": batches[0]["wanted"]}, seldom):
        average.add(values)
    found = average.mean()
    assert found is not None
    torch.testing.assert_close(found.terms["extra"], torch.tensor(4.0, dtype=DOUBLE))
    torch.testing.assert_close(found.total, torch.tensor(2.0, dtype=DOUBLE))
    assert found.weights["extra"] == 0.5


def test_no_trainer_is_imported() -> None:
    code = (
        "import sys, lossreg.integrations.accumulation; "
        "print(sorted({'lightning', 'transformers', 'accelerate'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
