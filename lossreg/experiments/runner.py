"""Trains a task with an objective, with Lightning's Trainer, and writes the run's files."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch.utils.data import DataLoader, DistributedSampler

from lossreg.errors import LossregError
from lossreg.experiments.building import build_task
from lossreg.experiments.curves import draw_curves
from lossreg.experiments.folder import new_folder
from lossreg.experiments.quiet import quiet
from lossreg.experiments.recorder import Recorder, Row, logged_values
from lossreg.integrations.lightning import ObjectiveModule
from lossreg.runtime.building import build

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from torch import Tensor

    from lossreg.config import ExperimentConfig
    from lossreg.experiments.task import Measure, Rows, Task
    from lossreg.runtime.composite import CompositeLoss
    from lossreg.runtime.output import LossOutput

__all__ = ["Result", "run"]

# The bundled networks are so small that threads would wait for each other longer than they work.
# And the order of sums, and so the metrics, must not depend on the machine.
_THREADS = 1
_UNUSED_PARAMETERS = "find_unused_parameters"


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """The measurements of a run.

    Attributes:
        folder: The folder with `config.yaml`, `metrics.csv`, `curves.png` and the checkpoint.
        rows: The rows of `metrics.csv`, oldest first; at least one.
        measures: The measures on held-out data, each with its baseline.
        held_out: The value of each measure after the last step.
        seconds: The time that training took.
    """

    folder: Path
    rows: Sequence[Row]
    measures: tuple[Measure, ...]
    held_out: Mapping[str, float]
    seconds: float


class _Training(ObjectiveModule):
    """A task's network and an objective."""

    def __init__(self, task: Task, objective: CompositeLoss) -> None:
        super().__init__(objective)
        self.model = task.model
        self.logged: Tensor | None = None
        self.measured: dict[str, float] = {}
        self._measures = task.measures
        self._learning_rate = task.learning_rate
        self._samples: list[Tensor] = []

    def on_fit_start(self) -> None:
        # Not earlier: just before this hook, Lightning sets the number for several processes.
        torch.set_num_threads(_THREADS)

    def values(self, batch: Mapping[str, Tensor]) -> dict[str, Any]:
        return {**batch, **self.model(batch)}

    def log_objective(self, out: LossOutput) -> None:
        self.logged = logged_values(out)  # for the recorder

    def validation_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        del batch_idx
        values = self.values(batch)
        self._samples.append(
            torch.stack([measure.per_sample(values) for measure in self._measures])
        )

    def on_validation_epoch_end(self) -> None:
        means = torch.cat(self._samples, dim=1).mean(dim=1).tolist()
        self._samples.clear()
        names = [measure.name for measure in self._measures]
        self.measured = dict(zip(names, means, strict=True))
        # Only for the progress bar; every rank has the same values.
        self.log_dict(self.measured, prog_bar=True, logger=False, sync_dist=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self._learning_rate)


def run(
    experiment: ExperimentConfig,
    *,
    name: str,
    document: str,
    root: Path,
    progress: bool,
    interruptible: AbstractContextManager[None],
) -> Result | None:
    """Train, measure and write; `lossreg.experiments.run` documents the arguments."""
    with quiet():
        seed_everything(experiment.seed, verbose=False)
        task = build_task(experiment.definition, experiment.origin)
        objective = build(experiment.loss)
        recorder = Recorder(
            terms=(*objective.terms.names, *objective.weighting.regularizers),
            measures=[measure.name for measure in task.measures],
            folder=None,
        )
        trainer = _trainer(experiment, recorder, progress=progress)
        start = time.perf_counter()
        try:
            with interruptible:
                if trainer.is_global_zero:
                    recorder.folder = new_folder(root, name)
                    _write_config(recorder.folder, document)
                _fit(trainer, _Training(task, objective), task)
        except OSError as error:
            if error.filename is None:
                raise
            raise LossregError(f"cannot write '{error.filename}': {error.strerror}") from error
        finally:
            if trainer.is_global_zero:
                _finish(recorder, task.measures)
        if not trainer.is_global_zero:
            return None
        assert recorder.folder is not None  # noqa: S101 - made above
        return Result(
            folder=recorder.folder,
            rows=tuple(recorder.rows),
            measures=task.measures,
            held_out=next((row.held_out for row in reversed(recorder.rows) if row.held_out), {}),
            seconds=time.perf_counter() - start,
        )


def _trainer(experiment: ExperimentConfig, recorder: Recorder, *, progress: bool) -> Trainer:
    options = experiment.trainer.model_dump(exclude_unset=True, exclude_none=True)
    # Only the last epoch's checkpoint: choosing one by held-out data would bias the result.
    checkpoint = ModelCheckpoint(filename="last", enable_version_counter=False)
    try:
        return Trainer(
            **options,
            callbacks=[recorder, checkpoint],
            logger=False,
            enable_progress_bar=progress,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
    except Exception as error:
        raise LossregError(f"Lightning refuses the trainer's options: {error}") from error


def _fit(trainer: Trainer, training: _Training, task: Task) -> None:
    """Train; Lightning turns an interrupt into a SystemExit, and this raises KeyboardInterrupt."""
    threads = torch.get_num_threads()
    try:
        trainer.fit(training, _loader(task.train, task), _held_out_loader(task.held_out, task))
    except SystemExit:
        if not trainer.interrupted:
            raise
    except MisconfigurationException as error:
        raise LossregError(f"Lightning refuses to train: {error}") from error
    except RuntimeError as error:
        if _UNUSED_PARAMETERS not in str(error):
            raise
        raise LossregError(
            "no term reaches some of the network's parameters (is one disabled, or its weight 0?), "
            "which the strategy 'ddp' does not allow; write "
            "trainer.strategy: ddp_find_unused_parameters_true"
        ) from error
    finally:
        torch.set_num_threads(threads)
    if trainer.interrupted:
        # Lightning has ended the other processes, and because they ended it would kill this one
        # while it still writes.
        getattr(trainer.strategy.launcher, "procs", []).clear()
        raise KeyboardInterrupt


def _loader(rows: Rows, task: Task) -> DataLoader[dict[str, Tensor]]:
    return DataLoader(rows, batch_size=task.batch_size, shuffle=True, collate_fn=_as_it_is)


def _held_out_loader(rows: Rows, task: Task) -> DataLoader[dict[str, Tensor]]:
    # Lightning would distribute the samples over the ranks, some of them twice, to give each rank
    # the same number. Instead every rank measures all samples.
    everything: DistributedSampler[Any] = DistributedSampler(
        rows, num_replicas=1, rank=0, shuffle=False
    )
    return DataLoader(rows, batch_size=task.batch_size, sampler=everything, collate_fn=_as_it_is)


def _as_it_is(batch: Any) -> Any:  # `Rows` returns whole batches
    return batch


def _write_config(folder: Path, document: str) -> None:
    (folder / "config.yaml").write_text(document, encoding="utf-8", newline="")


def _finish(recorder: Recorder, measures: Sequence[Measure]) -> None:
    """Draw the curves; remove the folder of a run that ended before its first step."""
    folder = recorder.folder
    if folder is None:
        return
    if not recorder.rows:
        shutil.rmtree(folder, ignore_errors=True)
        return
    draw_curves(recorder.rows, measures, folder / "curves.png", folder.name)
