"""The blocks of docs/denominators.md run, and its table holds every built-in."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from built_ins import BUILT_INS
from documents import ROOT, Document
from lossreg.config import examine

if TYPE_CHECKING:
    from pathlib import Path

PAGE = Document("docs/denominators.md")

# Trains on all ranks' batches at once, and compares.
COMPARE = """
    every = [None] * distributed.get_world_size()
    distributed.all_gather_object(every, batches)
    assert len(every) == 2
    step = torch.optim.SGD(plain.parameters(), lr=0.1)
    for first in range(0, len(batches), 4):
        parts = [each for batches in every for each in batches[first : first + 4]]
        big = {key: torch.cat([each[key] for each in parts]) for key in ("x", "labels")}
        loss({**big, "logits": plain(big["x"])}).total.backward()
        step.step()
        step.zero_grad()
    torch.testing.assert_close(model.module.weight, plain.weight)
"""


def test_python_blocks_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    PAGE.write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    PAGE.run_python()
    assert "a mean of means is off by" in capsys.readouterr().out


def test_the_loop_is_training_on_the_big_batch(tmp_path: Path) -> None:
    PAGE.write_files(tmp_path)
    script = tmp_path / "train.py"
    text = script.read_text(encoding="utf-8")
    wrapped, end = (
        "model = DistributedDataParallel(model)\n",
        "distributed.destroy_process_group()\n",
    )
    assert wrapped in text
    assert text.endswith(end)
    # After it was wrapped, for then all ranks have the first one's weights.
    text = text.replace(wrapped, f"{wrapped}plain = copy.deepcopy(model.module)\n")
    compare = re.sub("^    ", "", COMPARE, flags=re.MULTILINE)
    text = f"import copy\n{text.removesuffix(end)}{compare}{end}print('compared')\n"
    script.write_text(text, encoding="utf-8")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    found = subprocess.run(
        [*torchrun, "--nproc-per-node", "2", "train.py"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("compared") == 2


def test_every_yaml_block_is_a_file_without_a_fault(tmp_path: Path) -> None:
    PAGE.write_files(tmp_path)
    files = [name for name in PAGE.files() if name.endswith(".yaml")]
    assert len(files) == len(PAGE.blocks("yaml"))
    for name in files:
        assert examine(tmp_path / name).diagnostics == (), name


def test_the_table_names_losses_that_there_are_once_each() -> None:
    listed = PAGE.listed("loss")
    assert len(set(listed)) == len(listed)
    assert {"cross_entropy", "ctc"} <= set(listed) <= set(BUILT_INS)


def test_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#]+)(?:#[\w-]+)?\)", PAGE.text):
        assert (ROOT / "docs" / link).exists(), link
    anchors = re.findall(r"\]\(([^)#]*)#([\w-]+)\)", PAGE.text)
    assert anchors
    for link, anchor in anchors:
        text = (ROOT / "docs" / link).read_text(encoding="utf-8") if link else PAGE.text
        headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        assert anchor in {each.lower().replace(" ", "-") for each in headings}, anchor
