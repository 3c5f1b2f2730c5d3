"""What differs in meaning between two documents, with the place of each side."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lossreg.config.fingerprint import Words, in_words
from lossreg.config.grammar import GROUP

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lossreg.config.declare.tree import Declared
    from lossreg.config.loading import Examined
    from lossreg.config.models import CompositeConfig
    from lossreg.config.read.nodes import Node, Span

__all__ = ["Difference", "Side", "differences"]


class Side(NamedTuple):
    """One document's side of a difference.

    Attributes:
        text: The value; None if it has none, or the default.
        place: The file, line and column: of the value, of the mapping that lacks it, or empty.
    """

    text: str | None
    place: str


class Difference(NamedTuple):
    """One difference in meaning.

    Attributes:
        what: The objective if it has a name, the term, and the key: `seg weight`.
        key: The key; empty if one side lacks the whole term or objective.
        before: The first document's side.
        after: The second's.
    """

    what: str
    key: str
    before: Side
    after: Side


class _Written(NamedTuple):
    """An objective: what it declares, and where each term is written, with its groups around it."""

    words: Words
    terms: dict[str, tuple[Declared, ...]]


def differences(first: Examined, second: Examined) -> list[Difference]:
    """What differs between the objectives of two documents, in the order of the first.

    Order, `checks`, `on_nonfinite`, disabled terms, and how a value is written do not count.

    Args:
        first: A document without a fault.
        second: Another one.
    """
    one, other = _objectives(first), _objectives(second)
    if len(one) == len(other) == 1:
        (before,), (after,) = one.values(), other.values()
        return list(_of_terms("", before, after))
    found: list[Difference] = []
    for name in dict.fromkeys((*one, *other)):
        if name in one and name in other:
            found += _of_terms(name, one[name], other[name])
        else:
            there, absent = Side("", ""), Side(None, "")
            sides = (there, absent) if name in one else (absent, there)
            found.append(Difference(f"objective {name}", "", *sides))
    return found


def _objectives(examined: Examined) -> dict[str, _Written]:
    configs: Mapping[str, CompositeConfig] = examined.by_name
    if examined.loss is not None:
        configs = {"": examined.loss}
    return {
        name: _Written(in_words(config), dict(_terms(examined.declared[name], (), "")))
        for name, config in configs.items()
    }


def _terms(
    declared: Declared, around: tuple[Declared, ...], prefix: str
) -> Iterator[tuple[str, tuple[Declared, ...]]]:
    """Each term by its whole name: itself, its group, the group around that, and so on."""
    for child in declared.get("terms"):
        if child is None:
            continue
        name = prefix + child.name
        if child.construct is GROUP:
            yield from _terms(child, (child, *around), f"{name}/")
        else:
            yield name, (child, *around)


def _of_terms(objective: str, one: _Written, other: _Written) -> Iterator[Difference]:
    start = f"{objective}: " if objective else ""
    for name in dict.fromkeys((*one.words, *other.words)):
        before, after = one.words.get(name), other.words.get(name)
        if before is None or after is None:
            sides = (
                Side(None if words is None else "", "" if words is None else _place(written, name))
                for words, written in ((before, one), (after, other))
            )
            yield Difference(start + name, "", *sides)
            continue
        for key in dict.fromkeys((*before, *after)):
            if before.get(key) != after.get(key):
                yield Difference(
                    start + name,
                    key,
                    Side(before.get(key), _place(one, name, key)),
                    Side(after.get(key), _place(other, name, key)),
                )


def _place(written: _Written, name: str, key: str = "") -> str:
    """Where a key is written, in the term or a group around it; or else where the term is."""
    lineage = written.terms[name]
    head, _, rest = key.partition(".")
    for declared in lineage if key else ():
        node: Node | None = declared.node.value.get(head)
        if node is not None:
            return _shown(_inner(node, rest, declared).span)
    return _shown(lineage[0].key)


def _inner(node: Node, name: str, declared: Declared) -> Node:
    """A parameter or an input in the value of a key; the value itself if it is not written."""
    if isinstance(node.value, dict):
        inner: Node = node.value.get(name, node)
        return inner
    if isinstance(node.value, list) and declared.loss is not None:
        arguments = declared.loss.arguments
        # A list may end before the optional ones.
        if name in arguments[: len(node.value)]:
            listed: Node = node.value[arguments.index(name)]
            return listed
    return node


def _shown(span: Span | None) -> str:
    document, start, end = (None, 0, 0) if span is None else span
    if document is None:
        return ""
    place = document.place(start, end)
    return f"{document.name}:{place.line}:{place.column}"
