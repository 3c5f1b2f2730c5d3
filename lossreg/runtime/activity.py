"""Which terms are active: a function of the completed steps and epochs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lossreg.config.models import Active

__all__ = ["Activity"]


class Activity:
    """Which terms are active.

    Args:
        terms: For each term that has some, its times and those of its groups: it is active where
            all of them hold.
    """

    def __init__(self, terms: Mapping[str, tuple[Active, ...]]) -> None:
        self._terms = {name: times for name, times in terms.items() if times}

    def __bool__(self) -> bool:
        return bool(self._terms)

    def __iter__(self) -> Iterator[Active]:
        return (active for times in self._terms.values() for active in times)

    def has(self, name: str, steps: int, epochs: int, *, training: bool) -> bool:
        """Whether a term is active after a number of steps and epochs.

        Args:
            name: The term's name.
            steps: The completed steps.
            epochs: The completed epochs.
            training: Whether `every_steps` and `every_epochs` count; `eval()` ignores them.
        """
        times = self._terms.get(name, ())
        return all(active.holds(steps, epochs, training=training) for active in times)

    def factor(self, name: str) -> int:
        """What `times_every` multiplies a term's weight by, in training."""
        return math.prod(active.factor for active in self._terms.get(name, ()))
