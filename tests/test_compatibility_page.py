"""docs/compatibility.md promises what there is, and all of it."""

from __future__ import annotations

import importlib
import re
import sys

import pytest

from documents import ROOT, Document
from lossreg.registry import KINDS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PAGE = Document("docs/compatibility.md")
MODULES = {row[0].strip("`"): re.findall(r"`(\w+)`", row[1]) for row in PAGE.table("module")}


@pytest.mark.parametrize("module", MODULES)
def test_the_names_of_a_module_are_all_it_has(module: str) -> None:
    assert MODULES[module] == sorted(importlib.import_module(module).__all__)


def test_what_it_runs_on_is_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lowest, highest = re.findall(r"Python (3\.\d+) to (3\.\d+)", PAGE.text)[0]
    assert project["requires-python"] == f">={lowest}"
    versions = re.findall(r"Python :: (3\.\d+)", " ".join(project["classifiers"]))
    assert (versions[0], versions[-1]) == (lowest, highest)
    (torch,) = re.findall(r"torch (\d\.\d+) or newer", PAGE.text)
    assert f"torch>={torch}" in project["dependencies"]


def test_the_lowest_versions_are_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    names = ("accelerate", "lightning", "torchjd", "transformers")
    trainers = [need for name in names for need in extras[name] if "lossreg" not in need]
    asked = [*project["dependencies"], *trainers]
    lowest = dict(
        re.fullmatch(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)", each.partition(";")[0].strip()).groups()  # type: ignore[union-attr]
        for each in asked
    )
    del lowest["tomli"]  # for one Python only
    promised = {row[0].strip("`").lower(): row[1] for row in PAGE.table("package")}
    assert promised == lowest


def test_the_groups_the_hooks_and_the_exit_codes() -> None:
    for kind in KINDS:
        assert f"`{kind.group}`" in PAGE.text
        assert f"`{kind.hook}`" in PAGE.text
    assert [row[0] for row in PAGE.table("exit code")] == ["0", "1", "2", "130"]
