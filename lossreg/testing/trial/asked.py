"""The words of a trial, such as `logits=N 10`: which tensors a step is to have."""

from __future__ import annotations

import math
import re
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from lossreg.names import closest
from lossreg.vocabulary.arguments import DTYPE, DTYPES
from lossreg.vocabulary.paths import PathError, ValuePath

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["LIMIT", "Asked", "WordError", "asked_for", "nested", "sizes_of", "within_limit"]

LIMIT = 2**30
"""How many bytes all tensors of a trial may have together."""

_NAMES = (*DTYPES, "int8", "int16", "complex64")
_FOREIGN = dict(DTYPE.foreign)
_LETTER = re.compile(r"[A-Za-z][0-9]?|\*")
# A number has a point, an exponent or a sign; a size has none.
_NUMBER = re.compile(r"[+-]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)([eE][+-]?[0-9]+)?")
_SCALAR = "scalar"
_MOST_ELEMENTS = 1000
_LARGEST = 2**40


class WordError(ValueError):
    """A word of a trial is wrong."""


class Asked(NamedTuple):
    """One value of the step.

    Attributes:
        path: Where it is.
        shape: Its dimensions: letters, and sizes as numbers.
        dtype: torch's name of its dtype.
        number: The value, if it is a Python number and not a tensor.
    """

    path: ValuePath
    shape: tuple[str | int, ...] = ()
    dtype: str = "float32"
    number: float | None = None

    def sizes(self, letters: Mapping[str, int]) -> tuple[int, ...]:
        """The size of each dimension."""
        return tuple(size if isinstance(size, int) else letters[size] for size in self.shape)


def asked_for(words: Iterable[str]) -> list[Asked]:
    """Read words such as `logits=N 10` and `labels=N int64`.

    Raises:
        WordError: A word is wrong; the message says where in it.

    >>> asked_for(["heads.seg=N 4 8 8 float64"])[0].shape
    ('N', 4, 8, 8)
    """
    found: dict[ValuePath, Asked] = {}
    for word in words:
        asked = _asked(word)
        if asked.path in found:
            raise WordError(f"'{asked.path}' stands twice")
        found[asked.path] = asked
    nested(dict.fromkeys(found))
    return list(found.values())


def _asked(word: str) -> Asked:
    name, equals, shape = word.partition("=")
    if not equals:
        raise WordError(
            f"'{word}': expected a path and a shape, as in {name or 'logits'}='N 10' or "
            "labels='N int64'"
        )
    try:
        path = ValuePath.parse(name)
    except PathError as error:
        raise WordError(f"'{word}': at character 1, found '{name}'; {error}") from None
    _check_indexes(word, path)
    text = shape.strip()
    if _NUMBER.fullmatch(text) and not text.isdigit():
        number = float(text)
        if not math.isfinite(number):
            raise WordError(f"'{word}': expected a finite number")
        return Asked(path, number=number)
    start = len(name) + 1
    parts = [(match[0], start + match.start()) for match in re.finditer(r"\S+", shape)]
    dtype = "float32"
    if parts and parts[-1][0] in _NAMES:
        dtype = parts.pop()[0]
    if [part for part, _ in parts] == [_SCALAR]:
        parts = []
    return Asked(path, tuple(_dimension(word, *part) for part in parts), dtype)


def _check_indexes(word: str, path: ValuePath) -> None:
    for step in path.steps:
        if isinstance(step, int) and not 0 <= step < _MOST_ELEMENTS:
            raise WordError(
                f"'{word}': expected places from [0] to [{_MOST_ELEMENTS - 1}], found [{step}]; a "
                "list is given element by element from its start"
            )


def _dimension(word: str, part: str, place: int) -> str | int:
    where = f"'{word}': at character {place + 1}, found '{part}'"
    if part.isascii() and part.isdigit():
        if not 0 < int(part) < _LARGEST:
            raise WordError(f"{where}; expected a size of at least 1, and below 2^40")
        return int(part)
    if _LETTER.fullmatch(part):
        return part
    if part in _NAMES:
        raise WordError(f"{where}; the dtype comes last, after all dimensions")
    meant = _FOREIGN.get(part.removeprefix("torch.")) or closest(
        part.removeprefix("torch."), _NAMES
    )
    if meant is not None:
        raise WordError(f"{where}; did you mean the dtype '{meant}'?")
    raise WordError(
        f"{where}; expected dimensions, each a letter such as N or a size such as 10, separated by "
        f"blanks, and then perhaps a dtype ({', '.join(_NAMES)})"
    )


