"""Callbacks that move an objective's schedules with the Trainer's optimizer steps."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from lossreg.errors import LossregError, StateError, warn
from lossreg.integrations.transformers.log import StepLog
from lossreg.integrations.transformers.shares import shares_of
from lossreg.runtime.composite import CompositeLoss

__all__ = ["Moves", "ObjectiveCallback"]

_KEY = "lossreg"


class Moves(TrainerCallback):  # type: ignore[misc]
    """Moves an objective's schedules once per optimizer step and epoch.

    A step that a gradient scaler skips does not move them.

    Args:
        objective: The objective.
    """

    def __init__(self, objective: CompositeLoss) -> None:
        self.objective = objective
        self._counts = (0, 0)
        self._within_epoch = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Begin, or go on from a checkpoint."""
        del args, control
        self.objective.zero_grad()
        self._within_epoch = False
        self._counts = _counts(self.objective)
        if state.global_step == 0 and self._counts != (0, 0):
            steps, epochs = self._counts
            warn(
                f"Trainer begins at step 0, and the objective's schedules go on at step {steps} "
                f"and epoch {epochs}; to begin anew, build the objective again with lossreg.build"
            )

    def on_epoch_begin(self, *_: Any, **__: Any) -> None:
        """Begin an epoch."""
        self._within_epoch = True

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        optimizer: Any = None,
        **_: Any,
    ) -> None:
        """Move the schedules, unless the step was skipped."""
        del args, control
        self.objective.zero_grad()  # Trainer does so only for the model
        if not getattr(optimizer, "step_was_skipped", False):
            self._move(self.objective.step)
        # Here and not at the epoch's end, because a checkpoint may be saved in between, and a run
        # that is resumed from it begins with the next epoch.
        if float(state.epoch).is_integer():
            self._end_epoch()

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Move what counts epochs, where no step did."""
        del args, state
        if not control.should_training_stop:  # for data without a length, and epochs that are left
            self._end_epoch()

    def _end_epoch(self) -> None:
        if self._within_epoch:
            self._within_epoch = False
            self._move(self.objective.step_epoch)

    def _move(self, step: Any) -> None:
        if _counts(self.objective) != self._counts:
            raise LossregError(
                "something else moves the objective's schedules as well: remove its calls of "
                "step() and step_epoch(), which the Trainer's adapter makes"
            )
        step()
        self._counts = _counts(self.objective)


class ObjectiveCallback(Moves):
    """For a Trainer whose loss is `loss_function(objective)`: schedules, their progress, the log.

    Schedules move once per optimizer step. Their progress is in the checkpoint, in
    `trainer_state.json`, and comes back on resume. Terms, weights and weighted values are in
    `trainer.state.log_history`; the integrations of `report_to` were called before this callback
    and do not get them (`ObjectiveTrainer` gives them to all).

    Args:
        objective: The objective that `loss_function` got.

    Raises:
        LossregError: When training begins or steps: it could not be right; the message says why.
        StateError: The checkpoint is another objective's, or has no progress.
    """

    def __init__(self, objective: CompositeLoss) -> None:
        super().__init__(objective)
        self._shares = shares_of(objective)
        self._log = StepLog()

    def on_init_end(self, args: TrainingArguments, *_: Any, **__: Any) -> None:
        """Find out what Trainer counts."""
        self._shares.across_ranks = args.average_tokens_across_devices

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_: Any,
    ) -> None:
        """Begin, or go on from a checkpoint."""
        _refuse_what_is_counted_apart(args)
        if state.global_step:
            self._take_over(state)
        super().on_train_begin(args, state, control)
        self.objective.to(args.device)
        self._shares.begin()
        self._shares.is_attached = True
        self._log = StepLog()
        self._keep(state)

    def _take_over(self, state: TrainerState) -> None:
        if not self.objective.state_dict():
            return
        saved = state.stateful_callbacks.get(_KEY)
        if saved is None:
            raise StateError(
                "the checkpoint has no progress of the objective's schedules: it was saved "
                "without ObjectiveCallback. To go on all the same, call "
                f"objective.progress_to(steps={state.global_step}) and train without "
                "resume_from_checkpoint, from the checkpoint's model"
            )
        restored: Any = OrderedDict((key, torch.tensor(value)) for key, value in saved["state"])
        restored._metadata = {"": {"version": 1, _KEY: saved["objective"]}}  # noqa: SLF001 - as torch names it
        self.objective.load_state_dict(restored)

    def _keep(self, state: TrainerState) -> None:
        """Put the objective's state among what Trainer saves as `trainer_state.json`."""
        own: Any = self.objective.state_dict()
        state.stateful_callbacks[_KEY] = {
            "state": [[key, value.tolist()] for key, value in own.items()],
            "objective": own._metadata[""][_KEY],  # noqa: SLF001 - as torch names it
        }

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Begin an optimizer step."""
        self._shares.begin()

    def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
        """Compare what was counted."""
        self._shares.check()

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        optimizer: Any = None,
        **_: Any,
    ) -> None:
        """Move the schedules, unless the step was skipped."""
        self._log.add(self._shares.summed())
        super().on_step_end(args, state, control, optimizer=optimizer)
        self._keep(state)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Move what counts epochs, where no step did."""
        super().on_epoch_end(args, state, control)
        self._keep(state)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Add the terms to an entry of the log."""
        del args, control
        if logs is None or "loss" not in logs:
            return
        taken = self._log.take()
        logs.update(taken)
        if state.log_history:
            state.log_history[-1].update(taken)

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """End."""
        self._shares.is_attached = False


def _refuse_what_is_counted_apart(args: TrainingArguments) -> None:
    if args.n_gpu > 1:
        raise LossregError(
            "with several GPUs in one process Trainer gives the loss a count for each of them: "
            "start one process for each GPU (torchrun), or use ObjectiveTrainer(objective=...)"
        )
    if args.world_size > 1 and not args.average_tokens_across_devices:
        raise LossregError(
            "Trainer counts the labels of each rank apart: set "
            "average_tokens_across_devices=True, or use ObjectiveTrainer(objective=...)"
        )


def _counts(objective: CompositeLoss) -> tuple[int, int]:
    progress = objective.progress
    return (0, 0) if progress is None else (progress.steps, progress.epochs)
