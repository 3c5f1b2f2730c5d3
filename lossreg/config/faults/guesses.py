"""What the unknown keys of a mapping were probably meant to be."""

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
    """A key, and the value in it where the space after the colon is missing.

    >>> missing_space("beta:0.5"), missing_space("beta")
    (('beta', '0.5'), ('beta', ''))
    """
    stem, _, rest = written.partition(":")
    return (stem, rest) if rest else (written, "")


@lru_cache(maxsize=4096)  # a value with many aliases asks the same for each
def _near(name: str, known: tuple[str, ...]) -> str | None:
    return closest(name, known)


class Guesses:
    """What the unknown keys of a mapping were probably meant to be.

    Args:
        node: The mapping.
        known: The keys it may have.
        foreign: What other systems call them; a near spelling is more likely.
        astray: Unknown keys that belong elsewhere: what to do with each.

    Attributes:
        written: How keys that the mapping lacks are probably written in it.
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
        """What to do with an unknown key, where there is a guess."""
        if name in self._astray:
            return self._astray[name]
        taken = (meant for meant, written in self.written.items() if written == name)
        meant = next(taken, None) or self.meant(name)
        if meant is None:
            return None
        keys = self._node.keys
        if meant in keys and keys[meant][0] is keys[name][0]:  # an override may mean that one
            return f"'{meant}' is there already; remove this one"
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
            faults: Takes what is wrong.
            code: The fault's code.
            what: What the keys are.
            otherwise: What to say where there is no guess.
        """
        for name in names:
            message = f"{what}; {self.hint(name) or otherwise}"
            faults.add(code, (path, name), message, self._node.keys[name])

    def applied(self, path: ConfigPath, faults: Faults) -> Node:
        """The mapping as it was probably meant, so that one run finds what else is wrong.

        Args:
            path: Its place.
            faults: Is told how keys are written, to show them so.
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
        """The value of an unknown key, which is in the key itself where that lacks its space."""
        value: Node = self._node.value[name]
        stem, text = missing_space(name)
        if value.value is not None or not text:
            return value
        document, start, end = self._node.keys[name]
        if end - start == len(name):  # not in quotes, nor with escapes
            start += len(stem) + 1
        if text[0] in "'\"" and text[-1] == text[0]:
            return Node(text[1:-1], document, start, end)
        inside, rewrite = resolve(text)
        return Node(inside, document, start, end, rewrite)
