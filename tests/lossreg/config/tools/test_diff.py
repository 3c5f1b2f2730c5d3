"""`diff`: what differs in meaning, where on each side."""

from __future__ import annotations

from pathlib import Path

import pytest

from lossreg.config.tools.diff import differences
from lossreg.config.tools.documents import whole
from lossreg.config.tools.expand import expanded
from lossreg.errors import ConfigError
from lossreg.registry import Registry

REGISTRY = Registry.installed()
FIRST = """\
loss:
  terms:
    seg: {type: cross_entropy, weight: 0.5, inputs: [logits, labels]}
    deep:
      from: aux
      weight: 2
      terms: {fit: {type: smooth_l1, params: {beta: 0.5}}, old: {type: mse}}
"""
SECOND = """\
terms:
  deep:
    from: aux
    weight: 3
    terms: {fit: {type: smooth_l1}, new: {type: mse}}
  seg:
    type: cross_entropy
    inputs: {target: labels, input: scores}
    weight: 0.50
"""


def found(tmp_path: Path, first: str, second: str) -> list[tuple[str, str, str, str]]:
    files = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    for file, text in zip(files, (first, second), strict=True):
        file.write_text(text)
    one, other = (whole(file, None, REGISTRY) for file in files)
    start = f"{tmp_path}/"
    return [
        (
            f"{difference.what} {difference.key}".strip(),
            *(
                f"{side.text} {side.place.removeprefix(start)}".strip()
                for side in (difference.before, difference.after)
            ),
            "",
        )[:4]
        for difference in differences(one, other)
    ]


def test_each_difference_has_both_places(tmp_path: Path) -> None:
    assert [entry[:3] for entry in found(tmp_path, FIRST, SECOND)] == [
        ("seg inputs.input", "logits a.yaml:3:54", "scores b.yaml:8:37"),
        ("deep/fit weight", "2 a.yaml:6:15", "3 b.yaml:4:13"),
        ("deep/fit params.beta", "0.5 a.yaml:7:53", "None b.yaml:5:13"),
        ("deep/old", "a.yaml:7:60", "None"),
        ("deep/new", "None", "b.yaml:5:37"),
    ]


def test_how_it_is_written_is_no_difference(tmp_path: Path) -> None:
    file = tmp_path / "first.yaml"
    file.write_text(FIRST)
    text = expanded(whole(file, None, REGISTRY), "1.2.3").replace("checks: first", "checks: always")
    assert found(tmp_path, FIRST, text) == []


def test_objectives_are_compared_by_name(tmp_path: Path) -> None:
    fit = "{terms: {fit: {type: mse}}}"
    one = f"objectives:\n  g: {fit}\n  d: {fit}\n"
    other = "objectives:\n  g: {terms: {fit: {type: l1}}}\n  q: " + fit + "\n"
    assert [entry[0] for entry in found(tmp_path, one, other)] == [
        "g: fit type",
        "objective d",
        "objective q",
    ]


def test_a_document_with_a_fault_is_not_compared(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no loss 'msee'"):
        found(tmp_path, FIRST, "terms: {a: {type: msee}}\n")