def sizes_of(asked: Sequence[Asked], fixed: Iterable[str] = ()) -> dict[str, int]:
    """A small size for each letter, different from all other sizes, so that swaps are seen.

    Args:
        asked: The values of the step.
        fixed: Sizes that are given, such as `N=4`.

    Raises:
        WordError: A size is not one, or no shape has its letter.

    >>> sizes_of(asked_for(["logits=N C 3", "labels=N 3 int64"]), ["C=10"])
    {'N': 2, 'C': 10}
    """
    letters = dict.fromkeys(
        letter for one in asked for letter in one.shape if isinstance(letter, str)
    )
    given: dict[str, int] = {}
    for word in fixed:
        letter, _, size = (part.strip() for part in word.partition("="))
        if not (size.isascii() and size.isdigit() and 0 < int(size) < _LARGEST):
            raise WordError(f"'--size {word}': expected a letter and its size, as in N=4")
        if letter not in letters:
            there = f"there is {', '.join(letters)}" if letters else "there are no letters"
            raise WordError(f"'--size {word}': no shape has the letter '{letter}'; {there}")
        given[letter] = int(size)
    taken = {size for one in asked for size in one.shape if isinstance(size, int)}
    free = (size for size in count(2) if size not in taken | {*given.values()})
    return {letter: given.get(letter) or next(free) for letter in letters}


def within_limit(asked: Iterable[Asked], letters: Mapping[str, int]) -> None:
    """Refuse more than `LIMIT` bytes.

    Raises:
        WordError: The tensors are larger together; the message names the largest.
    """
    sizes = {}
    for one in asked:
        itemsize = getattr(torch, one.dtype).itemsize
        sizes[one] = 0 if one.number is not None else math.prod(one.sizes(letters)) * itemsize
    total = sum(sizes.values())
    if total > LIMIT:
        largest = max(sizes, key=lambda one: sizes[one])
        raise WordError(
            f"the tensors would have {_readable(total)} together, and a trial takes at most 1 GiB; "
            f"the largest is '{largest.path}', {largest.sizes(letters)} {largest.dtype} of "
            f"{_readable(sizes[largest])}; small sizes show as much: write letters or low numbers"
        )


def _readable(size: int) -> str:
    for unit, power in (("TiB", 40), ("GiB", 30), ("MiB", 20)):
        if size >= 2**power:
            return f"{size / 2**power:,.1f} {unit}"
    return f"{size:,} bytes"


def nested(leaves: Mapping[ValuePath, Any]) -> Any:
    """The step's values: mappings and lists with these leaves; None at places between.

    Raises:
        WordError: Two paths contradict each other.

    >>> nested({ValuePath.parse("aux[1].logits"): 5})
    {'aux': [None, {'logits': 5}]}
    """
    tree: dict[str | int, Any] = {}
    for path, leaf in leaves.items():
        inner = tree
        for index, step in enumerate(path.steps):
            here = ValuePath(path.steps[: index + 1])
            kinds = {type(key) for key in (*inner, step)}
            if len(kinds) > 1:
                owner = ValuePath(path.steps[:index])
                raise WordError(
                    f"'{path}': '{owner}' cannot have both names and places such as [0]"
                    if index
                    else f"'{path}': the values cannot have both names and places such as [0]"
                )
            last = index == len(path.steps) - 1
            if (last and step in inner) or (not last and isinstance(inner.get(step), _Leaf)):
                raise WordError(f"'{here}' cannot be a value and have values under it ('{path}')")
            if last:
                inner[step] = _Leaf(leaf)
            else:
                inner = inner.setdefault(step, {})
    return _grown(tree)


class _Leaf(NamedTuple):
    value: Any


def _grown(tree: Any) -> Any:
    if isinstance(tree, _Leaf):
        return tree.value
    if tree and all(isinstance(key, int) for key in tree):
        return [_grown(tree[place]) if place in tree else None for place in range(max(tree) + 1)]
    return {key: _grown(inner) for key, inner in tree.items()}
