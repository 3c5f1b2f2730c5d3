from __future__ import annotations

from collections import OrderedDict, UserDict
from dataclasses import dataclass
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import torch
from torch import Tensor

from lossreg.errors import InputError
from lossreg.inputs import Path
from lossreg.routing import follow

if TYPE_CHECKING:
    from collections.abc import Iterator

T = torch.arange(6.0).reshape(2, 3)


@dataclass
class Record:
    logits: Tensor


@dataclass(slots=True)
class SlottedRecord:
    logits: Tensor


class Pair(NamedTuple):
    logits: Tensor
    extra: int = 0


class Batch:
    """Keys by `[]` and `keys()`, without being a Mapping; a field of any name it likes."""

    def __init__(self, **tensors: Any) -> None:
        self._tensors = tensors
        self.shape = (2,)

    def __getitem__(self, key: str) -> Any:
        return self._tensors[key]

    def keys(self) -> Iterator[str]:
        return iter(self._tensors)


class ModelOutput(OrderedDict[str, Any]):
    """A mapping whose keys are attributes as well."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


def at(values: Any, path: str) -> Tensor:
    return follow(values, Path.parse(path), term="fit", argument="input")


def refusal(values: Any, path: str) -> str:
    with pytest.raises(InputError) as raised:
        at(values, path)
    error = raised.value
    assert (error.term, error.argument, error.path) == ("fit", "input", path)
    assert str(error).startswith("term 'fit', input 'input'")
    assert f"'{path}'" in str(error)
    return str(error)


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"logits": T}, "logits"),
        ({"heads": {"seg": {"logits": T}}}, "heads.seg.logits"),
        (MappingProxyType({"logits": T}), "logits"),
        (UserDict({"logits": T}), "logits"),
        (ModelOutput(logits=T), "logits"),
        (Batch(logits=T), "logits"),
        (Batch(shape=T), "shape"),
        ({"batch": Batch(logits=T)}, "batch.logits"),
        (SimpleNamespace(logits=T), "logits"),
        (Record(T), "logits"),
        (SlottedRecord(T), "logits"),
        (Pair(T), "logits"),
        ({"out": Record(T)}, "out.logits"),
        ({"hidden": [None, T]}, "hidden[1]"),
        ({"hidden": (None, T)}, "hidden[-1]"),
        ({"hidden": [None, [{"x": T}]]}, "hidden[1][0].x"),
        ({"pair": Pair(T)}, "pair[0]"),
        ({"keys": T}, "keys"),
        ({"values": {"items": T}}, "values.items"),
        ({"stack": torch.stack([T, T])}, "stack[1]"),
    ],
    ids=lambda each: each if isinstance(each, str) else type(each).__name__,
)
def test_a_path_leads_through_keys_attributes_and_indexes(values: Any, path: str) -> None:
    assert torch.equal(at(values, path), T)


def test_the_tensor_itself_is_given() -> None:
    assert at({"logits": T}, "logits") is T


def test_a_missing_name_is_told_with_what_there_was() -> None:
    values = {"logits": T, "heads": {"a": T}, "hidden": [T, T], "step": 3}
    assert refusal(values, "logit") == (
        "term 'fit', input 'input' (path 'logit'): there is no 'logit' among the values; there is: "
        "logits (2, 3), heads a mapping of 1, hidden a list of 2, step a int. "
        "Did you mean 'logits'?"
    )


@pytest.mark.parametrize(
    ("values", "path", "expected"),
    [
        ({"out": {"logits": T}}, "out.logit", "there is no 'logit' under 'out'; there is: logits"),
        ({"out": Record(T)}, "out.logit", "Did you mean 'logits'?"),
        ({"out": SlottedRecord(T)}, "out.logit", "there is: logits (2, 3). Did you mean"),
        ({"out": Pair(T)}, "out.logit", "there is: logits (2, 3), extra a int. Did you mean"),
        ({"out": Batch(logits=T)}, "out.logit", "there is: logits (2, 3). Did you mean"),
        ({"out": SimpleNamespace(_hidden=T, a=T)}, "out.b", "there is: a (2, 3)"),
        ({"hidden": [T]}, "hidden[1]", "there is no [1] under 'hidden'; it is a list of 1"),
        ({"hidden": [T]}, "hidden[-2]", "there is no [-2] under 'hidden'; it is a list of 1"),
        ({"hidden": {"0": T}}, "hidden[0]", "there is no [0] under 'hidden'; there is: 0 (2, 3)"),
        ({"step": 3}, "step.x", "there is no 'x' under 'step'; it is a int"),
        ({"none": None}, "none.x", "there is no 'x' under 'none'"),
        ({"x": torch.tensor(1.0)}, "x[0]", "there is no [0] under 'x'"),
        ({}, "logits", "there is no 'logits' among the values; there are none"),
    ],
)
def test_a_step_that_leads_nowhere_is_told_with_its_place(
    values: Any, path: str, expected: str
) -> None:
    assert expected in refusal(values, path)


def test_of_many_names_some_are_told() -> None:
    message = refusal({f"k{i}": T for i in range(30)}, "logits")
    assert "k19 (2, 3), …" in message
    assert "k20" not in message


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (3, "a int"),
        (None, "a NoneType"),
        ("text", "a str"),
        ([T, T], "a list of 2"),
        ({"x": T}, "a mapping of 1"),
    ],
)
def test_what_is_no_tensor_is_refused(value: object, shown: str) -> None:
    message = refusal({"logits": value}, "logits")
    assert message.endswith(f"expected a tensor at 'logits', found {shown}")


@pytest.mark.parametrize("name", ["grad", "T", "data", "shape", "real"])
def test_a_tensors_attributes_are_no_values(name: str) -> None:
    leaf = torch.ones(2, requires_grad=True)
    leaf.sum().backward()
    assert f"there is no '{name}' under 'leaf'" in refusal({"leaf": leaf}, f"leaf.{name}")


@pytest.mark.parametrize("name", ["keys", "values", "items", "get"])
@pytest.mark.parametrize("kind", [dict, UserDict, OrderedDict])
def test_a_mappings_methods_are_no_values(name: str, kind: type) -> None:
    assert f"there is no '{name}'" in refusal(kind(logits=T), name)


def test_a_lists_methods_are_no_tensors() -> None:
    assert "expected a tensor" in refusal({"hidden": [T]}, "hidden.append")


def test_an_objects_own_fault_is_not_hidden() -> None:
    class Faulty:
        @property
        def logits(self) -> Tensor:
            raise RuntimeError("not computed yet")

    with pytest.raises(RuntimeError, match="not computed yet"):
        at(Faulty(), "logits")
