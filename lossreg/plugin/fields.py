"""A loss's parameters: the base class of configs, and field types that losses share."""

from __future__ import annotations

import math
import sys
from functools import cache
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    TypeAlias,
    TypeGuard,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, SchemaValidator, core_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import torch
    from pydantic.fields import FieldInfo

__all__ = [
    "ClassWeights",
    "ElementWeights",
    "IgnoreIndex",
    "LossConfig",
    "PositiveWeights",
    "Reduction",
    "Weights",
    "holds_weights",
    "is_tensor",
    "marks",
    "to_tensor",
    "weights_of",
    "with_tensors",
]


def _from_yaml(schema: Any) -> Any:
    """A copy of a schema in which tuples and sets, which YAML does not have, are not strict."""
    if isinstance(schema, list | tuple):
        return type(schema)(map(_from_yaml, schema))
    if not isinstance(schema, dict):
        return schema
    copied = {
        key: member if key == "metadata" else _from_yaml(member) for key, member in schema.items()
    }
    if copied.get("type") in ("tuple", "set", "frozenset"):
        copied["strict"] = False
    return copied


class LossConfig(BaseModel):
    """The parameters of a loss: subclass it and give every field a `description`.

    Frozen; unknown names, nan and infinity are refused, and values are not converted (an integer
    is accepted as a float, a string or a bool is not). A list becomes a tuple or a set, for which
    YAML has no notation.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
        arbitrary_types_allowed=True,
    )

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        schema: core_schema.CoreSchema = _from_yaml(handler(source))
        return schema

    def suspicions(self) -> Iterable[tuple[str, str]]:
        """Values that are allowed but probably not meant: pairs of a parameter and a sentence.

        Override it in a config whose values can surprise; `lossreg check` shows each pair as a
        warning.
        """
        return ()


ConfigT = TypeVar("ConfigT", bound=LossConfig)

REDUCTION_MEANING = "How the unreduced loss becomes one value: mean, sum, or none to leave it."
Reduction: TypeAlias = Annotated[
    Literal["mean", "sum", "none"], Field(description=REDUCTION_MEANING)
]
"""torch's three reductions."""

IgnoreIndex: TypeAlias = Annotated[
    int,
    Field(
        ge=-(2**63),
        lt=2**63,
        description="Targets of this class index count neither in the loss nor in its mean.",
    ),
]
"""A class index to leave out: any 64-bit integer."""


def is_tensor(value: object) -> bool:
    """Whether a value is a torch.Tensor; does not import torch."""
    # A tensor can only exist once torch is imported.
    torch_module = sys.modules.get("torch")
    return torch_module is not None and isinstance(value, torch_module.Tensor)


# Larger numbers become infinite, smaller ones zero, in float32, torch's default dtype.
_LARGEST, _SMALLEST = 3.4028234663852886e38, 1.401298464324817e-45
_MOST_LEVELS = 64  # torch's dimensions
_Index: TypeAlias = tuple[int, ...]


def _check_numbers(
    numbers: Iterable[tuple[_Index, float]], largest: float, smallest: float
) -> None:
    values = []
    for index, number in numbers:
        values.append(number)
        # With the index, the diagnostic points at the number instead of the list.
        if not (math.isfinite(number) and abs(number) <= largest):
            problem = f"expected finite numbers of at most {largest:.2g}"
            raise PydanticCustomError("class_weights", problem, {"index": index})
        if number < 0:
            problem = "expected no negative number"
            raise PydanticCustomError("class_weights", problem, {"index": index})
    if not values:
        raise PydanticCustomError("class_weights", "expected at least one number")
    if max(values) < smallest:
        raise PydanticCustomError("class_weights", "expected at least one number above 0")


