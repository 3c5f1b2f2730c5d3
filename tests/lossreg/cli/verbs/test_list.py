from __future__ import annotations

import json
from typing import Any

import pytest

from built_ins import BUILT_INS
from fake_distributions import TASKS, Site, plugin, task_plugin
from lossreg.cli import main
from lossreg.registry import Registry


def listed(capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["list"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def listed_as_json(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    assert main(["list", "--json"]) == 0
    return {each["name"]: each for each in json.loads(capsys.readouterr().out)}


@pytest.fixture
def crowded(site: Site) -> None:
    """One plugin that is fine, one broken, one that claims a built-in's name."""
    modules = {
        "acme_fine": plugin("fine"),
        "acme_odd": "import no_such_module_anywhere",
        "acme_l1": plugin("l1"),
    }
    entry_points = {"fine": "acme_fine", "odd": "acme_odd", "l1": "acme_l1"}
    site.add("acme", entry_points, modules, version="2.1")


@pytest.mark.parametrize("width", [80, 70])
def test_the_table_fits_the_terminal(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = listed(capsys).splitlines()
    assert max(map(len, lines)) <= width
    assert not any(line != line.rstrip() for line in lines)


def test_every_loss_has_a_row_with_its_summary(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    rows = listed(capsys).splitlines()
    assert rows[0].split() == ["NAME", "FROM", "SUMMARY"]
    assert [row.split()[0] for row in rows[1:]] == list(Registry.installed())
    for row, definition in zip(rows[1:], Registry.installed().values(), strict=True):
        assert row.endswith(definition.summary)


def test_json_says_all_of_each_loss(capsys: pytest.CaptureFixture[str]) -> None:
    found = listed_as_json(capsys)
    assert list(found) == list(Registry.installed())
    version = found["l1"].pop("version")
    assert version
    assert found["l1"] == {
        "name": "l1",
        "summary": "Absolute error",
        "distribution": "lossreg",
        "module": "lossreg_losses.l1",
        "state": "ok",
        "reason": None,
        "generated": False,
    }
    assert {each["state"] for each in found.values()} == {"ok"}


@pytest.mark.usefixtures("crowded")
def test_json_names_the_broken_and_the_conflicting(capsys: pytest.CaptureFixture[str]) -> None:
    found = listed_as_json(capsys)
    acme = {"distribution": "acme", "version": "2.1"}
    assert found["fine"] == {
        **acme,
        "name": "fine",
        "summary": "made up",
        "module": "acme_fine",
        "state": "ok",
        "reason": None,
        "generated": False,
    }
    assert found["odd"] == {
        **acme,
        "name": "odd",
        "summary": None,
        "module": "acme_odd",
        "state": "broken",
        "reason": "ModuleNotFoundError: No module named 'no_such_module_anywhere'",
        "generated": None,
    }
    assert found["acme:l1"] == {
        **acme,
        "name": "acme:l1",
        "summary": "made up",
        "module": "acme_l1",
        "state": "conflict",
        "reason": "claimed by acme and lossreg",
        "generated": False,
    }
    assert found["lossreg:l1"]["module"] == "lossreg_losses.l1"
    assert found["lossreg:l1"]["state"] == "conflict"
    assert "l1" not in found
    fine = {name for name, each in found.items() if each["state"] == "ok"}
    assert fine == {*BUILT_INS, "fine"} - {"l1"}


@pytest.mark.usefixtures("crowded")
def test_the_table_names_the_broken_and_the_conflicting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    text = " ".join(listed(capsys).split())
    assert (
        "odd acme 2.1 BROKEN: ModuleNotFoundError: No module named 'no_such_module_anywhere' "
        "(acme_odd)"
    ) in text
    assert "acme:l1 acme 2.1 CONFLICT: claimed by acme and lossreg (acme_l1)" in text
    assert "fine acme 2.1 made up" in text


def test_tasks_are_listed_when_they_are_asked_for(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    modules = {"acme_line": task_plugin("line"), "acme_odd": "raise SystemExit(3)"}
    site.add("acme", {"line": "acme_line", "odd": "acme_odd"}, modules, group=TASKS)
    assert main(["list", "--kind", "task"]) == 0
    rows = [" ".join(row.split()) for row in capsys.readouterr().out.splitlines()]
    assert "line acme 1.0 made up" in rows
    assert "odd acme 1.0 BROKEN: SystemExit: 3 (acme_odd)" in rows
    assert any(row.startswith("digits lossreg ") for row in rows)
    assert not any(row.startswith("l1 ") for row in rows)
    assert main(["list", "--kind", "task", "--json"]) == 0
    (line,) = [each for each in json.loads(capsys.readouterr().out) if each["name"] == "line"]
    assert line == {
        "name": "line",
        "summary": "made up",
        "distribution": "acme",
        "version": "1.0",
        "module": "acme_line",
        "state": "ok",
        "reason": None,
        "generated": None,
    }
    assert "line" not in listed_as_json(capsys)
