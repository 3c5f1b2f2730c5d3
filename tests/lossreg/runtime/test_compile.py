"""A compiled composite: one graph, one compilation, and what the eager one computes.

The backend is aot_eager, which traces forward and backward as inductor does and needs no C++
compiler; inductor itself runs nightly.
"""

from __future__ import annotations

import copy
import math
import random
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend

import lossreg
from lossreg.errors import InputError, NonFiniteError
from oracles import EXAMPLES, Draw
from properties import leaves

REGISTRY = lossreg.Registry.installed()
NAN = math.nan
RAMP = {"schedule": "linear", "start": 0.2, "end": 1.0, "steps": 5}
# torch's compiled backward adds up in another order.
FEW_ULPS = 8

Values = dict[str, Any]


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """torch counts compilations of a function over all its modules, and gives up after some."""
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def counter() -> CompileCounterWithBackend:
    return CompileCounterWithBackend("aot_eager")


def fit(**fields: Any) -> dict[str, Any]:
    return {"type": "mse", "inputs": ["p", "y"], **fields}


def build(terms: dict[str, Any], **options: Any) -> lossreg.CompositeLoss:
    return lossreg.build({"terms": terms, **options})


def tensors(seed: int = 0, rows: int = 6, dtype: torch.dtype = torch.float32) -> Values:
    """New leaves; the same numbers for the same seed."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(dtype)

    def labels(classes: int, *shape: int) -> Tensor:
        return torch.randint(classes, shape, generator=generator)

    y = normal(rows, 4)
    return {
        "p": normal(rows, 4).requires_grad_(),
        "y": y,
        "holes": torch.where(labels(3, rows, 4) == 0, NAN, y),
        "logits": normal(rows, 4).requires_grad_(),
        "labels": labels(4, rows),
        "tokens": {"logits": normal(rows, 5, 3).requires_grad_(), "labels": labels(3, rows, 5)},
        "aux": [
            {"p": normal(rows, 4).requires_grad_(), "y": normal(rows, 4), "count": rows * 2.0},
            {"p": normal(rows, 4).requires_grad_(), "y": normal(rows, 4), "count": rows * 3.0},
        ],
        "valid": torch.arange(rows) % 3 != 1,
        "w": torch.rand(rows, generator=generator).to(dtype),
        "number": torch.tensor(7.0, dtype=dtype),
    }


SIX = {
    "classify": {
        "type": "cross_entropy",
        "inputs": ["logits", "labels"],
        "params": {"weight": [1.0, 2.0, 0.5, 1.0], "label_smoothing": 0.1},
    },
    "fit": fit(weight=RAMP),
    "abs": {"type": "l1", "weight": 0.3, "inputs": ["p", "y"]},
    "robust": {"type": "smooth_l1", "weight": 0.1, "inputs": ["p", "y"]},
    "tags": {
        "type": "bce_with_logits",
        "weight": {**RAMP, "schedule": "cosine"},
        "inputs": ["logits", {"from": "labels", "apply": [{"one_hot": {"classes": 4}}]}],
    },
    "penalty": {"type": "value", "weight": 0.05, "inputs": ["number"]},
}
CASES: dict[str, dict[str, Any]] = {
    "one term": {"fit": fit(weight=RAMP)},
    "two terms": {"fit": fit(weight=RAMP), "classify": SIX["classify"]},
    "three terms": {name: SIX[name] for name in ("classify", "fit", "abs")},
    "six terms": SIX,
    "nested paths and transforms": {
        "next": {
            "type": "cross_entropy",
            "weight": RAMP,
            "inputs": {
                "input": {"from": "tokens.logits", "apply": [{"transpose": [1, 2]}]},
                "target": {
                    "from": "tokens.labels",
                    "apply": [{"shift": {"by": -1, "dim": 1, "fill": -100}}],
                },
            },
        },
        "distil": {
            "type": "kl_div",
            "params": {"reduction": "batchmean"},
            "inputs": [
                {"from": "logits", "apply": ["log_softmax"]},
                {"from": "aux[-1].p", "apply": [{"div": 2}, {"softmax": 1}, "detach"]},
            ],
        },
    },
    "masks and weights of samples": {
        "masked": fit(mask="valid", weight=RAMP),
        "weighted": fit(sample_weight="w"),
        "ignored": fit(inputs=["p", "holes"], ignore="nan", mask="valid", sample_weight="w"),
        "rows": {
            "type": "kl_div",
            "inputs": [
                {"from": "logits", "apply": ["log_softmax"]},
                {"from": "p", "apply": ["softmax"]},
            ],
            "params": {"reduction": "batchmean"},
            "mask": {"from": "labels", "apply": [{"cast": "bool"}]},
        },
        "classes": {**SIX["classify"], "ignore": 2},
    },
    "groups": {
        "first": {
            "from": "aux[0]",
            "weight": RAMP,
            "denominator": "aux[0].count",
            "terms": {"fit": fit(), "abs": {"type": "l1", "weight": 0.5, "inputs": ["p", "y"]}},
        },
        "second": {"from": "aux[1]", "terms": {"fit": fit()}},
    },
    "weights of zero": {
        "logged": {"type": "l1", "weight": 0, "inputs": ["p", "y"]},
        "fit": fit(weight=RAMP),
        "passes": fit(weight={**RAMP, "start": 0.0}),
        "masked": {"type": "l1", "weight": 0, "inputs": ["p", "holes"], "ignore": "nan"},
    },
    "optional terms": {
        "there": fit(optional=True),
        "gone": {"type": "l1", "inputs": ["absent", "y"], "optional": True},
        "late": {"type": "smooth_l1", "weight": RAMP, "inputs": ["p", "y"]},
    },
}


def assert_within_ulps(found: Tensor, expected: Tensor) -> None:
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    if expected.numel():
        size = expected.abs().max().item()
        assert (found - expected).abs().max().item() <= (
            FEW_ULPS * torch.finfo(expected.dtype).eps * size
        )


def assert_a_step_is_eagers(
    compiled: Callable[[Values], lossreg.LossOutput],
    eager: lossreg.CompositeLoss,
    make: Callable[[], Values],
) -> None:
    """Value, logged values, weights and gradients are the eager composite's."""
    values, twins = make(), make()
    found, expected = compiled(values), eager(twins)
    assert_within_ulps(found.total.detach(), expected.total.detach())
    assert list(found.terms) == list(expected.terms)
    assert list(found.weights) == list(expected.weights)
    for name in expected.terms:
        assert not found.terms[name].requires_grad
        assert_within_ulps(found.terms[name], expected.terms[name])
        assert found.weights[name].item() == expected.weights[name].item()
    found.total.backward()
    expected.total.backward()
    for leaf, twin in zip(leaves(values), leaves(twins), strict=True):
        assert (leaf.grad is None) == (twin.grad is None)
        if leaf.grad is not None and twin.grad is not None:
            assert_within_ulps(leaf.grad, twin.grad)


