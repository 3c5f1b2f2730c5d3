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
_CHECKED = frozenset((*_OF_ENTRIES, "class_dim"))


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
    shapes = (
        argument.shape
        for argument in definition.inputs
        if not argument.optional and argument.holds == "tensor"
    )
    return ANY_SHAPE not in (definition.unreduced, *shapes)


def check_selection(term: Declared, definition: LossDefinition, faults: Faults) -> None:
    """Note the keys of a term that choose among entries, if its loss has no such entries."""
    if _CHECKED.isdisjoint(term.values):  # the common case
        return
    for name in _OF_ENTRIES:
        if name not in term.values:
            continue
        code, message = _misplaced(term, name, definition)
        if message:
            faults.add(code, (term.path, name), message, term.node.keys[name])
            term.is_complete = False
        else:
            _check_dims(term, name, definition, faults)
    if "class_dim" in term.values:
        _check_class_dim(term, definition, faults)


def _misplaced(term: Declared, name: str, definition: LossDefinition) -> tuple[str, str]:
    """The code and the message of a mask, sample weight or `ignore` that cannot be; or nothing."""
    loss, own = definition.name, definition.mask
    if own is not None and name == "sample_weight":
        message = (
            f"'{loss}' returns one number, so 'sample_weight' does not apply; it takes 'mask' "
        )
        return "LR213", f"{message}and 'ignore'"
    if own is not None and own in (term.get("inputs") or ()):
        message = f"'{name}' goes to the input '{own}', which the term's inputs have already; "
        return "LR215", f"{message}remove one of the two"
    message = ""
    if own is None and "none" not in definition.reductions:
        message = f"'{loss}' returns one number, so mask, sample_weight and ignore do not apply"
    elif name != "sample_weight" and not _declares_shapes(definition):
        message = f"'{loss}' does not declare the shapes of its inputs, so nothing can be masked"
        message += "; use 'sample_weight'" * (own is None)
    elif name == "ignore" and definition.target is None:
        message = f"'{loss}' has a target that does not match it entry by entry, so "
        message += "'ignore' cannot apply; use 'mask'"
    return "LR213", message


def _check_class_dim(term: Declared, definition: LossDefinition, faults: Faults) -> None:
    """Note a `class_dim` of a loss that has no classes at dimension 1."""
    listed = [
        argument.name
        for argument in definition.inputs
        if argument.holds == "list" and argument.letters.has("C")
    ]
    if listed:
        message = f"'class_dim' does not reach into the list '{listed[0]}'; permute its tensors"
        faults.add("LR213", (term.path, "class_dim"), message, term.node.keys["class_dim"])
        term.is_complete = False
        return
    if definition.with_classes:
        kept = [name for name in ("mask", "sample_weight") if name in term.values]
        if not (kept and definition.unreduced_letters.has("C")):
            return
        # In which order it has the classes would be anyone's guess.
        message = (
            f"the unreduced loss of '{definition.name}' has the classes as well, so beside "
            f"'{kept[0]}' permute the inputs instead of giving 'class_dim'"
        )
        faults.add("LR213", (term.path, "class_dim"), message, term.node.keys["class_dim"])
        term.is_complete = False
        return
    others = [argument for argument in definition.inputs if argument.letters.has("C")]
    if others:
        message = (
            f"'{definition.name}' expects the classes of '{others[0].name}' where its shape "
            f"{others[0].letters} has the C, so 'class_dim' does not apply; permute its inputs"
        )
    elif not _declares_shapes(definition):
        message = f"'{definition.name}' does not declare the shapes of its inputs, so nothing is "
        message += "known of classes; transpose its inputs"
    else:
        message = f"'{definition.name}' has no classes, so 'class_dim' does not apply"
    faults.add("LR213", (term.path, "class_dim"), message, term.node.keys["class_dim"])
    term.is_complete = False


def _check_dims(term: Declared, name: str, definition: LossDefinition, faults: Faults) -> None:
    """Note `dims` that the unreduced loss does not have, where its shape has a fixed length."""
    route = term.values[name]
    if name == "ignore" or route is None or route.dims is None:
        return
    written = term.node.value[name].value.get("dims")
    place: ConfigPath = (term.path, name)
    shape = definition.unreduced_letters
    if not shape.forms:
        message = (
            f"'{definition.name}' does not declare the shape of its unreduced loss, so 'dims' "
        )
        message += f"does not apply; give the {name} its leading dimensions"
        faults.add("LR213", (place, "dims"), message, written or term.node.keys[name])
        term.is_complete = False
        return
    (form,) = shape.forms
    if "*" in form:
        return  # known at the batch
    count, seen = len(form), set()
    for index, dim in enumerate(route.dims):
        message = ""
        if not -count <= dim < count:
            message = (
                f"expected a dimension from {-count} to {count - 1}, because the unreduced loss of "
                f"'{definition.name}' has the shape {shape}, found {dim}"
            )
        elif dim % count in seen:
            message = f"{dim} is the dimension {dim % count} of {shape}, which stands in the list "
            message += "already; remove one"
        seen.add(dim % count)
        if message:
            node = term.node.keys[name] if written is None else written.value[index]
            faults.add("LR202", ((place, "dims"), index), message, node)
            term.is_complete = False
