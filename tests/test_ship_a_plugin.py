"""docs/ship-a-plugin.md: its plugin works, and the command line says what the page shows."""

from __future__ import annotations

import json
import shlex
import sys
from typing import TYPE_CHECKING

import pytest
import torch

import lossreg
from documents import Document
from fake_distributions import TASKS, Site
from lossreg.cli import main

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from pathlib import Path

PAGE = Document("docs/ship-a-plugin.md")
FILES = PAGE.files()


@pytest.fixture(autouse=True)
def acme(site: Site) -> Site:
    """The page's plugin as it says, and a loss whose module is not there."""
    declared = tomllib.loads(FILES["pyproject.toml"])["project"]["entry-points"]["lossreg.losses"]
    modules = {
        name.removesuffix(".py"): text for name, text in FILES.items() if name.endswith(".py")
    }
    site.add("acme-losses", {**declared, "focal": "acme_losses.focal"}, modules, version="2.1")
    with (site.metadata("acme-losses", "2.1") / "entry_points.txt").open("a") as file:
        file.writelines([f"[{TASKS}]\n", *(f"{name} = {at}\n" for name, at in tasks().items())])
    return site


def tasks() -> dict[str, str]:
    (block,) = [each for each in PAGE.blocks("toml") if "lossreg.tasks" in each]
    declared: dict[str, str] = tomllib.loads(block)["project"]["entry-points"]["lossreg.tasks"]
    return declared


@pytest.mark.parametrize("block", PAGE.blocks("console"))
def test_a_command_says_what_the_page_shows(
    block: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    command, _, shown = block.partition("\n")
    main(shlex.split(command)[2:])
    assert "".join(capsys.readouterr()) == shown
    assert "acme_modules" not in sys.modules


def test_its_losses_by_hand() -> None:
    # log(cosh(1)) = log((e + 1/e) / 2) = log(1.54308) = 0.43378; |3 - 4| / 4 = 0.25.
    one = lossreg.create("log_cosh")(torch.tensor([1.0]), torch.tensor([0.0]))
    torch.testing.assert_close(one, torch.tensor(0.43378), rtol=0, atol=1e-5)
    assert lossreg.create("acme-losses:relative")(torch.tensor([3.0]), torch.tensor([4.0])) == 0.25


def test_its_task_is_listed_and_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    PAGE.write_files(tmp_path)
    assert main(["list", "--kind", "task", "--json"]) == 0
    assert "Fit a line" in capfd.readouterr().out
    assert main(["run", "line.yaml", "--json", "--set", "task=acme-losses:line"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    error = json.loads(out)["held_out"]["error"]
    assert error["value"] < 0.1 * error["baseline"]
