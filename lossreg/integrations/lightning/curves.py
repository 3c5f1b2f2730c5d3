"""A picture of the terms and their weights at the end of a training."""

from __future__ import annotations

import os
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from lossreg.integrations.history import TOTAL, History

__all__ = ["CurvesCallback"]


class CurvesCallback(Callback):  # type: ignore[misc]
    """Keeps what `log_dict` of an objective gave, and draws it when training ends.

    Whatever was logged under a prefix, such as `train/` and `val/`, has a row of panels: what each
    term adds to the total, its raw value, and its weight. Training steps are kept every
    `log_every_n_steps` of the Trainer and before a validation, and read from the device at the end.
    A training that an error or Ctrl-C ended is drawn too; one that is resumed has the steps since
    then. Needs matplotlib, of the extra `experiments`.

    Args:
        file: The PNG to write, by rank 0.
        title: The title above the panels.

    Attributes:
        history: What was kept.
    """

    def __init__(self, file: str | os.PathLike[str], title: str = "") -> None:
        self.history = History()
        self._file = file
        self._title = title
        self._steps = 0
        # By prefix, the total that was kept last, and at which step.
        self._latest: dict[str, tuple[Tensor, int]] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember where a resumed training begins."""
        del pl_module
        self._steps = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *_arguments: Any
    ) -> None:
        """Keep an optimizer step that the Trainer logs."""
        del pl_module
        steps = trainer.global_step
        if steps == self._steps:
            return  # within a step, or a skipped one
        self._steps = steps
        if steps == 1 or steps % trainer.log_every_n_steps == 0:
            self._keep(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the means over the validation set."""
        del pl_module
        if not trainer.sanity_checking:
            self._keep(trainer)

    def _keep(self, trainer: Trainer) -> None:
        """Keep what is new among the values that callbacks see, where older ones stay."""
        metrics, steps = trainer.callback_metrics, trainer.global_step
        for key, total in metrics.items():
            prefix = key.removesuffix(TOTAL)
            kept, at_step = self._latest.get(prefix, (None, None))
            if prefix != key and kept is not total and at_step != steps:
                self._latest[prefix] = total, steps
                self.history.add(metrics, steps, prefix=prefix)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw."""
        del pl_module
        self._draw(trainer)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Draw what there is so far."""
        del pl_module, exception
        self._draw(trainer)

    def _draw(self, trainer: Trainer) -> None:
        if trainer.is_global_zero and self.history:
            self.history.draw(self._file, self._title)
