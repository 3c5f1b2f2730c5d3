"""Paths into the values of a step: what they reach, and what is said where they do not."""

from __future__ import annotations

import copy
from collections import ChainMap, Counter, OrderedDict, UserDict, defaultdict
from dataclasses import dataclass
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import torch
from torch import Tensor

import lossreg
from lossreg.errors import InputError
from lossreg.runtime.routing import follow
from lossreg.vocabulary.paths import ValuePath

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


class Tuplelike(ModelOutput):
    """As Hugging Face's outputs: a mapping that is read by place as well."""

    def __getitem__(self, key: str | int) -> Any:
        return list(self.values())[key] if isinstance(key, int) else super().__getitem__(key)


class Rows:
    """As a tensorclass: attributes, and `[]` for rows, with an error of its own for a name."""

    def __init__(self, error: Exception, **tensors: Any) -> None:
        self._error = error
        self.__dict__.update(tensors)

    def __getitem__(self, index: int) -> Any:
        raise self._error


class Filling(dict[Any, Any]):
    """What is looked up is put there."""

    def __missing__(self, key: Any) -> Any:
        self[key] = Filling()
        return self[key]


class FillingUserDict(UserDict[Any, Any]):
    def __missing__(self, key: Any) -> Any:
        self.data[key] = T
        return T


class NamesOnly(UserDict[str, Any]):
    """As a TensorDict: whether it has a number is not to be asked."""

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, str):
            raise RuntimeError("key must be a NestedKey")  # noqa: TRY004 - as tensordict does
        return super().__contains__(key)


def at(values: Any, path: str) -> Tensor:
    return follow(values, ValuePath.parse(path), term="fit", argument="input")


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
        ({"out": Tuplelike(loss=T + 1, logits=T)}, "out[1]"),
        ({"hidden": {0: T}}, "hidden[0]"),
        ({"hidden": OrderedDict({0: T})}, "hidden[0]"),
        ({"hidden": UserDict({-1: T})}, "hidden[-1]"),
        ({"hidden": defaultdict(list, {0: T})}, "hidden[0]"),
        ({"hidden": FillingUserDict({0: T})}, "hidden[0]"),
        (ChainMap({}, {"logits": T}), "logits"),
        (defaultdict(list, logits=T), "logits"),
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
        ({"x": torch.ones(2)}, "x[2]", "there is no [2] under 'x'; it is (2,)"),
        ({"x": torch.ones(2)}, "x[-3]", "there is no [-3] under 'x'"),
        ({"out": Tuplelike(logits=T)}, "out[1]", "there is no [1] under 'out'; there is: logits"),
        ({"out": NamesOnly(logits=T)}, "out.x", "there is no 'x' under 'out'; there is: logits"),
        ({"out": NamesOnly(logits=T)}, "out[0]", "there is no [0] under 'out'; there is: logits"),
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


@pytest.mark.parametrize("path", ["batch._hidden", "batch.__dict__.shown", "batch.__class__"])
def test_private_attributes_are_no_values(path: str) -> None:
    values = {"batch": SimpleNamespace(shown=T, _hidden=T)}
    with pytest.raises(InputError, match=r"there is no '_.* under 'batch'; there is: shown"):
        follow(values, ValuePath.parse(path), term="fit", argument="input")


def test_a_key_may_begin_with_an_underscore() -> None:
    assert follow({"_x": {"_y": T}}, ValuePath.parse("_x._y"), term="fit", argument="input") is T


def test_a_lists_methods_are_no_tensors() -> None:
    assert "expected a tensor" in refusal({"hidden": [T]}, "hidden.append")


def test_an_objects_own_fault_is_not_hidden() -> None:
    class Faulty:
        @property
        def logits(self) -> Tensor:
            raise RuntimeError("not computed yet")

    with pytest.raises(RuntimeError, match="not computed yet"):
        at(Faulty(), "logits")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("Invalid indexing arguments: 'logits'"),
        RuntimeError("key must be a NestedKey"),
        NotImplementedError(),
        AssertionError(),
        IndexError(),
        TypeError(),
        KeyError(),
        ZeroDivisionError(),
    ],
    ids=lambda each: type(each).__name__,
)
def test_an_object_that_takes_no_names_is_read_by_its_attributes(error: Exception) -> None:
    assert at(Rows(error, logits=T), "logits") is T
    assert at({"out": Rows(error, logits=T)}, "out.logits") is T


@pytest.mark.parametrize("error", [ValueError(), NotImplementedError(), AssertionError()])
def test_an_object_that_takes_no_names_may_lack_one(error: Exception) -> None:
    assert "there is: logits (2, 3). Did you mean" in refusal(Rows(error, logits=T), "logit")
    assert "there is no [0] under 'out'" in refusal({"out": Rows(error)}, "out[0]")
    loss = build(fit={"type": "value", "inputs": ["x"]}, extra=OPTIONAL)
    assert loss({"x": T, "y": T, "aux": Rows(error)}).terms["extra"] == 0


