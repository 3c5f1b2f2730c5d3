"""The arguments of a transform: each is checked for its kind, all by the transform's rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lossreg.config.declare.fields import check_float32
from lossreg.config.declare.keys import as_meant
from lossreg.config.faults.faults import clipped, describe
from lossreg.config.grammar import Construct, Key
from lossreg.names import closest
from lossreg.vocabulary.arguments import REQUIRED
from lossreg.vocabulary.routes import Transform

if TYPE_CHECKING:
    from lossreg.config.faults.faults import ConfigPath, Faults
    from lossreg.config.read.nodes import Node, Span
    from lossreg.vocabulary.arguments import Argument
    from lossreg.vocabulary.transforms import TransformDefinition

__all__ = ["read_arguments"]


def read_arguments(
    definition: TransformDefinition,
    node: Node | None,
    path: ConfigPath,
    key: Span,
    faults: Faults,
) -> Transform | None:
    """A transform with its arguments, or None after noting their faults.

    Args:
        definition: The transform.
        node: A mapping of its arguments, a single value, or None if it has no arguments.
        path: Its place.
        key: Where its name is written.
        faults: Takes the faults.
    """
    written = _by_name(definition, node, path, faults)
    if written is None:
        return None
    values: dict[str, Any] = {}
    for argument in definition.arguments:
        name = argument.name
        if name in written:
            value = _value(argument, written[name], (path, name), faults)
            if value is not REQUIRED:
                values[name] = value
        elif argument.default is REQUIRED:
            message = f"'{definition.name}' needs '{name}' ({argument.kind.wanted})"
            faults.add("LR211", path, message, key)
        else:
            values[name] = argument.default
    names = {argument.name for argument in definition.arguments}
    # The rule holds for all arguments together, so it cannot judge some of them.
    if len(values) < len(names) or not written.keys() <= names:
        return None
    violation = None if definition.rule is None else definition.rule(values)
    if violation is None:
        return Transform(definition.name, tuple(values.items()))
    if violation.argument in written:
        place: ConfigPath = (path, violation.argument)
        faults.add("LR211", place, violation.message, written[violation.argument])
    else:
        faults.add("LR211", path, violation.message, key)
    return None


def _by_name(
    definition: TransformDefinition, node: Node | None, path: ConfigPath, faults: Faults
) -> dict[str, Node] | None:
    """The written arguments by name; unknown ones are noted and included."""
    if node is None or node.value is None or node.value == {}:
        return {}
    names = tuple(argument.name for argument in definition.arguments)
    if not names:
        message = f"'{definition.name}' takes no argument, found {describe(node.value)}"
        faults.add("LR211", path, message, node)
        return None
    if isinstance(node.value, dict):
        keys = (Key(argument.name, "argument", "") for argument in definition.arguments)
        meant = as_meant(Construct(definition.name, *keys), node, path, faults)
        return dict(meant.value)
    if definition.by_name:
        written = "a list" if isinstance(node.value, list) else describe(node.value)
        ways = " or ".join(f"{{{definition.name}: {{{name}: ...}}}}" for name in names)
        message = f"'{definition.name}' takes its arguments by name, found {written}; write {ways}"
        faults.add("LR211", path, message, node)
        return None
    if isinstance(node.value, list) and 1 < len(node.value) <= len(names):
        first = definition.arguments[0].kind
        if not first.accepts(tuple(element.value for element in node.value)):
            pairs = zip(names, node.value, strict=False)
            named = ", ".join(f"{name}: {clipped(str(element.value))}" for name, element in pairs)
            message = f"expected {first.wanted}, found a list; write "
            faults.add("LR211", path, f"{message}{{{definition.name}: {{{named}}}}}", node)
            return None
    return {names[0]: node}


def _value(argument: Argument, node: Node, path: ConfigPath, faults: Faults) -> Any:
    """An argument's value, or `REQUIRED` after noting that it is not of its kind."""
    kind, value = argument.kind, node.value
    if value is None and argument.default is None:
        return None
    if isinstance(value, list):
        value = tuple(element.value for element in value)
    if kind.accepts(value):
        fits = not kind.is_float or check_float32(node, path, faults, "LR211")
        return value if fits else REQUIRED
    message = f"expected {kind.wanted}, found {_described(node)}"
    if kind.words and isinstance(value, str):
        word = value.removeprefix("torch.")
        meant = dict(kind.foreign).get(word) or closest(word, kind.words)
        message += f"; did you mean '{meant}'?" if meant else ""
    elif node.rewrite and not node.rewrite.isalpha():
        message += f"; write {node.rewrite}"
    faults.add("LR211", path, message, node)
    return REQUIRED


def _described(node: Node) -> str:
    if not isinstance(node.value, list):
        return describe(node.value)
    return clipped(f"[{', '.join(describe(element.value) for element in node.value)}]")
