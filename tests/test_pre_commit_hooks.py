from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from foreign_files import READ, UNREAD, write_foreign

HOOKS = Path(__file__).parents[1] / ".pre-commit-hooks.yaml"


@pytest.fixture
def hook() -> dict[str, Any]:
    (hook,) = yaml.safe_load(HOOKS.read_text(encoding="utf-8"))
    assert isinstance(hook, dict)
    return hook


def test_the_hook_runs_in_the_projects_own_environment(hook: dict[str, Any]) -> None:
    assert hook["id"] == "lossreg-check"
    assert hook["language"] == "system"
    assert hook["types"] == ["yaml"]


@pytest.mark.parametrize("path", ["configs/seg.yaml", "conf/loss/seg.yml", "mkdocs.yml"])
def test_no_yaml_file_is_left_out(hook: dict[str, Any], path: str) -> None:
    assert re.search(hook.get("files", ""), path)
    assert not re.search(hook.get("exclude", "^$"), path)


def test_the_hooks_entry_tells_good_files_from_bad_ones(
    hook: dict[str, Any], tmp_path: Path
) -> None:
    program, *arguments = shlex.split(hook["entry"])
    (tmp_path / "good.yaml").write_text("terms: {fit: {type: mse}}\n", encoding="utf-8")
    write_foreign(tmp_path)
    (tmp_path / "bad.yaml").write_text("terms: {fit: {type: MSE}}\n", encoding="utf-8")
    for files, code in (
        (["good.yaml", *READ, *UNREAD], 0),
        (["good.yaml", "bad.yaml"], 1),
    ):
        done = subprocess.run(
            [Path(sys.executable).with_name(program), *arguments, *files],
            cwd=tmp_path,
            check=False,
            capture_output=True,
            encoding="utf-8",
        )
        assert (done.returncode, done.stderr) == (code, ""), done.stdout
    assert done.stdout.startswith("bad.yaml:1:21  terms.fit.type  [LR105]\n")


@pytest.mark.skipif(importlib.util.find_spec("pre_commit") is None, reason="pre-commit")
@pytest.mark.skipif(shutil.which("git") is None, reason="git")
def test_pre_commit_runs_it_on_a_whole_repository(hook: dict[str, Any], tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    write_foreign(repository)
    good, bad = repository / "conf/loss/seg.yaml", repository / "conf/loss/typo.yaml"
    good.parent.mkdir(parents=True)
    good.write_text("# @package _global_\nloss: {terms: {fit: {type: mse}}}\n", encoding="utf-8")
    config = {"repos": [{"repo": "local", "hooks": [hook]}]}
    (repository / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PRE_COMMIT_HOME": str(tmp_path / "cache"),
        "HOME": str(tmp_path),
    }

    def done(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words,
            cwd=repository,
            env=environment,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )

    run = (sys.executable, "-m", "pre_commit", "run", "--all-files", "--verbose")
    assert done("git", "init", "--quiet").returncode == 0
    done("git", "add", "--all")
    ran = done(*run)
    # The configuration of pre-commit is a YAML file itself.
    skipped = f"({len(READ) + 1} without an objective skipped, {len(UNREAD)} unreadable"
    assert f"1 file checked {skipped}" in ran.stdout
    assert ran.stdout.rstrip().endswith(": no problems")
    assert ran.returncode == 0
    bad.write_text("terms: {fit: {type: MSE}}\n", encoding="utf-8")
    done("git", "add", "--all")
    ran = done(*run)
    assert "conf/loss/typo.yaml:1:21  terms.fit.type  [LR105]\n" in ran.stdout
    assert f"2 files checked {skipped}" in ran.stdout
    assert ran.returncode == 1
