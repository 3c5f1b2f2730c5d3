"""All that the author of a loss plugin needs.

A plugin is a module, named by an entry point of the group `lossreg.losses`, that holds one
function marked with `hookimpl`:

    # pyproject.toml
    [project.entry-points."lossreg.losses"]
    focal = "my_package.focal"

    # my_package/focal.py
    class FocalConfig(LossConfig):
        gamma: float = Field(2.0, ge=0, description="How much easy examples count less.")

    def build(config: FocalConfig) -> nn.Module: ...

    @hookimpl
    def lossreg_losses() -> list[LossDefinition]:
        return [LossDefinition(name="focal", config=FocalConfig, build=build, ...)]
"""

from __future__ import annotations

import math
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, get_args

import pluggy
from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import torch
    from torch import nn

__all__ = [
    "ClassWeights",
    "DType",
    "Denominator",
    "Domain",
    "ElementWeights",
    "Field",
    "IgnoreIndex",
    "LossConfig",
    "LossDefinition",
    "LossHooks",
    "LossInput",
    "Reduction",
    "hookimpl",
    "target_weights",
    "to_tensor",
]

PROJECT = "lossreg"
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function as a plugin's implementation of a hook."""
_hookspec = pluggy.HookspecMarker(PROJECT)

# A name is a YAML key, an entry point and part of `distribution:loss`.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class LossHooks:
    """The hooks that a loss plugin can implement."""

    @_hookspec
    def lossreg_losses(self) -> list[LossDefinition]:
        """The losses of this plugin; an entry point takes the one that bears its name."""
        raise NotImplementedError


class LossConfig(BaseModel):
    """The parameters of a loss: subclass it and give every field a `description`.

    Frozen; unknown names, nan and infinity are refused, and values are not converted (an integer
    may stand for a float, but neither a string nor a bool may).
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
        arbitrary_types_allowed=True,
    )

    def suspicions(self) -> Iterable[tuple[str, str]]:
        """What is allowed but probably not meant: a parameter's name and a sentence for each.

        A config whose values can surprise overrides it; `lossreg check` shows each as a warning.
        """
        return ()


Reduction: TypeAlias = Annotated[
    Literal["mean", "sum", "none"],
    Field(description="How the unreduced loss becomes one value: mean, sum, or none to leave it."),
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


def _is_tensor(value: object) -> bool:
    # A tensor can only exist once torch has been imported, so looking it up imports nothing.
    torch_module = sys.modules.get("torch")
    return torch_module is not None and isinstance(value, torch_module.Tensor)


# What is beyond these is infinite, or zero, in float32, torch's default dtype.
_LARGEST, _SMALLEST = 3.4028234663852886e38, 1.401298464324817e-45


def _check_numbers(numbers: Iterable[float], largest: float, smallest: float) -> None:
    values = list(numbers)
    for index, each in enumerate(values):
        # With the index, a config's fault is laid at the number rather than at the list.
        if not (math.isfinite(each) and abs(each) <= largest):
            problem = f"expected finite numbers of at most {largest:.2g}"
            raise PydanticCustomError("class_weights", problem, {"index": index})
        if each < 0:
            problem = "expected no negative number"
            raise PydanticCustomError("class_weights", problem, {"index": index})
    if not values:
        raise PydanticCustomError("class_weights", "expected at least one number")
    if max(values) < smallest:
        raise PydanticCustomError("class_weights", "expected at least one number above 0")


class _Weights:
    """Validates a list of numbers to a tuple, and a tensor to itself."""

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
        if not _is_tensor(value):
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
        return value.tolist() if _is_tensor(value) else list(value)


if TYPE_CHECKING:
    ClassWeights: TypeAlias = tuple[float, ...] | torch.Tensor
    """One number a class: a list in YAML; in Python also a 1-D tensor, which is kept as it is."""
    ElementWeights: TypeAlias = tuple[float, ...] | torch.Tensor
    """Factors of the entries: a list in YAML; in Python also a tensor of any shape."""
else:
    ClassWeights = Annotated[Any, _Weights(one_dimensional=True)]
    ElementWeights = Annotated[Any, _Weights(one_dimensional=False)]


def to_tensor(weights: ClassWeights | None) -> torch.Tensor | None:
    """Class weights as a tensor: a list in torch's default dtype, a tensor as it is.

    A builder calls it, so it may import torch.
    """
    if weights is None:
        return None
    import torch

    return weights if isinstance(weights, torch.Tensor) else torch.tensor(weights)


def target_weights(module: Any, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """What each target counts in the mean of a class-weighted loss with `ignore_index`.

    The weight of its class, 0 if it is ignored; with class probabilities, 1 each.

    Args:
        module: Has `weight`, of shape C or None, and `ignore_index`.
        inputs: Has `target`: class indices of shape N *, or probabilities of shape N C *.
    """
    target = inputs["target"]
    if target.is_floating_point():
        return target.new_ones(()) if target.dim() == 1 else target.new_ones(target[:, 0].shape)
    kept: torch.Tensor = target != module.ignore_index
    weight: torch.Tensor | None = module.weight
    # Long, for bytes would index as a mask.
    return kept if weight is None else weight[target.where(kept, 0).long()] * kept


DType: TypeAlias = Literal["float", "int", "float or int"]
"""The dtype kind of an input."""

Domain: TypeAlias = Literal[
    "real",
    "non-negative",
    "probability",
    "log-probability",
    "probability or log-probability",
    "class index",
    "class index or probability",
    "class index list",
    "plus or minus one",
    "zero or one",
    "count",
    "length",
    "label sequence",
]
"""What an input's values may be.

