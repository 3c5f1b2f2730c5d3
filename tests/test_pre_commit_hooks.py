from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

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


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("configs/seg.yaml", True),
        ("config/deep/er/seg.yml", True),
        ("project/configs/seg.yaml", True),
        (".github/workflows/test.yaml", False),
        ("mkdocs.yml", False),
        ("myconfigs/seg.yaml", False),
    ],
)
def test_the_hook_is_for_configs_alone(hook: dict[str, Any], path: str, wanted: bool) -> None:
    assert bool(re.search(hook["files"], path)) == wanted


def test_the_hooks_entry_tells_good_files_from_bad_ones(
    hook: dict[str, Any], tmp_path: Path
) -> None:
    program, *arguments = shlex.split(hook["entry"])
    (tmp_path / "good.yaml").write_text("terms: {fit: {type: mse}}\n", encoding="utf-8")
    (tmp_path / "bad.yaml").write_text("terms: {fit: {type: MSE}}\n", encoding="utf-8")
    for files, code in ((["good.yaml"], 0), (["good.yaml", "bad.yaml"], 1)):
        done = subprocess.run(
            [Path(sys.executable).with_name(program), *arguments, *files],
            cwd=tmp_path,
            check=False,
            capture_output=True,
            encoding="utf-8",
        )
        assert (done.returncode, done.stderr) == (code, ""), done.stdout
    assert done.stdout.startswith("bad.yaml:1:21  terms.fit.type  [LR105]\n")
