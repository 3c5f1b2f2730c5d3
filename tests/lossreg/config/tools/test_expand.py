"""`expand`: every default written out, a fixed point, the same objective."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import lossreg
from lossreg.config.tools.documents import whole
from lossreg.config.tools.expand import expanded
from lossreg.registry import Registry

ROOT = Path(__file__).parents[4]
CORPUS = ROOT / "tests" / "lossreg" / "config" / "corpus" / "good"
FILES = sorted([*CORPUS.glob("*.yaml"), *(ROOT / "configs").glob("*.yaml")])
REGISTRY = Registry.installed()


def text_of(source: Path | bytes) -> str:
    return expanded(whole(source, None, REGISTRY), "1.2.3")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_expanding_twice_changes_nothing(file: Path) -> None:
    once = text_of(file)
    # The header has the fingerprints, so these are the same as well.
    assert text_of(once.encode()) == once


DOCUMENT = b"""\
notes: kept
loss:
  terms:
    seg:
      type: cross_entropy
      weight: {schedule: linear, start: 0, end: 1, steps: 5}
      inputs: [{from: logits, apply: softmax}, labels]
    deep:
      from: aux
      terms: {fit: {type: smooth_l1, divide_by: rows, mask: {from: m, dims: [0]}}}
"""
EXPANDED = """\
# Expanded by lossreg 1.2.3, with the losses of lossreg {version}.
# fingerprint: {fingerprint}
notes: kept
loss:
  checks: first
  on_nonfinite: raise
  terms:
    seg:
      type: cross_entropy
      weight:
        schedule: linear
        unit: step
        start: 0.0
        end: 1.0
        steps: 5
      maximize: false
      inputs:
        input:
          from: logits
          apply:
            - softmax:
                dim: -1
        target: labels
      class_dim: 1
      optional: false
      enabled: true
      params:
        reduction: mean
        weight: null
        ignore_index: -100
        label_smoothing: 0.0
    deep:
      from: aux
      weight: 1
      optional: false
      enabled: true
      terms:
        fit:
          type: smooth_l1
          weight: 1
          maximize: false
          inputs:
            input: input
            target: target
          mask:
            from: m
            dims: [0]
          divide_by: rows
          within_row: sum
          optional: false
          enabled: true
          params:
            reduction: mean
            beta: 1.0
"""


def test_weights_are_written_with_their_defaults() -> None:
    text = text_of(
        b"terms:\n"
        b"  a: {type: mse, weight: {learned: kendall}}\n"
        b"  b: {type: mse, weight: {from: w, apply: [softmax]}}\n"
        b"  c: {type: mse, sample_weight: {from: lam, gradient: true}, divide_by: entries}\n"
    )
    for words in ("initial: 0.0", "dim: -1", "gradient: true", "maximize: false"):
        assert words in text


def test_every_default_is_written() -> None:
    fingerprint = lossreg.build(DOCUMENT).fingerprint
    assert text_of(DOCUMENT) == EXPANDED.format(
        version=lossreg.__version__, fingerprint=fingerprint
    )


def test_another_process_builds_the_same_objective(tmp_path: Path) -> None:
    file = tmp_path / "expanded.yaml"
    file.write_text(text_of(ROOT / "configs" / "digits.yaml"))
    code = (
        "import json, sys, torch, lossreg\n"
        "torch.manual_seed(0)\n"
        "values = {'logits': torch.randn(4, 10), 'labels': torch.arange(4),\n"
        "    'decoder': {'pixels': torch.rand(4, 8)}, 'image': torch.rand(4, 8)}\n"
        "loss = lossreg.build(sys.argv[1])\n"
        "print(json.dumps([loss.fingerprint, loss(values).total.item().hex()]))\n"
    )

    def built(source: Path) -> list[str]:
        words = [sys.executable, "-c", code, str(source)]
        found: list[str] = json.loads(subprocess.check_output(words))
        return found

    assert built(file) == built(ROOT / "configs" / "digits.yaml")
    assert torch.isfinite(torch.tensor(float.fromhex(built(file)[1])))
