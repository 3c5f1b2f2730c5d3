"""The hooks that a plugin implements, and the mark of an implementation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from lossreg.plugin.definition import LossDefinition

__all__ = ["PROJECT", "LossHooks", "hookimpl"]

PROJECT = "lossreg"
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function as a plugin's implementation of a hook."""
_hookspec = pluggy.HookspecMarker(PROJECT)


class LossHooks:
    """The hooks that a loss plugin can implement."""

    @_hookspec
    def lossreg_losses(self) -> list[LossDefinition]:
        """The losses of this plugin; an entry point takes the one that bears its name."""
        raise NotImplementedError