@pytest.mark.parametrize("case", CASES)
def test_one_graph_computes_what_eager_does(case: str) -> None:
    loss, eager, count = build(CASES[case]), build(CASES[case]), counter()
    loss.compile(backend=count, fullgraph=True)
    for step in range(8):
        assert_a_step_is_eagers(loss, eager, partial(tensors, step))
        loss.step()
        eager.step()
    assert count.frame_count == 1


@pytest.mark.parametrize("case", ["one term", "six terms"])
@pytest.mark.parametrize("steps", [50, pytest.param(1_000, marks=pytest.mark.nightly)])
def test_weights_that_move_compile_once(case: str, steps: int) -> None:
    terms = copy.deepcopy(CASES[case])
    terms["fit"]["weight"] = {**RAMP, "steps": steps}
    terms["more"] = fit(weight={**RAMP, "schedule": "cyclic", "unit": "epoch"})
    loss, count = build(terms), counter()
    loss.compile(backend=count, fullgraph=True)
    seen = set()
    for step in range(steps):
        out = loss(tensors(step % 7))
        out.total.backward()
        seen.add(out.weights["fit"].item())
        loss.step()
        if step % 10 == 0:
            loss.step_epoch()
    assert len(seen) == steps
    assert count.frame_count == 1


class Training(nn.Module):
    """A model and its loss in one forward pass, as trainers compile it."""

    def __init__(self, loss: lossreg.CompositeLoss) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.loss = loss

    def forward(self, values: Values) -> lossreg.LossOutput:
        return self.loss({**values, "p": self.layer(values["p"])})