def test_an_objects_own_fault_in_looking_up_is_not_hidden() -> None:
    rows = Rows(RuntimeError("not computed yet"))
    loss = build(fit={"type": "value", "inputs": ["x"]}, extra=OPTIONAL)
    with pytest.raises(RuntimeError, match="not computed yet"):
        at(rows, "logits")
    with pytest.raises(RuntimeError, match="not computed yet"):
        loss({"x": T, "y": T, "aux": rows})


def test_an_attribute_that_is_computed_is_read_once() -> None:
    class Lazy:
        reads = 0

        @property
        def x(self) -> Tensor:
            self.reads += 1
            return T

    lazy = Lazy()
    build(fit={"type": "value", "inputs": ["x"]})(lazy)
    assert lazy.reads == 1


def test_an_attribute_that_cannot_be_read_does_not_hide_what_is_missing() -> None:
    @dataclass
    class Faulty:
        logits: Tensor

        def __getattribute__(self, name: str) -> Any:
            if name == "logits":
                raise RuntimeError("not computed yet")
            return super().__getattribute__(name)

    values = {"out": Faulty(T)}
    expected = "there is no 'x' under 'out'; there is: logits (reading it raises RuntimeError)"
    assert expected in refusal(values, "out.x")


def test_keys_that_need_an_argument_are_no_names() -> None:
    class Field:
        def __init__(self) -> None:
            self.logits = T

        def keys(self, kind: str) -> list[str]:
            return [kind]

    assert "there is: logits (2, 3)" in refusal({"out": Field()}, "out.x")


@pytest.mark.parametrize(
    "values",
    [
        defaultdict(list, x=T),
        defaultdict(lambda: T, x=T),
        Filling(x=T),
        Filling(x=T, aux=Filling()),
        Filling(x=T, aux=Filling(a=T)),
        Filling(x=T, aux=[Filling()]),
        FillingUserDict(x=T),
        Counter({"x": T}),
        {"x": T, "aux": defaultdict(lambda: T)},
    ],
)
@pytest.mark.parametrize("path", ["aux", "aux.a", "aux[0]", "aux[0].a"])
def test_a_lookup_changes_nothing(values: Any, path: str) -> None:
    optional = {"type": "l1", "inputs": ["x", path + ".b"], "optional": True}
    strict = {"type": "l1", "inputs": ["x", path + ".b"]}
    before = copy.deepcopy(values)
    assert build(fit={"type": "value", "inputs": ["x"]}, aux=optional)(values).terms["aux"] == 0
    with pytest.raises(InputError, match="there is no"):
        build(fit=strict)(values)
    assert repr(values) == repr(before)


def build(**terms: Any) -> lossreg.CompositeLoss:
    return lossreg.build({"terms": terms})


OPTIONAL = {"type": "mse", "inputs": [{"from": "aux.a", "apply": "sigmoid"}, "y"], "optional": True}


@pytest.mark.parametrize("kind", [dict, ModelOutput, Batch, SimpleNamespace, UserDict])
def test_a_composite_takes_a_models_output_as_it_is(kind: Any) -> None:
    values = {"logits": T, "y": T + 1, "hidden": (T, T)}
    made = kind(values) if kind is UserDict else kind(**values)
    term = {"type": "mse", "inputs": ["logits", "y"]}
    nested = {"type": "mse", "inputs": ["out.hidden[-1]", "out.y"]}
    assert build(fit=term)(made).total == 1
    assert build(fit=nested)(out=made).total == 1


@pytest.mark.parametrize(
    ("path", "values", "remedy"),
    [
        ("heads/seg", {"heads": {"seg": T}}, "Write 'heads.seg'"),
        ("out.heads/seg", {"out": {"heads": {"seg": T}}}, "Write 'out.heads.seg'"),
        ("heads/sag", {"heads": {"seg": T}}, "Did you mean 'heads'?"),
        ("L.0", {"L": [T]}, "Write 'L[0]'"),
        ("L.0.p", {"L": ({"p": T},)}, "Write 'L[0]'"),
        ("e\u0301", {"\u00e9": T}, r"'e\u0301' is asked for, '\xe9' is there"),
        ("\u00e9", {"e\u0301": T}, r"'\xe9' is asked for, 'e\u0301' is there"),
    ],
)
def test_a_path_that_is_nearly_right_is_answered_with_the_right_one(
    path: str, values: dict[str, Any], remedy: str
) -> None:
    with pytest.raises(InputError) as raised:
        follow(values, ValuePath.parse(path), term="fit", argument="input")
    assert remedy in str(raised.value)
