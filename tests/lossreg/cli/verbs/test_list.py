from __future__ import annotations

import json
import re
import sys
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
    assert re.fullmatch(rf"lossreg \S+: {len(Registry.installed())} losses", rows[0])
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
        "aliases": [],
        "missing": [],
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
        "aliases": [],
        "missing": [],
    }
    assert found["odd"] == {
        **acme,
        "name": "odd",
        "summary": None,
        "module": "acme_odd",
        "state": "broken",
        "reason": "ModuleNotFoundError: No module named 'no_such_module_anywhere'",
        "generated": None,
        "aliases": [],
        "missing": [],
    }
    assert found["acme:l1"] == {
        **acme,
        "name": "acme:l1",
        "summary": "made up",
        "module": "acme_l1",
        "state": "conflict",
        "reason": "claimed by acme and lossreg",
        "generated": False,
        "aliases": [],
        "missing": [],
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
    assert text.startswith(
        "acme 2.1: 3 losses fine made up acme:l1 CONFLICT: claimed by acme and lossreg (acme_l1) "
        "odd BROKEN: ModuleNotFoundError: No module named 'no_such_module_anywhere' (acme_odd) "
        "lossreg "
    )


def test_tasks_are_listed_when_they_are_asked_for(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    modules = {"acme_line": task_plugin("line"), "acme_odd": "raise SystemExit(3)"}
    site.add("acme", {"line": "acme_line", "odd": "acme_odd"}, modules, group=TASKS)
    assert main(["list", "--kind", "task"]) == 0
    rows = [" ".join(row.split()) for row in capsys.readouterr().out.splitlines()]
    assert rows[:3] == ["acme 1.0: 2 tasks", "line made up", "odd BROKEN: SystemExit: 3 (acme_odd)"]
    assert any(row.startswith("digits ") for row in rows)
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
        "aliases": [],
        "missing": [],
    }
    assert "line" not in listed_as_json(capsys)


@pytest.fixture
def bridged(site: Site) -> None:
    """Two bridges of a library that is not installed, one of which needs more for one loss."""
    needs = "('no-such-library>=1.4',)"
    names = ("far_dice", "far_focal")
    whole = plugin(*names).replace("name=name,", f"name=name, requires={needs},")
    aliases = "aliases=('DiceCELoss',) if name == 'near_ce' else (),"
    more = "requires=('torch', 'no-such-thing') if name == 'near_ce' else (),"
    part = plugin("near_ce", "near_iou").replace("name=name,", f"name=name, {aliases} {more}")
    site.add("far-losses", dict.fromkeys(names, "far"), {"far": whole})
    site.add("near-losses", dict.fromkeys(("near_ce", "near_iou"), "near"), {"near": part})


@pytest.mark.usefixtures("bridged")
@pytest.mark.parametrize("width", [80, 60])
def test_what_is_missing_stands_once_where_all_need_it(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text = listed(capsys)
    assert max(map(len, text.splitlines())) <= width
    words = " ".join(text.split())
    assert words.startswith(
        "far-losses 1.0: 2 losses needs no-such-library>=1.4, which is not installed: "
        "pip install 'no-such-library>=1.4' far_dice made up far_focal made up lossreg "
    )
    assert words.endswith(
        "near-losses 1.0: 2 losses near_ce made up (needs no-such-thing, which is not installed: "
        "pip install 'no-such-thing') near_iou made up"
    )
    found = listed_as_json(capsys)
    assert found["far_dice"]["missing"] == ["no-such-library>=1.4"]
    assert found["near_ce"]["missing"] == ["no-such-thing"]
    assert found["near_ce"]["aliases"] == ["DiceCELoss"]


def names(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert main(["list", "--json", *arguments]) == 0
    return [each["name"] for each in json.loads(capsys.readouterr().out)]


@pytest.mark.usefixtures("bridged")
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--search", "dice"), ["far_dice", "near_ce"]),
        (("--search", "DiceCE"), ["near_ce"]),
        (("--search", "MADE UP"), ["far_dice", "far_focal", "near_ce", "near_iou"]),
        (("--search", "cross-entropy"), ["bce", "bce_with_logits", "cross_entropy"]),
        (("--from", "near-losses"), ["near_ce", "near_iou"]),
        (("--from", "Near_Losses", "--search", "iou"), ["near_iou"]),
    ],
)
def test_some_are_listed(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], expected: list[str]
) -> None:
    found = names(capsys, *arguments)
    assert found == expected or set(expected) <= set(found) <= set(BUILT_INS)


@pytest.mark.usefixtures("crowded")
def test_broken_and_conflicting_ones_of_a_distribution_are_listed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert names(capsys, "--from", "acme") == ["fine", "acme:l1", "odd"]


def test_one_distribution_loads_no_other(site: Site) -> None:
    site.add("acme", {"one": "acme_one"}, {"acme_one": plugin("one")})
    site.add("other", {"two": "other_two"}, {"other_two": plugin("two")})
    assert main(["list", "--from", "acme"]) == 0
    assert "acme_one" in sys.modules
    assert "other_two" not in sys.modules


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--search", "qwzkj"), 1, "no loss has 'qwzkj' in its name or summary\n"),
        (
            ("--search", "lpips"),
            1,
            "; piq has a loss of this name; it may be in lossreg-vision, which is not installed:",
        ),
        (
            ("--from", "lossreg-monai"),
            1,
            "no losses are from 'lossreg-monai'; it is not installed: pip install lossreg-monai",
        ),
        (("--from", "lossregg"), 1, "no losses are from 'lossregg'; did you mean 'lossreg'?"),
        (("--from", "qwzkj"), 1, "no losses are from 'qwzkj'; there are lossreg"),
    ],
)
def test_what_is_not_there_is_said(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, message: str
) -> None:
    assert main(["list", *arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
