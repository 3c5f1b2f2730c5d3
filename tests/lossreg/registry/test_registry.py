from __future__ import annotations

import importlib
import os
import subprocess
import sys
import textwrap
from importlib.metadata import EntryPoint

import pytest
import torch

import lossreg
from built_ins import BUILT_INS, without_built_in
from fake_distributions import LOSSES, Site, plugin
from lossreg.errors import DuplicateLossError, PluginLoadError, UnknownLossError
from lossreg.registry.registry import Registry, RegistryEntry


def entry(name: str) -> RegistryEntry:
    (found,) = [each for each in Registry.installed().entries() if each.name == name]
    return found


def test_a_lookup_imports_only_the_named_plugin(site: Site) -> None:
    site.add("acme", {"a": "acme_a", "b": "acme_b"}, {"acme_a": plugin("a"), "acme_b": plugin("b")})
    registry = Registry.installed()
    assert "a" in registry
    assert "acme_a" not in sys.modules
    assert registry["a"].name == "a"
    assert "acme_a" in sys.modules
    assert "acme_b" not in sys.modules


def test_an_error_is_raised_anew_each_time_with_the_same_reason(site: Site) -> None:
    site.add("acme", {"odd": "acme_odd"}, {"acme_odd": "raise RuntimeError('once')"})
    registry = Registry.installed()
    raised = []
    for _ in range(2):
        with pytest.raises(PluginLoadError) as caught:
            registry["odd"]
        raised.append(caught.value)
    assert raised[0] is not raised[1]
    assert str(raised[0]) == str(raised[1])
    assert isinstance(raised[0].__cause__, RuntimeError)
    assert raised[1].__cause__ is raised[0].__cause__


def test_looking_up_twice_loads_once(site: Site) -> None:
    counting = "calls = []\n" + plugin("a").replace("return [\n", "calls.append(1); return [\n")
    site.add("acme", {"a": "acme_a"}, {"acme_a": counting})
    registry = Registry.installed()
    assert registry["a"] is registry["a"]
    assert registry.entry("a").definition is registry["a"]
    assert sys.modules["acme_a"].calls == [1]


@pytest.mark.parametrize("spelling", ["my-dist-x", "My_Dist.x", "MY--dist_.x"])
def test_a_distribution_picks_its_loss_however_it_is_spelt(site: Site, spelling: str) -> None:
    site.add("My_Dist.x", {"l1": "mine"}, {"mine": plugin("l1")})
    registry = Registry.installed()
    assert registry[f"{spelling}:l1"].config.__module__ == "lossreg.plugin.fields"
    assert f"{spelling}:l1" in registry
    assert registry["lossreg:l1"].config.__module__ == "lossreg_losses.l1"


def test_two_claims_to_a_name_are_an_error_that_names_both(site: Site) -> None:
    site.add("acme", {"l1": "acme_l1"}, {"acme_l1": plugin("l1")}, version="3.0")
    registry = Registry.installed()
    with pytest.raises(DuplicateLossError) as raised:
        registry["l1"]
    assert sorted(raised.value.distributions) == ["acme", "lossreg"]
    assert "'acme:l1'" in str(raised.value)
    assert "'lossreg:l1'" in str(raised.value)
    assert "l1" not in registry
    assert "acme_l1" not in sys.modules
    assert registry["mse"].name == "mse"

    theirs, ours = entry("acme:l1"), entry("lossreg:l1")
    assert (theirs.state, ours.state) == ("conflict", "conflict")
    assert theirs.reason == ours.reason == "claimed by acme and lossreg"
    assert (theirs.distribution, theirs.version, theirs.module) == ("acme", "3.0", "acme_l1")
    assert theirs.definition is not None


def test_a_name_without_a_rival_can_be_asked_of_its_distribution() -> None:
    assert Registry.installed()["lossreg:mse"].name == "mse"


