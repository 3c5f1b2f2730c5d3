"""What is installed: distributions, their plugins, and names to definitions."""

from __future__ import annotations

from lossreg.registry.registry import Registry, RegistryEntry

__all__ = ["Registry", "RegistryEntry"]