def in_a_function(loss: lossreg.CompositeLoss) -> Callable[[Values], lossreg.LossOutput]:
    return lambda values: loss(**{name: each for name, each in values.items() if name != "w"})


def in_a_module(loss: lossreg.CompositeLoss) -> Callable[[Values], lossreg.LossOutput]:
    torch.manual_seed(0)
    return Training(loss)


@pytest.mark.parametrize("around", [in_a_function, in_a_module])
def test_a_compiled_caller_has_one_graph(
    around: Callable[[lossreg.CompositeLoss], Callable[[Values], lossreg.LossOutput]],
) -> None:
    loss, twin, count = build(SIX), build(SIX), counter()
    compiled = torch.compile(around(loss), backend=count, fullgraph=True)
    eager = around(twin)
    for step in range(8):
        values, twins = tensors(step), tensors(step)
        found, expected = compiled(values), eager(twins)
        found.total.backward()
        expected.total.backward()
        assert_within_ulps(found.total.detach(), expected.total.detach())
        for leaf, other in zip(leaves(values), leaves(twins), strict=True):
            if other.grad is not None:
                assert leaf.grad is not None
                assert_within_ulps(leaf.grad, other.grad)
        loss.step()
        twin.step()
    assert count.frame_count == 1


def test_terms_alone_compile() -> None:
    loss, count = build(SIX), counter()
    compiled = torch.compile(loss.terms, backend=count, fullgraph=True)
    for step in range(3):
        found, expected = compiled(tensors(step)), loss.terms(tensors(step))
        assert list(found) == list(SIX)
        for name, each in expected.items():
            assert_within_ulps(found[name].detach(), each.detach())
        loss.step()
    assert count.frame_count == 1


@pytest.mark.parametrize("count_of_terms", [1, 2, 6])
def test_float64_compiles_once_and_is_not_rounded(count_of_terms: int) -> None:
    terms = {f"t{index}": fit(weight={**RAMP, "start": 0.1}) for index in range(count_of_terms)}
    loss, eager, count = build(terms), build(terms), counter()
    loss.compile(backend=count, fullgraph=True)
    for step in range(4):
        assert_a_step_is_eagers(loss, eager, partial(tensors, step, dtype=torch.float64))
        assert loss(tensors(dtype=torch.float64)).total.dtype == torch.float64
        loss.step()
        eager.step()
    assert count.frame_count == 1


@pytest.mark.parametrize("case", ["six terms", "masks and weights of samples"])
def test_batches_of_other_sizes_do_not_compile_each_time(case: str) -> None:
    loss, eager, count = build(CASES[case]), build(CASES[case]), counter()
    loss.compile(backend=count, fullgraph=True)
    for rows in range(4, 14):
        assert_a_step_is_eagers(loss, eager, partial(tensors, rows=rows))
        loss.step()
        eager.step()
    assert count.frame_count <= 2


def test_a_dimension_marked_dynamic_compiles_once() -> None:
    loss, count = build({"fit": fit(weight=RAMP), "abs": SIX["abs"], "more": fit()}), counter()
    loss.compile(backend=count, fullgraph=True)
    for rows in range(4, 9):
        values = {name: tensors(rows=rows)[name] for name in ("p", "y")}
        for each in values.values():
            torch._dynamo.mark_dynamic(each, 0)
        loss(values).total.backward()
        loss.step()
    assert count.frame_count == 1


