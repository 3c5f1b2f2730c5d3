"""From an annotation to the type of a config's field: what YAML can say, and nothing else."""

from __future__ import annotations

import inspect
import re
import sys
import types
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BeforeValidator, Discriminator, Tag, WrapValidator

from lossreg.plugin.fields import ClassWeights, LossConfig, Reduction, is_tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from lossreg.plugin.from_module.docstrings import Described

__all__ = ["Members", "Refusal", "type_of_parameter"]


_REDUCTIONS = ("mean", "sum", "none")
_PLAIN = (bool, int, float, str)


class Refusal(Exception):  # noqa: N818 - caught here
    """A parameter that has no form in YAML: why."""


def _whole_or_not(value: Any, validate: Callable[[Any], float]) -> float:
    checked = validate(value)
    return value if type(value) is int else checked


# `gamma=2` says that gamma is a number, and `dim=1` that it is a whole one: nobody can tell. So
# a whole number is taken, and stays one.
_Number = Annotated[float, WrapValidator(_whole_or_not)]


def type_of_parameter(parameter: inspect.Parameter, hint: Any, about: Described | None) -> Any:
    """The type of a parameter's field."""
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        raise Refusal("takes any number of arguments")
    if parameter.kind is parameter.POSITIONAL_ONLY:
        raise Refusal("is positional-only")
    if parameter.name.startswith("_") or hasattr(LossConfig, parameter.name):
        raise Refusal("has a name that a config cannot have")
    if isinstance(hint, Refusal):
        raise hint
    default = parameter.default
    if is_tensor(default):
        raise Refusal("has a tensor as its default")
    if hint is parameter.empty:
        hint = _told_by_default(default, about)
    if parameter.name == "reduction" and default in _REDUCTIONS and _is_text(hint):
        return Reduction
    if default is None and type(None) not in get_args(hint):
        hint = Union[hint, None]  # noqa: UP007 - a hint may be a string's or a class's
    return _field_type(hint)


def _is_text(hint: Any) -> bool:
    return hint is str or (get_origin(hint) in _UNIONS and set(get_args(hint)) == {str, type(None)})


def _told_by_default(default: Any, about: Described | None) -> Any:
    """The type of a parameter without an annotation."""
    if default is inspect.Parameter.empty:
        raise Refusal("has neither an annotation nor a default")
    if isinstance(default, bool | str | Enum):
        return type(default)
    if isinstance(default, int | float):
        return int | float
    if isinstance(default, list | tuple) and default:
        elements = {_told_by_default(each, None) for each in default}
        if len(elements) == 1:
            kind: Any = list if isinstance(default, list) else tuple
            return kind[elements.pop()] if kind is list else kind[elements.pop(), ...]
    written = None if default is not None or about is None else _told_by_docstring(about.kind)
    if written is None:
        told = f"its default {_shown(default)} does not tell its type"
        raise Refusal(f"has no annotation, and {told}")
    return written


def _told_by_docstring(kind: str) -> Any:
    """The type that a docstring writes for a parameter whose default is None."""
    for word in re.split(r"[^\w.]+", kind.lower()):
        if word in _WRITTEN:
            return _WRITTEN[word] | None
        if word.rpartition(".")[2] in ("tensor", "floattensor"):
            return sys.modules["torch"].Tensor | None
    return None


_WRITTEN: dict[str, Any] = {
    "bool": bool,
    "float": int | float,
    "int": int,
    "number": int | float,
    "str": str,
    "string": str,
}
_UNIONS = (Union, types.UnionType)


def _field_type(hint: Any) -> Any:
    """What pydantic is given for an annotation."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        marked: Any = Annotated
        parts = (_field_type(arguments[0]), *arguments[1:])
        return marked[parts]
    if origin in _UNIONS:
        return _field_type_of_union(arguments)
    if hint in _PLAIN or origin is Literal:
        return hint
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _members(hint)
    if origin in (list, tuple, Sequence) and arguments:
        kinds = [each if each is ... else _element_type(each) for each in arguments]
        container: Any = list if origin is list else tuple
        return container[(*kinds, ...) if origin is Sequence else tuple(kinds)]
    if _is_tensor_type(hint):
        raise Refusal("is a tensor that must be given")
    raise Refusal(f"is {_shown(hint)}, which has no form in YAML")


def _element_type(hint: Any) -> Any:
    if hint in _PLAIN or get_origin(hint) is Literal:
        return hint
    if get_origin(hint) in _UNIONS and set(get_args(hint)) == {int, float}:
        return _Number
    raise Refusal(f"is a list of {_shown(hint)}, which has no form in YAML")


def _field_type_of_union(arms: Sequence[Any]) -> Any:
    """One type for each kind of value that YAML has, and the choice by that kind.

    Left to itself pydantic would complain of a wrong value once for each of them.
    """
    given = [each for each in arms if each is not type(None)]
    optional = len(given) < len(arms)
    kinds: dict[str, Any] = {}
    if any(map(_is_tensor_type, given)):
        if not optional:
            raise Refusal("is a tensor that must be given")
        kinds["list"] = ClassWeights
        # Class weights are a list already.
        given = [each for each in given if not _is_tensor_type(each) and not _is_list(each)]
    if {int, float} <= set(given):
        given = [each for each in given if each not in (int, float)]
        kinds["number"] = _Number
    for each in given:
        kind = _field_type(each)
        name = _kind_of_type(each)
        if name in kinds:
            raise Refusal(f"is one of several types that are all a {name} in YAML")
        kinds[name] = kind
    if not kinds:
        raise Refusal("can be nothing but None")
    chosen = next(iter(kinds.values()))
    if len(kinds) > 1:
        tagged = tuple(Annotated[each, Tag(name)] for name, each in kinds.items())
        chosen = Annotated[Union[tagged], Discriminator(_kind_of_value)]  # noqa: UP007 - computed
    return chosen | None if optional else chosen


def _is_list(hint: Any) -> bool:
    return get_origin(hint) in (list, tuple, Sequence)


def _kind_of_type(hint: Any) -> str:
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) is Literal:
        return _kind_of_value(get_args(hint)[0]) or "value"
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _kind_of_value(next(iter(hint)).value) or "value"
    if _is_list(hint):
        return "list"
    return {bool: "switch", str: "string"}.get(hint, "number")


def _kind_of_value(value: Any) -> str | None:
    if isinstance(value, bool):
        return "switch"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "list" if isinstance(value, list | tuple) or is_tensor(value) else None


@dataclass(frozen=True)
class Members:
    """Marks a field whose values are those of an enumeration's members."""

    kind: type[Enum]

    def member(self, value: object) -> object:
        """The member with this value; the value itself, where a union's other arm took it."""
        return next((each for each in self.kind if each.value == value), value)


def _members(enumeration: type[Enum]) -> Any:
    values = tuple(each.value for each in enumeration)
    if not values or not all(isinstance(each, str | int) for each in values):
        raise Refusal(f"is {_shown(enumeration)}, whose members are not all words or numbers")
    choice: Any = Literal
    unwrapped = BeforeValidator(lambda each: each.value if isinstance(each, enumeration) else each)
    return Annotated[choice[values], unwrapped, Members(enumeration)]


def _is_tensor_type(hint: Any) -> bool:
    torch: Any = sys.modules["torch"]
    return hint is torch.FloatTensor or (isinstance(hint, type) and issubclass(hint, torch.Tensor))


def _shown(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else re.sub(r"\btyping\.", "", repr(hint))[:80]
