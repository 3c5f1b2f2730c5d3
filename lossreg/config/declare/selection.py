"""Which entries of a term count, and with what weight."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lossreg.config.declare.fields import check_float32, read_number
from lossreg.config.faults.faults import describe
from lossreg.plugin.inputs import ANY_SHAPE

if TYPE_CHECKING:
    from lossreg.config.declare.tree import Declared
    from lossreg.config.faults.faults import ConfigPath, Faults
    from lossreg.config.read.nodes import Node
    from lossreg.plugin import LossDefinition

__all__ = ["check_selection", "read_ignored"]

_OF_ENTRIES = ("mask", "sample_weight", "ignore")


def read_ignored(node: Node, path: ConfigPath, faults: Faults) -> float | None:
    """A number, or nan."""
    if node.value == "nan" or (isinstance(node.value, float) and math.isnan(node.value)):
        return math.nan
    if isinstance(node.value, str) and node.value.lower().strip(".") == "nan":
        message = f"expected a number or nan, found {describe(node.value)}; write nan"
        faults.add("LR201", path, message, node)
        return None
    number = read_number(node, path, faults)
    # A number that float32 makes 0 would ignore the zeros of a float32 target.
    return number if number is None or check_float32(node, path, faults) else None


def _declares_shapes(definition: LossDefinition) -> bool:
    shapes = (definition.unreduced, *(argument.shape for argument in definition.inputs))
    return ANY_SHAPE not in shapes


def check_selection(term: Declared, definition: LossDefinition, faults: Faults) -> None:
    """Note the keys of a term that choose among entries, if its loss has no such entries."""
    if not any(name in term.values for name in _OF_ENTRIES):  # the common case
        return
    for name in _OF_ENTRIES:
        if name not in term.values:
            continue
        message = ""
        if "none" not in definition.reductions:
            message = f"'{definition.name}' returns one number, so mask, sample_weight and ignore "
            message += "do not apply"
        elif name != "sample_weight" and not _declares_shapes(definition):
            message = (
                f"'{definition.name}' does not declare the shapes of its inputs, so nothing can "
            )
            message += "be masked; use 'sample_weight'"
        elif name == "ignore" and definition.target is None:
            message = f"'{definition.name}' has a target that does not match it entry by entry, so "
            message += "'ignore' cannot apply; use 'mask'"
        if message:
            faults.add("LR213", (term.path, name), message, term.node.keys[name])
            term.is_complete = False