@pytest.mark.parametrize("name", [name for name in sorted(EXAMPLES) if REGISTRY[name].compiles])
def test_every_built_in_compiles(name: str) -> None:
    example = EXAMPLES[name](Draw(random.Random(3), torch.float32))
    params = dict(example.params)
    if name == "kl_div":
        params["reduction"] = "batchmean"
    terms = {"t": {"type": name, "params": params, "inputs": list(example.tensors), "weight": RAMP}}
    loss, eager, count = build(terms), build(terms), counter()
    loss.compile(backend=count, fullgraph=True)

    def make() -> Values:
        return {
            each: tensor.clone().requires_grad_(each in example.leaves)
            for each, tensor in example.tensors.items()
        }

    for _ in range(3):
        assert_a_step_is_eagers(loss, eager, make)
        loss.step()
        eager.step()
    assert count.frame_count == 1


@pytest.mark.parametrize("name", ["cross_entropy", "multi_margin", "nll"])
def test_one_example_without_a_batch_compiles(name: str) -> None:
    # Its shapes are looked at twice while tracing: as a batch's first.
    loss, count = build({"t": {"type": name, "inputs": ["p", "y"]}}), counter()
    values = {"p": torch.tensor([0.5, -1.0, 2.0]).log_softmax(0), "y": torch.tensor(1)}
    step = torch.compile(lambda values: loss(values).total, backend=count, fullgraph=True)
    assert_within_ulps(step(values), loss(values).total)
    assert count.frame_count == 1


def test_ctc_alone_is_declared_to_break_the_graph() -> None:
    assert [name for name in EXAMPLES if not REGISTRY[name].compiles] == ["ctc"]


CTC = {"transcribe": {"type": "ctc", "weight": RAMP, "params": {"zero_infinity": True}}}


def ctc_values() -> Values:
    found: Values = dict(EXAMPLES["ctc"](Draw(random.Random(3), torch.float32)).tensors)
    found["log_probs"] = found["log_probs"].clone().requires_grad_()
    return found


# dynamo looks at every tensor's `grad` where a graph breaks.
BREAKS = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")


@BREAKS
def test_torch_cannot_trace_ctc_but_runs_it() -> None:
    loss, eager = build(CTC), build(CTC)
    loss.compile(backend="aot_eager", fullgraph=True)
    # The size of ctc's intermediate result depends on the lengths, which are data.
    with pytest.raises(torch._dynamo.exc.Unsupported, match="_ctc_loss"):
        loss(ctc_values())
    torch._dynamo.reset()
    loss = build(CTC)
    loss.compile(backend="aot_eager")
    for _ in range(3):
        assert_a_step_is_eagers(loss, eager, ctc_values)
        loss.step()
        eager.step()


def test_the_output_is_used_as_an_eager_ones() -> None:
    loss, eager = build(CASES["three terms"]), build(CASES["three terms"])
    loss.compile(backend="aot_eager", fullgraph=True)
    out, expected = loss(tensors()), eager(tensors())
    assert isinstance(out, lossreg.LossOutput)
    logged, wanted = out.log_dict("train/"), expected.log_dict("train/")
    assert list(logged) == list(wanted)
    for name, each in wanted.items():
        assert not logged[name].requires_grad
        assert_within_ulps(logged[name], each)
    # What was handed out is a copy.
    loss.step()
    assert out.weights["fit"].item() == expected.weights["fit"].item()
    out.weights["fit"].fill_(9)
    assert loss(tensors()).weights["fit"].item() == pytest.approx(loss.weights["fit"])


def test_log_dict_compiles_with_its_caller() -> None:
    loss, count = build(CASES["three terms"]), counter()

    @torch.compile(backend=count, fullgraph=True)
    def step(values: Values) -> tuple[Tensor, dict[str, Tensor]]:
        out = loss(values)
        return out.total, out.log_dict("train/")

    total, logged = step(tensors())
    total.backward()
    assert logged["train/loss/total"].item() == total.item()
    assert sorted(logged) == sorted(loss(tensors()).log_dict("train/"))
    assert count.frame_count == 1


def test_backward_after_a_step_has_the_weights_of_its_forward_pass() -> None:
    loss = build(CASES["three terms"])
    count = counter()
    loss.compile(backend=count, fullgraph=True)
    for _ in range(3):
        found, expected = tensors(), tensors()
        eager = copy.deepcopy(loss)(expected).total
        total = loss(found).total
        loss.step()
        total.backward()
        eager.backward()
        torch.testing.assert_close(found["p"].grad, expected["p"].grad)
    assert count.frame_count == 1


