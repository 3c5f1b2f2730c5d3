"""The inputs of a loss: the meaning, shape and allowed values of each forward argument."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from lossreg.plugin.shapes import ANY_SHAPE, Shape

if TYPE_CHECKING:
    import torch

__all__ = ["ANY_SHAPE", "DType", "Domain", "LossInput"]

DType: TypeAlias = Literal["float", "int", "float or int"]
"""The dtype kind of an input."""

Holds: TypeAlias = Literal["tensor", "list", "number"]
"""What is passed for an input."""

_HOLDS = "'tensor', 'list' or 'number'"

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
"""The allowed values of an input.

`class index list`: a row of class indices that ends at the first -1. `count`: how often something
happened. `length`: how many steps of a sequence are in use. `label sequence`: class indices; each
row's length says how many of them count.
"""

# The value that replaces a masked entry before the loss sees it: in the domain, and such that the
# loss and its gradient are finite.
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
        name: The argument's name, as `torch.nn.functional` spells it. A `target` or `targets` that
            requires a gradient is warned of, unless the term's `detach` says what is meant.
        meaning: What it holds, in a few words.
        dtype: The dtype kind.
        shape: The shape in letters: `N C *`, where a number is a size (`N 1`) and `|` separates
            alternatives, which a tuple of shapes stands for as well; a C as the second are
            classes, which a term's `class_dim` says where to find; `...` if the shape is not
            known, so that it is not checked and no entry can be masked.
        domain: Its allowed values.
        gradient: Whether the loss is differentiated with respect to it.
        counted: Whether a denominator counts its entries: it is known before the forward pass of
            the model, and has every dimension of the unreduced loss.
        fill: The value that replaces a masked entry before the loss sees it; by default, a value
            that is safe for the domain.
        optional: Whether a term may leave it out; then it is neither looked up nor passed.
        holds: What is passed: a `tensor`; a `list` of tensors, each of which has the shape and
            dtype, with sizes of its own; or a `number`, a Python one or a 0-d tensor.
        letters: The shape, parsed.

    Raises:
        TypeError: The shape is not a string.
        ValueError: It has more than one `*`, or `...` among its letters; `holds` is not one of
            its words; or a list or a number is counted, or a number differentiated.
    """

    name: str
    meaning: str
    dtype: DType = "float"
    shape: str | tuple[str, ...] = "*"
    domain: Domain = "real"
    gradient: bool = False
    counted: bool = False
    fill: float | None = None
    optional: bool = False
    holds: Holds = "tensor"
    letters: Shape = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        letters = Shape.of_any(self.shape)
        object.__setattr__(self, "shape", letters.text)
        object.__setattr__(self, "letters", letters)
        if self.holds not in get_args(Holds):
            raise ValueError(f"LossInput.holds must be {_HOLDS}, not {self.holds!r}")
        if self.holds != "tensor" and self.counted:
            raise ValueError(f"only a tensor can be counted, and {self.name!r} is a {self.holds}")
        if self.holds == "number" and self.gradient:
            raise ValueError(f"{self.name!r} is a number, which has no gradient")

    def letters_of(self, tensor: torch.Tensor, first: LossInput) -> Shape:
        """The letters of one tensor's shape.

        Args:
            tensor: The tensor for this argument.
            first: The loss's first input; class probabilities have its shape.
        """
        if self.domain == "class index or probability" and tensor.is_floating_point():
            return first.letters
        return self.letters

    @property
    def has_classes(self) -> bool:
        """Whether it is a tensor with classes, the letter C, at dimension 1."""
        return self.holds == "tensor" and self.letters.has("C", 1)

    @property
    def safe(self) -> float:
        """The value that replaces a masked entry."""
        return _SAFE.get(self.domain, 0.0) if self.fill is None else self.fill
