"""Terms by name, and the groups among them: mappings that have `terms:` of their own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lossreg.config.declare.fields import is_mapping
from lossreg.config.declare.gradients import check_detached_of_group
from lossreg.config.declare.keys import as_meant
from lossreg.config.declare.terms import TermReader
from lossreg.config.declare.tree import Declared
from lossreg.config.declare.values import read_values
from lossreg.config.declare.weights import check_weight
from lossreg.config.faults.faults import clipped, path_text
from lossreg.config.faults.guesses import Guesses
from lossreg.config.grammar import GROUP, TERM

if TYPE_CHECKING:
    from lossreg.config.faults.faults import ConfigPath, Faults
    from lossreg.config.read.nodes import Node, Span
    from lossreg.registry import Registry

__all__ = ["read_terms"]

_TERM_NAME = re.compile(r"[A-Za-z0-9_-]+")
_OF_GROUPS_ONLY = ("each", "from", "terms")


def read_terms(
    terms: Node, path: ConfigPath, registry: Registry, faults: Faults
) -> list[Declared | None]:
    """Every term and group of a mapping by name.

    Args:
        terms: The mapping.
        path: Its place.
        registry: Where losses are looked up.
        faults: Takes the faults.

    Returns:
        In order; None for a value that is neither a term nor a group.
    """
    return _Reader(registry, faults).terms(terms, path)


def _is_group(node: Node) -> bool:
    """Whether a mapping is a group instead of a term: it has a key that only a group has."""
    if "terms" in node.value:
        return True
    if "type" in node.value or "from" in node.value or "each" in node.value:
        return "type" not in node.value
    if any(GROUP.foreign.get(key) in _OF_GROUPS_ONLY for key in node.value):
        return True
    written = Guesses(node, GROUP.names).written.get("terms")
    if written is None or not isinstance(node.value[written].value, dict):
        return False
    return "type" not in Guesses.of(TERM, node).written


class _Reader:
    def __init__(self, registry: Registry, faults: Faults) -> None:
        self._faults = faults
        self._terms = TermReader(registry, faults)

    def terms(
        self, terms: Node, path: ConfigPath, *, in_group: bool = False, divided: bool = False
    ) -> list[Declared | None]:
        read: list[Declared | None] = []
        for name, node in terms.value.items():
            place, key = (path, name), terms.keys[name]
            is_path = "." in name and not isinstance(node.value, dict)
            if is_path and (key[0] is None or not isinstance(node.value, str)):
                self._faults.add("LR107", place, _not_a_name(name, place, key), key)
                read.append(None)
                continue
            self._check_name(name, place, key, in_group=in_group)
            if isinstance(node.value, dict) and _is_group(node):
                read.append(self._group(name, node, place, key, divided=divided))
            else:
                read.append(self._terms.term(name, node, place, key, divided=divided))
        return read

    def _check_name(self, name: str, path: ConfigPath, key: Span, *, in_group: bool) -> None:
        if name == "total" and not in_group:
            message = "'total' is taken by the sum; choose another name"
            self._faults.add("LR107", path, message, key)
        elif not _TERM_NAME.fullmatch(name):
            message = "a term's name is made of letters, digits, '_' and '-'"
            possible = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")
            if name.isascii() and possible:
                message += f"; write '{clipped(possible)}'"
            self._faults.add("LR107", path, message, key)

    def _group(
        self, name: str, node: Node, path: ConfigPath, key: Span, *, divided: bool
    ) -> Declared:
        faults = self._faults
        node = as_meant(GROUP, node, path, faults)
        group = Declared(GROUP, name, node, path, key)
        read_values(group, faults)
        check_weight(group, faults)
        place = (path, "terms")
        terms: list[Declared | None] = [None]
        if "terms" not in node.value:
            message = "the group has no 'terms'"
            faults.add("LR102", path, message, key)
            group.is_complete = False
            return group
        inner = node.value["terms"]
        if is_mapping(inner, place, faults, wanted="terms by name"):
            if not inner.value:
                message = "expected at least one term, found none"
                faults.add("LR108", place, message, node.keys["terms"])
            divided = divided or "divide_by" in group.values
            terms = self.terms(inner, place, in_group=True, divided=divided)
        group.put("terms", terms)
        check_detached_of_group(group, faults)
        return group


def _not_a_name(name: str, path: ConfigPath, key: Span) -> str:
    """What to write for the path of a value that stands where a term's name is expected."""
    first, *steps = name.split(".")
    nested = "..."
    for step in reversed(steps):
        nested = f"{{{step}: {nested}}}"
    message = f"'{clipped(name)}' is the path of a value, not a term's name; "
    if key[0] is not None:
        return f"{message}write {clipped(f'{first}: {nested}')}"
    override = clipped(f"{path_text(path)}=...")
    return (
        f"{message}nest the mappings, or give the override {override}. jsonargparse (LightningCLI) "
        "makes such a key for an argument of type dict, and drops what the file has there: "
        "annotate the argument as lossreg.CompositeLoss, give it class_path: lossreg.build, and "
        f"write --model.objective.overrides+={override}"
    )
