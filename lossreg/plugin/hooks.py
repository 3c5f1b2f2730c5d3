"""The hooks that a plugin implements, and the mark of an implementation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from lossreg.plugin.definition import LossDefinition
    from lossreg.plugin.task import TaskDefinition

__all__ = ["HOOKS", "PROJECT", "LossHooks", "TaskHooks", "hookimpl"]

PROJECT = "lossreg"
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function as a plugin's implementation of a hook."""
_hookspec = pluggy.HookspecMarker(PROJECT)


class LossHooks:
    """The hooks that a loss plugin can implement."""

    @_hookspec
    def lossreg_losses(self) -> list[LossDefinition]:
        """The losses of this plugin; an entry point uses the one with its name."""
        raise NotImplementedError


class TaskHooks:
    """The hooks that a task plugin can implement."""

    @_hookspec
    def lossreg_tasks(self) -> list[TaskDefinition]:
        """The tasks of this plugin; an entry point uses the one with its name."""
        raise NotImplementedError


HOOKS = (LossHooks, TaskHooks)
"""All hooks that one module may implement."""
