"""Finds the objectives of a document that are asked for: the one at a key, or those by name."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from lossreg.config.declare.objectives import (
    holds_terms,
    is_loss,
    is_map_of_objectives,
    is_map_of_terms,
)
from lossreg.config.declare.search import Located, Search
from lossreg.config.faults.faults import clipped, describe, path_text
from lossreg.config.faults.guesses import Guesses
from lossreg.config.grammar import COMPOSITE, DOCUMENT
from lossreg.config.read.nodes import Node
from lossreg.names import closest
from lossreg.vocabulary.paths import PathError, ValuePath

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lossreg.config.faults.faults import ConfigPath, Faults

__all__ = ["Found", "find"]

_MOST_SHOWN = 3
_NAME = re.compile(r"[A-Za-z0-9_-]+")
# `objectives` as well, if it does not hold objectives by name.
_LIKE_LOSS = (*DOCUMENT.foreign, "objectives")
_GUESSED_KEYS = 1_000  # search at most this many keys for a suggestion


class Found(NamedTuple):
    """The objectives that are asked for.

    Attributes:
        objectives: One, those of a map, or none after noting its absence.
        around: The map of objectives that they are from, if they are from one.
        are_named: Whether they are all objectives of a map.
    """

    objectives: Sequence[Located] = ()
    around: Located | None = None
    are_named: bool = False


def find(
    root: Node, key: str | None, search: Search, faults: Faults, *, every: bool, several: bool
) -> Found:
    """The objective at the key, or by default the document's own; or those of a map.

    Args:
        root: The document.
        key: Where the objective, or the map, is in the document.
        search: Looks through the document.
        faults: Takes the faults.
        every: Whether every objective is read. If the document has some, it is not a fault that
            it has none of its own, nor that a map of them is at the key.
        several: Whether a map is asked for.
    """
    if not isinstance(root.value, dict):
        _note_no_loss(root, search, faults, every=every)
        return Found()
    if key is None and several and "objectives" not in root.value:
        return _note_no_map(root, faults)
    if key is None:
        _note_both(root, faults)
    if key is not None or several:
        followed = _follow(root, "objectives" if key is None else key, faults)
        if followed is None:
            return Found()
        place, around = followed
        if is_map_of_objectives(place.node):
            return _named(place, faults, is_fine=every or several)
        if several:
            shown = clipped(path_text(place.path))
            message = f"expected objectives by name under '{shown}', each with 'terms:'"
            if is_loss(place.node):
                message += f"; this is one: lossreg.build(..., key='{shown}') builds it"
            faults.add("LR109", place.path, message, place.key or place.node)
            return Found()
        return Found([place], around if is_map_of_objectives(around.node) else None)
    return _own(root, search, faults, every=every)


def _note_both(root: Node, faults: Faults) -> None:
    """Note a document that has objectives by name beside its own one, so that one is not read."""
    around = root.value.get("objectives")
    if "loss" in root.value and around is not None and is_map_of_objectives(around):
        message = (
            "found both 'loss:' and 'objectives:', and only one of them would be trained; move "
            "the loss into 'objectives:' under a name, or remove one of the two"
        )
        faults.add("LR109", ("", "objectives"), message, root.keys["objectives"])


def _own(root: Node, search: Search, faults: Faults, *, every: bool) -> Found:
    """The objectives of a document, which is a mapping, for which no key is given."""
    if "loss" in root.value:
        return Found([Located(root.value["loss"], "loss", root.keys["loss"])])
    if "terms" in root.value:
        is_whole = "task" not in root.value
        located = Located(root, "", None) if is_whole else _misplaced(root, "terms", faults)
        return Found([located])
    if "objectives" in root.value and is_map_of_objectives(root.value["objectives"]):
        place = Located(root.value["objectives"], ("", "objectives"), root.keys["objectives"])
        task = root.value.get("task")
        if task is not None and search.may_be_task(task.value):
            message = "an experiment has one objective, under 'loss:'; found several"
            faults.add("LR109", ("", "objectives"), message, place.key)
            return _named(place, faults, is_fine=True)
        return _named(place, faults, is_fine=every)
    if "objectives" in root.value and root.value["objectives"].value == {}:
        message = "expected at least one objective, found none"
        faults.add("LR108", ("", "objectives"), message, root.keys["objectives"])
        return Found()
    if "objectives" in root.value and faults.passes_over(root.value["objectives"]):
        return Found()
    for name in islice(root.keys, _GUESSED_KEYS):
        meant = _meant(name, root)
        if meant == "objectives":
            place = Located(root.value[name], ("", name), root.keys[name])
            message = "there is no loss here; did you mean 'objectives'"
            message += (
                ", each built by itself? if they add up, put them under 'loss:', and there under "
                "'terms:'"
                if name in _LIKE_LOSS
                else "?"
            )
            faults.add("LR109", place.path, message, place.key)
            return _named(place, faults, is_fine=True)
        if meant is not None:
            located_or_none = _guessed(name, meant, root, faults)
            return Found() if located_or_none is None else Found([located_or_none])
    _note_no_loss(root, search, faults, every=every)
    return Found()


def _named(place: Located, faults: Faults, *, is_fine: bool) -> Found:
    """The objectives of a map; noted as too many where one is asked for."""
    node, names = place.node, list(place.node.value)
    if not is_fine:
        path = path_text(place.path)
        shown = ", ".join(f"'{clipped(name)}'" for name in names[:_MOST_SHOWN])
        more = ", …" if len(names) > _MOST_SHOWN else ""
        message = (
            f"the objectives have names: {shown}{more}; build one with "
            f"key='{clipped(f'{path}.{names[0]}')}', or all with lossreg.build_objectives"
        )
        faults.add("LR109", place.path, message, place.key)
    for name in names:
        if not _NAME.fullmatch(name):
            message = "an objective's name is made of letters, digits, '_' and '-'"
            faults.add("LR107", (place.path, name), message, node.keys[name])
    objectives = [Located(node.value[name], (place.path, name), node.keys[name]) for name in names]
    return Found(objectives, place, are_named=True)


def _note_no_map(root: Node, faults: Faults) -> Found:
    """Note that a document has no map of objectives."""
    for name in islice(root.keys, _GUESSED_KEYS):
        if _meant(name, root) == "objectives":
            place = Located(root.value[name], ("", name), root.keys[name])
            faults.add("LR109", place.path, "did you mean 'objectives'?", place.key)
            return _named(place, faults, is_fine=True)
    message = "expected 'objectives:', several by name, each with 'terms:'"
    own = next((name for name in ("loss", "terms") if name in root.value), None)
    if own is not None:
        message += f"; found one objective under '{own}:', which lossreg.build builds"
    else:
        message += "; if they are elsewhere, give their key"
    faults.add("LR109", "", message, root)
    return Found()


def _meant(name: str, root: Node) -> str | None:
    """The key that was probably meant, in a document without a loss."""
    node = root.value[name]
    if name in _LIKE_LOSS:
        if is_map_of_objectives(node) and all(map(_has_only_terms, node.value.values())):
            return "objectives"
        return "terms" if is_map_of_terms(node) else "loss"
    meant = closest(name, DOCUMENT.names) if isinstance(node.value, dict) else None
    return "loss" if meant == "objectives" and not is_map_of_objectives(node) else meant


def _has_only_terms(node: Node) -> bool:
    """Whether a mapping may be an objective or a group."""
    return isinstance(node.value, dict) and "terms" in node.value


def _guessed(name: str, meant: str, root: Node, faults: Faults) -> Located | None:
    """Guess the misspelt loss key and note it, so that one run finds the other faults, too."""
    node, key = root.value[name], root.keys[name]
    if meant == "terms" and ("task" in root.value or name in _LIKE_LOSS):
        return _misplaced(root, name, faults)
    # In a document that is not lossreg's, a scalar's key may name anything.
    path: ConfigPath = ("", name) if isinstance(node.value, dict | list) else ""
    faults.add("LR109", path, f"there is no loss here; did you mean '{meant}'?", key)
    if meant == "loss":
        return Located(node, path, key) if is_loss(node) else None
    guesses = Guesses(root, COMPOSITE.names)
    guesses.written = {"terms": name}
    return Located(guesses.applied("", faults), "", None) if holds_terms(node) else None


def _misplaced(root: Node, name: str, faults: Faults) -> Located:
    """Note terms at the root of a document; give the loss that they belong to."""
    key = root.keys[name]
    if name in _LIKE_LOSS:
        message = "these are terms; put them under 'loss:', and there under 'terms:'"
    else:
        message = "an experiment has its loss under 'loss:'; put 'terms' there, one level deeper"
    faults.add("LR109", ("", name), message, key)
    faults.read_as("", name, "terms")
    loss = Node({"terms": root.value[name]}, *root.span)
    loss.keys["terms"] = key
    return Located(loss, "", None)


def _note_no_loss(root: Node, search: Search, faults: Faults, *, every: bool) -> None:
    """Note that a document has no objective, or only ones that must be given by key."""
    expected = "expected 'loss:' or 'terms:'"
    task = root.value.get("task") if isinstance(root.value, dict) else None
    if task is not None and search.may_be_task(task.value):
        faults.add("LR109", "task", f"{expected} beside 'task:'", root.keys["task"])
        return
    others = search.objectives(root)
    dropped = root.document.dropped if root.document is not None else ()
    if every and (others or any(map(search.holds_objective, dropped))):
        return
    if not isinstance(root.value, dict):
        expected = f"expected a mapping with 'loss:' or 'terms:', found {describe(root.value)}"
    if others:
        shown = [f"'{clipped(path_text(other.path))}'" for other in others[:_MOST_SHOWN]]
        more = ", …" if len(others) > _MOST_SHOWN else ""
        hint = f"for an objective elsewhere, give its key: {', '.join(shown)}{more}"
    else:
        hint = "if the loss is elsewhere, give its key"
    faults.add("LR109", "", f"{expected}; {hint}", root)


def _follow(root: Node, key: str, faults: Faults) -> tuple[Located, Located] | None:
    """The value at a key, and the value around it."""
    try:
        steps = ValuePath.parse(str(key)).steps
    except PathError:
        faults.add(
            "LR109", "", f"the key {describe(key)} is not a path; write it as model.criterion"
        )
        return None
    path: ConfigPath = ""
    node, key_span = root, None
    around = Located(root, "", None)
    for step in steps:
        around = Located(node, path, key_span)
        children = node.value
        if isinstance(children, dict) and isinstance(step, str) and step in children:
            node, key_span = children[step], node.keys[step]
        elif (
            isinstance(children, list)
            and isinstance(step, int)
            and -len(children) <= step < len(children)
        ):
            node, key_span = children[step], None
        else:
            names = islice(children if isinstance(children, dict) else (), _GUESSED_KEYS)
            meant = closest(step, names)
            wanted = f"'{clipped(step)}'" if isinstance(step, str) else f"element {step}"
            under = f"under '{clipped(path_text(path))}'" if path else "in the document"
            message = f"there is no {wanted} {under}"
            if meant:
                guess = (path, meant)
                message += f"; did you mean '{clipped(path_text(guess))}'?"
                faults.add("LR109", guess, message, node.keys[meant])
            else:
                faults.add("LR109", "", message, key_span or node)
            return None
        path = (path, step)
    return Located(node, path, key_span), around
