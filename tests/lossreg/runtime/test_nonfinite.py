from __future__ import annotations

import copy
import math
import pickle
import warnings
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

import lossreg
from lossreg.errors import NonFiniteError
from lossreg.runtime import nonfinite
from lossreg.runtime.nonfinite import DelayedFlags, describe

NAN, INF = math.nan, math.inf


def fit(**fields: Any) -> dict[str, Any]:
    return {"type": "mse", "inputs": ["p", "y"], **fields}


def build(on_nonfinite: str = "raise", **terms: dict[str, Any]) -> lossreg.CompositeLoss:
    return lossreg.build({"on_nonfinite": on_nonfinite, "terms": terms})


def values(*p: float, **more: Tensor) -> dict[str, Tensor]:
    """Targets of 1, and the predictions 1 and 3 unless others are given: an mse of 2."""
    predictions = torch.tensor(p or (1.0, 3.0), requires_grad=True)
    return {"p": predictions, "y": torch.ones(len(predictions)), **more}


def test_a_nan_is_laid_at_its_terms_door() -> None:
    loss = build(fine={"type": "value", "inputs": ["z"]}, bad=fit())
    with pytest.raises(NonFiniteError) as raised:
        loss(values(-2.5, NAN, 4.0, NAN, z=torch.ones(2)))
    assert raised.value.term == "bad"
    assert str(raised.value) == (
        "term 'bad' is nan: 'input' at 'p': min -2.5, max 4, 2 nan and 0 infinite; "
        "'target' at 'y': min 1, max 1, 0 nan and 0 infinite; "
        f"the loss is mse (lossreg {version('lossreg')}, lossreg_losses.mse)"
    )


def test_an_infinite_value_is_told_as_well() -> None:
    with pytest.raises(NonFiniteError, match=r"term 'bad' is inf: .* 0 nan and 1 infinite"):
        build(bad=fit())(values(1.0, -INF))
    with pytest.raises(NonFiniteError, match="'input' at 'p': nothing finite, 2 nan"):
        build(bad=fit())(values(NAN, NAN))


def test_a_finite_input_that_overflows_shows_its_range() -> None:
    with pytest.raises(NonFiniteError, match="term 'bad' is inf: 'input' at 'p': min 0, max 1e"):
        build(bad=fit())(values(0.0, 1e30))


@pytest.mark.parametrize("terms", [2, 4])
def test_several_culprits_are_told_together(terms: int) -> None:
    more = {f"fine{index}": {"type": "value", "inputs": ["z"]} for index in range(terms - 2)}
    loss = build(first=fit(), **more, second={"type": "l1", "inputs": ["p", "y"]})
    with pytest.raises(NonFiniteError) as raised:
        loss(values(NAN, z=torch.ones(2)))
    first, second = str(raised.value).splitlines()
    assert first.startswith("term 'first' is nan: ")
    assert second.startswith("term 'second' is nan: ")
    assert raised.value.term == "first"


def test_what_was_done_to_an_input_stands_in_its_path() -> None:
    term = {"type": "value", "inputs": [{"from": "p", "apply": [{"div": 1e-30}]}]}
    with pytest.raises(NonFiniteError, match=r"'input' at 'p \| div\(by=1e-30\)': nothing finite"):
        build(bad=term)(values(1e30))


def test_a_total_that_overflows_though_each_term_is_finite() -> None:
    loss = build(a=fit(weight=3e38), b={"type": "l1", "weight": 3e38, "inputs": ["p", "y"]})
    with pytest.raises(NonFiniteError) as raised:
        loss(values())
    assert str(raised.value) == "the total is inf, though every term is finite"
    assert raised.value.term == "total"


@pytest.mark.parametrize("more", [0, 3])
def test_a_term_of_weight_0_may_be_nan(more: int) -> None:
    others = {f"t{index}": {"type": "value", "inputs": ["z"]} for index in range(more)}
    loss = build(off=fit(weight=0), one={"type": "value", "inputs": ["z"]}, **others)
    out = loss(values(NAN, z=torch.ones(2)))
    assert out.total.item() == 1 + more
    assert out.terms["off"].isnan()


def test_a_schedule_at_0_does_not_hide_a_nan() -> None:
    ramp = {"schedule": "linear", "start": 0.0, "end": 1.0, "steps": 2}
    with pytest.raises(NonFiniteError, match="term 'bad' is nan"):
        build(bad=fit(weight=ramp))(values(NAN))


def test_it_warns_where_that_is_wanted_and_goes_on() -> None:
    loss = build("warn", bad=fit(), fine={"type": "value", "inputs": ["z"]})
    with pytest.warns(RuntimeWarning, match="term 'bad' is nan: 'input' at 'p'") as told:
        out = loss(values(NAN, z=torch.ones(2)))
    assert len(told) == 1
    assert out.total.isnan()
    assert out.terms["fine"].item() == 1.0


def test_it_is_silent_where_that_is_wanted() -> None:
    loss = build("ignore", bad=fit())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert loss(values(NAN)).total.isnan()
        loss.step()


def test_an_optional_term_that_is_not_there_is_no_culprit() -> None:
    loss = build(gone=fit(inputs=["q", "y"], optional=True), bad=fit(), other=fit())
    with pytest.raises(NonFiniteError) as raised:
        loss(values(NAN))
    assert raised.value.term == "bad"


@pytest.mark.parametrize("terms", [1, 2, 3])
def test_the_next_good_batch_has_the_right_value(terms: int) -> None:
    loss = build(**{f"t{index}": fit() for index in range(terms)})
    with pytest.raises(NonFiniteError):
        loss(values(NAN))
    assert loss(values()).total.item() == 2 * terms
    loss.step()


