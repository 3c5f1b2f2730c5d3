from __future__ import annotations

import sys

import pytest

from fake_distributions import TASKS, Site, plugin, task_plugin
from lossreg.config import examine, load_experiment
from lossreg.errors import Diagnostic
from lossreg.registry import Registry

ELSEWHERE = "no distribution or module of that name has tasks here; 'digits' is from 'lossreg'"


def faults_of(task: object) -> Diagnostic:
    """What is wrong with an experiment on this task."""
    (diagnostic,) = examine({"task": task, "loss": {"terms": {"fit": {"type": "mse"}}}}).diagnostics
    assert diagnostic.path == "task"
    return diagnostic


@pytest.mark.parametrize(
    ("task", "told"),
    [
        ("digit", "the string 'digit'; did you mean 'digits'?"),
        ("zzz", "the string 'zzz'"),
        ("lossreg:digit", "the string 'lossreg:digit'; did you mean 'lossreg:digits'?"),
        (
            "acme:digits",
            f"the string 'acme:digits'; {ELSEWHERE}",
        ),
        (["digits"], "a list"),
        (7, "7"),
    ],
    ids=str,
)
def test_a_task_that_is_not_installed(task: object, told: str) -> None:
    diagnostic = faults_of(task)
    assert diagnostic.code == "LR501"
    assert diagnostic.message == f"expected a task (digits), found {told}"


def test_only_the_task_that_is_named_is_imported(site: Site) -> None:
    modules = {"acme_a": task_plugin("a"), "acme_b": task_plugin("b")}
    site.add("acme", {"a": "acme_a", "b": "acme_b"}, modules, version="2.1", group=TASKS)
    experiment = load_experiment({"task": "a", "loss": {"terms": {"fit": {"type": "mse"}}}})
    assert (experiment.task, experiment.definition.name) == ("a", "a")
    assert str(experiment.origin) == "acme 2.1, acme_a"
    assert "acme_b" not in sys.modules


def test_many_tasks_are_not_all_listed(site: Site) -> None:
    site.add("acme", dict.fromkeys("abcd", "acme_a"), {}, group=TASKS)
    assert faults_of(7).message == "expected a task (a, b, c, …), found 7"


def test_a_task_that_two_claim(site: Site) -> None:
    modules = {"acme_digits": task_plugin("digits")}
    site.add("acme", {"digits": "acme_digits"}, modules, group=TASKS)
    diagnostic = faults_of("digits")
    assert diagnostic.code == "LR302"
    assert diagnostic.message.startswith("task 'digits' is claimed by ")
    assert "acme 1.0 (acme_digits)" in diagnostic.message
    assert "'lossreg:digits'" in diagnostic.message
    loss = {"terms": {"fit": {"type": "mse"}}}
    for name, module in (
        ("acme:digits", "acme_digits"),
        ("lossreg:digits", "lossreg.experiments.digits"),
    ):
        assert load_experiment({"task": name, "loss": loss}).origin.module == module


def test_a_task_whose_plugin_is_broken_hurts_no_other(site: Site) -> None:
    site.add("acme", {"odd": "acme_odd"}, {"acme_odd": "raise SystemExit(3)"}, group=TASKS)
    diagnostic = faults_of("odd")
    assert diagnostic.code == "LR301"
    assert diagnostic.message == "task 'odd' (acme 1.0, acme_odd): SystemExit: 3"
    assert load_experiment({"task": "digits", "loss": {"terms": {"fit": {"type": "mse"}}}})


def test_where_a_task_may_be_that_cannot_be_read(site: Site) -> None:
    site.add("acme", {}, {}, group=TASKS)
    (site.metadata("acme") / "entry_points.txt").write_bytes(b"\x80")
    told = "found the string 'zzz'; it may be in acme 1.0: its entry_points.txt cannot be read: "
    assert faults_of("zzz").message.startswith(f"expected a task (digits), {told}")


def test_tasks_of_a_named_module_count(site: Site) -> None:
    site.module("acme_own", task_plugin("line") + plugin("own"))
    source = {"task": "line", "loss": {"terms": {"fit": {"type": "own"}}}}
    registry = Registry.installed().with_plugins("acme_own")
    experiment = load_experiment(source, registry=registry)
    assert (experiment.definition.name, str(experiment.origin)) == ("line", "acme_own")


@pytest.mark.parametrize("task", ["digits", "digit", "lossreg:digits"])
def test_an_experiment_without_a_loss_is_known_by_its_task(task: str) -> None:
    diagnostic = faults_of_text(f"task: {task}\nmodel: {{width: 3}}\n")
    assert (diagnostic.code, diagnostic.path) == ("LR109", "task")


def faults_of_text(text: str) -> Diagnostic:
    return next(each for each in examine(text.encode()).diagnostics if each.code == "LR109")
