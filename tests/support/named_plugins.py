"""A project that names a module of its own as a plugin."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lossreg.cli import main

if TYPE_CHECKING:
    pass


CONFIG = "terms: {a: {type: mine, inputs: [p, y]}}"
NAMED = '[tool.lossreg]\nplugins = ["acme_mine"]\n'


def listed(*arguments: str) -> set[str]:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main(["list", "--json", *arguments]) == 0
    return {each["name"] for each in json.loads(out.getvalue())}


def below(project: Path, *names: str) -> Path:
    folder = project.joinpath(*names)
    folder.mkdir(parents=True)
    return folder


def usage_error(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as raised:
        main(["list", *arguments])
    assert raised.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err
