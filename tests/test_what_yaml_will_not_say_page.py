"""The blocks of docs/what-yaml-will-not-say.md run, and gathered rows have the true gradient."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

from documents import ROOT, Document
from lossreg.config import examine

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

PAGE = Document("docs/what-yaml-will-not-say.md")

# Two ranks with half of the rows each, and one process with all of them.
COMPARE = """
import copy, os, sys

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

import lossreg
from gathering import Gathered


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.image, self.text = nn.Linear(6, 4), nn.Linear(5, 4)
        self.log_scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, image, text):
        unit = nn.functional.normalize
        return unit(self.image(image)), unit(self.text(text)), self.log_scale


def run(model, image, text, gather):
    images, texts, log_scale = model(image, text)
    cosines = gather(images) @ gather(texts).T
    loss(cosines=cosines, log_scale=log_scale).total.backward()


distributed.init_process_group("gloo")
torch.manual_seed(0)
loss = lossreg.build(sys.argv[1])
plain = Model()
model = DistributedDataParallel(copy.deepcopy(plain))
image, text = torch.randn(8, 6), torch.randn(8, 5)
own = slice(4 * distributed.get_rank(), 4 * distributed.get_rank() + 4)
run(model, image[own], text[own], Gathered.apply)
run(plain, image, text, lambda rows: rows)
for found, expected in zip(model.parameters(), plain.parameters(), strict=True):
    torch.testing.assert_close(found.grad, expected.grad)
distributed.barrier()
distributed.destroy_process_group()
print("compared", flush=True)
os._exit(0)  # gloo's threads may abort a process that ends by itself
"""


def test_python_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PAGE.write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    PAGE.run_python()


def test_every_yaml_block_is_a_file_without_a_fault(tmp_path: Path) -> None:
    PAGE.write_files(tmp_path)
    files = [name for name in PAGE.files() if name.endswith(".yaml")]
    assert len(files) == len(PAGE.blocks("yaml"))
    for name in files:
        assert examine(tmp_path / name).diagnostics == (), name


def test_gathered_rows_have_the_gradients_of_one_process(tmp_path: Path) -> None:
    PAGE.write_files(tmp_path)
    (tmp_path / "compare.py").write_text(COMPARE, encoding="utf-8")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    found = subprocess.run(
        [*torchrun, "--nproc-per-node", "2", "compare.py", str(ROOT / "configs" / "clip.yaml")],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("compared") == 2


def test_every_section_is_in_the_table_and_links_lead_somewhere() -> None:
    sections = re.findall(r"^## (.+)$", PAGE.text, re.MULTILINE)
    assert re.findall(r"^\| \[(.+?)\]", PAGE.text, re.MULTILINE) == sections
    anchors = {f"#{section.lower().replace(' ', '-')}" for section in sections}
    for link in re.findall(r"\]\(([^)]+)\)", PAGE.text):
        assert link in anchors or (ROOT / "docs" / link).exists(), link