RAMP = {"schedule": "linear", "start": 1.0, "end": 0.0, "steps": 4}


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on an accelerator or in a compiled graph: no value is read back."""
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize("terms", [1, 2, 4])
def test_where_reading_would_wait_a_later_step_tells(terms: int) -> None:
    others = {f"fine{index}": {"type": "value", "inputs": ["z"]} for index in range(terms - 1)}
    loss = build(**others, bad=fit(weight=RAMP))
    loss(values(NAN, z=torch.ones(2)))
    loss(values(z=torch.ones(2)))
    with pytest.raises(NonFiniteError) as raised:
        loss.step()
    assert str(raised.value) == "nan or infinite in an earlier step: 'bad'"
    assert raised.value.term == "bad"
    # The optimizer's step was taken, so it counts.
    assert loss.weights["bad"] == 0.75
    out = loss(values(z=torch.ones(2)))
    assert out.total.item() == 0.75 * 2 + terms - 1
    loss.step()


@pytest.mark.usefixtures("unread")
def test_a_later_step_tells_every_culprit() -> None:
    optional = {"type": "value", "inputs": ["gone"], "optional": True}
    loss = build("warn", a=fit(), gone=optional, b={"type": "value", "inputs": ["z"]}, c=fit())
    loss(values(z=torch.tensor([INF])))
    loss(values(NAN, z=torch.ones(1)))
    with pytest.warns(RuntimeWarning, match="in an earlier step: 'a', 'b', 'c'$"):
        loss.step()
    loss.step()


@pytest.mark.usefixtures("unread")
def test_a_later_step_is_silent_where_that_is_wanted() -> None:
    loss = build("ignore", bad=fit())
    loss(values(NAN))
    loss.step()


def test_a_compiled_composite_tells_with_a_later_step() -> None:
    loss = build(bad=fit(weight=RAMP), other=fit(), third=fit())
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    for p in ((1.0, 3.0), (1.0, NAN), (1.0, 3.0)):
        compiled(values(*p))
    with pytest.raises(NonFiniteError, match="'bad', 'other', 'third'"):
        loss.step()
    assert compiled(values()).total.item() == 0.75 * 2 + 2 + 2
    loss.step()


class OnAccelerator(torch.Tensor):
    """Says that it is on a GPU."""

    device = property(lambda _: SimpleNamespace(type="cuda"))  # type: ignore[assignment]


class Event:
    """Done when the test says so."""

    done = False

    def record(self) -> None:
        self.done = False

    def query(self) -> bool:
        return self.done


@pytest.fixture
def event(monkeypatch: pytest.MonkeyPatch) -> Event:
    """The event that stands for the copy under way."""
    event = Event()

    def empty(shape: torch.Size, *, dtype: torch.dtype, pin_memory: bool) -> Tensor:
        assert pin_memory
        return torch.empty(shape, dtype=dtype)

    fake = SimpleNamespace(empty=empty, bool=torch.bool, cuda=SimpleNamespace(Event=lambda: event))
    monkeypatch.setattr(nonfinite, "torch", fake)
    return event


def test_flags_on_a_gpu_are_read_without_waiting(event: Event) -> None:
    delayed = DelayedFlags()
    flags = torch.tensor([False, True]).as_subclass(OnAccelerator)
    assert delayed.read(flags) == []  # the copy is under way
    assert delayed.read(flags) == []  # and not done
    flags.zero_()
    event.done = True
    assert delayed.read(flags) == [False, True]  # as they were when it began
    assert delayed.read(flags) == []  # a new copy
    event.done = True
    assert delayed.read(flags) == [False, False]


@pytest.mark.usefixtures("event")
def test_a_copy_does_not_wait_for_the_others_flags() -> None:
    delayed = DelayedFlags()
    delayed.read(torch.tensor([True]).as_subclass(OnAccelerator))
    for twin in (copy.deepcopy(delayed), pickle.loads(pickle.dumps(delayed))):
        assert (twin._copy, twin._event) == (None, None)


def test_flags_elsewhere_are_read_at_once() -> None:
    assert DelayedFlags().read(torch.tensor([False, True])) == [False, True]


@pytest.mark.parametrize(
    ("tensor", "expected"),
    [
        (torch.tensor([1.0, -2.0]), "min -2, max 1, 0 nan and 0 infinite"),
        (torch.tensor([1.5, NAN, INF, -INF]), "min 1.5, max 1.5, 1 nan and 2 infinite"),
        (torch.tensor([NAN]).bfloat16(), "nothing finite, 1 nan and 0 infinite"),
        (torch.tensor([1, 2]), "(2,) torch.int64 from 1 to 2"),
        (torch.zeros(0, 3), "(0, 3) torch.float32"),
    ],
)
def test_a_tensor_is_described_by_its_range(tensor: Tensor, expected: str) -> None:
    assert describe(tensor) == expected


def test_what_is_told_of_a_path_steers_no_terminal() -> None:
    name = "p\x1b\u202e"
    loss = build("warn", bad=fit(inputs=[name, "y"]))
    with pytest.warns(RuntimeWarning, match="term 'bad' is nan: ") as told:
        loss({name: torch.tensor([NAN, 1.0]), "y": torch.ones(2)})
    (message,) = [str(each.message) for each in told]
    assert message.isprintable()
    loss = build("raise", bad=fit(inputs=[name, "y"]))
    with pytest.raises(NonFiniteError) as raised:
        loss({name: torch.tensor([NAN, 1.0]), "y": torch.ones(2)})
    assert str(raised.value).isprintable()
