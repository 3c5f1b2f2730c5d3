"""Paths, such as `heads.seg.logits` or `hidden[-1]`: where a tensor is in a step's values."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["PathError", "ValuePath"]

_SEGMENT = re.compile(r"([^\s.\[\]]+)((?:\[-?[0-9]{1,9}\])*)")
_INDEX = re.compile(r"-?[0-9]+")


class PathError(ValueError):
    """A text is not a path."""


class ValuePath(NamedTuple):
    """The place of a tensor: keys or attributes (strings) and indexes (integers).

    >>> ValuePath.parse("heads.seg.hidden[-1]").steps
    ('heads', 'seg', 'hidden', -1)
    >>> str(ValuePath(("aux", 2, "boxes")))
    'aux[2].boxes'
    """

    steps: tuple[str | int, ...]

    @classmethod
    def parse(cls, text: str) -> ValuePath:
        """Read a path.

        Raises:
            PathError: The text is not a path.
        """
        steps: list[str | int] = []
        for part in text.split("."):
            match = _SEGMENT.fullmatch(part)
            if match is None:
                raise PathError("expected a path such as logits, heads.seg.logits or hidden[-1]")
            steps.append(match[1])
            steps.extend(int(index) for index in _INDEX.findall(match[2]))
        return cls(tuple(steps))

    def __str__(self) -> str:
        text = ""
        for step in self.steps:
            text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
        return text
