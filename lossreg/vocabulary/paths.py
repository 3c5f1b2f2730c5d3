"""Paths, such as `heads.seg.logits` or `hidden[-1]`: where a tensor is in a step's values."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["PathError", "ValuePath"]

_INDEXES = r"((?:\[-?[0-9]{1,9}\])*)"
_SEGMENT = re.compile(r"([^\s.\[\]]+)" + _INDEXES)
_ROOT = re.compile("()" + _INDEXES)  # where the values themselves are a list or a tuple
_INDEX = re.compile(r"-?[0-9]+")


class PathError(ValueError):
    """A text is not a path."""


class ValuePath(NamedTuple):
    """The place of a tensor: keys or attributes (strings) and indexes (integers).

    >>> ValuePath.parse("heads.seg.hidden[-1]").steps
    ('heads', 'seg', 'hidden', -1)
    >>> str(ValuePath(("aux", 2, "boxes")))
    'aux[2].boxes'
    >>> ValuePath.parse("[0].logits").steps
    (0, 'logits')
    """

    steps: tuple[str | int, ...]

    @classmethod
    def parse(cls, text: str) -> ValuePath:
        """Read a path.

        Raises:
            PathError: The text is not a path.
        """
        steps: list[str | int] = []
        for index, part in enumerate(text.split(".")):
            begins = index == 0 and part.startswith("[")
            match = (_ROOT if begins else _SEGMENT).fullmatch(part)
            if match is None:
                raise PathError("expected a path such as logits, heads.seg.logits or hidden[-1]")
            if match[1]:
                steps.append(match[1])
            steps.extend(int(index) for index in _INDEX.findall(match[2]))
        return cls(tuple(steps))

    def __str__(self) -> str:
        text = ""
        for step in self.steps:
            text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
        return text
