"""What holds for one kind of plugin holds for every kind."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

import pytest

from fake_distributions import LOSSES as LOSS_GROUP
from fake_distributions import Site, plugin, task_plugin
from lossreg.errors import (
    DuplicateLossError,
    DuplicateNameError,
    PluginLoadError,
    UnknownLossError,
    UnknownNameError,
)
from lossreg.registry import KINDS, LOSSES, TASKS, Kind, Registry

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCES: dict[Kind[Any], Callable[..., str]] = {LOSSES: plugin, TASKS: task_plugin}
BOTH = plugin("mine") + task_plugin("ours")

each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.noun)


def test_each_kind_is_tried_here() -> None:
    assert list(SOURCES) == list(KINDS)


@each_kind
def test_what_is_installed_is_what_python_finds(kind: Kind[Any]) -> None:
    installed = Registry.installed().of(kind)
    assert sorted(installed) == sorted(entry_points(group=kind.group).names)
    for name, definition in installed.items():
        assert isinstance(definition, kind.record)
        assert definition.name == name


@each_kind
def test_a_lookup_imports_only_the_named_plugin(site: Site, kind: Kind[Any]) -> None:
    source = SOURCES[kind]
    modules = {"acme_a": source("a"), "acme_b": source("b")}
    site.add("acme", {"a": "acme_a", "b": "acme_b"}, modules, group=kind.group)
    definitions = Registry.installed().of(kind)
    assert "a" in definitions
    assert "acme_a" not in sys.modules
    assert definitions["a"].name == "a"
    assert "acme_b" not in sys.modules
    assert str(definitions.origin("a")) == "acme 1.0, acme_a"
    for other in KINDS:
        if other is not kind:
            assert "a" not in Registry.installed().of(other)


@each_kind
def test_a_broken_plugin_is_named_and_hurts_no_other(site: Site, kind: Kind[Any]) -> None:
    modules = {"acme_odd": "raise SystemExit(3)", "acme_fine": SOURCES[kind]("fine")}
    points = {"odd": "acme_odd", "fine": "acme_fine"}
    site.add("acme", points, modules, version="2.1", group=kind.group)
    definitions = Registry.installed().of(kind)
    with pytest.raises(PluginLoadError) as raised:
        definitions["odd"]
    assert str(raised.value) == f"{kind.noun} 'odd' (acme 2.1, acme_odd): SystemExit: 3"
    assert (raised.value.kind, raised.value.name) == (kind.noun, "odd")
    assert definitions["fine"].name == "fine"
    states = {entry.name: entry.state for entry in definitions.entries()}
    assert states.pop("odd") == "broken"
    assert set(states.values()) == {"ok"}


@each_kind
def test_a_name_that_two_claim_is_refused_and_one_can_be_picked(
    site: Site, kind: Kind[Any]
) -> None:
    for owner in ("acme", "other"):
        modules = {f"{owner}_a": SOURCES[kind]("a")}
        site.add(owner, {"a": f"{owner}_a"}, modules, group=kind.group)
    definitions = Registry.installed().of(kind)
    with pytest.raises(DuplicateNameError) as raised:
        definitions["a"]
    assert "acme 1.0 (acme_a)" in str(raised.value)
    assert str(raised.value).startswith(f"{kind.noun} 'a' is claimed by ")
    assert "'acme:a'" in str(raised.value)
    assert "'other:a'" in str(raised.value)
    assert definitions["acme:a"] is not definitions["other:a"]
    entries = [entry for entry in definitions.entries() if entry.state == "conflict"]
    assert sorted(entry.name for entry in entries) == ["acme:a", "other:a"]


@each_kind
def test_an_unknown_name_is_answered_with_a_near_one(site: Site, kind: Kind[Any]) -> None:
    site.add("acme", {"distill": "acme_a"}, {}, group=kind.group)
    definitions = Registry.installed().of(kind)
    for name, meant in (("distil", "distill"), ("acme:distil", "acme:distill")):
        with pytest.raises(UnknownNameError) as raised:
            definitions[name]
        assert raised.value.suggestion == meant
        assert str(raised.value) == f"unknown {kind.noun} {name!r}; did you mean '{meant}'?"
    with pytest.raises(UnknownNameError, match=f"of that name has {kind.plural} here"):
        definitions["nowhere:zzz"]


def test_only_an_unknown_loss_is_told_as_one(site: Site) -> None:
    registry = Registry.installed()
    with pytest.raises(UnknownLossError):
        registry["zzz"]
    with pytest.raises(UnknownNameError) as unknown:
        registry.of(TASKS)["zzz"]
    assert str(unknown.value) == "unknown task 'zzz'; `lossreg list --kind task` shows them all"
    assert not isinstance(unknown.value, UnknownLossError)
    for owner in ("acme", "other"):
        site.add(owner, {"digits": f"{owner}_a"}, {}, group=TASKS.group)
    with pytest.raises(DuplicateNameError) as duplicate:
        Registry.installed().of(TASKS)["digits"]
    assert not isinstance(duplicate.value, DuplicateLossError)
    assert duplicate.value.loss is None


# What a module named as a task plugin holds, and how the reason begins.
FAULTS = {
    "no marked hook": ("def lossreg_tasks(): return []", "it has no function marked with"),
    "a hook of another kind": (plugin("odd"), "it has no function 'lossreg_tasks' marked with"),
    "no task": (task_plugin(), "lossreg_tasks() returned nothing, but not 'odd'"),
    "another's": (task_plugin("even"), "lossreg_tasks() returned 'even', but not 'odd'"),
    "twins": (task_plugin("odd", "odd"), "lossreg_tasks() returned 'odd' twice"),
    "no builder": (
        task_plugin("odd").replace("lambda: tiny()", "7"),
        "TypeError: TaskDefinition.build must be callable, not 7",
    ),
    "a name with a space": (
        task_plugin("o dd"),
        "ValueError: TaskDefinition.name must be letters, digits, '_' or '-', not 'o dd'",
    ),
    "a loss": (
        plugin("odd").replace("def lossreg_losses", "def lossreg_tasks"),
        "lossreg_tasks() must return a list of TaskDefinition",
    ),
}


@pytest.mark.parametrize(("source", "reason"), FAULTS.values(), ids=FAULTS)
def test_a_module_that_is_not_the_task_plugin_that_it_should_be(
    site: Site, source: str, reason: str
) -> None:
    site.add("acme", {"odd": "acme_odd"}, {"acme_odd": source}, group=TASKS.group)
    with pytest.raises(PluginLoadError) as raised:
        Registry.installed().of(TASKS)["odd"]
    assert raised.value.reason.startswith(reason)


def test_a_named_module_may_hold_either_hook_or_both(site: Site) -> None:
    for name, source in {"l": plugin("a"), "t": task_plugin("b"), "both": BOTH}.items():
        site.module(f"acme_{name}", source)
    registry = Registry([]).with_plugins("acme_l", "acme_t", "acme_both")
    assert list(registry) == ["a", "mine"]
    assert sorted(registry.of(TASKS)) == ["b", "digits", "ours"]
    again = registry.with_plugins()
    assert again.of(TASKS)["ours"] is registry.of(TASKS)["ours"]
    assert again.of(LOSSES)["mine"] is registry["mine"]


def test_a_registry_of_entry_points_of_losses_has_the_installed_tasks() -> None:
    registry = Registry([EntryPoint("a", "loose", LOSS_GROUP)])
    assert list(registry) == ["a"]
    assert "digits" in registry.of(TASKS)