`class index list`: a row of class indices that ends at the first -1. `count`: how often something
happened. `length`: how many steps of a sequence are in use. `label sequence`: class indices, as
many of each row as its length says.
"""

# What a masked entry is replaced with before the loss sees it: in the domain, and where the loss
# and its gradient are finite.
_SAFE: dict[Domain, float] = {
    "probability": 0.5,
    "probability or log-probability": 0.5,
    "class index or probability": 0.0,
    "class index list": -1.0,
    "plus or minus one": 1.0,
    "count": 1.0,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class LossInput:
    """One argument of a loss's forward.

    Attributes:
        name: The argument's name, as `torch.nn.functional` spells it.
        meaning: What it holds, in a few words.
        dtype: The dtype kind.
        shape: The shape in letters: `N C *`.
        domain: What its values may be.
        gradient: Whether the loss is differentiated with respect to it.
        counted: Whether a denominator counts its entries: it is at hand before the forward pass
            of the model, and has every dimension of the unreduced loss.
        fill: What a masked entry is replaced with before the loss sees it; without it, a value
            that is safe for the domain.
    """

    name: str
    meaning: str
    dtype: DType = "float"
    shape: str = "*"
    domain: Domain = "real"
    gradient: bool = False
    counted: bool = False
    fill: float | None = None

    def letters(self, tensor: torch.Tensor, first: LossInput) -> str:
        """The letters of one tensor's shape.

        Args:
            tensor: What is given as this argument.
            first: The loss's first input, whose shape class probabilities have.
        """
        if self.domain == "class index or probability" and tensor.is_floating_point():
            return first.shape
        return self.shape

    @property
    def safe(self) -> float:
        """The value that stands in for a masked entry."""
        return _SAFE.get(self.domain, 0.0) if self.fill is None else self.fill


@dataclass(frozen=True, kw_only=True, slots=True)
class Denominator:
    """What a loss's mean divides by: sum of `scale` times loss, over sum of `count`.

    Both are called with the built module and the forward arguments by name, and give a tensor
    that broadcasts to the unreduced loss. Without one, each entry counts 1 and is taken as it is.

    Attributes:
        count: What each entry of the unreduced loss counts in the denominator.
        scale: What each entry is multiplied by in the numerator.
    """

    count: Callable[[Any, Mapping[str, torch.Tensor]], torch.Tensor] | None = None
    scale: Callable[[Any, Mapping[str, torch.Tensor]], torch.Tensor] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LossDefinition:
    """What a plugin says of one loss.

    Attributes:
        name: The loss's name, equal to that of its entry point.
        config: The model of its parameters.
        build: Makes the module from a validated config. It is called with the arguments of
            `inputs`, in their order and by position.
        inputs: The arguments of the module's forward.
        summary: What the loss is, in one line.
        use_when: When to choose it.
        avoid_when: When to choose another one, and which.
        formula: The value in LaTeX, before reduction.
        references: Papers and documentation, each with a link where there is one.
        example: A term in YAML, as it stands under `terms:`.
        unreduced: The shape of the loss with reduction `none`, in the letters of the inputs.
        unbatched: Whether it also takes a single example: inputs without `N` and `*`.
        denominator: What the mean divides by.
        check: Looks for values that torch would not refuse but take as an address: called with
            the module and the arguments by name before each forward on the CPU, it says what is
            wrong, or None.
        compiles: Whether `torch.compile` takes it as one graph; False for a loss at which torch
            breaks the graph, so that `fullgraph=True` refuses it.

    Raises:
        TypeError: A field is of the wrong type.
        ValueError: The name is empty or has other characters than letters, digits, `_` and `-`;
            or an input is named twice.
    """

    name: str
    config: type[LossConfig]
    build: Callable[[Any], nn.Module]
    inputs: tuple[LossInput, ...]
    summary: str
    use_when: str = ""
    avoid_when: str = ""
    formula: str = ""
    references: tuple[str, ...] = ()
    example: str = ""
    unreduced: str = "*"
    unbatched: bool = False
    denominator: Denominator = Denominator()
    check: Callable[[Any, Mapping[str, torch.Tensor]], str | None] | None = None
    compiles: bool = True

    @property
    def reductions(self) -> tuple[str, ...]:
        """The reductions that the config offers; none, if it has no such parameter."""
        field = self.config.model_fields.get("reduction")
        return tuple(map(str, get_args(field.annotation))) if field is not None else ()

    @property
    def target(self) -> str | None:
        """The input that says what is right, if it has an entry for each of the loss."""
        for each in self.inputs:
            if each.name == "target" and each.shape == self.unreduced:
                return each.name
        return None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise ValueError(
                f"LossDefinition.name must be letters, digits, '_' or '-', not {self.name!r}"
            )
        if not (isinstance(self.config, type) and issubclass(self.config, LossConfig)):
            raise TypeError(
                f"LossDefinition.config must be a subclass of LossConfig, not {self.config!r}"
            )
        if not callable(self.build):
            raise TypeError(f"LossDefinition.build must be callable, not {self.build!r}")
        if not self.inputs or not all(isinstance(each, LossInput) for each in self.inputs):
            raise TypeError("LossDefinition.inputs must hold at least one LossInput")
        if len({each.name for each in self.inputs}) != len(self.inputs):
            raise ValueError("LossDefinition.inputs names an argument twice")
        if not isinstance(self.compiles, bool):
            raise TypeError(f"LossDefinition.compiles must be True or False, not {self.compiles!r}")
