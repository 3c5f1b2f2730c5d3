"""Single values of a config: each reader reports faults and returns None."""

from __future__ import annotations

import math
import re
from types import MappingProxyType
from typing import TYPE_CHECKING

from lossreg.config.faults.faults import clipped, describe
from lossreg.config.read.scalars import resolve, without_comma
from lossreg.names import closest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lossreg.config.faults.faults import ConfigPath, Faults
    from lossreg.config.read.nodes import Node

__all__ = [
    "LARGEST",
    "SMALLEST_NORMAL",
    "check_float32",
    "is_mapping",
    "note_wrong_type",
    "read_bool",
    "read_choice",
    "read_number",
    "read_whole_number",
]

# Of float32, torch's default dtype: the largest number, the smallest with all its digits, and the
# smallest of all, half of which becomes 0.
LARGEST, SMALLEST_NORMAL = 3.4028234663852886e38, 1.1754943508222875e-38
_SMALLEST = 1.401298464324817e-45
_LARGEST_EXACT = 2**53  # floats hold every integer up to it
_WANTED: dict[type, str] = {bool: "true or false", float: "a number", int: "a whole number"}


def is_mapping(node: Node, path: ConfigPath, faults: Faults, *, wanted: str = "a mapping") -> bool:
    """Whether a node is a mapping; if not, notes what was wanted."""
    if isinstance(node.value, dict):
        return True
    hint = ""
    if node.value is None:
        hint = "; indent what belongs under the key, or remove the key"
    faults.add("LR101", path, f"expected {wanted}, found {describe(node.value)}{hint}", node)
    return False


def read_number(node: Node, path: ConfigPath, faults: Faults) -> float | None:
    """A finite number; a bool is not a number."""
    value = node.value
    if isinstance(value, bool) or not isinstance(value, int | float):
        note_wrong_type(node, path, float, faults)
    elif not _is_finite(value):
        faults.add("LR202", path, f"expected a finite number, found {describe(value)}", node)
    else:
        return float(value)
    return None


def check_float32(node: Node, path: ConfigPath, faults: Faults, code: str = "LR202") -> bool:
    """Whether a number stays finite and other than 0 in float32, unless it is infinite or 0 itself.

    Args:
        node: A number, or lists and mappings whose numbers are all checked.
        path: Its place.
        faults: Takes the faults.
        code: The fault's code.
    """
    value = node.value
    if isinstance(value, dict):
        fits = [check_float32(value[name], (path, name), faults, code) for name in value]
        return all(fits)
    if isinstance(value, list):
        fits = [check_float32(child, (path, i), faults, code) for i, child in enumerate(value)]
        return all(fits)
    if not isinstance(value, int | float):
        return True
    size = abs(value)
    if not (LARGEST < size < math.inf or 0 < size <= _SMALLEST / 2):
        return True
    bounds = f"from {_SMALLEST:.2g} to {LARGEST:.2g} in size"
    message = f"expected 0, or a number that float32 can hold, {bounds}, found {describe(value)}"
    faults.add(code, path, message, node)
    return False


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
    if wanted is not bool and isinstance(value, str) and re.fullmatch(r"-?\d+,\d+", value):
        hint = f"; a number has a decimal point: write {without_comma(value)}"
    if wanted is int and isinstance(value, float) and value.is_integer():
        hint = f"; write {value:.0f}" if abs(value) < _LARGEST_EXACT else ""
    faults.add("LR201", path, f"expected {_WANTED[wanted]}, found {describe(value)}{hint}", node)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer larger than every float
        return False


def read_choice(
    node: Node,
    path: ConfigPath,
    choices: tuple[str, ...],
    faults: Faults,
    other_words: Mapping[str, str] = MappingProxyType({}),
) -> str | None:
    """One of a few words.

    Args:
        node: The word.
        path: Its place.
        choices: The words.
        faults: Takes the faults.
        other_words: Other words, and which is meant.
    """
    if node.value in choices:
        return str(node.value)
    written = "off" if node.value is False else node.value  # as YAML 1.1 reads it
    other = other_words.get(written) if isinstance(written, str) else None
    meant = other or closest(node.value, choices)
    hint = f"; did you mean '{meant}'?" if meant else ""
    message = f"expected {', '.join(choices)}, found {describe(node.value)}{hint}"
    faults.add("LR203", path, message, node)
    return None