def test_one_module_serves_two_entry_points(site: Site) -> None:
    site.add("acme", {"a": "acme_both", "b": "acme_both"}, {"acme_both": plugin("a", "b")})
    registry = Registry.installed()
    assert (registry["a"].name, registry["b"].name) == ("a", "b")


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("smooth_l", "smooth_l1"),
        ("CrossEntropyLoss", "cross_entropy"),
        ("torch.nn.MSELoss", "mse"),
        ("lossreg:MSELoss", "lossreg:mse"),
        ("losreg:mse", "lossreg:mse"),
        ("zzz", None),
        ("", None),
        (7, None),
    ],
)
def test_an_unknown_name_is_a_key_error_with_a_suggestion(
    name: object, suggestion: str | None
) -> None:
    with pytest.raises(UnknownLossError) as raised:
        Registry.installed()[name]  # type: ignore[index]
    assert isinstance(raised.value, KeyError)
    assert (raised.value.loss, raised.value.suggestion) == (name, suggestion)
    hint = f"did you mean {suggestion!r}?" if suggestion else "`lossreg list` shows them all"
    assert str(raised.value) == f"unknown loss {name!r}; {hint}"


@pytest.mark.parametrize(
    ("name", "remark"),
    [
        ("rmse", "'mse' is its square"),
        ("lossreg:RMSELoss", "'mse' is its square"),
        (
            "nowhere:mse",
            "no distribution or module of that name has losses here; 'mse' is from 'lossreg'",
        ),
        ("nowhere:focal", "no distribution or module of that name has losses here"),
        ("acme:mse", "'mse' is from 'lossreg'"),
        ("acme:odd_one", "losses with near names, which may differ: 'odd_loss_one_more'"),
        ("acme:CrossEntropyLoss", "`lossreg list` shows them all"),
    ],
)
def test_another_loss_is_not_suggested_but_named_as_another(
    site: Site, name: str, remark: str
) -> None:
    site.add("acme", {"odd_loss_one_more": "acme_a", "odd": "acme_a"}, {})
    with pytest.raises(UnknownLossError) as raised:
        Registry.installed()[name]
    assert raised.value.suggestion is None
    assert str(raised.value).startswith(f"unknown loss '{name}'; {remark}")


def test_an_installed_name_goes_before_what_others_call_a_loss(site: Site) -> None:
    site.add("acme", {"huber": "acme_a", "triplet_margin_pml": "acme_a"}, {})
    registry = without_built_in("huber")
    for name, meant in (
        ("HuberLoss", "huber"),
        ("torch.nn.HuberLoss", "huber"),
        ("hubre", "huber"),
        ("acme_a.HuberLoss", "huber"),
        ("acme:Huber", "acme:huber"),
    ):
        with pytest.raises(UnknownLossError, match=f"did you mean '{meant}'\\?$") as raised:
            registry[name]
        assert raised.value.suggestion == meant
        assert raised.value.remark == ""


def test_the_mapping_is_read_only() -> None:
    registry = Registry.installed()
    with pytest.raises(TypeError):
        registry["mine"] = registry["l1"]  # type: ignore[index]
    with pytest.raises(TypeError):
        del registry["l1"]  # type: ignore[attr-defined]


def test_the_mapping_has_each_name_once_in_order(site: Site) -> None:
    site.add("acme", {"l1": "acme_l1", "a": "acme_l1"}, {"acme_l1": plugin("l1", "a")})
    registry = Registry.installed()
    assert list(registry) == sorted({*BUILT_INS, "a"})
    assert len(registry) == len(BUILT_INS) + 1
    assert registry.get("nope") is None
    assert "nope" not in registry
    assert 7 not in registry


def test_entry_points_of_no_distribution_work(site: Site) -> None:
    (site.path / "loose.py").write_text(plugin("a"), encoding="utf-8")
    registry = Registry([EntryPoint("a", "loose", LOSSES), EntryPoint("b", "loose", LOSSES)])
    found = registry.entry("a")
    assert (found.distribution, found.version, found.state) == (None, None, "ok")
    with pytest.raises(PluginLoadError, match=r"loss 'b' \(no distribution, loose\)"):
        registry["b"]


def test_an_entry_point_may_name_an_object_of_a_module(site: Site) -> None:
    source = (
        "from lossreg.plugin import hookimpl\n"
        "from acme_plain import lossreg_losses as losses\n"
        "class Plugin:\n"
        "    lossreg_losses = staticmethod(hookimpl(lambda: losses()))\n"
    )
    modules = {"acme_object": source, "acme_plain": plugin("a")}
    site.add("acme", {"a": "acme_object:Plugin"}, modules)
    assert Registry.installed()["a"].name == "a"


