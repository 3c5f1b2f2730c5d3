"""`active`: at which steps or epochs a term is part of the objective."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lossreg.config.declare.fields import is_mapping, read_bool, read_whole_number
from lossreg.config.declare.keys import as_meant
from lossreg.config.grammar import ACTIVE
from lossreg.config.models import Active

if TYPE_CHECKING:
    from lossreg.config.declare.tree import Declared
    from lossreg.config.faults.faults import ConfigPath, Faults
    from lossreg.config.read.nodes import Node, Span

__all__ = ["check_together", "read_active"]

_LATEST = 2**53  # floats hold every integer up to it
_FIELDS = {"from": "start", "until": "stop", "every": "every"}


def read_active(node: Node, path: ConfigPath, faults: Faults, key: Span) -> Active | None:
    """The times in a mapping; None after noting a fault.

    Args:
        node: The mapping.
        path: Its place.
        faults: Takes the faults.
        key: Where its key is written.
    """
    wanted = "a mapping, such as {from_step: 1000}"
    if isinstance(node.value, bool):
        wanted += "; for a term that is never built write enabled: false"
    elif isinstance(node.value, int):
        wanted = f"a mapping, such as {{from_step: {node.value}}}"
    if not is_mapping(node, path, faults, wanted=wanted):
        return None
    node = as_meant(ACTIVE, node, path, faults)
    read: dict[str, int | None] = {}
    times_every: bool | None = False
    for name, child in node.value.items():
        if name == "times_every":
            times_every = read_bool(child, (path, name), faults)
        elif name in ACTIVE.keys:
            least = 1 if name.startswith("every") else 0
            read[name] = read_whole_number(child, (path, name), faults, least=least, most=_LATEST)
    if not read:
        message = f"expected at least one of {', '.join(ACTIVE.names[:-1])}"
        if len(node.value) <= ("times_every" in node.value):  # otherwise there is a fault already
            faults.add("LR217", path, message, key)
        return None
    is_fine = times_every is not None and None not in read.values()
    numbers = {name: number for name, number in read.items() if number is not None}
    return _together(numbers, bool(times_every), node, path, faults) if is_fine else None


def _together(
    read: dict[str, int], times_every: bool, node: Node, path: ConfigPath, faults: Faults
) -> Active | None:
    """The times, of which each by itself is valid; None after noting that they do not fit."""
    (first, unit), *others = ((name, _unit(name)) for name in read)
    other = next((name for name, found in others if found != unit), None)
    if other is not None:
        message = f"'{first}' counts {unit}s and '{other}' does not; write both in the same unit, "
        message += "or give one of them to a group around the term"
        faults.add("LR217", (path, other), message, node.keys[other])
        return None
    active = Active(
        **{_FIELDS[name.partition("_")[0]]: number for name, number in read.items()},
        times_every=times_every,
        unit=unit,
    )
    if active.stop is not None and active.stop <= active.start:
        name = f"until_{unit}"
        message = f"expected more than from_{unit} ({active.start}), from which it is active, "
        message += f"found {active.stop}: the term would never be active"
        faults.add("LR217", (path, name), message, node.value[name])
        return None
    if times_every and f"every_{unit}s" not in read:
        message = f"'times_every' multiplies the weight by 'every_{unit}s', which is missing"
        faults.add("LR217", (path, "times_every"), message, node.keys["times_every"])
        return None
    return active


def _unit(name: str) -> str:
    return "epoch" if "epoch" in name else "step"


def check_together(term: Declared, times: tuple[Active, ...], faults: Faults) -> None:
    """Note a term that its own times and those of its groups never make active."""
    by_unit: dict[str, Active] = {}
    for active in times:
        before = by_unit.get(active.unit)
        common = active if before is None else _common(before, active)
        if common is None:
            message = f"with its groups the term is never active: {before} and {active} have no "
            message += f"{active.unit} in common"
            place = (term.path, "active") if "active" in term.values else term.path
            faults.add("LR217", place, message, term.node.keys.get("active", term.key))
            return
        by_unit[active.unit] = common


def _common(first: Active, second: Active) -> Active | None:
    """The times that two have in common; None if there are none."""
    shared = math.gcd(first.every, second.every)
    apart, is_off = divmod(second.start - first.start, shared)
    if is_off:
        return None
    # The Chinese remainder theorem: both hold again after the least common multiple.
    period = second.every // shared
    turns = apart * pow(first.every // shared, -1, period) % period
    every = first.every * period
    start, latest = first.start + first.every * turns, max(first.start, second.start)
    start += -((start - latest) // every) * every
    stop = min((end for end in (first.stop, second.stop) if end is not None), default=None)
    if stop is not None and start >= stop:
        return None
    return Active(start, stop, every, unit=first.unit)
