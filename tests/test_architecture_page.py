"""What the pages for contributors name is there."""

from __future__ import annotations

import re

import pytest

from documents import ROOT

FILES = re.compile(r"`((?:lossreg|plugins|tests|config|runtime|registry|vocabulary|docs)/[\w./]*)`")
RECIPES = ("loss", "schedule", "transform", "key of the language", "verb", "task", "kind of plugin")


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_every_file_and_folder_that_is_named_is_there(page: str) -> None:
    names = FILES.findall((ROOT / page).read_text(encoding="utf-8"))
    assert len(names) > 8
    for name in (name.replace("NAME", "mse") for name in names):
        assert (ROOT / name).exists() or (ROOT / "lossreg" / name).exists(), name


def test_every_folder_of_the_house_is_drawn() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    drawing = page.split("```")[1]
    folders = {file.parent.name for file in (ROOT / "lossreg").glob("*/__init__.py")}
    assert {name for name in folders if f"{name}/" not in drawing} == set()


def test_there_is_a_recipe_for_each_thing_that_is_added() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert [recipe for recipe in RECIPES if f"**A {recipe}**" not in page] == []
