"""Guesses at what the unknown keys of a mapping were meant to be."""

from __future__ import annotations

from functools import lru_cache
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING

from lossreg.config.faults.faults import clipped
from lossreg.config.read.nodes import MOST_FAULTS, Node
from lossreg.config.read.scalars import resolve
from lossreg.names import closest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from lossreg.config.faults.faults import ConfigPath, Faults
    from lossreg.config.grammar import Construct

__all__ = ["Guesses", "missing_space"]

_NONE: Mapping[str, str] = MappingProxyType({})


def missing_space(written: str) -> tuple[str, str]:
    """A key, and the value inside it if the space after the colon is missing.

    >>> missing_space("beta:0.5"), missing_space("beta")
    (('beta', '0.5'), ('beta', ''))
    """
    stem, _, rest = written.partition(":")
    return (stem, rest) if rest else (written, "")


@lru_cache(maxsize=4096)  # asked again for every alias of a value
def _near(name: str, known: tuple[str, ...]) -> str | None:
    return closest(name, known)


class Guesses:
    """Guesses at what the unknown keys of a mapping were meant to be.

    Args:
        node: The mapping.
        known: The keys it may have.
        foreign: The key that each name in other systems stands for; a near spelling of a known
            key is preferred.
        astray: What to do with each unknown key that belongs elsewhere.

    Attributes:
        written: By each key that the mapping lacks, the unknown key that was probably meant as it.
    """

    def __init__(
        self,
        node: Node,
        known: Collection[str],
        foreign: Mapping[str, str] = _NONE,
        astray: Mapping[str, str] = _NONE,
    ) -> None:
        self._node = node
        self._known = tuple(known)
        self._foreign = foreign
        self._astray = astray
        translated: dict[str, str] = {}
        self.written: dict[str, str] = {}
        for name in islice(node.keys, MOST_FAULTS):
            if name not in known and name not in astray:
                meant = self.meant(name)
                if meant is not None and meant not in node.value:
                    is_foreign = missing_space(name)[0] in foreign
                    (translated if is_foreign else self.written).setdefault(meant, name)
        for meant, name in translated.items():
            self.written.setdefault(meant, name)

    @classmethod
    def of(cls, construct: Construct, node: Node, astray: Mapping[str, str] = _NONE) -> Guesses:
        """The guesses at the keys of one kind of mapping."""
        return cls(node, construct.names, construct.foreign, astray)

    def meant(self, name: str) -> str | None:
        """The key that was probably meant by an unknown one."""
        stem, _ = missing_space(name)
        named = self._foreign.get(stem, stem)
        return named if named in self._known else _near(stem, self._known)

    def hint(self, name: str) -> str | None:
        """What to do with an unknown key; None if there is no guess."""
        if name in self._astray:
            return self._astray[name]
        taken = (meant for meant, written in self.written.items() if written == name)
        meant = next(taken, None) or self.meant(name)
        if meant is None:
            return None
        keys = self._node.keys
        if meant in keys and keys[meant][0] is keys[name][0]:  # an override may mean that one
            return f"'{meant}' is already given; remove this key"
        other = self.written.get(meant, name)
        if other != name:
            return f"did you mean '{meant}', as with '{clipped(other)}'? remove one of them"
        _, rest = missing_space(name)
        if rest:
            return f"did you mean `{meant}: {clipped(rest)}`, with a space?"
        return f"did you mean '{meant}'?"

    def note(
        self,
        names: Iterable[str],
        path: ConfigPath,
        faults: Faults,
        *,
        code: str = "LR104",
        what: str = "unknown key",
        otherwise: str = "",
    ) -> None:
        """Note unknown keys, each with what to do about it.

        Args:
            names: The keys.
            path: The mapping's place.
            faults: Takes the faults.
            code: The fault's code.
            what: The start of the message: what the keys are.
            otherwise: The hint where there is no guess.
        """
        for name in names:
            message = f"{what}; {self.hint(name) or otherwise}"
            faults.add(code, (path, name), message, self._node.keys[name])

    def applied(self, path: ConfigPath, faults: Faults) -> Node:
        """The mapping as it was probably meant, so that one run finds its other faults, too.

        Args:
            path: Its place.
            faults: Learns how the keys are written, to show them so.
        """
        if not self.written:
            return self._node
        meant = self._node.copy()
        for right, name in self.written.items():
            del meant.value[name]
            meant.keys[right] = meant.keys.pop(name)
            meant.value[right] = self.value(name)
            faults.read_as(path, name, right)
        return meant

    def value(self, name: str) -> Node:
        """The value of an unknown key: inside the key if the space after its colon is missing."""
        value: Node = self._node.value[name]
        stem, text = missing_space(name)
        if value.value is not None or not text:
            return value
        document, start, end = self._node.keys[name]
        if end - start == len(name):  # without quotes and escapes
            start += len(stem) + 1
        if text[0] in "'\"" and text[-1] == text[0]:
            return Node(text[1:-1], document, start, end)
        scalar, rewrite = resolve(text)
        return Node(scalar, document, start, end, rewrite)
