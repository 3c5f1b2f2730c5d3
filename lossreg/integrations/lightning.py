"""A LightningModule trained by a composite.

Its gradients equal those of one big batch, however many micro-batches and ranks share it; schedules
move once per optimizer step; log keys never change; progress is in the checkpoint. Needs the extra
`lightning`.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed

from lossreg.errors import InputError, LossregError, MissingExtraError
from lossreg.runtime.output import LossOutput

if importlib.util.find_spec("lightning") is None:
    raise MissingExtraError(__name__, extra="lightning", missing="lightning")

from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.utilities import CombinedLoader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lightning.pytorch import Trainer
    from torch import Tensor

    from lossreg.runtime.composite import CompositeLoss
    from lossreg.runtime.denominators import Denominators

__all__ = ["CompositeModule"]


class CompositeModule(LightningModule):  # type: ignore[misc]
    """A LightningModule whose training step is a composite.

    A subclass computes the step's values in `values` and configures its optimizer. Before the first
    forward pass of each optimizer step the terms' denominators are added up over the micro-batches
    of `accumulate_grad_batches` and over the ranks, and Lightning's own division is undone, so
    gradients equal those of one big batch. For this all batches of one step are held in memory, as
    the dataloader returns them; hooks that change a batch on its way to the device must not change
    what `targets` reads. A step of one micro-batch on one rank needs no counting.

    `self.objective` is part of the module, so its progress is in the checkpoint. A validation step
    may also call it, which moves no schedule:
    `self.log_dict(self.objective(self.values(batch)).log_dict("val/"))`.

    Args:
        objective: What to minimise, from `lossreg.build`.
    """

    def __init__(self, objective: CompositeLoss) -> None:
        super().__init__()
        self.objective = objective
        self._window: _Window | None = None

    def values(self, batch: Any) -> Any:
        """A step's values for the composite: the batch, and the network's output for it.

        A subclass must override it.

        Args:
            batch: The batch that Lightning passes to `training_step`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `values(batch)`")

    def targets(self, batch: Any) -> Any:
        """The part of a step's values that is known before the forward pass.

        Targets, masks, sample weights and lengths, under the same names as in `values`. By default
        the batch itself, if it is a mapping.

        Args:
            batch: A batch as the dataloader returns it, on any device.

        Raises:
            InputError: The batch is not a mapping, so it has no names.
        """
        if not isinstance(batch, Mapping):
            raise InputError(
                f"a batch is a {type(batch).__name__}, which has no names: override "
                f"{type(self).__name__}.targets(batch) to return a mapping of what is known "
                "before the forward pass"
            )
        return batch

    def denominators(self, micro_batches: Sequence[Any]) -> Denominators:
        """What the terms of one optimizer step divide by.

        Override it if only some of the ranks share a batch (`group=`), or if the strategy sums
        gradients over the ranks instead of averaging them (`world_size=1`).

        Args:
            micro_batches: The result of `targets` for each micro-batch of this rank.
        """
        return self.objective.denominators(micro_batches)

    def log_objective(self, out: LossOutput) -> None:
        """Log an optimizer step: once per step, with the sums over its micro-batches.

        With several ranks, each logs its own part times the number of ranks; the mean over the
        ranks, which `sync_dist=True` computes, is the step's value. Override it to log other
        values.

        Args:
            out: The step's values, detached.
        """
        self.log_dict(out.log_dict("train/"))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The composite's total, multiplied by the number that Lightning divides it by.

        Raises:
            InputError: The values do not fit the composite.
            LossregError: The step's denominators were not counted.
        """
        window = self._window
        if window is None:
            # Lightning's tuners run without the module's callbacks.
            if self.trainer.accumulate_grad_batches > 1 or self.trainer.world_size > 1:
                raise LossregError(
                    "the callback that counts denominators does not run: a tuner left it out (use "
                    "accumulate_grad_batches=1 on one device while tuning), or configure_callbacks "
                    "was overridden without super().configure_callbacks()"
                )
            window = _Window(end=batch_idx + 1)
        out = self.objective(self.values(batch), denominators=window.denominators)
        window.add(out)
        if batch_idx + 1 == window.end:
            self.log_objective(window.summed)
        # Lightning divides each micro-batch's loss by this, also in a shorter last step.
        loss: Tensor = out.total * self.trainer.accumulate_grad_batches
        return loss

    def configure_callbacks(self) -> list[Callback]:
        """The callback that counts denominators and moves the schedules."""
        return [_Steps()]


class _Window:
    """The micro-batches of one optimizer step.

    Args:
        end: The index of the batch after its last.
        denominators: What its terms are divided by; None if each batch divides by its own.
    """

    def __init__(self, *, end: int, denominators: Denominators | None = None) -> None:
        self.end = end
        self.denominators = denominators
        self._before: LossOutput | None = None
        self._summed: LossOutput | None = None

    @property
    def summed(self) -> LossOutput:
        """The sum of the micro-batches so far, detached."""
        assert self._summed is not None  # noqa: S101 - only read after `add`
        return self._summed

    def next(self) -> None:
        """Begin the next micro-batch: the sum so far no longer changes."""
        self._before = self._summed

    def add(self, out: LossOutput) -> None:
        """Add a micro-batch; if an optimizer calls its closure again, the last result counts."""
        world_size = 1 if self.denominators is None else self.denominators.world_size
        total, terms, weights = out.total.detach(), out.terms, out.weights
        if world_size != 1:  # the total is already multiplied
            terms = {name: term * world_size for name, term in terms.items()}
        if self._before is not None:
            before = self._before
            total = before.total + total
            terms = {name: before.terms[name] + term for name, term in terms.items()}
            # An optional term has the weight 0 in a micro-batch without its tensors.
            weights = {
                name: torch.where(weight == 0, before.weights[name], weight)
                for name, weight in weights.items()
            }
        self._summed = LossOutput(total, terms, weights)


class _LookAhead(CombinedLoader):  # type: ignore[misc]
    """Lightning's wrapper of the train dataloaders, which can also read batches ahead.

    A subclass, so Lightning still injects samplers, applies its limits and knows the length.
    """

    def __init__(self, iterables: Any, mode: str) -> None:
        super().__init__(iterables, mode)
        # Batches that Lightning took but has not begun: without a length, it takes one in advance.
        self._taken: deque[Any] = deque()
        # Batches that were read ahead, each with the dataloaders' state before it was read.
        self._ahead: deque[tuple[Any, Any]] = deque()

    def __iter__(self) -> _LookAhead:
        self._forget()
        super().__iter__()
        return self

    def __next__(self) -> Any:
        item = self._ahead.popleft()[0] if self._ahead else super().__next__()
        self._taken.append(item[0])
        return item

    def _state_dicts(self) -> Any:
        # A run resumed from a checkpoint within a step must not skip batches that were read ahead.
        return self._ahead[0][1] if self._ahead else super()._state_dicts()

    def reset(self) -> None:
        self._forget()
        super().reset()

    def _forget(self) -> None:
        self._taken.clear()
        self._ahead.clear()

    def begun(self) -> Any:
        """The batch that Lightning begins now."""
        while (batch := self._taken.popleft()) is None:
            pass  # Lightning skips a batch that is None
        return batch

    def following(self, count: int) -> list[Any]:
        """Up to `count` of the next batches, which Lightning has not begun."""
        with contextlib.suppress(StopIteration):
            while len(self._taken) + len(self._ahead) < count:
                state = super()._state_dicts()
                self._ahead.append((super().__next__(), state))
        batches = [*self._taken, *(item[0] for item, _ in self._ahead)]
        return batches[:count]


class _Steps(Callback):  # type: ignore[misc]
    """Counts denominators before each optimizer step, and moves the schedules after it.

    A callback, because subclasses override a module's own hooks without calling super().
    """

    def __init__(self) -> None:
        self._loader: _LookAhead | None = None
        self._steps = 0
        self._within_epoch = False

    def setup(self, trainer: Trainer, pl_module: CompositeModule, stage: str) -> None:
        if stage != "fit":
            return
        _refuse_what_cannot_be_right(trainer, pl_module)
        # Lightning has no hook between the dataloader and the loop.
        source = trainer.fit_loop._data_source  # noqa: SLF001
        self._release(trainer)
        original = source.dataloader

        def dataloader() -> _LookAhead:
            loader = original()
            if isinstance(loader, CombinedLoader):
                self._loader = _LookAhead(loader.iterables, loader._mode)  # noqa: SLF001
            else:
                self._loader = _LookAhead(loader, "max_size_cycle")  # Lightning's own default
            return self._loader

        source.dataloader = dataloader

    def _release(self, trainer: Trainer) -> None:
        """Restore Lightning's own method."""
        vars(trainer.fit_loop._data_source).pop("dataloader", None)  # noqa: SLF001

    def teardown(self, trainer: Trainer, pl_module: CompositeModule, stage: str) -> None:
        del stage
        self._release(trainer)
        pl_module._window = None  # noqa: SLF001

    def on_exception(
        self, trainer: Trainer, pl_module: CompositeModule, exception: BaseException
    ) -> None:
        del exception
        self._release(trainer)
        pl_module._window = None  # noqa: SLF001

    def on_train_start(self, trainer: Trainer, pl_module: CompositeModule) -> None:
        del pl_module
        self._steps = trainer.global_step

    def on_train_epoch_start(self, trainer: Trainer, pl_module: CompositeModule) -> None:
        del trainer
        pl_module._window = None  # noqa: SLF001

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: CompositeModule, batch: Any, batch_idx: int
    ) -> None:
        del batch
        self._within_epoch = True
        assert self._loader is not None  # noqa: S101 - made in `setup`
        begun = self._loader.begun()
        window = pl_module._window  # noqa: SLF001
        if window is not None and batch_idx < window.end:
            window.next()
            return
        # Lightning counts from the epoch's start, and the epoch's last batch ends a step.
        accumulated = trainer.accumulate_grad_batches
        left = min(accumulated - batch_idx % accumulated, trainer.num_training_batches - batch_idx)
        batches = [begun, *self._loader.following(int(left) - 1)]
        denominators = None
        if len(batches) > 1 or trainer.world_size > 1:
            targets = [pl_module.targets(item) for item in batches if item is not None]
            denominators = pl_module.denominators(targets)
        window = _Window(end=batch_idx + len(batches), denominators=denominators)
        pl_module._window = window  # noqa: SLF001

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: CompositeModule, *_arguments: Any
    ) -> None:
        if trainer.global_step != self._steps:
            self._steps = trainer.global_step
            pl_module.objective.step()
        if trainer.is_last_batch:
            self._end_epoch(pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: CompositeModule) -> None:
        del trainer
        self._end_epoch(pl_module)  # for an epoch that was left before its last batch

    def _end_epoch(self, module: CompositeModule) -> None:
        # After the last batch, not in Lightning's hook for the epoch's end: a run resumed from a
        # checkpoint made in between may call that hook a second time, or never.
        if self._within_epoch:
            self._within_epoch = False
            module.objective.step_epoch()


def _refuse_what_cannot_be_right(trainer: Trainer, module: CompositeModule) -> None:
    if not module.automatic_optimization:
        raise LossregError(
            f"{type(module).__name__} sets automatic_optimization=False; a CompositeModule needs "
            "Lightning's automatic optimization. With manual optimization call "
            "`loss.denominators`, the loss and `loss.step()` in a LightningModule of your own"
        )
    strategy = trainer.strategy
    if strategy.handles_gradient_accumulation and trainer.accumulate_grad_batches > 1:
        raise LossregError(
            f"{type(strategy).__name__} accumulates gradients by itself, with its own "
            "division; use accumulate_grad_batches=1"
        )
    if trainer.world_size > 1 and not (distributed.is_available() and distributed.is_initialized()):
        raise LossregError(
            f"{type(strategy).__name__} does not use torch.distributed, which is needed to add "
            "up denominators over the ranks"
        )
