"""Many steps leak nothing, and a run's result depends on its seed alone."""

from __future__ import annotations

import gc
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

import lossreg

if TYPE_CHECKING:
    from collections.abc import Iterator

WARM_UP = 300
# What caches of Python and torch may still grow by.
SLACK = 1_000

CONFIG: dict[str, Any] = {
    "on_nonfinite": "warn",
    "terms": {
        "classify": {
            "type": "cross_entropy",
            "weight": {"schedule": "cosine", "start": 1.0, "end": 0.1, "steps": 300},
            "inputs": ["heads.logits", "labels"],
            "mask": "valid",
            "params": {"weight": [1.0, 2.0, 0.5]},
        },
        "rebuild": {
            "type": "smooth_l1",
            "weight": {"schedule": "cyclic", "start": 0.0, "end": 1.0, "steps": 70},
            "inputs": [{"from": "heads.pixels", "apply": [{"flatten": 0}]}, "pixels"],
            "sample_weight": "weights", "divide_by": "weights",
        },
        "now_and_then": {"type": "value", "inputs": ["penalty"], "optional": True},
        "watched": {"type": "l1", "weight": 0, "inputs": ["heads.logits", "heads.pixels"]},
        "group": {
            "from": "aux",
            "weight": {
                "schedule": "linear", "start": 1.0, "end": 0.0, "steps": 9, "unit": "epoch",
            },
            "divide_by": {"number": "count"},
            "terms": {"a": {"type": "mse", "inputs": ["p", "y"]}},
        },
    },
}  # fmt: skip


class Training:
    """A small training with every part of a composite."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        # On busy cores, threads wait for one another for longer than they work.
        torch.set_num_threads(1)
        self.model = nn.Linear(4, 6)
        self.loss = lossreg.build(CONFIG)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01)
        self.generator = torch.Generator().manual_seed(1)

    def random(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator)

    def step(self, index: int) -> lossreg.LossOutput:
        out = self.model(self.random(5, 4))
        values = {
            "heads": {"logits": out[:, :3], "pixels": out[:, 3:]},
            "labels": torch.randint(3, (5,), generator=self.generator),
            "valid": self.random(5) > 0,
            "weights": self.random(15).abs(),
            "pixels": self.random(15),
            "aux": {"p": out, "y": self.random(5, 6)},
            "count": 1 + index % 3,
        }
        if index % 2:
            values["penalty"] = out.square()
        found: lossreg.LossOutput = self.loss(values)
        self.optimizer.zero_grad()
        found.total.backward()
        self.optimizer.step()
        self.loss.step()
        if index % 100 == 99:
            self.loss.step_epoch()
            self.loss.load_state_dict(self.loss.state_dict())
        return found


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def count() -> tuple[int, int, int]:
    """Blocks of memory that Python holds, objects that may form cycles, and tensors."""
    gc.collect()
    objects = gc.get_objects()
    tensors = sum(issubclass(type(each), Tensor) for each in objects)
    return sys.getallocatedblocks(), len(objects), tensors


@pytest.mark.parametrize(
    "steps", [2_000, pytest.param(100_000, marks=pytest.mark.nightly)], ids="{} steps".format
)
def test_many_steps_leak_nothing(steps: int) -> None:
    training = Training()
    for index in range(WARM_UP):
        training.step(index)
    before = count()
    for index in range(steps):
        training.step(index)
    more = [now - then for now, then in zip(count(), before, strict=True)]
    # Far less than one of anything a step. Fewer is no leak: what other tests left behind may go.
    assert more[0] < SLACK
    assert more[1] < SLACK
    assert more[2] <= 0


def fingerprint(steps: int) -> str:
    """A hash of everything that a run gives."""
    training, digest = Training(), hashlib.sha256()
    for index in range(steps):
        out = training.step(index)
        for name, value in out.log_dict().items():
            digest.update(name.encode() + value.detach().numpy().tobytes())
    state = training.loss.state_dict()
    digest.update(repr((state, training.loss.weights)).encode())
    for parameter in training.model.parameters():
        digest.update(parameter.detach().numpy().tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize(
    "processes", [2, pytest.param(20, marks=pytest.mark.nightly)], ids="{} processes".format
)
def test_the_result_does_not_depend_on_pythons_hash_seed(processes: int) -> None:
    source = f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from {Path(__file__).stem} import fingerprint
        print(fingerprint(120))
    """
    program = "\n".join(line.strip() for line in source.splitlines())
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in range(processes)
    ]
    found = {process.communicate(timeout=600)[0] for process in running}
    assert [process.returncode for process in running] == [0] * processes
    assert len(found) == 1
