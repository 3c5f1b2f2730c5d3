from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """\
terms:
  classify: {type: cross_entropy, weight: 0.5, inputs: [logits, labels], params: {weight: [1, 2]}}
  rebuild: {type: smooth_l1, inputs: {input: pixels, target: image}}
"""

STATEMENTS = {
    "import": "import lossreg",
    "config": "import lossreg.config",
    "registry": "import lossreg; lossreg.Registry.installed().entries()",
    "load_config": "import lossreg; lossreg.load_config('loss.yaml')",
    "help": "main(['--help'])",
    "list": "main(['list'])",
    "list of tasks": "main(['list', '--kind', 'task'])",
    "show": "main(['show', 'l1'])",
    "show a file": "main(['show', './loss.yaml'])",
    "show a task": "main(['show', 'digits'])",
    "check": "main(['check', 'loss.yaml'])",
    "help of try": "main(['try', '--help'])",
    "check an experiment": "main(['check', 'digits.yaml'])",
    "new": "main(['new', 'quantile'])",
}


@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)
def test_torch_stays_away(statement: str, tmp_path: Path) -> None:
    (tmp_path / "loss.yaml").write_text(CONFIG, encoding="utf-8")
    experiment = f"task: digits\nloss:\n{textwrap.indent(CONFIG, '  ')}"
    (tmp_path / "digits.yaml").write_text(experiment, encoding="utf-8")
    code = (
        "import sys\n"
        "if 'main' in sys.argv[1]: from lossreg.cli import main\n"
        "try: exec(sys.argv[1])\n"
        "except SystemExit as stop: assert not stop.code\n"
        "assert 'lossreg' in sys.modules\n"
        "sys.exit('torch was imported' if 'torch' in sys.modules else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, statement],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
