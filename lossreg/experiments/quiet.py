"""Keeps Lightning's notices out of a run's own report."""

from __future__ import annotations

import contextlib
import logging
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["quiet"]

# These log the available devices, tips, and the end of training.
_LOGGERS = ("lightning.pytorch", "lightning.fabric")
_WARNINGS = (
    # Advice that is wrong for a data set of a few hundred kilobytes in memory.
    ".*does not have many workers",
    ".*is smaller than the logging interval",
    # The run has just made this folder.
    "Checkpoint directory .* exists and is not empty",
    # Lightning's own use of torch.
    r".*isinstance\(treespec, LeafSpec\)",
)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """A context in which Lightning's notices and misplaced warnings are not shown."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        with warnings.catch_warnings():
            for message in _WARNINGS:
                warnings.filterwarnings("ignore", message=message, module="lightning")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
