"""Losses that are wrong on purpose, each with the checks of `LossContract` that find it."""

from __future__ import annotations

from wrong_losses.definitions import DEFINITIONS
from wrong_losses.entries import ENTRIES
from wrong_losses.modules import MODULES
from wrong_losses.remembering import REMEMBERING
from wrong_losses.values import VALUES

__all__ = ["WRONG"]

WRONG = {**DEFINITIONS, **VALUES, **MODULES, **ENTRIES, **REMEMBERING}
