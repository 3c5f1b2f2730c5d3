from __future__ import annotations

import pytest

from lossreg.errors import MissingExtraError, PluginError
from lossreg.experiments.building import build_task
from lossreg.experiments.task import Task
from lossreg.plugin import TaskDefinition
from lossreg.registry import TASKS, Registry
from lossreg.registry.plugins import Origin


def test_each_task_that_is_installed_can_be_built() -> None:
    tasks = Registry.installed().of(TASKS)
    assert "digits" in tasks
    for name, definition in tasks.items():
        assert build_task(definition, tasks.origin(name)).measures


def fail(error: BaseException) -> object:
    raise error


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda: fail(ValueError("no data")), "raised ValueError: no data"),
        (lambda: fail(SystemExit(3)), "raised SystemExit: 3"),
        (lambda _: None, "raised TypeError: "),
        (lambda: Task, "returned type, not a Task"),
        (lambda: None, "returned NoneType, not a Task"),
    ],
    ids=["raises", "exits", "wants an argument", "a class", "nothing"],
)
def test_a_task_that_cannot_be_built_names_its_plugin(build: object, reason: str) -> None:
    definition = TaskDefinition(name="odd", summary="made up", build=build)  # type: ignore[arg-type]
    with pytest.raises(PluginError) as raised:
        build_task(definition, Origin("acme_odd", "acme", "2.1"))
    assert str(raised.value).startswith(f"building the task 'odd' (acme 2.1, acme_odd) {reason}")
    assert (raised.value.kind, raised.value.name, raised.value.loss) == ("task", "odd", None)


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), MissingExtraError("it", extra="x", missing="y")], ids=repr
)
def test_what_is_not_the_tasks_fault_is_not_blamed_on_it(error: BaseException) -> None:
    definition = TaskDefinition(name="odd", summary="made up", build=lambda: fail(error))
    with pytest.raises(type(error)):
        build_task(definition, Origin("acme_odd"))
