"""What the verbs say of parameters that are chosen among components."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from lossreg.cli import main

PLUGIN = ("--plugin", "chosen_components")
CONFIG = """\
terms:
  a: {type: pair, inputs: [x, y], params: {distance: {type: lp, p: 1}}}
  b:
    type: pair
    inputs: [x, y]
    params:
      distance: cosine
      reducer: {type: above, low: 1}
      more: [cosine, {type: lp, p: 3}]
"""


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main([*arguments, *PLUGIN]) == 0
    return capsys.readouterr().out


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return str(path)


def test_show_prints_components_indented(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "show", "pair")
    assert (
        "  distance: cosine | lp, default {type: lp, p: 1.0, normalize: true}\n"
        "      How far apart two vectors are.\n"
        "      cosine: One minus the cosine.\n"
        "      lp: The distance of a p-norm.\n"
        "          p: number above 0, default 2.0\n"
        "              The power.\n"
    ) in text
    assert "  reducer: all | above, default none\n" in text
    assert "  more: list of cosine | lp, default []\n" in text
    # Those of a component of a component.
    assert "                  p: number above 0, default 2.0\n" in text


def test_a_page_has_a_row_for_each_nested_parameter(capsys: pytest.CaptureFixture[str]) -> None:
    page = said(capsys, "show", "pair", "--markdown")
    assert "| `distance` | cosine \\| lp | `{type: lp, p: 1.0, normalize: true}` |" in page
    assert "| `distance.p` | number above 0 | `2.0` | Of lp: The power. |" in page
    assert "| `reducer.distance.normalize` | true or false | `true` | Of lp: " in page


def test_the_formula_names_the_components(capsys: pytest.CaptureFixture[str], config: str) -> None:
    text = said(capsys, "show", config)
    # Equal to the default of the loss.
    assert "L = pair(x, y)\n" in text
    assert "distance=cosine, reducer=above(low=1), more=[cosine, lp(p=3)])" in text


def test_expand_writes_every_default_and_changes_nothing(
    capsys: pytest.CaptureFixture[str], config: str, tmp_path: Path
) -> None:
    text = said(capsys, "expand", config)
    params = yaml.safe_load(text)["terms"]["a"]["params"]
    assert params["distance"] == {"type": "lp", "p": 1.0, "normalize": True}
    again = tmp_path / "again.yaml"
    again.write_text(text)
    assert said(capsys, "expand", str(again)) == text
    assert said(capsys, "diff", config, str(again)) == "the same objective\n"


def test_diff_shows_both_components(
    capsys: pytest.CaptureFixture[str], config: str, tmp_path: Path
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(CONFIG.replace("p: 3", "p: 4"))
    assert main(["diff", config, str(other), *PLUGIN]) == 1
    assert "params.more: [cosine, lp(p=3)]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("written", "fits"),
    [
        ("cosine", True),
        ("lp", True),
        ({"type": "lp", "p": 1}, True),
        ("cosin", False),
        ({"p": 1}, False),
        ({"type": "lp", "p": 0}, False),
        ({"type": "lp", "q": 1}, False),
        ({"type": "cosine", "p": 1}, False),
    ],
)
def test_the_schema_says_the_same_as_check(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, written: object, *, fits: bool
) -> None:
    schema = json.loads(said(capsys, "schema", "--loss", "pair"))
    term = {"type": "pair", "inputs": ["x", "y"], "params": {"distance": written}}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"terms": {"a": term}}))
    assert jsonschema.Draft202012Validator(schema).is_valid(term) is fits
    assert main(["check", str(path), *PLUGIN]) == (0 if fits else 1)
    capsys.readouterr()
