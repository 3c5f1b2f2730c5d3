"""The rows of `metrics.csv`: measurements during training."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from lossreg.runtime.output import LossOutput

__all__ = ["Recorder", "Row", "logged_values"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """Means over the steps since the row before.

    Attributes:
        step: The number of completed optimizer steps.
        epoch: The number of epochs, including the one in progress.
        total: The objective.
        terms: Each term's raw value.
        weighted: Each term's contribution to the total.
        held_out: The measures on held-out data after this step; empty if there were none.
    """

    step: int
    epoch: int
    total: float
    terms: Mapping[str, float]
    weighted: Mapping[str, float]
    held_out: dict[str, float] = field(default_factory=dict)


def logged_values(out: LossOutput) -> Tensor:
    """The total, the raw terms and the weighted terms, as one detached vector."""
    terms = torch.stack([out.terms[name] for name in out.weights]).float()
    weights = torch.stack(list(out.weights.values())).to(terms)
    return torch.cat([out.total.detach().float()[None], terms, terms * weights])


class Recorder(Callback):  # type: ignore[misc]
    """Adds up each step's values on their device, and reads them once for each row.

    A row is due after the first step, after every `log_every_n_steps`-th, and whenever held-out
    data were measured. Ranks are averaged. Rank 0 writes.

    Args:
        terms: The names of the terms, then those of what learned weights add to the total.
        measures: The measures' names.
        folder: The run's folder; None on other ranks, which get it when training starts.
    """

    def __init__(
        self, *, terms: Sequence[str], measures: Sequence[str], folder: Path | None
    ) -> None:
        self.rows: list[Row] = []
        self.folder = folder
        self._terms = tuple(terms)
        self._measures = tuple(measures)
        self._sum: Tensor | None = None
        self._count = 0
        self._written = 0
        self._file: TextIO | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Send rank 0's folder to all ranks."""
        del pl_module, stage
        self.folder = trainer.strategy.broadcast(self.folder)
        for checkpoint in trainer.checkpoint_callbacks:
            checkpoint.dirpath = str(self.folder)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Add a step's values; make a row if one is due."""
        del outputs, batch, batch_idx
        logged, pl_module.logged = pl_module.logged, None
        if logged is None:  # the step has more micro-batches
            return
        self._sum = logged if self._sum is None else self._sum + logged
        self._count += 1
        step = trainer.global_step
        if step == trainer.max_steps:
            # Without this, Lightning would end within an epoch and skip the last validation.
            trainer.should_stop = True
        is_new = step > (self.rows[-1].step if self.rows else 0)
        if is_new and (step == 1 or step % trainer.log_every_n_steps == 0):
            self._add_row(trainer)
            pl_module.log("total", self.rows[-1].total, prog_bar=True, logger=False)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the measures to the row of this step."""
        if self._count:
            self._add_row(trainer)
        if self.rows:
            self.rows[-1].held_out.update(pl_module.measured)
            self._write(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the remaining rows, and close the file."""
        del pl_module
        if self._count:
            self._add_row(trainer)
        self._close(trainer)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Write the existing rows. Other ranks may have stopped, so nothing is averaged."""
        del pl_module, exception
        self._close(trainer)

    def _add_row(self, trainer: Trainer) -> None:
        # The newest row gets no more measures once another row is added.
        self._write(trainer)
        assert self._sum is not None  # noqa: S101 - a row is due after a step
        mean = trainer.strategy.reduce(self._sum / self._count, reduce_op="mean")
        self._sum, self._count = None, 0
        total, *values = mean.tolist()
        split = len(self._terms)
        self.rows.append(
            Row(
                step=trainer.global_step,
                epoch=trainer.current_epoch + 1,
                total=total,
                terms=dict(zip(self._terms, values[:split], strict=True)),
                weighted=dict(zip(self._terms, values[split:], strict=True)),
            )
        )

    def _write(self, trainer: Trainer) -> None:
        if not trainer.is_global_zero or len(self.rows) == self._written:
            return
        assert self.folder is not None  # noqa: S101 - rank 0 has it from the start
        if self._file is None:
            self._file = (self.folder / "metrics.csv").open("w", encoding="utf-8", newline="")
            self._put(
                "step",
                "epoch",
                "total",
                *(_column(name) for name in self._terms),
                *(f"held_out/{name}" for name in self._measures),
            )
        for row in self.rows[self._written :]:
            self._put(
                row.step,
                row.epoch,
                _text(row.total),
                *(_text(value) for value in row.terms.values()),
                *(_text(row.held_out.get(name)) for name in self._measures),
            )
        self._written = len(self.rows)
        self._file.flush()

    def _put(self, *cells: object) -> None:
        csv.writer(self._file, lineterminator="\n").writerow(cells)  # type: ignore[arg-type]

    def _close(self, trainer: Trainer) -> None:
        self._write(trainer)
        if self._file is not None:
            self._file.close()
            self._file = None


def _column(term: str) -> str:
    """A term's column; a term with the name of another column gets a prefix."""
    return f"term/{term}" if term in ("step", "epoch") else term


def _text(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if math.isfinite(value) else str(value)