@pytest.mark.parametrize("terms", [1, 2, 4])
@pytest.mark.parametrize("bad", [NAN, math.inf])
def test_a_later_step_names_the_term_that_was_not_finite(terms: int, bad: float) -> None:
    others = {f"fine{index}": fit() for index in range(terms - 1)}
    loss = build({**others, "bad": fit(inputs=["p", "z"], weight=RAMP)})
    count = counter()
    loss.compile(backend=count, fullgraph=True)
    for z in (0.0, bad, 0.0):
        loss({**tensors(), "z": torch.full((6, 4), z)}).total.backward()
    with pytest.raises(NonFiniteError, match=r"earlier step: 'bad'$") as raised:
        loss.step()
    assert raised.value.term == "bad"
    loss({**tensors(), "z": torch.zeros(6, 4)}).total.backward()
    loss.step()
    assert count.frame_count == 1


def test_values_that_are_not_finite_are_ignored_where_that_is_wanted() -> None:
    loss = build({"bad": fit(inputs=["p", "z"]), "fine": fit()}, on_nonfinite="ignore")
    loss.compile(backend="aot_eager", fullgraph=True)
    out = loss({**tensors(), "z": torch.full((6, 4), NAN)})
    assert out.total.isnan()
    loss.step()


@BREAKS
def test_a_missing_tensor_is_told_as_without_compile() -> None:
    loss = build({"fit": fit()})
    loss.compile(backend="aot_eager")
    with pytest.raises(InputError, match=r"there is no 'p'.*there is: y"):
        loss(y=torch.ones(2))
    assert loss(p=torch.ones(2, requires_grad=True), y=torch.ones(2)).total.item() == 0


class Fields:
    """A step's values as attributes."""

    def __init__(self, **tensors: Any) -> None:
        self.__dict__.update(tensors)


@dataclass
class Step:
    p: Tensor
    y: Tensor
    h: Any = None
    valid: Any = None


class Row(NamedTuple):
    p: Tensor
    y: Tensor
    h: Any = None
    valid: Any = None


PP = torch.full((6, 4), 5.0)
# What a batch holds for the path h.pp: nothing, or the tensor.
NOTHING: dict[str, dict[str, Any]] = {
    "no h": {},
    "h is None": {"h": None},
    "h is empty": {"h": {}},
    "h.pp is None": {"h": {"pp": None}},
    "h without attributes": {"h": SimpleNamespace()},
    "h a list": {"h": []},
}
THERE: dict[str, dict[str, Any]] = {
    "a mapping": {"h": {"pp": PP}},
    "an ordered one": {"h": OrderedDict(pp=PP)},
    "attributes": {"h": SimpleNamespace(pp=PP)},
}
ORDERS = {"none-both-none-both": (0, 1, 0, 1), "both-none-both": (1, 0, 1)}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("kind", "nothing", "there"),
    [
        *(
            (kind, "no h", "a mapping")
            for kind in (OrderedDict, SimpleNamespace, Fields, Step, Row)
        ),
        *((dict, nothing, "a mapping") for nothing in NOTHING),
        (dict, "no h", "attributes"),
        (dict, "h without attributes", "attributes"),
        (dict, "h is empty", "an ordered one"),
        (Step, "h is None", "attributes"),
    ],
)
def test_a_batch_without_a_term_changes_no_later_one(
    kind: Callable[..., Any], nothing: str, there: str, order: str
) -> None:
    terms = {"fit": fit(), "aux": {"type": "l1", "inputs": ["h.pp", "y"], "optional": True}}
    loss, eager = build(terms), build(terms)
    loss.compile(backend="aot_eager", fullgraph=True)
    for step, both in enumerate(ORDERS[order]):
        base = {name: tensors(step)[name] for name in ("p", "y")}
        values = kind(**base, **(THERE[there] if both else NOTHING[nothing]))
        found = loss(values)
        assert_within_ulps(found.total.detach(), eager(values).total.detach())
        assert (found.terms["aux"].item() > 1) == bool(both)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", [dict, SimpleNamespace, Step, Row])
