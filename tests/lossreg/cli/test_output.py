"""Nothing that others wrote steers a terminal, whichever way it leaves."""

from __future__ import annotations

import ast
import contextlib
import json
import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch  # noqa: F401 - it fails on a distribution that cannot be read

import lossreg
from environments import ROOT
from lossreg.cli import main
from lossreg.cli.output import say_json
from lossreg.errors import ConfigWarning

if TYPE_CHECKING:
    from fake_distributions import Site

# Escape, bell, backspace, C1's own escape, directions, isolates, separators, deletion.
HOSTILE = "\x1b[31m\x07\x08\x9b\u202e\u2066\u200f\u2028\u2029\x85\x0b\x0c\x1c\x7f"
# The first of them prints one word of its own.
PRINTING = ("lossreg/cli/__init__.py", "lossreg/cli/output.py")
FORGED = "\nFORGED: no problems"

PLUGIN = """
from lossreg.plugin import Field, LossConfig, LossDefinition, LossInput, hookimpl
from pydantic import field_validator

evil = {evil!r}


class EvilError(Exception):
    pass


class Config(LossConfig):
    size: int = Field(1, description=evil)

    @field_validator("size")
    @classmethod
    def odd(cls, value):
        if value == 2:
            raise ValueError(evil)
        if value == 3:
            raise EvilError(evil)
        return value

    def suspicions(self):
        return [("size", evil)] if self.size == 4 else []


def build(config):
    raise EvilError(evil)


@hookimpl
def lossreg_losses():
    return [
        LossDefinition(
            name="odd", config=Config, build=build, summary="made up " + evil, use_when=evil,
            avoid_when=evil, formula=evil[:4], references=(evil,), example=evil,
            symbols={{evil: evil}},
            inputs=(LossInput(name="input", meaning=evil),),
        )
    ]
"""


@pytest.fixture(autouse=True)
def hostile(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution, and files of configs, whose every name and message is hostile."""
    monkeypatch.chdir(tmp_path)
    source = PLUGIN.format(evil=HOSTILE + FORGED)
    site.add("acme", {"odd": "acme_odd"}, {"acme_odd": source})
    site.add("broken", {"bad": "acme_bad"}, {"acme_bad": f"raise ValueError({HOSTILE + FORGED!r})"})
    for distribution in ("acme", "broken"):
        metadata = f"Name: {distribution}{HOSTILE}\n{FORGED}\nVersion: 1{HOSTILE}{FORGED}\n"
        (site.metadata(distribution) / "METADATA").write_text(metadata, encoding="utf-8")
    for name, entry in (("taken", "l1"), ("unreadable", f"{HOSTILE}\n\xff")):
        site.add(name, {}, {})
        text = f"[lossreg.losses]\n{entry} = no{HOSTILE}.module\nx{HOSTILE} = y\n"
        (site.metadata(name) / "entry_points.txt").write_text(
            text, encoding="latin-1" if name == "unreadable" else "utf-8", errors="replace"
        )
    evil, forged = escaped(HOSTILE), escaped(HOSTILE + FORGED)
    terms = [
        *(f"{{type: odd, params: {{size: {size}}}}}" for size in range(5)),
        *("{type: bad}", "{type: l1}", f'{{type: "{forged}"}}', f'"{evil}"'),
        f'{{type: mse, "{evil}": 1, inputs: ["{evil}", b]}}',
        '"\u202e\u2066\u2028"',
    ]
    for number, term in enumerate(terms):
        file = Path(f"{number}{HOSTILE}{FORGED}.yaml")
        file.write_text(f'{{terms: {{fit: {term}}}, task: "\\x1b"}}', encoding="utf-8")


def escaped(text: str) -> str:
    return "".join(f"\\U{ord(char):08x}" for char in text)


def configs() -> list[str]:
    return sorted(str(each) for each in Path().glob("*.yaml"))


def assert_harmless(text: str) -> None:
    assert all(char.isprintable() or char == "\n" for char in text)
    assert not any(line.startswith("FORGED") for line in text.splitlines())


@pytest.mark.parametrize(
    "command",
    [
        *("list", "show odd", "show bad", "show odd --markdown", "show l1", "codes {}"),
        *("show {}", "check {files}", "check {files} --format github", "check .", "run {file}"),
        *("check {file} --set {}", "check {file} --key {}", "check {file} --plugin {}"),
        *("new l1", "new ok --into {}", "check {}", "run {}", "list --{}"),
        *("check {file} --format {}", "new {}", "{}"),
    ],
)
def test_it_reaches_no_terminal(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    arguments: list[str] = []
    for word in command.split():
        if word == "{files}":
            arguments += configs()
        elif word == "{file}":
            arguments.append(configs()[0])
        else:
            arguments.append(word.replace("{}", HOSTILE + "x"))
    with contextlib.suppress(SystemExit):
        main(arguments)
    out, err = capfd.readouterr()
    assert out + err
    assert_harmless(out)
    assert_harmless(err)


def test_nor_does_a_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "bad", "--debug"]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("Traceback ")
    assert all(char.isprintable() or char == "\n" for char in err)


@pytest.mark.parametrize("command", ["list", "show odd", "show l1", "check {files}", "codes"])
def test_json_stays_json(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    words = command.split()
    arguments = configs() if "{files}" in words else words[1:]
    main([words[0], "--json", *arguments])
    out, err = capfd.readouterr()

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    if out:
        json.loads(out, parse_constant=refuse)
    assert_harmless(out)
    assert_harmless(err)


def test_json_has_no_infinity(capsys: pytest.CaptureFixture[str]) -> None:
    say_json({"a": [math.inf, (1.5, math.nan)], "b": -math.inf, "c": None, "d": True})
    told = json.loads(capsys.readouterr().out)
    assert told == {"a": ["inf", [1.5, "nan"]], "b": "-inf", "c": None, "d": True}


def test_nor_does_it_through_errors_and_warnings_in_python() -> None:
    for file in configs():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                lossreg.build(file)
            except lossreg.LossregError as error:
                assert_harmless(str(error))
        assert all(issubclass(each.category, ConfigWarning) for each in caught)
        for each in caught:
            assert_harmless(str(each.message))


def test_only_one_module_prints() -> None:
    for file in sorted((ROOT / "lossreg").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                where = (file.relative_to(ROOT).as_posix(), node.lineno)
                assert node.func.id != "print" or where[0] in PRINTING, where
