"""Single values of a config: each reader notes what is wrong and gives None then."""

from __future__ import annotations

import math
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lossreg.config.diagnostics import clipped, describe
from lossreg.config.nodes import MOST_FAULTS, Node
from lossreg.config.scalars import resolve
from lossreg.suggest import closest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from lossreg.config.diagnostics import ConfigPath, Faults
    from lossreg.plugin import LossDefinition

__all__ = [
    "as_meant",
    "check_keys",
    "did_you_mean",
    "is_mapping",
    "meant_key",
    "misspelt",
    "note_wrong_type",
    "read_bool",
    "read_choice",
    "read_number",
    "read_whole_number",
]

_LARGEST_EXACT = 2**53  # floats hold every integer up to it
_WANTED: dict[type, str] = {bool: "true or false", float: "a number", int: "a whole number"}


def is_mapping(node: Node, path: ConfigPath, faults: Faults, *, wanted: str = "a mapping") -> bool:
    """Whether a node is a mapping; notes it when it is not, with what was wanted."""
    if isinstance(node.value, dict):
        return True
    hint = ""
    if node.value is None:
        hint = "; indent what belongs under the key, or take the key out"
    faults.add("LR101", path, f"expected {wanted}, found {describe(node.value)}{hint}", node)
    return False


def meant_key(name: str, known: Collection[str], foreign: Mapping[str, str]) -> str | None:
    """The key that was probably meant by an unknown one."""
    for each in (foreign.get(name), name.partition(":")[0]):
        if each in known:
            return each
    return closest(name, known)


def misspelt(
    node: Node, key: str, known: Collection[str], foreign: Mapping[str, str]
) -> str | None:
    """How a key that is missing was probably written: the first of a mapping that may mean it."""
    among = islice(node.keys, MOST_FAULTS)
    return next((name for name in among if meant_key(name, known, foreign) == key), None)


def check_keys(
    node: Node,
    path: ConfigPath,
    known: tuple[str, ...],
    foreign: Mapping[str, str],
    faults: Faults,
    definition: LossDefinition | None = None,
    elsewhere: Mapping[str, str] = MappingProxyType({}),
) -> Node:
    """Note every unknown key of a mapping.

    Args:
        node: The mapping.
        path: Its place.
        known: The keys it may have.
        foreign: What other systems call them.
        faults: Takes what is wrong.
        definition: The loss, where a key may be one of its parameters or inputs gone astray.
        elsewhere: Keys that belong elsewhere: what to do with each.

    Returns:
        The mapping as it was probably meant: with what stands under a misspelt key under the
        right one, so that one run finds what else is wrong.
    """
    guessed: dict[str, str] = {}
    for name, key in node.keys.items():
        if name in known:
            continue
        meant = meant_key(name, known, foreign)
        message = f"unknown key; expected one of {', '.join(known)}"
        if name in elsewhere:
            message, meant = f"unknown key; {elsewhere[name]}", None
        elif definition is not None and name in definition.config.model_fields:
            message = "unknown key; it is a parameter of the loss: move it under 'params'"
        elif definition is not None and name in {each.name for each in definition.inputs}:
            message = "unknown key; it is an input of the loss: move it under 'inputs'"
        elif meant in node.value:
            message = f"unknown key; '{meant}' is there already, so take this one out"
        elif meant:
            message = f"unknown key; {did_you_mean(name, meant)}"
            guessed.setdefault(meant, name)
        faults.add("LR104", (path, name), message, key)
    return as_meant(node, path, guessed, faults) if guessed else node


def did_you_mean(written: str, meant: str) -> str:
    """The question after a misspelt key; `beta:0.5` is one that lacks a space."""
    stem, _, rest = written.partition(":")
    if stem == meant:
        return f"did you mean '{meant}: {clipped(rest)}', with a space?"
    return f"did you mean '{meant}'?"


def as_meant(node: Node, path: ConfigPath, guessed: Mapping[str, str], faults: Faults) -> Node:
    """A copy of a mapping with the right keys for misspelt ones.

    Args:
        node: The mapping.
        path: Its place.
        guessed: How each of the right keys is written.
        faults: Is told how they are written.
    """
    meant = node.copy()
    for right, written in guessed.items():
        value = meant.value.pop(written)
        meant.keys[right] = span = meant.keys.pop(written)
        rest = written.partition(":")[2]
        if rest and value.value is None:
            value = Node(resolve(rest)[0], *span)
        meant.value[right] = value
        faults.read_as(path, written, right)
    return meant


def read_number(node: Node, path: ConfigPath, faults: Faults) -> float | None:
    """A finite number; a bool is none."""
    value = node.value
    if isinstance(value, bool) or not isinstance(value, int | float):
        note_wrong_type(node, path, float, faults)
    elif not _is_finite(value):
        faults.add("LR202", path, f"expected a finite number, found {describe(value)}", node)
    else:
        return float(value)
    return None


def read_whole_number(
    node: Node, path: ConfigPath, faults: Faults, *, least: int, most: int
) -> int | None:
    """A whole number within bounds."""
    value = node.value
    if isinstance(value, bool) or not isinstance(value, int):
        note_wrong_type(node, path, int, faults)
    elif least <= value <= most:
        return value
    else:
        message = f"expected a whole number from {least} to {most}, found {describe(value)}"
        faults.add("LR202", path, message, node)
    return None


def read_bool(node: Node, path: ConfigPath, faults: Faults) -> bool | None:
    """True or false."""
    if isinstance(node.value, bool):
        return node.value
    note_wrong_type(node, path, bool, faults)
    return None


def note_wrong_type(
    node: Node, path: ConfigPath, wanted: type[bool | float], faults: Faults
) -> None:
    """Note a value that is not of a type: `bool`, `int`, or `float` for any number."""
    value = node.value
    if node.rewrite and (wanted is bool) == (node.rewrite in ("true", "false")):
        message = (
            f"expected {_WANTED[wanted]}, found {clipped(value)}, which YAML versions read "
            f"differently; write {clipped(node.rewrite)}"
        )
        faults.add("LR204", path, message, node)
        return
    meant = resolve(value)[0] if isinstance(value, str) else None
    fits = isinstance(meant, int | float if wanted is float else wanted)
    quoted = fits and isinstance(meant, bool) == (wanted is bool)
    hint = "; leave out the quotes" if quoted else ""
    if wanted is int and isinstance(value, float) and value.is_integer():
        hint = f"; write {value:.0f}" if abs(value) < _LARGEST_EXACT else ""
    faults.add("LR201", path, f"expected {_WANTED[wanted]}, found {describe(value)}{hint}", node)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond every float
        return False


def read_choice(
    node: Node, path: ConfigPath, name: str, choices: tuple[Any, ...], faults: Faults
) -> Any:
    """The value of a key that takes one of a few; None after noting that it is none of them.

    Args:
        node: The mapping.
        path: Its place.
        name: The key.
        choices: What it may be.
        faults: Takes what is wrong.
    """
    each = node.value[name]
    if each.value in choices:
        return each.value
    meant = closest(each.value, choices)
    hint = f"; did you mean '{meant}'?" if meant else ""
    message = f"expected {', '.join(choices)}, found {describe(each.value)}{hint}"
    faults.add("LR203", (path, name), message, each)
    return None
