"""A run of objectives on small real tensors: what was asked for, what fills it, and the run."""

from __future__ import annotations

from lossreg.testing.trial.asked import Asked, WordError, asked_for, nested, sizes_of
from lossreg.testing.trial.results import Trial
from lossreg.testing.trial.run import try_out
from lossreg.testing.trial.template import wanted_words

__all__ = [
    "Asked",
    "Trial",
    "WordError",
    "asked_for",
    "nested",
    "sizes_of",
    "try_out",
    "wanted_words",
]
