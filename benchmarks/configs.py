"""How fast configs are checked and built: ratios against peers, as Markdown tables.

    python benchmarks/configs.py

Hydra is measured if it is installed.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

import arms
import lossreg
from lossreg.config import load_config

if TYPE_CHECKING:
    from collections.abc import Callable

FIVE_TERMS = """\
loss:
  terms:
    a: {type: cross_entropy, inputs: [logits, labels], params: {label_smoothing: 0.1}}
    b: {type: smooth_l1, weight: 0.5, inputs: [pixels, image], params: {beta: 0.5}}
    c: {type: mse, weight: 0.1, inputs: [p, q]}
    d: {type: bce_with_logits, inputs: [u, v], params: {pos_weight: [1.0, 2.0]}}
    e: {type: l1, inputs: [p, r]}
"""
HYDRA = """
from hydra.utils import instantiate
from omegaconf import OmegaConf

instantiate(OmegaConf.load({file!r}))
"""
HYDRA_FILE = """\
a: {_target_: torch.nn.CrossEntropyLoss, label_smoothing: 0.1}
b: {_target_: torch.nn.SmoothL1Loss, beta: 0.5}
c: {_target_: torch.nn.MSELoss}
d: {_target_: torch.nn.BCEWithLogitsLoss}
e: {_target_: torch.nn.L1Loss}
"""


def process(*command: str, path: str = "") -> Callable[[], object]:
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": path}

    def run() -> None:
        subprocess.run(command, check=True, capture_output=True, env=environment)  # noqa: S603

    return run


def fake_plugins(folder: Path, count: int) -> str:
    """`count` distributions with one loss each, as a folder for PYTHONPATH."""
    source = """
from lossreg.plugin import LossConfig, LossDefinition, LossInput, hookimpl

class Config(LossConfig):
    pass

@hookimpl
def lossreg_losses():
    inputs = (LossInput(name="input", meaning="anything"),)
    return [LossDefinition(name="{name}", config=Config, build=print, inputs=inputs,
                           summary="one of many")]
"""
    folder.mkdir()
    for index in range(count):
        name = f"fake{index}"
        (folder / f"{name}.py").write_text(source.format(name=name))
        metadata = folder / f"{name}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[lossreg.losses]\n{name} = {name}\n")
    return str(folder)


def processes(folder: Path, rounds: int) -> dict[str, arms.Ratio]:
    file, hydra_file = folder / "five.yaml", folder / "hydra.yaml"
    file.write_text(FIVE_TERMS)
    hydra_file.write_text(HYDRA_FILE)
    bare = "from pydantic import BaseModel, Field; import yaml"
    command = (sys.executable, "-m", "lossreg")
    timed = {
        "a bare process that imports pydantic and yaml": process(sys.executable, "-c", bare),
        "`lossreg check`, 5 terms": process(*command, "check", str(file)),
        "`lossreg expand`, the same": process(*command, "expand", str(file)),
        "`lossreg schema`, the built-ins": process(*command, "schema"),
    }
    if importlib.util.find_spec("hydra"):
        script = HYDRA.format(file=str(hydra_file))
        timed["Hydra's `instantiate` of the same losses"] = process(sys.executable, "-c", script)
    return arms.ratios(timed, rounds, device="processes")


def many_plugins(folder: Path, rounds: int) -> dict[str, arms.Ratio]:
    file = folder / "five.yaml"
    # Each arm has one more folder on the import path, so that only its content differs.
    none, few, many = (fake_plugins(folder / str(count), count) for count in (0, 300, 1_000))
    listing = (sys.executable, "-m", "lossreg", "list")
    check = (sys.executable, "-m", "lossreg", "check", str(file))
    timed = {
        "`lossreg check`": process(*check, path=none),
        "`lossreg check`, 1,000 more plugins installed": process(*check, path=many),
        "`lossreg list`": process(*listing, path=none),
        "`lossreg list`, 300 more plugins installed": process(*listing, path=few),
    }
    return arms.ratios(timed, rounds, device="processes")


def document(terms: int) -> bytes:
    kinds = (
        "{type: cross_entropy, inputs: [logits, labels], params: {label_smoothing: 0.1}}",
        "{type: smooth_l1, weight: 0.5, inputs: [pixels, image], params: {beta: 0.5}}",
        "{type: mse, weight: 0.1, inputs: [p, q]}",
        "{type: bce_with_logits, inputs: [u, v], params: {pos_weight: [1.0, 2.0]}}",
        "{type: l1, inputs: [p, r]}",
    )
    lines = [f"  t{index}: {kinds[index % 5]}" for index in range(terms)]
    return "\n".join(["terms:", *lines, ""]).encode()


def bare_constructors(terms: int) -> list[nn.Module]:
    made: list[nn.Module] = []
    for _ in range(terms // 5):
        made.append(nn.CrossEntropyLoss(label_smoothing=0.1))
        made.append(nn.SmoothL1Loss(beta=0.5))
        made.append(nn.MSELoss())
        made.append(nn.BCEWithLogitsLoss(pos_weight=torch.tensor([1.0, 2.0])))
        made.append(nn.L1Loss())
    return made


def building(rounds: int) -> dict[str, arms.Ratio]:
    registry = lossreg.Registry.installed()
    timed: dict[str, Callable[[], object]] = {
        "torch's constructors, 100 losses": lambda: bare_constructors(100)
    }
    for terms in (10, 100, 1_000):
        text = document(terms)
        assert len(load_config(text, registry=registry).terms) == terms  # noqa: S101
        timed[f"load, validate and build, {terms:,} terms"] = lambda text=text: lossreg.build(
            load_config(text, registry=registry)
        )
    if importlib.util.find_spec("hydra"):
        from hydra.utils import instantiate
        from omegaconf import OmegaConf

        lines = HYDRA_FILE.splitlines()
        many = "\n".join(f"t{i}{lines[i % 5][1:]}" for i in range(100))
        timed["Hydra: load and `instantiate`, 100 losses"] = lambda: instantiate(
            OmegaConf.create(many)
        )
    return arms.ratios(timed, rounds, steps=10)


def main() -> None:
    rounds = arms.begin(__doc__, rounds=15).rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one, many = processes(folder, rounds), many_plugins(folder, rounds)
    bare = "over a bare process that imports pydantic and yaml"
    print(arms.table("One check, as a whole process", {bare: one}))
    print(arms.table("Many plugins, as a whole process", {"over `lossreg check`": many}))
    column = "over torch's constructors of 100 losses"
    print(arms.table("Building, in one process", {column: building(rounds)}))


if __name__ == "__main__":
    main()
