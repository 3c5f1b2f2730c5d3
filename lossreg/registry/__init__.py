"""The installed distributions, their plugins, and each kind's definitions by name."""

from __future__ import annotations

from lossreg.registry.kinds import KINDS, LOSSES, TASKS, Kind
from lossreg.registry.registry import Definitions, Registry, RegistryEntry

__all__ = ["KINDS", "LOSSES", "TASKS", "Definitions", "Kind", "Registry", "RegistryEntry"]
