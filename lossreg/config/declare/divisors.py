"""`divide_by`: what a term's sum is divided by."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from lossreg.config.declare.routes import read_path, read_route
from lossreg.config.faults.faults import clipped, describe
from lossreg.config.models import Divisor
from lossreg.names import closest
from lossreg.vocabulary.routes import Route

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lossreg.config.declare.tree import Declared
    from lossreg.config.faults.faults import ConfigPath, Faults
    from lossreg.config.read.nodes import Node, Span
    from lossreg.plugin import LossDefinition

__all__ = ["OF_A_PATH", "WORDS", "check_divisor", "check_within_row", "read_divisor"]

WORDS = ("weights", "kept", "entries", "rows", "kept_rows")
OF_A_PATH = ("rows", "entries", "number")
_WANTED = f"{', '.join(WORDS)}, or a mapping {{rows: path}}, {{entries: path}} or {{number: path}}"
_FOREIGN: Mapping[str, str] = MappingProxyType(
    {
        "all": "entries",
        "batch": "rows",
        "batch_size": "rows",
        "batchmean": "rows",
        "count": "number",
        "element": "entries",
        "elements": "entries",
        "entry": "entries",
        "examples": "rows",
        "mask": "kept",
        "mean": "entries",
        "numel": "entries",
        "row": "rows",
        "sample": "rows",
        "sample_weight": "weights",
        "samples": "rows",
        "token": "kept",
        "token-mean": "kept",
        "tokens": "kept",
        "valid": "kept",
        "weight": "weights",
    }
)
_FORMULAS = (
    "write divide_by: weights for the weighted mean, Σ w·l / Σ w, or divide_by: entries for the "
    "mean of the weighted loss, Σ w·l / n (or kept, rows, kept_rows, or a path, as in "
    "{number: path})"
)


def read_divisor(node: Node, path: ConfigPath, faults: Faults) -> Divisor | None:
    """A word, or a mapping of one word to a path; None after noting a fault.

    Args:
        node: The word or the mapping.
        path: Its place.
        faults: Takes the faults.
    """
    if node.value in WORDS:
        return Divisor(str(node.value))
    if isinstance(node.value, dict) and len(node.value) == 1:
        ((word, source),) = node.value.items()
        if word in OF_A_PATH:
            route = _read_source(word, source, (path, word), faults, node.keys[word])
            return None if route is None else Divisor(word, route)
        meant = closest(word, OF_A_PATH) or _FOREIGN.get(word)
        hint = f"did you mean '{meant}'?" if meant in OF_A_PATH else f"expected {_WANTED}"
        faults.add("LR104", path, f"unknown key '{clipped(word)}'; {hint}", node.keys[word])
        return None
    message = f"expected {_WANTED}, found {describe(node.value)}"
    if isinstance(node.value, str):
        meant = closest(node.value, WORDS) or _FOREIGN.get(node.value)
        if meant is not None and meant != "number":
            message += f"; did you mean '{meant}'?"
        elif node.value.replace(".", "").isidentifier():
            message += f"; for a number at that path write {{number: {clipped(node.value)}}}"
    elif isinstance(node.value, int | float) and not isinstance(node.value, bool):
        message += "; a constant belongs to the term's 'weight'"
    faults.add("LR203", path, message, node)
    return None


def _read_source(
    word: str, node: Node, path: ConfigPath, faults: Faults, key: Span
) -> Route | None:
    if word == "number":
        return read_route(node, path, faults, key)
    if isinstance(node.value, dict):
        message = f"expected a path to the tensor whose {word} are counted, found a mapping"
        faults.add("LR206", path, message, node)
        return None
    source = read_path(node, path, faults)
    return None if source is None else Route(source)


def check_divisor(
    term: Declared, definition: LossDefinition, divisor: Divisor | None, faults: Faults
) -> None:
    """Note a divisor that a term lacks or cannot have.

    Args:
        term: The term.
        definition: Its loss.
        divisor: What its sum is divided by, by its own keys or those of its groups.
        faults: Takes the faults.
    """
    own = "divide_by" in term.values
    if _is_passed_over(term, "params", "reduction", faults):
        return
    params = term.values.get("params")
    reduction = getattr(params, "reduction", "mean") if params is not None else "mean"
    if divisor is None:
        is_weighted = term.get("sample_weight") is not None and "none" in definition.reductions
        if is_weighted and reduction == "mean" and not own:
            place = (term.path, "sample_weight")
            message = f"a mean with 'sample_weight' needs 'divide_by': {_FORMULAS}"
            faults.add("LR214", place, message, term.node.keys["sample_weight"])
    else:
        path: ConfigPath = (term.path, "divide_by") if own else term.path
        key = term.node.keys["divide_by"] if own else term.key
        whose = "'divide_by'" if own else "the group's 'divide_by'"
        if reduction != "mean":
            message = f"{whose} needs reduction: mean, found {reduction}; remove one of the two"
            faults.add("LR214", path, message, key)
        elif divisor.by == "weights" and _learns_weights(term):
            message = (
                "a sample weight with gradient: true cannot be what the mean divides by, because "
                "the division takes back what is learned; write divide_by: entries, kept or rows"
            )
            faults.add("LR214", path, message, key)
        elif "none" not in definition.reductions:
            message = _of_a_number(definition, divisor, whose)
            if message:
                faults.add("LR213", path, message, key)


def _is_passed_over(term: Declared, name: str, inner: str, faults: Faults) -> bool:
    """Whether a value of a mapping, or the whole mapping, is an interpolation."""
    node = term.node.value.get(name)
    if node is not None and isinstance(node.value, dict):
        node = node.value.get(inner)
    return node is not None and faults.passes_over(node)


def _learns_weights(term: Declared) -> bool:
    route: Route | None = term.get("sample_weight")
    return route is not None and route.gradient


def check_within_row(declared: Declared, divisor: Divisor | None, faults: Faults) -> None:
    """Note a term's or a group's `within_row` if its divisor does not count rows."""
    if "within_row" not in declared.values or (divisor is not None and divisor.counts_rows):
        return
    if "divide_by" in declared.values and declared.values["divide_by"] is None:
        return  # its fault is noted, or it is passed over
    found = "none" if divisor is None else str(divisor._replace(within_row="sum"))
    message = f"'within_row' goes with divide_by: rows, kept_rows or {{rows: path}}, found {found}"
    place = (declared.path, "within_row")
    faults.add("LR214", place, message, declared.node.keys["within_row"])


def _of_a_number(definition: LossDefinition, divisor: Divisor, whose: str) -> str:
    """Why the result of a loss without entries cannot be divided; empty if it can."""
    if divisor.route is None:
        return (
            f"'{definition.name}' returns one number, so {whose} can only be {{rows: path}}, "
            f"{{entries: path}} or {{number: path}}, found {divisor}"
        )
    if not definition.additive or "sum" not in definition.reductions:
        return (
            f"'{definition.name}' has no sum that a number could divide (additive=True in its "
            f"definition would say that it has), so {whose} does not apply"
        )
    return ""