def test_plugins_are_found_by_a_fresh_interpreter(site: Site) -> None:
    site.add("acme", {"a": "acme_a", "l1": "acme_a"}, {"acme_a": plugin("a", "l1")})
    site.add("bad", {"b": "bad_b"}, {"bad_b": "raise SystemExit(5)"}, version="0.3")
    code = (
        "import lossreg\n"
        "registry = lossreg.Registry.installed()\n"
        "print(registry['a'].name, registry['mse'].name, registry['acme:l1'].name)\n"
        "print(*[e.name for e in registry.entries() if e.state != 'ok'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(site.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["a mse l1", "b acme:l1 lossreg:l1"]


def test_a_module_that_is_not_installed_can_be_added(site: Site) -> None:
    site.module("acme_own", plugin("own", "other"))
    installed = Registry.installed()
    registry = installed.with_plugins("acme_own")
    assert (registry["own"].name, registry["other"].name) == ("own", "other")
    assert registry["l1"].name == "l1"
    assert "own" not in installed
    assert list(registry) == sorted([*installed, "own", "other"])
    found = registry.entry("own")
    assert (found.distribution, found.version, found.module) == (None, None, "acme_own")
    assert str(registry.origin("own")) == "acme_own"
    assert registry["acme_own:own"] is registry["own"]
    assert registry.with_plugins()["own"] is registry["own"]
    assert lossreg.create("own", registry=registry)(torch.ones(2), torch.zeros(2)) == 1


def test_modules_are_given_by_name_or_as_they_are(site: Site) -> None:
    site.module("acme_a", plugin("a"))
    site.module("acme_b", plugin("b"))
    module = importlib.import_module("acme_a")
    registry = Registry([]).with_plugins(module, "acme_b").with_plugins("acme_a", module)
    assert [(each.name, each.state) for each in registry.entries()] == [("a", "ok"), ("b", "ok")]


def test_a_module_that_an_entry_point_names_claims_nothing_twice(site: Site) -> None:
    site.add("acme", {"a": "acme_a"}, {"acme_a": plugin("a", "b")})
    registry = Registry.installed().with_plugins("acme_a")
    assert registry.entry("a").distribution == "acme"
    assert registry.entry("b").distribution is None


def test_an_added_module_shadows_nothing(site: Site) -> None:
    site.add("acme", {"a": "acme_a"}, {"acme_a": plugin("a")}, version="3.0")
    site.module("own", plugin("a"))
    registry = Registry.installed().with_plugins("own")
    with pytest.raises(DuplicateLossError) as raised:
        registry["a"]
    assert str(raised.value) == (
        "loss 'a' is claimed by acme 3.0 (acme_a) and own; write 'acme:a' or 'own:a'"
    )
    assert registry["own:a"] is not registry["acme:a"]
    states = {each.name: each.reason for each in registry.entries() if each.state == "conflict"}
    assert states == dict.fromkeys(("acme:a", "own:a"), "claimed by acme and own")


def test_a_module_that_cannot_be_added_is_named(site: Site) -> None:
    site.module("acme_odd", "raise SystemExit(3)")
    for module, reason in (
        ("acme_odd", "SystemExit: 3"),
        ("acme_nothing", "ModuleNotFoundError: No module named 'acme_nothing'"),
        (textwrap, "it has no function marked with lossreg.plugin.hookimpl"),
    ):
        with pytest.raises(PluginLoadError) as raised:
            Registry.installed().with_plugins(module)
        name = module if isinstance(module, str) else module.__name__
        assert str(raised.value) == f"plugin '{name}': {reason}"
        assert (raised.value.loss, raised.value.distribution) == (None, None)


def test_unreadable_entry_points_stay_known(site: Site) -> None:
    site.add("acme", {}, {})
    (site.metadata("acme") / "entry_points.txt").write_bytes(b"\x80\xff")
    site.module("acme_own", plugin("own"))
    registry = Registry.installed().with_plugins("acme_own")
    assert [each.name for each in registry.entries() if each.state == "broken"] == ["acme:?"]
