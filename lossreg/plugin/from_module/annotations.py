"""The type of a config's field, from a parameter's annotation; only values that YAML can hold."""

from __future__ import annotations

import inspect
import re
import sys
import types
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Tag,
    TypeAdapter,
    ValidationError,
    WrapValidator,
)

from lossreg.plugin.fields import ClassWeights, LossConfig, is_tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from lossreg.plugin.from_module.docstrings import Described

__all__ = ["Members", "Refusal", "bounded", "is_tensor_type", "type_of_parameter", "words_of_field"]


_PLAIN = (bool, int, float, str)


class Refusal(Exception):  # noqa: N818 - caught here
    """The reason why a parameter cannot be written in YAML."""


def _whole_or_not(value: Any, validate: Callable[[Any], float]) -> float:
    checked = validate(value)
    return value if type(value) is int else checked


# From a default of 2 nobody can know whether a parameter takes any number, as `gamma=2` does, or
# only whole ones, as `dim=1` does. So any number is accepted, and a whole number stays an int.
_Number = Annotated[float, WrapValidator(_whole_or_not)]


def type_of_parameter(parameter: inspect.Parameter, hint: Any, about: Described | None) -> Any:
    """The type of a parameter's field.

    Raises:
        Refusal: Its values cannot be written in YAML, or its default is not one of them.
    """
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
        hint = _type_from_default(default, about)
    hint = _without_any_text(hint, default)
    if default is None and type(None) not in get_args(hint):
        hint = Union[hint, None]  # noqa: UP007 - `|` does not work for every hint
    kind = _field_type(hint)
    if default is not parameter.empty:
        _check_default(kind, default)
    return kind


def _check_default(kind: Any, default: Any) -> None:
    strict = ConfigDict(strict=True, allow_inf_nan=False)
    # Authors write immutable defaults for lists, and lists for any sequence.
    forms = [list(default), tuple(default)] if isinstance(default, list | tuple) else [default]
    adapter = TypeAdapter(kind, config=strict)
    for form in forms:
        try:
            adapter.validate_python(form)
        except ValidationError:
            continue
        return
    raise Refusal(f"has a default, {_shown(default)}, that is not of its type")


def _without_any_text(hint: Any, default: Any) -> Any:
    """`Mode | str` as the words of Mode, and `Literal["a"] | str` as its words."""
    arms = list(get_args(hint)) if get_origin(hint) in _UNIONS else []
    if str not in arms:
        return hint
    words = [arm for arm in arms if arm is not str and _kind_of_type(arm) == "string"]
    if not words:
        return hint
    arms.remove(str)
    if not isinstance(default, Enum):  # the class takes the words as they are
        choice: Any = Literal
        values = [value for arm in words for value in _words_of(arm)]
        arms = [arm for arm in arms if arm not in words]
        arms.append(choice[tuple(dict.fromkeys(values))])
    return Union[tuple(arms)]  # noqa: UP007 - computed


def _words_of(hint: Any) -> tuple[Any, ...]:
    is_enumeration = isinstance(hint, type) and issubclass(hint, Enum)
    return tuple(member.value for member in hint) if is_enumeration else get_args(hint)


def _type_from_default(default: Any, about: Described | None) -> Any:
    """The type of a parameter without an annotation."""
    written = None if about is None else _type_from_docstring(about.kind)
    if default is inspect.Parameter.empty:
        if written is None:
            raise Refusal("has neither an annotation nor a default")
        return written
    if isinstance(default, bool | str | Enum):
        return type(default)
    if isinstance(default, int | float):
        return int | float
    if isinstance(default, list | tuple) and default:
        elements = {_type_from_default(element, None) for element in default}
        if len(elements) == 1:
            kind: Any = list if isinstance(default, list) else tuple
            return kind[elements.pop()] if kind is list else kind[elements.pop(), ...]
    if default is not None or written is None:
        reason = f"its default {_shown(default)} does not show its type"
        raise Refusal(f"has no annotation, and {reason}")
    return written | None


