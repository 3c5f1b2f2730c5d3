"""Groups of terms: a mapping with `terms:` inside another one's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from lossreg.config.declare.fields import (
    LARGEST,
    SMALLEST_NORMAL,
    check_keys,
    is_mapping,
    read_bool,
)
from lossreg.config.declare.routes import read_path
from lossreg.config.declare.selection import check_divisible
from lossreg.config.declare.terms import FOREIGN_TERM_KEYS, TERM_KEYS, TermReader
from lossreg.config.declare.weights import read_weight
from lossreg.config.faults.faults import clipped
from lossreg.config.faults.guesses import Guesses
from lossreg.config.models import Weight
from lossreg.vocabulary.paths import Path
from lossreg.vocabulary.routes import Route

if TYPE_CHECKING:
    from lossreg.config.faults.faults import ConfigPath, Faults
    from lossreg.config.models import TermConfig
    from lossreg.config.read.nodes import Node, Span
    from lossreg.registry import Registry

__all__ = ["GROUP_KEYS", "read_terms"]

GROUP_KEYS = ("from", "weight", "denominator", "optional", "enabled", "terms")
_FOREIGN_KEYS = {
    **{foreign: key for foreign, key in FOREIGN_TERM_KEYS.items() if key in GROUP_KEYS},
    "components": "terms",
    "losses": "terms",
    "path": "from",
    "prefix": "from",
    "root": "from",
}
_ELSEWHERE = {
    key: "it belongs to a term: a group has none, its terms have"
    if key != "type"
    else "a group is no loss: take it out, or take 'terms' out"
    for key in TERM_KEYS
    if key not in GROUP_KEYS
}
_TERM_NAME = re.compile(r"[A-Za-z0-9_-]+")

_HERE, _ONE = Path(()), Weight()


class _Group(NamedTuple):
    """What a group says of all terms in it; the whole composite is one as well."""

    prefix: str = ""
    origin: Path = _HERE
    weight: Weight = _ONE
    denominator: Path | None = None
    optional: bool = False
    enabled: bool = True

    def located(self, path: Path) -> Path:
        return Path(self.origin.steps + path.steps)

    def _moved(self, route: Route | None) -> Route | None:
        return None if route is None else Route(self.located(route.path), route.transforms)

    def adopt(self, term: TermConfig) -> TermConfig:
        """A term as it is inside the group."""
        if self is _WHOLE:
            return term
        inputs = {
            name: Route(self.located(route.path), route.transforms)
            for name, route in term.inputs.items()
        }
        own = term.denominator
        return term._replace(
            name=self.prefix + term.name,
            weight=self.weight.times(term.weight),
            inputs=inputs,
            mask=self._moved(term.mask),
            sample_weight=self._moved(term.sample_weight),
            denominator=self.denominator if own is None else self.located(own),
            optional=self.optional or term.optional,
            enabled=self.enabled and term.enabled,
        )


_WHOLE = _Group()


def read_terms(
    terms: Node, path: ConfigPath, registry: Registry, faults: Faults
) -> list[TermConfig | None]:
    """Every term of a mapping by name, those in groups included.

    Args:
        terms: The mapping.
        path: Its place.
        registry: Where losses are looked up.
        faults: Takes what is wrong; a term with an error is None.
    """
    return _GroupReader(registry, faults).terms(terms, path, _WHOLE)


def _is_group(node: Node) -> bool:
    """Whether a mapping declares terms rather than one; what only a group has tells as well."""
    if "terms" in node.value:
        return True
    if "type" in node.value or "from" in node.value:
        return "type" not in node.value
    if any(_FOREIGN_KEYS.get(key) in ("from", "terms") for key in node.value):
        return True
    written = Guesses(node, GROUP_KEYS).written.get("terms")
    if written is None or not isinstance(node.value[written].value, dict):
        return False
    return "type" not in Guesses(node, TERM_KEYS, FOREIGN_TERM_KEYS).written


def _beyond_float32(weight: Weight) -> str:
    """What is expected of a weight that float32, in which they are multiplied, does not hold."""
    if not weight.largest <= LARGEST:
        return f"of at most {LARGEST:.2g}, found {weight.largest:.2g}"
    smallest = weight.smallest
    if 0 < smallest < SMALLEST_NORMAL:
        return (
            f"of 0 or at least {SMALLEST_NORMAL:.2g}, below which float32 loses digits, "
            f"found {smallest:.2g}"
        )
    return ""


class _GroupReader:
    def __init__(self, registry: Registry, faults: Faults) -> None:
        self._faults = faults
        self._terms = TermReader(registry, faults)

    def terms(self, terms: Node, path: ConfigPath, group: _Group) -> list[TermConfig | None]:
        found: list[TermConfig | None] = []
        for name, node in terms.value.items():
            where, key = (path, name), terms.keys[name]
            self._check_name(name, where, key, group)
            if isinstance(node.value, dict) and _is_group(node):
                found.extend(self._group(name, node, where, key, group))
                continue
            term = self._terms.term(name, node, where, key)
            if term is not None and group.denominator is not None:
                check_divisible(term.definition, where, key, self._faults)
            adopted = None if term is None else group.adopt(term)
            misfit = "" if adopted is None else _beyond_float32(adopted.weight)
            if misfit:
                message = f"expected a weight, times those of its groups, {misfit}"
                guessed = Guesses(node, TERM_KEYS, FOREIGN_TERM_KEYS).written
                at = node.value.get(guessed.get("weight", "weight"), key)
                self._faults.add("LR202", (where, "weight"), message, at)
            found.append(adopted)
        return found

    def _check_name(self, name: str, path: ConfigPath, key: Span, group: _Group) -> None:
        if name == "total" and not group.prefix:
            message = "'total' is taken by the sum; choose another name"
            self._faults.add("LR107", path, message, key)
        elif not _TERM_NAME.fullmatch(name):
            message = "a term's name is made of letters, digits, '_' and '-'"
            possible = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")
            if name.isascii() and possible:
                message += f"; write '{clipped(possible)}'"
            self._faults.add("LR107", path, message, key)

    def _group(
        self, name: str, node: Node, path: ConfigPath, key: Span, outer: _Group
    ) -> list[TermConfig | None]:
        faults = self._faults
        node = check_keys(node, path, GROUP_KEYS, _FOREIGN_KEYS, faults, elsewhere=_ELSEWHERE)
        values = node.value
        origin: Path | None = _HERE
        if "from" in values:
            origin = read_path(values["from"], (path, "from"), faults)
        weight: Weight | None = _ONE
        if "weight" in values:
            weight = read_weight(values["weight"], (path, "weight"), faults, node.keys["weight"])
        denominator = outer.denominator
        if "denominator" in values:
            # The group's own: it is looked up where the group stands, not where its paths start.
            own = read_path(values["denominator"], (path, "denominator"), faults)
            denominator = None if own is None else outer.located(own)
        switches = {
            switch: read_bool(values[switch], (path, switch), faults)
            for switch in ("optional", "enabled")
            if switch in values
        }
        group = _Group(
            prefix=f"{outer.prefix}{name}/",
            origin=outer.located(origin or _HERE),
            weight=outer.weight.times(weight or _ONE),
            denominator=denominator,
            optional=outer.optional or bool(switches.get("optional", False)),
            enabled=outer.enabled and switches.get("enabled", True) is not False,
        )
        where = (path, "terms")
        if "terms" not in values:
            message = "the key 'terms', what the group is made of, is missing"
            faults.add("LR102", path, message, key)
            return [None]
        inner = values["terms"]
        if not is_mapping(inner, where, faults, wanted="terms by name"):
            return [None]
        if not inner.value:
            message = "expected at least one term, found none"
            faults.add("LR108", where, message, node.keys["terms"])
        return self.terms(inner, where, group)
