"""Routes: a path, and the transforms that its tensor goes through before the loss sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lossreg.vocabulary.paths import ValuePath
    from lossreg.vocabulary.schedules import Schedule

__all__ = ["Route", "Transform", "is_schedule"]


def is_schedule(value: object) -> bool:
    """Whether an argument's value is a schedule, without importing the models of schedules."""
    return hasattr(value, "turns")


class Transform(NamedTuple):
    """One step between a path and a loss: a transform's name and its arguments.

    The arguments are complete: in the order of the definition, with defaults. An argument is a
    plain value; a `Route`, whose tensor is the argument; or a schedule, whose current number is.

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
        gradient: For a sample weight: whether a gradient goes through it.

    >>> from lossreg.vocabulary.paths import ValuePath
    >>> str(Route(ValuePath.parse("teacher.logits"), (Transform("div", (("by", 2.0),)),)))
    'teacher.logits | div(by=2.0)'
    """

    path: ValuePath
    transforms: tuple[Transform, ...] = ()
    dims: tuple[int, ...] | None = None
    gradient: bool = False

    def relocated(self, place: Callable[[ValuePath], ValuePath]) -> Route:
        """The same route with its path, and those in its transforms' arguments, put elsewhere.

        Args:
            place: The new path of each path.
        """
        moved = self.with_operands(lambda route: route.relocated(place))
        return moved._replace(path=place(moved.path))

    def with_operands(self, change: Callable[[Route], Route]) -> Route:
        """The same route with the routes in its transforms' arguments changed.

        What stays as it is is shared: derived routes may be long, and stand in many terms.
        """
        transforms, is_same = [], True
        for transform in self.transforms:
            changed = transform
            for index, (key, value) in enumerate(transform.arguments):
                new = change(value) if isinstance(value, Route) else value
                if new is not value:
                    arguments = list(changed.arguments)
                    arguments[index] = (key, new)
                    changed, is_same = Transform(changed.name, tuple(arguments)), False
            transforms.append(changed)
        return self if is_same else self._replace(transforms=tuple(transforms))

    @property
    def paths(self) -> Iterator[ValuePath]:
        """Its path, and those in its transforms' arguments."""
        yield self.path
        for transform in self.transforms:
            for _, value in transform.arguments:
                if isinstance(value, Route):
                    yield from value.paths

    @property
    def schedules(self) -> Iterator[Schedule]:
        """The schedules in its transforms' arguments."""
        for transform in self.transforms:
            for _, value in transform.arguments:
                if isinstance(value, Route):
                    yield from value.schedules
                elif is_schedule(value):
                    yield value

    def __str__(self) -> str:
        return " | ".join([str(self.path), *map(str, self.transforms)])
