"""Files for `lossreg check`, in a folder of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

FINE = "terms:\n  fit: {type: mse}\n"
WRONG = "terms:\n  fit: {type: mse, weigth: 2.0}\n"
FOREIGN = "model: {depth: 50}\n"

Capture = pytest.CaptureFixture[str]


def write(name: str, text: str) -> str:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return name
