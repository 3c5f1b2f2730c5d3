"""Routes: a path, and the transforms that its tensor goes through before the loss sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from lossreg.vocabulary.paths import ValuePath

__all__ = ["Route", "Transform"]


class Transform(NamedTuple):
    """One step between a path and a loss: a transform's name and its arguments.

    The arguments are complete: in the order of the definition, with defaults.

    >>> str(Transform("softmax", (("dim", 1),)))
    'softmax(dim=1)'
    """

    name: str
    arguments: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        if not self.arguments:
            return self.name
        return f"{self.name}({', '.join(f'{name}={value}' for name, value in self.arguments)})"


class Route(NamedTuple):
    """A path, and the transforms of its tensor.

    Attributes:
        path: The path.
        transforms: The transforms, in order.
        dims: For a mask or a sample weight: which dimensions of the unreduced loss it has, if
            its shape does not say so.

    >>> from lossreg.vocabulary.paths import ValuePath
    >>> str(Route(ValuePath.parse("teacher.logits"), (Transform("div", (("by", 2.0),)),)))
    'teacher.logits | div(by=2.0)'
    """

    path: ValuePath
    transforms: tuple[Transform, ...] = ()
    dims: tuple[int, ...] | None = None

    def __str__(self) -> str:
        return " | ".join([str(self.path), *map(str, self.transforms)])