@pytest.mark.parametrize("field", ["mask", "sample_weight"])
def test_a_batch_without_a_mask_changes_no_later_one(
    kind: Callable[..., Any], field: str, order: str
) -> None:
    terms = {"fit": fit(), "masked": fit(optional=True, **{field: "valid"})}
    loss, eager, count = build(terms), build(terms), counter()
    loss.compile(backend=count, fullgraph=True)
    for step, both in enumerate(ORDERS[order]):
        base = {name: tensors(step)[name] for name in ("p", "y")}
        values = kind(**base, **({"valid": torch.ones(6)} if both else {}))
        found = loss(values)
        assert_within_ulps(found.total.detach(), eager(values).total.detach())
        assert (found.terms["masked"].item() > 0) == bool(both)
    assert count.frame_count == 2


@pytest.mark.parametrize("order", ORDERS)
def test_the_head_of_a_term_that_comes_back_has_its_gradient(order: str) -> None:
    terms = {"fit": fit(), "aux": {"type": "mse", "inputs": ["h.pp", "y"], "optional": True}}
    loss = build(terms)
    compiled = torch.compile(lambda values: loss(**values), backend="aot_eager", fullgraph=True)
    for step, both in enumerate(ORDERS[order]):
        base = {name: tensors(step)[name] for name in ("p", "y")}
        head = PP.clone().requires_grad_()
        compiled({**base, **({"h": {"pp": head}} if both else {})}).total.backward()
        assert (head.grad is not None) == bool(both)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("path", ["h[1]", "h[-2]"])
@pytest.mark.parametrize("kind", [list, tuple])
def test_a_list_that_grows_is_looked_at_again(
    kind: Callable[..., Any], path: str, order: str
) -> None:
    terms = {"fit": fit(), "aux": {"type": "l1", "inputs": [path, "y"], "optional": True}}
    loss = build(terms)
    loss.compile(backend="aot_eager", fullgraph=True)
    for both in ORDERS[order]:
        base = {name: tensors()[name] for name in ("p", "y")}
        found = loss(**base, h=kind([PP, PP] if both else [PP]))
        assert (found.terms["aux"].item() > 1) == bool(both)


@pytest.mark.parametrize("bad", [NAN, math.inf, -2.0])
@pytest.mark.parametrize("kind", [float, torch.tensor])
def test_a_denominator_that_is_none_makes_a_nan_in_a_graph(
    kind: Callable[[float], Any], bad: float
) -> None:
    loss = build({"fit": fit(denominator="n")})
    loss.compile(backend="aot_eager", fullgraph=True)
    for number in (4.0, 0.0, bad):
        found = loss({**tensors(), "n": kind(number)}).total
        expected = (tensors()["p"] - tensors()["y"]).square().sum() / (number or 1)
        if number not in (4.0, 0.0):
            assert found.isnan()
        else:
            torch.testing.assert_close(found, expected)
    with pytest.raises(NonFiniteError, match="earlier step: 'fit'"):
        loss.step()


@pytest.mark.parametrize("terms", [fit(mask="m"), fit(sample_weight="m")], ids=str)
def test_a_mask_or_weights_that_are_none_make_a_nan_in_a_graph(terms: dict[str, Any]) -> None:
    loss = build({"fit": terms}, checks="off")
    loss.compile(backend="aot_eager", fullgraph=True)
    number = NAN if "mask" in terms else -9.0
    found = loss({**tensors(), "m": torch.tensor([1.0, 0.0, number, 1.0, 1.0, 1.0])}).total
    assert found.isnan()