def _type_from_docstring(kind: str) -> Any:
    """The type that a docstring gives a parameter, or None."""
    for word in re.split(r"[^\w.]+", kind.lower()):
        if word in _WRITTEN:
            return _WRITTEN[word]
        if word.rpartition(".")[2] in ("tensor", "floattensor"):
            return sys.modules["torch"].Tensor
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
    """The type that pydantic gets for an annotation."""
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
        kinds = [argument if argument is ... else _element_type(argument) for argument in arguments]
        container: Any = list if origin is list else tuple
        return container[(*kinds, ...) if origin is Sequence else tuple(kinds)]
    if is_tensor_type(hint):
        raise Refusal("is a required tensor")
    raise Refusal(f"is {_shown(hint)}, which cannot be written in YAML")


def _element_type(hint: Any) -> Any:
    if hint in _PLAIN or get_origin(hint) is Literal:
        return hint
    if get_origin(hint) in _UNIONS and set(get_args(hint)) == {int, float}:
        return _Number
    raise Refusal(f"is a list of {_shown(hint)}, which cannot be written in YAML")


def _field_type_of_union(arms: Sequence[Any]) -> Any:
    """A union with one type for each kind of YAML value, chosen by the kind of the value.

    Without that choice pydantic would report a wrong value once for each type.
    """
    alternatives = [arm for arm in arms if arm is not type(None)]
    optional = len(alternatives) < len(arms)
    kinds: dict[str, Any] = {}
    if any(map(is_tensor_type, alternatives)):
        if not optional:
            raise Refusal("is a required tensor")
        kinds["list"] = ClassWeights
        # ClassWeights accepts lists as well.
        alternatives = [
            arm for arm in alternatives if not is_tensor_type(arm) and not _is_list(arm)
        ]
    if {int, float} <= set(alternatives):
        alternatives = [arm for arm in alternatives if arm not in (int, float)]
        kinds["number"] = _Number
    for arm in alternatives:
        kind = _field_type(arm)
        name = _kind_of_type(arm)
        if name in kinds:
            raise Refusal(f"is one of several types that are all a {name} in YAML")
        kinds[name] = kind
    if not kinds:
        raise Refusal("can only be None")
    chosen = next(iter(kinds.values()))
    if len(kinds) > 1:
        tagged = tuple(Annotated[kind, Tag(name)] for name, kind in kinds.items())
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
        """The member with this value, or the value itself if another arm of a union took it."""
        return next((member for member in self.kind if member.value == value), value)


def _members(enumeration: type[Enum]) -> Any:
    values = tuple(member.value for member in enumeration)
    if not values or not all(isinstance(value, str | int) for value in values):
        raise Refusal(f"is {_shown(enumeration)}, whose members are not all words or numbers")
    choice: Any = Literal
    unwrapped = BeforeValidator(
        lambda value: value.value if isinstance(value, enumeration) else value
    )
    return Annotated[choice[values], unwrapped, Members(enumeration)]


def is_tensor_type(hint: Any) -> bool:
    """Whether an annotation is a tensor's class."""
    torch: Any = sys.modules["torch"]
    return hint is torch.FloatTensor or (isinstance(hint, type) and issubclass(hint, torch.Tensor))


def _shown(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else re.sub(r"\btyping\.", "", repr(hint))[:80]


def bounded(kind: Any, bound: Any) -> Any:
    """A field's type with a bound on each number in it.

    Raises:
        TypeError: There is no number in it.
    """
    changed = _bounded(kind, bound)
    if changed is kind:
        raise TypeError(f"bounds are for numbers, and its type is {_shown(kind)}")
    return changed


def _bounded(kind: Any, bound: Any) -> Any:
    marked: Any = Annotated
    if kind in (int, float):
        return marked[kind, bound]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (None, Literal):
        return kind
    if origin is Annotated:
        inner = _bounded(arguments[0], bound)
        parts = (inner, *kind.__metadata__)
        return kind if inner is arguments[0] else marked[parts]
    changed = tuple(_bounded(argument, bound) for argument in arguments)
    if all(new is old for new, old in zip(changed, arguments, strict=True)):
        return kind
    return Union[changed] if origin in _UNIONS else origin[changed]  # noqa: UP007 - computed


def words_of_field(kind: Any) -> tuple[Any, ...] | None:
    """The words that a field takes; None if it takes any."""
    for arm in (kind, *get_args(kind)):
        if get_origin(arm) is Literal:
            return get_args(arm)
        if get_origin(arm) is Annotated and get_origin(get_args(arm)[0]) is Literal:
            return get_args(get_args(arm)[0])
    return None
