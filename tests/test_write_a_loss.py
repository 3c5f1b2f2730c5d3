"""docs/write-a-loss.md is followed to the letter, where nothing but the wheel is installed."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import sys
from typing import TYPE_CHECKING

from documents import Document
from environments import environment, run
from lossreg.plugin import LossDefinition, LossInput

if TYPE_CHECKING:
    from pathlib import Path

PAGE = Document("docs/write-a-loss.md")
STEPS = PAGE.before("## Without a package")
SCRIPT = PAGE.after("## Without a package")


def commands(block: str) -> list[tuple[str, str]]:
    """Each command after a dollar sign, and what is shown below it."""
    return re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)


def change(file: Path, lines: list[str]) -> None:
    """Replace the lines that begin with a minus by those with a plus."""
    before = "".join(f"{line[1:]}\n" for line in lines if line[:1] in {"-", " "})
    after = "".join(f"{line[1:]}\n" for line in lines if line[:1] in {"+", " "})
    text = file.read_text(encoding="utf-8")
    assert text.count(before) == 1, f"{file.name} has no\n{before}"
    file.write_text(text.replace(before, after), encoding="utf-8")


def test_from_a_function_to_a_loss(wheel: Path, tmp_path: Path) -> None:
    python = environment(tmp_path / "env")
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    here, said = tmp_path, {}
    for language, block in STEPS.parts():
        if language == "diff":
            head, *lines = block.splitlines()
            change(here / head.removeprefix("--- "), lines)
        elif (file := STEPS.file_name(block)) is not None:
            (here / file).write_text(block, encoding="utf-8")
        elif language == "console":
            for command, shown in commands(block):
                program, *arguments = shlex.split(command)
                if program == "cd":
                    here = here / arguments[0]
                    continue
                said[command] = run(
                    python.with_name(program),
                    *arguments,
                    cwd=here,
                    PATH=path,
                    PIP_FIND_LINKS=str(wheel.parent),
                )
                assert not shown or said[command] == shown, command
    assert re.search(r"\b\d\d passed", said["python -m pytest"])
    listed = "lossreg-quantile 0.1.0: 1 loss\n  quantile  "
    assert listed in said["lossreg list"]
    assert "  q: number above 0 and below 1, default 0.5\n" in said["lossreg show quantile"]


def test_a_script_of_ones_own(tmp_path: Path) -> None:
    SCRIPT.write_files(tmp_path)
    own = (tmp_path / "pyproject.toml").rename(tmp_path / "later.toml")
    for command, shown in commands("".join(SCRIPT.blocks("console"))):
        program, *arguments = shlex.split(command)
        if "--plugin" not in arguments and own.exists():
            own.rename(tmp_path / "pyproject.toml")
        module = ("-m", program) if program == "lossreg" else ()
        assert run(sys.executable, *module, *arguments, cwd=tmp_path) == shown, command


def test_it_takes_ten_lines() -> None:
    added = [
        line
        for language, block in STEPS.parts()
        if language == "diff"
        for line in block.splitlines()
        if line.startswith("+")
    ]
    assert len(added) <= 10


def test_the_function_is_the_one_of_the_module() -> None:
    (block,) = (block for block in STEPS.blocks("python") if STEPS.file_name(block) is None)
    (returned,) = re.findall(r"^    return .+$", block, re.MULTILINE)
    assert any(f"+{returned}\n" in block for block in STEPS.blocks("diff"))


def test_the_tables_name_every_field() -> None:
    for first, record in (("of an input", LossInput), ("of a loss", LossDefinition)):
        fields = {each.name for each in dataclasses.fields(record) if each.init}
        assert set(PAGE.listed(first)) == fields