def test_denominators_are_an_argument() -> None:
    terms = {name: each for name, each in SIX.items() if name != "penalty"}
    terms["masked"] = fit(mask="valid", sample_weight="w")
    loss, eager, count = build(terms), build(terms), counter()
    loss.compile(backend=count, fullgraph=True)
    for step in range(4):
        parts = [tensors(2 * step), tensors(2 * step + 1)]
        denominators = loss.denominators(parts, world_size=2)
        for part in (0, 1):
            assert_a_step_is_eagers(
                partial(loss, denominators=denominators),
                partial(eager, denominators=denominators),
                partial(tensors, 2 * step + part),
            )
        loss.step()
        eager.step()
    assert count.frame_count == 1


def test_a_copy_compiles_and_moves_its_own_weights() -> None:
    loss = build(CASES["three terms"])
    loss.compile(backend="aot_eager", fullgraph=True)
    loss(tensors()).total.backward()
    twin, count = copy.deepcopy(loss), counter()
    loss.step()
    twin.compile(backend=count, fullgraph=True)
    assert twin(tensors()).weights["fit"].item() == pytest.approx(0.2)
    assert loss(tensors()).weights["fit"].item() == pytest.approx(0.36)
    assert count.frame_count == 1


def test_a_state_that_is_loaded_does_not_compile_again() -> None:
    loss, other, count = build(SIX), build(SIX), counter()
    for _ in range(3):
        other.step()
    loss.compile(backend=count, fullgraph=True)
    loss(tensors())
    loss.load_state_dict(other.state_dict())
    assert_a_step_is_eagers(loss, other, tensors)
    assert count.frame_count == 1


@pytest.mark.parametrize("terms", [1, 2, 4])
def test_bfloat16_terms_are_summed_in_float32(terms: int) -> None:
    each = {f"t{index}": fit(weight=RAMP if index else 0.1) for index in range(terms)}
    loss, eager, count = build(each), build(each), counter()
    loss.compile(backend=count, fullgraph=True)
    make = partial(tensors, dtype=torch.bfloat16)
    out, expected = loss(make()), eager(make())
    assert out.total.dtype == expected.total.dtype == torch.float32
    by_hand = sum(weight * expected.terms[name].double() for name, weight in eager.weights.items())
    for total in (out.total, expected.total):
        assert total.item() == pytest.approx(float(by_hand), rel=1e-6)
    assert_a_step_is_eagers(loss, eager, make)
    assert count.frame_count == 1


@pytest.mark.parametrize("case", ["one term", "two terms", "six terms"])
def test_autocast_leaves_the_sum_in_float32(case: str) -> None:
    loss, eager, count = build(CASES[case]), build(CASES[case]), counter()
    layer = nn.Linear(4, 4)

    @torch.compile(backend=count, fullgraph=True)
    def step(values: Values) -> lossreg.LossOutput:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return loss({**values, "p": layer(values["p"])})

    for _ in range(3):
        out = step(tensors())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            values = tensors()
            p = layer(values["p"])
            assert p.dtype == torch.bfloat16
            expected = eager({**values, "p": p})
        assert out.total.dtype == expected.total.dtype == torch.float32
        for name, each in eager.weights.items():
            assert out.weights[name].item() == pytest.approx(each)
        by_hand = sum(
            weight * expected.terms[name].double() for name, weight in eager.weights.items()
        )
        assert expected.total.item() == pytest.approx(float(by_hand), rel=1e-6)
        torch.testing.assert_close(out.total, expected.total, rtol=1e-2, atol=0)
        out.total.backward()
        loss.step()
        eager.step()
    assert count.frame_count == 1


@pytest.mark.nightly
@pytest.mark.parametrize("case", CASES)
def test_inductor_computes_what_eager_does(case: str) -> None:
    loss, eager = build(CASES[case]), build(CASES[case])
    count = CompileCounterWithBackend("inductor")
    loss.compile(backend=count, fullgraph=True)
    for step in range(8):
        values, twins = tensors(step), tensors(step)
        found, expected = loss(values), eager(twins)
        torch.testing.assert_close(found.total, expected.total)
        found.total.backward()
        expected.total.backward()
        for leaf, twin in zip(leaves(values), leaves(twins), strict=True):
            torch.testing.assert_close(leaf.grad, twin.grad)
        loss.step()
        eager.step()
    assert count.frame_count == 1


