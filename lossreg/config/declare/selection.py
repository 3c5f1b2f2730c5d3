"""What of a term counts, and how much: `mask`, `sample_weight`, `ignore`, `denominator`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lossreg.config.declare.fields import check_float32, read_number
from lossreg.config.declare.routes import read_path, read_route
from lossreg.config.faults.faults import describe
from lossreg.plugin.inputs import ANY_SHAPE

if TYPE_CHECKING:
    from lossreg.config.faults.faults import ConfigPath, Faults
    from lossreg.config.read.nodes import Node, Span
    from lossreg.plugin import LossDefinition

__all__ = ["check_divisible", "read_extras"]

_ENTRY_KEYS = ("mask", "sample_weight", "ignore")
_KEYS = frozenset((*_ENTRY_KEYS, "denominator"))


def read_extras(
    node: Node, path: ConfigPath, definition: LossDefinition | None, faults: Faults
) -> dict[str, Any] | None:
    """The fields of a `TermConfig` that say what counts; None after noting what is wrong.

    Args:
        node: The term's mapping.
        path: Its place.
        definition: The loss, which must have what they speak of; None if it is not known.
        faults: Takes what is wrong.
    """
    values = node.value
    found: dict[str, Any] = {}
    if _KEYS.isdisjoint(values):  # as nearly always
        return found
    for name in ("mask", "sample_weight"):
        if name in values:
            where = (path, name)
            found[name] = read_route(values[name], where, faults, node.keys[name])
    if "ignore" in values:
        found["ignore"] = _ignored(values["ignore"], (path, "ignore"), faults)
    if "denominator" in values:
        where = (path, "denominator")
        found["denominator"] = read_path(values["denominator"], where, faults)
    fits = definition is not None and _fits(node, path, definition, faults)
    if not fits or None in found.values():
        return None
    return found


def check_divisible(definition: LossDefinition, path: ConfigPath, at: Span, faults: Faults) -> bool:
    """Whether a loss has a sum for a denominator, its own or its group's; notes it if not."""
    if "sum" in definition.reductions:
        return True
    message = f"'{definition.name}' has no sum that could be divided by something else"
    faults.add("LR213", path, message, at)
    return False


def _ignored(node: Node, path: ConfigPath, faults: Faults) -> float | None:
    if node.value == "nan" or (isinstance(node.value, float) and math.isnan(node.value)):
        return math.nan
    if isinstance(node.value, str) and node.value.lower().strip(".") == "nan":
        message = f"expected a number or nan, found {describe(node.value)}; write nan"
        faults.add("LR201", path, message, node)
        return None
    number = read_number(node, path, faults)
    # Of a float32 target, what is 0 there would be the zeros.
    return number if number is None or check_float32(node, path, faults) else None


def _tells_shapes(definition: LossDefinition) -> bool:
    shapes = (definition.unreduced, *(each.shape for each in definition.inputs))
    return ANY_SHAPE not in shapes


def _fits(node: Node, path: ConfigPath, definition: LossDefinition, faults: Faults) -> bool:
    """Whether the loss has entries that these keys can speak of."""
    right = True
    for name in _ENTRY_KEYS:
        if name not in node.keys:
            continue
        message = ""
        if "none" not in definition.reductions:
            message = f"'{definition.name}' has no unreduced form, so its entries cannot be chosen"
        elif name != "sample_weight" and not _tells_shapes(definition):
            message = f"'{definition.name}' does not tell the shapes of its inputs, so nothing can "
            message += "be masked; use 'sample_weight'"
        elif name == "ignore" and definition.target is None:
            message = f"'{definition.name}' has no target with an entry for each of its own; "
            message += "use 'mask'"
        if message:
            faults.add("LR213", (path, name), message, node.keys[name])
            right = False
    if "denominator" in node.keys:
        where = (path, "denominator")
        right = check_divisible(definition, where, node.keys["denominator"], faults) and right
    return right
