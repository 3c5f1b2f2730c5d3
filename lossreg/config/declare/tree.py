"""An objective as it is written: every value with its place, groups kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from lossreg.config.grammar import REQUIRED

if TYPE_CHECKING:
    from lossreg.config.faults.faults import ConfigPath
    from lossreg.config.grammar import Construct
    from lossreg.config.read.nodes import Node, Span
    from lossreg.plugin import LossDefinition
    from lossreg.registry.plugins import Origin

__all__ = ["Declared", "Loss"]


class Loss(NamedTuple):
    """The facts about its loss that a term needs.

    Attributes:
        definition: The loss.
        origin: Its source.
        arguments: The names of its forward arguments.
        is_guess: Whether another name is written, which probably means this loss.
    """

    definition: LossDefinition
    origin: Origin
    arguments: list[str]
    is_guess: bool = False

    @property
    def required(self) -> list[str]:
        """The names of the arguments that every term needs."""
        return [argument.name for argument in self.definition.inputs if not argument.optional]


class Declared:
    """A mapping of the language: a composite, a group or a term.

    Attributes:
        construct: The kind of mapping.
        name: Its name; empty for a composite.
        node: The mapping as it was probably meant.
        path: Its place.
        key: Where its name is written, if it has one.
        values: For each key that is written, the result of its reader; None for a fault.
        terms_path: The place of the terms in it, if it has any.
        is_complete: Whether it can be used: nothing in it is missing or wrong.
        loss: A term's loss; None if it is missing or unknown.
    """

    __slots__ = (
        "construct",
        "is_complete",
        "key",
        "loss",
        "name",
        "node",
        "path",
        "terms_path",
        "values",
    )

    def __init__(
        self,
        construct: Construct,
        name: str,
        node: Node,
        path: ConfigPath,
        key: Span | None,
        loss: Loss | None = None,
    ) -> None:
        self.construct = construct
        self.name = name
        self.node = node
        self.path = path
        self.key = key
        self.values: dict[str, Any] = {}
        self.terms_path: ConfigPath = path
        self.is_complete = True
        self.loss = loss

    def put(self, key: str, read: Any) -> None:
        """Keep the result of a value's reader; None for a fault."""
        self.values[key] = read
        if read is None:
            self.is_complete = False

    def get(self, key: str) -> Any:
        """The value read at a key; its default if the key is missing or has a fault."""
        value = self.values.get(key)
        if value is not None:
            return value
        default = self.construct.keys[key].default
        return None if default is REQUIRED else default

    def place(self, key: str) -> Node | Span | None:
        """Where a key's value is written; where the mapping's name is, if the key is missing."""
        place: Node | Span | None = self.node.value.get(key, self.key)
        return place