MISFITS: dict[str, tuple[dict[str, Any], Values, str]] = {
    "a domain": (
        {"type": "bce", "inputs": ["p", "y"]},
        {"p": torch.ones(4), "y": torch.full((4,), 1.5)},
        "'target' (path 'y'): expected probabilities from 0 to 1, found 1.5",
    ),
    "another domain": (
        {"type": "kl_div", "inputs": ["p", "y"], "params": {"reduction": "batchmean"}},
        {"p": torch.full((2, 2), 0.5), "y": torch.full((2, 2), 0.5)},
        "'input' (path 'p'): expected log-probabilities, at most 0",
    ),
    "a shape": (fit(), {"p": torch.ones(4, 1), "y": torch.ones(4)}, "torch would broadcast"),
    "a dtype": (fit(), {"p": torch.ones(4, dtype=torch.long), "y": torch.ones(4)}, "torch.int64"),
    "one class": (
        {"type": "cross_entropy", "inputs": ["p", "y"]},
        {"p": torch.ones(4, 1, 2), "y": torch.zeros(4, 2, dtype=torch.long)},
        "expected at least two classes",
    ),
    "a mask": (
        fit(mask="m"),
        {"p": torch.ones(4), "y": torch.ones(4), "m": torch.full((4,), 0.5)},
        "a mask keeps or drops",
    ),
}
OF_VALUES = ("a domain", "another domain", "a mask")


@pytest.mark.parametrize("fullgraph", [True, False])
@pytest.mark.parametrize("name", MISFITS)
def test_the_first_batch_is_looked_at_before_the_graph_runs(name: str, fullgraph: bool) -> None:
    term, bad, message = MISFITS[name]
    loss, count = build({"t": term}), counter()
    loss.compile(backend=count, fullgraph=fullgraph)
    with pytest.raises(InputError, match=re.escape(message)):
        loss(bad)
    assert count.frame_count == 0


@pytest.mark.parametrize("checks", ["first", "always"])
def test_after_the_first_batch_a_graph_is_looked_at_as_checks_say(checks: str) -> None:
    loss, count = build({"t": {"type": "bce", "inputs": ["p", "y"]}}, checks=checks), counter()
    loss.compile(backend=count, fullgraph=True)
    good = {"p": torch.full((4,), 0.5), "y": torch.ones(4)}
    for _ in range(2):
        loss(good)
    assert count.frame_count == 1
    if checks == "always":
        with pytest.raises(InputError, match="expected probabilities from 0 to 1"):
            loss({**good, "y": torch.full((4,), 1.5)})


def test_a_term_that_comes_late_is_looked_at_when_it_comes() -> None:
    late = {"type": "bce", "inputs": ["late", "y"], "optional": True}
    loss = build({"t": {"type": "bce", "inputs": ["p", "y"]}, "late": late})
    loss.compile(backend="aot_eager", fullgraph=True)
    good = {"p": torch.full((4,), 0.5), "y": torch.ones(4)}
    loss(good)
    with pytest.raises(InputError, match=r"term 'late', 'input' .*found 2$"):
        loss({**good, "late": torch.full((4,), 2.0)})


def test_switched_off_nothing_is_looked_at() -> None:
    loss = build({"t": fit()}, checks="off")
    loss.compile(backend="aot_eager", fullgraph=True)
    with pytest.warns(UserWarning, match="broadcasting"):
        loss({"p": torch.ones(4, 1), "y": torch.ones(4)})


@pytest.mark.parametrize("name", [name for name in MISFITS if name not in OF_VALUES])
def test_inside_a_larger_graph_shapes_and_dtypes_are_looked_at_while_tracing(name: str) -> None:
    term, bad, message = MISFITS[name]
    loss = build({"t": term})

    def step(values: Values) -> Tensor:
        return loss(values).total * 2

    with pytest.raises(InputError, match=re.escape(message)):
        torch.compile(step, backend="aot_eager")(bad)
    torch._dynamo.reset()
    with pytest.raises(torch._dynamo.exc.Unsupported, match=re.escape(message)):
        torch.compile(step, backend="aot_eager", fullgraph=True)(bad)
