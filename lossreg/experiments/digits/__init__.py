"""The bundled task. torch and scikit-learn are imported only when it is built."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from lossreg.errors import MissingExtraError
from lossreg.plugin import TaskDefinition, hookimpl

if TYPE_CHECKING:
    from lossreg.experiments.task import Task

__all__ = ["lossreg_tasks"]


def _build() -> Task:
    if importlib.util.find_spec("sklearn") is None:
        raise MissingExtraError("`lossreg run`", extra="experiments", missing="scikit-learn")
    from lossreg.experiments.digits.task import task

    return task()


@hookimpl
def lossreg_tasks() -> list[TaskDefinition]:
    """The task of handwritten digits."""
    return [
        TaskDefinition(
            name="digits",
            summary="Say which handwritten digit it is, and draw it again from 16 numbers",
            build=_build,
        )
    ]
