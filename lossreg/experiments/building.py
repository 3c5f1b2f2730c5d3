"""Build a task from its definition; an error names the plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossreg.errors import MissingExtraError, PluginError, described
from lossreg.experiments.task import Task

if TYPE_CHECKING:
    from lossreg.plugin import TaskDefinition
    from lossreg.registry.plugins import Origin

__all__ = ["build_task"]


def build_task(definition: TaskDefinition, origin: Origin) -> Task:
    """Make a task ready to be trained.

    Args:
        definition: The task. Its builder is third-party code: it may raise or return anything.
        origin: The module and distribution of the definition.

    Raises:
        PluginError: The task cannot be built.
        MissingExtraError: The task needs a package that is not installed.
    """
    try:
        task = definition.build()
    except (KeyboardInterrupt, MissingExtraError):
        raise
    except BaseException as error:
        raise _unbuilt(definition, origin, f"raised {described(error)}") from error
    if not isinstance(task, Task):
        raise _unbuilt(definition, origin, f"returned {type(task).__name__}, not a Task")
    return task


def _unbuilt(definition: TaskDefinition, origin: Origin, reason: str) -> PluginError:
    message = f"building the task '{definition.name}' ({origin}) {reason}"
    return PluginError(message, name=definition.name, kind="task")
