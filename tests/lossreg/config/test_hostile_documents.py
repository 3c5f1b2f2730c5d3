"""Documents made to exhaust a reader: none hangs, and none fills the memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import yaml

import hostile_documents

# A guard against a hang: each takes well under a second where nothing else runs.
HANG = 15.0
COSTLY = list(hostile_documents.DOCUMENTS)[:20]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="measures a process's memory by forking")
@pytest.mark.skipif(not hasattr(yaml, "CSafeLoader"), reason="the other parser is ten times slower")
@pytest.mark.parametrize(
    "names",
    [
        COSTLY,
        pytest.param([*hostile_documents.DOCUMENTS], marks=pytest.mark.nightly),
    ],
    ids=["costly", "all"],
)
def test_no_document_hangs_or_takes_100_mebibytes(names: list[str]) -> None:
    script = hostile_documents.__file__
    run = subprocess.run(
        [sys.executable, script, *names], capture_output=True, text=True, check=True, timeout=300
    )
    found = {line[0]: line[1:] for line in map(json.loads, run.stdout.splitlines())}
    assert list(found) == names
    for name, (seconds, memory, codes) in found.items():
        assert "died" not in codes, name
        assert "long" not in codes, f"{name}: a message of more than 700 characters"
        assert memory < 100, f"{name}: {memory:.0f} MiB"
        assert seconds < HANG, f"{name}: {seconds:.2f} s"
