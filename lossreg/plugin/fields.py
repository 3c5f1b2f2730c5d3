"""A loss's parameters: the base class of configs, and field types that losses share."""

from __future__ import annotations

import math
import sys
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import torch
    from pydantic.fields import FieldInfo

__all__ = [
    "ClassWeights",
    "ElementWeights",
    "IgnoreIndex",
    "LossConfig",
    "Reduction",
    "holds_weights",
    "is_tensor",
    "marks",
    "to_tensor",
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


def _check_numbers(numbers: Iterable[float], largest: float, smallest: float) -> None:
    values = list(numbers)
    for index, number in enumerate(values):
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


class _Weights:
    """Validates a list of numbers, which becomes a tuple, or a tensor, which is kept."""

    def __init__(self, *, one_dimensional: bool) -> None:
        self._one_dimensional = one_dimensional

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        numbers = core_schema.no_info_after_validator_function(
            self._checked_tuple,
            core_schema.list_schema(core_schema.float_schema(strict=True), strict=True),
        )
        return core_schema.no_info_wrap_validator_function(
            self._tensor_or_list,
            numbers,
            serialization=core_schema.plain_serializer_function_ser_schema(self._plain),
        )

    def _tensor_or_list(self, value: Any, validate_list: Callable[[Any], Any]) -> Any:
        if not is_tensor(value):
            return validate_list(list(value) if isinstance(value, tuple) else value)
        if not value.is_floating_point() or value.itemsize < 2:  # noqa: PLR2004 - no float8 kernels
            raise PydanticCustomError(
                "class_weights", "expected a tensor of float16, bfloat16, float32 or float64"
            )
        if self._one_dimensional and value.dim() != 1:
            raise PydanticCustomError(
                "class_weights", "expected a tensor of one dimension, a number a class"
            )
        _check_numbers(value.detach().flatten().tolist(), math.inf, math.ulp(0.0))
        return value

    @staticmethod
    def _checked_tuple(value: list[float]) -> tuple[float, ...]:
        _check_numbers(value, _LARGEST, _SMALLEST)
        return tuple(value)

    @staticmethod
    def _plain(value: Any) -> Any:
        return value.tolist() if is_tensor(value) else list(value)


if TYPE_CHECKING:
    ClassWeights: TypeAlias = tuple[float, ...] | torch.Tensor
    """One number for each class: a list in YAML; in Python also a 1-D tensor, kept as it is.

    The builder always gets a tensor.
    """
    ElementWeights: TypeAlias = tuple[float, ...] | torch.Tensor
    """A factor for each entry: as `ClassWeights`, but a tensor may have any shape."""
else:
    ClassWeights = Annotated[Any, _Weights(one_dimensional=True)]
    ElementWeights = Annotated[Any, _Weights(one_dimensional=False)]


def holds_weights(field: FieldInfo) -> bool:
    """Whether a config's field may hold class weights."""
    return any(isinstance(mark, _Weights) for mark in marks(field))


def marks(field: FieldInfo) -> Iterator[object]:
    """The `Annotated` metadata of a field's type and of each arm of a union."""
    yield from field.metadata
    yield from _marks(field.annotation)


def _marks(hint: Any) -> Iterator[object]:
    yield from getattr(hint, "__metadata__", ())
    for argument in get_args(hint):
        yield from _marks(argument)


def to_tensor(weights: ClassWeights | None) -> torch.Tensor | None:
    """Class weights as a tensor: a list gets torch's default dtype, a tensor is returned.

    Only builders call it, so it may import torch.
    """
    if weights is None:
        return None
    import torch

    return weights if isinstance(weights, torch.Tensor) else torch.tensor(weights)


def with_tensors(config: ConfigT) -> ConfigT:
    """A config whose lists of class weights are tensors.

    The buffer that holds such a tensor can then be recognised by identity.
    """
    tensors = {}
    for name in _weight_fields(type(config)):
        value = vars(config).get(name)
        # The field's type may be a union, whose other arms are not lists of numbers.
        if isinstance(value, tuple) and value and all(type(number) is float for number in value):
            tensors[name] = to_tensor(value)
    return config.model_copy(update=tensors) if tensors else config


@cache
def _weight_fields(model: type[LossConfig]) -> frozenset[str]:
    return frozenset(name for name, field in model.model_fields.items() if holds_weights(field))
