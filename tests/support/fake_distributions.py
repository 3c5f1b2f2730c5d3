"""Distributions with plugins, as files: what an installer would have left."""

from __future__ import annotations

import importlib
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from lossreg.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Mapping

LOSSES = "lossreg.losses"
TASKS = "lossreg.tasks"


def plugin(*names: str, build: str = "nn.L1Loss()", head: str = "") -> str:
    """The source of a plugin module whose hook returns one definition for each name."""
    return textwrap.dedent(head) + textwrap.dedent(f"""
        from lossreg.plugin import LossConfig, LossDefinition, LossInput, hookimpl


        def build(config):
            from torch import nn
            return {build}


        @hookimpl
        def lossreg_losses():
            return [
                LossDefinition(
                    name=name,
                    config=LossConfig,
                    build=build,
                    inputs=(
                        LossInput(name="input", meaning="predictions"),
                        LossInput(name="target", meaning="values to predict"),
                    ),
                    summary="made up",
                )
                for name in {names!r}
            ]
    """)


def task_plugin(*names: str, build: str = "tiny()", head: str = "") -> str:
    """The source of a plugin module whose hook returns one task for each name."""
    return textwrap.dedent(head) + textwrap.dedent(f"""
        from lossreg.plugin import TaskDefinition, hookimpl


        def tiny():
            import torch
            from lossreg.experiments.task import Measure, Rows, Task

            class Model(torch.nn.Linear):
                def forward(self, batch):
                    return {{"y": super().forward(batch["x"])}}

            x = torch.linspace(-1, 1, 16)[:, None]
            rows = Rows({{"x": x, "z": 3 * x + 1}})
            error = Measure(
                name="error",
                label="error (mse)",
                per_sample=lambda values: (values["y"] - values["z"]).square().mean(dim=1),
                baseline=3.1,
                baseline_name="nothing",
                higher_is_better=False,
            )
            return Task(
                model=Model(1, 1),
                train=rows,
                held_out=rows,
                measures=(error,),
                batch_size=4,
                learning_rate=0.1,
            )


        @hookimpl
        def lossreg_tasks():
            return [
                TaskDefinition(name=name, summary="made up", build=lambda: {build})
                for name in {names!r}
            ]
    """)


def states() -> dict[str, tuple[str, str]]:
    """The state and the reason of each loss that is listed, lossreg's own left out."""
    entries = Registry.installed().entries()
    return {
        entry.name: (entry.state, entry.reason)
        for entry in entries
        if entry.distribution != "lossreg"
    }


class Site:
    """A folder on `sys.path` into which distributions are put."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(
        self,
        distribution: str,
        entry_points: Mapping[str, str],
        modules: Mapping[str, str],
        *,
        version: str = "1.0",
        group: str = LOSSES,
    ) -> None:
        """Put a distribution there: its entry points in one group, and its modules by name."""
        for name, source in modules.items():
            self.module(name, source)
        metadata = self.metadata(distribution, version)
        metadata.mkdir()
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n", encoding="utf-8"
        )
        lines = [f"{name} = {value}" for name, value in entry_points.items()]
        (metadata / "entry_points.txt").write_text(
            "\n".join([f"[{group}]", *lines, ""]), encoding="utf-8"
        )
        importlib.invalidate_caches()

    def module(self, name: str, source: str) -> None:
        """Put a module there that no distribution brings."""
        (self.path / f"{name}.py").write_text(source, encoding="utf-8")
        importlib.invalidate_caches()

    def metadata(self, distribution: str, version: str = "1.0") -> Path:
        """The folder of a distribution's metadata."""
        return self.path / f"{distribution.replace('-', '_')}-{version}.dist-info"

    def forget(self) -> None:
        """Drop what was imported from here, so that the next test imports its own."""
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if file and Path(file).parent == self.path:
                del sys.modules[name]
