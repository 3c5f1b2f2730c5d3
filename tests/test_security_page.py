"""What docs/security.md claims of configs and plugins holds."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import lossreg
from documents import Document
from fake_distributions import Site, plugin
from lossreg.cli import main

if TYPE_CHECKING:
    from pathlib import Path

PAGE = Document("docs/security.md")
REFUSED = [
    re.fullmatch(r"# refused: (LR\d+)\n(.+)", each, re.DOTALL) for each in PAGE.blocks("yaml")
]

# Every file that is opened, and everything that could run or fetch something, is written down.
AUDITED = """
import json, sys
from pathlib import Path

opened, ran = [], []

def hook(event, arguments):
    if event == "open":
        opened.append(str(arguments[0]))
    elif event.startswith(("os.exec", "os.posix_spawn", "os.spawn", "os.startfile", "os.system",
                           "pickle.", "socket.", "subprocess.", "urllib.")):
        ran.append(event)

from lossreg.config import examine

sys.addaudithook(hook)
found = [[each.code for each in examine(file).diagnostics] for file in sys.argv[1:]]
print(json.dumps({"found": found, "opened": opened, "ran": ran, "evil": "evil" in sys.modules}))
"""


def test_every_example_of_the_page_is_refused_and_does_nothing(tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text("def run(*_): ...\n", encoding="utf-8")
    (tmp_path / "secret.yaml").write_text("fit: {type: mse}\n", encoding="utf-8")
    files, expected = [], []
    for number, match in enumerate(REFUSED):
        assert match is not None
        files.append(str(tmp_path / f"{number}.yaml"))
        (tmp_path / f"{number}.yaml").write_text(match[2], encoding="utf-8")
        expected.append(match[1])
    done = subprocess.run(
        [sys.executable, "-c", AUDITED, *files],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    report = json.loads(done.stdout)
    assert [set(each) for each in report["found"]] == [{each} for each in expected]
    assert [each for each in report["opened"] if str(tmp_path) in each] == files
    assert [each for each in report["opened"] if each.endswith(("evil.py", "secret.yaml"))] == []
    assert report["ran"] == []
    assert not report["evil"]


@pytest.mark.filterwarnings("ignore:.*nothing in it is computed")
def test_python_blocks_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    PAGE.run_python()
    # One refusal a path.
    assert capsys.readouterr().out.count("there is no ") == 3


@pytest.fixture
def acme(site: Site) -> Site:
    """Two plugins, each of which says when it is imported."""
    marks = {name: f"open({str(site.path / name)!r}, 'w').close()" for name in ("one", "two")}
    modules = {f"acme_{name}": plugin(name, head=mark) for name, mark in marks.items()}
    site.add("acme", {name: f"acme_{name}" for name in marks}, modules)
    return site


def imported(site: Site) -> set[str]:
    return {name for name in ("one", "two") if (site.path / name).exists()}


def test_looking_for_plugins_imports_none(acme: Site) -> None:
    assert {"one", "two"} <= set(lossreg.Registry.installed())
    assert imported(acme) == set()


@pytest.mark.parametrize("verb", ["check", "show", "build", "create"])
def test_what_is_named_is_imported_and_nothing_else(
    verb: str, acme: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "loss.yaml"
    config.write_text("terms: {fit: {type: one}, other: {type: mse}}\n", encoding="utf-8")
    if verb == "check":
        assert main(["check", str(config)]) == 0
    elif verb == "show":
        assert main(["show", "one"]) == 0
    elif verb == "build":
        lossreg.build(config)
    else:
        lossreg.create("one")
    assert imported(acme) == {"one"}
    capsys.readouterr()


def test_list_imports_all(acme: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    assert imported(acme) == {"one", "two"}
    capsys.readouterr()


def test_nobody_replaces_a_built_in(site: Site) -> None:
    site.add("acme", {"mse": "acme_mse"}, {"acme_mse": plugin("mse")})
    with pytest.raises(lossreg.ConfigError, match=r"claimed by .*acme.*lossreg|lossreg.*acme"):
        lossreg.build({"terms": {"fit": {"type": "mse"}}})
    assert lossreg.Registry.installed()["lossreg:mse"].build.__module__ == "lossreg_losses.mse"
