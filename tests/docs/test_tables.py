"""The tables of the README and of the pages are those of the grammar and the vocabulary."""

from __future__ import annotations

import importlib.util
import re

import pytest

from documents import ROOT, Document
from lossreg.config.grammar import COMPOSITE, GROUP, TERM, Construct
from lossreg.config.grammar import REQUIRED as MUST_BE_GIVEN
from lossreg.vocabulary.arguments import REQUIRED
from lossreg.vocabulary.schedules import SCHEDULES
from lossreg.vocabulary.transforms import TRANSFORMS

COMPOSITES = Document("docs/composites.md")


def test_they_are_as_they_would_be_written() -> None:
    spec = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    for page in tables.PAGES:
        text = page.read_text(encoding="utf-8")
        assert tables.written(text) == text, f"{page.name}: run `make tables`"


def as_listed(name: str, required: bool, default: object) -> str:
    return f"`{name}`" + ("" if required else f" = {'none' if default is None else default}")


def test_every_transform_stands_in_its_table() -> None:
    rows = COMPOSITES.table("transform")
    assert [row[0] for row in rows] == [f"`{name}`" for name in TRANSFORMS]
    for (_, arguments, gives, mixes), entry in zip(rows, TRANSFORMS.values(), strict=True):
        listed = [
            as_listed(argument.name, argument.default is REQUIRED, argument.default)
            for argument in entry.arguments
        ]
        assert gives == entry.gives
        assert list(filter(None, arguments.split(", "))) == listed
        assert (f"`{entry.mixes}`" in mixes) if entry.mixes else not mixes


def test_every_schedule_stands_in_its_table() -> None:
    rows = COMPOSITES.table("schedule")
    assert [row[0] for row in rows] == [f"`{name}`" for name in SCHEDULES]
    for (_, arguments, gives), schedule in zip(rows, SCHEDULES.values(), strict=True):
        fields = schedule.model_fields.items()
        listed = [as_listed(name, field.is_required(), field.default) for name, field in fields]
        assert gives == schedule.gives
        assert ["`unit` = step", *filter(None, arguments.split(", "))] == listed


@pytest.mark.parametrize("construct", [COMPOSITE, TERM, GROUP], ids=repr)
def test_every_key_stands_in_its_table(construct: Construct) -> None:
    rows = COMPOSITES.table(f"key of a {construct.name}")
    assert [row[0] for row in rows] == [f"`{name}`" for name in construct.names]
    for (_, meaning, default), key in zip(rows, construct.keys.values(), strict=True):
        assert meaning.startswith(key.meaning)
        assert re.findall(r"`(\w+)`", meaning.removeprefix(key.meaning)) == list(key.choices)
        assert (default == "required") == (key.default is MUST_BE_GIVEN)
        assert key.shown in default