class Weights:
    """Validates numbers, which become a float or tuples, or a tensor, which is kept.

    Attributes:
        weigh: What the numbers weigh: `classes`, one number for each; `entries` of the unreduced
            loss, whatever their target; or `positives`, the positive targets against the negative
            ones. Only numbers for classes must be a list; the others may have any shape.
    """

    def __init__(self, weigh: Literal["classes", "entries", "positives"]) -> None:
        self.weigh = weigh

    @property
    def any_shape(self) -> bool:
        """Whether one number and nested lists are allowed."""
        return self.weigh != "classes"

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_wrap_validator_function(
            self._validated,
            core_schema.list_schema(core_schema.float_schema(strict=True), strict=True),
            serialization=core_schema.plain_serializer_function_ser_schema(self._plain),
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        flat = handler(schema)
        if not self.any_shape:
            return flat
        number = flat["items"]
        return {"anyOf": [number, {**flat, "items": {"anyOf": [number, {"type": "array"}]}}]}

    def _validated(self, value: Any, validate_list: Callable[[Any], Any]) -> Any:
        if is_tensor(value):
            self._check_tensor(value)
            return value
        listed = _listed(value)
        levels = _levels(listed) if self.any_shape else 1
        if levels == 1:
            numbers = _tupled(validate_list(listed))
        else:
            # Its errors become those of this validator, each with the place of its number.
            numbers = _tupled(_nested(levels).validate_python(listed))
            _refuse_ragged(numbers)
        _check_numbers(_entries(numbers), _LARGEST, _SMALLEST)
        return numbers

    def _check_tensor(self, value: torch.Tensor) -> None:
        if not value.is_floating_point() or value.itemsize < 2:  # noqa: PLR2004 - no float8 kernels
            raise PydanticCustomError(
                "class_weights", "expected a tensor of float16, bfloat16, float32 or float64"
            )
        if not self.any_shape and value.dim() != 1:
            raise PydanticCustomError(
                "class_weights", "expected a tensor of one dimension, a number a class"
            )
        numbers = enumerate(value.detach().flatten().tolist())
        _check_numbers((((place,), number) for place, number in numbers), math.inf, math.ulp(0.0))

    @staticmethod
    def _plain(value: Any) -> Any:
        return value.tolist() if is_tensor(value) else _listed(value)


def _listed(value: Any) -> Any:
    return list(map(_listed, value)) if isinstance(value, list | tuple) else value


def _tupled(value: Any) -> Any:
    return tuple(map(_tupled, value)) if isinstance(value, list) else value


def _levels(value: Any) -> int:
    """How deep lists are nested, as far as their first elements say; 0 for a number."""
    if not isinstance(value, list):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return 0 if is_number else 1
    levels = 0
    while isinstance(value, list) and levels < _MOST_LEVELS:
        levels += 1
        value = value[0] if value else None
    return levels


@cache
def _nested(levels: int) -> SchemaValidator:
    schema: core_schema.CoreSchema = core_schema.float_schema(strict=True, allow_inf_nan=False)
    for _ in range(levels):
        schema = core_schema.list_schema(schema, strict=True)
    return SchemaValidator(schema)


def _refuse_ragged(numbers: Any) -> None:
    """Refuse lists of one level whose lengths differ, as no tensor has such a shape."""
    lengths: dict[int, int] = {}
    lists: list[tuple[_Index, Any]] = [((), numbers)]
    for index, members in lists:  # grows while it is read: level by level
        if not isinstance(members, tuple):
            return
        wanted = lengths.setdefault(len(index), len(members))
        if len(members) != wanted:
            problem = f"expected a list of {wanted}, as the first one, found one of {len(members)}"
            raise PydanticCustomError("class_weights", problem, {"index": index})
        lists += [((*index, place), member) for place, member in enumerate(members)]


def _entries(value: Any, index: _Index = ()) -> Iterator[tuple[_Index, float]]:
    """Each number and its place."""
    if not isinstance(value, tuple):
        yield index, value
        return
    for place, member in enumerate(value):
        yield from _entries(member, (*index, place))


if TYPE_CHECKING:
    ClassWeights: TypeAlias = tuple[float, ...] | torch.Tensor
    """One number for each class: a list in YAML; in Python also a 1-D tensor, kept as it is.

    The builder always gets a tensor. A config may also write such weights by the names of the
    classes, compute them from counts, or read them from a file: the field sees the numbers.
    """
    _AnyShape: TypeAlias = float | tuple[Any, ...] | torch.Tensor
    ElementWeights: TypeAlias = _AnyShape
    """A factor for each entry: as `ClassWeights`, but also a number or nested lists."""
    PositiveWeights: TypeAlias = _AnyShape
    """How much positive targets count against negative ones, in any shape as `ElementWeights`."""
else:
    ClassWeights = Annotated[Any, Weights("classes")]
    ElementWeights = Annotated[Any, Weights("entries")]
    PositiveWeights = Annotated[Any, Weights("positives")]


def holds_weights(field: FieldInfo) -> bool:
    """Whether a config's field may hold class weights."""
    return any(isinstance(mark, Weights) for mark in marks(field))


def weights_of(field: FieldInfo) -> Weights | None:
    """What the numbers of a config's field weigh; None if it holds none, or takes mappings too."""
    arms = list(_arms(field.annotation, field.metadata))
    if any(isinstance(kind, type) and issubclass(kind, dict | BaseModel) for kind, _ in arms):
        return None
    own = (mark for _, metadata in arms for mark in metadata)
    return next((mark for mark in own if isinstance(mark, Weights)), None)


def _arms(hint: Any, metadata: Iterable[object] = ()) -> Iterator[tuple[Any, list[object]]]:
    """The class and the `Annotated` metadata of each arm of a union, or else of the type."""
    metadata = [*metadata, *getattr(hint, "__metadata__", ())]
    kind = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if get_origin(kind) in (Union, UnionType):
        for arm in get_args(kind):
            yield from _arms(arm, metadata)
    elif kind is not type(None):
        yield get_origin(kind) or kind, metadata


def marks(field: FieldInfo) -> Iterator[object]:
    """The `Annotated` metadata of a field's type and of each arm of a union."""
    yield from field.metadata
    yield from _marks(field.annotation)


def _marks(hint: Any) -> Iterator[object]:
    yield from getattr(hint, "__metadata__", ())
    for argument in get_args(hint):
        yield from _marks(argument)


def to_tensor(weights: ClassWeights | ElementWeights | None) -> torch.Tensor | None:
    """Class weights as a tensor: numbers get torch's default dtype, a tensor is returned.

    Only builders call it, so it may import torch.
    """
    if weights is None:
        return None
    import torch

    return weights if isinstance(weights, torch.Tensor) else torch.tensor(weights)


def with_tensors(config: ConfigT) -> ConfigT:
    """A config whose class weights are tensors.

    The buffer that holds such a tensor can then be recognised by identity.
    """
    tensors = {}
    for name, any_shape in _weight_fields(type(config)).items():
        value = vars(config).get(name)
        # The field's type may be a union, whose other arms are not lists of numbers.
        if _is_flat(value) or (any_shape and _is_nested(value)):
            tensors[name] = to_tensor(value)
    return config.model_copy(update=tensors) if tensors else config


def _is_flat(value: object) -> TypeGuard[tuple[float, ...]]:
    return (
        isinstance(value, tuple) and bool(value) and all(type(number) is float for number in value)
    )


def _is_nested(value: object) -> TypeGuard[float | tuple[Any, ...]]:
    return type(value) is float or (
        isinstance(value, tuple) and bool(value) and all(map(_is_nested, value))
    )


@cache
def _weight_fields(model: type[LossConfig]) -> dict[str, bool]:
    """The fields that hold class weights, and whether a field's numbers may have any shape."""
    return {
        name: any(
            isinstance(mark, Weights) and mark.any_shape
            for _, metadata in arms
            for mark in metadata
            if len(arms) == 1
        )
        for name, field in model.model_fields.items()
        if holds_weights(field) and (arms := list(_arms(field.annotation, field.metadata)))
    }
