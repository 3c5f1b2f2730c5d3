"""A LightningModule trained by a composite.

What it takes care of: gradients equal to the one big batch's, however many micro-batches and ranks
share it; schedules that move once per optimizer step; log keys that never change; progress that is
in the checkpoint. Needs the extra `lightning`.
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

    A subclass says in `values` what its network makes of a batch, and brings its optimizer. Before
    the first forward pass of each optimizer step the terms' denominators are added up over the
    micro-batches of `accumulate_grad_batches` and over the ranks, and Lightning's own division is
    undone: gradients equal those of one big batch. For that the batches of one step are held at
    once, as the dataloader gives them; hooks that change a batch on its way to the device
    must not change what `targets` reads. A step of one micro-batch on one rank counts nothing.

    `self.objective` is part of the module, so its progress is in the checkpoint. A validation step
    may call it as well, and moves nothing:
    `self.log_dict(self.objective(self.values(batch)).log_dict("val/"))`.

    Args:
        objective: What to minimise, from `lossreg.build`.
    """

    def __init__(self, objective: CompositeLoss) -> None:
        super().__init__()
        self.objective = objective
        self._window: _Window | None = None

    def values(self, batch: Any) -> Any:
        """A step's values, as the composite takes them: the batch, and what the network made of it.

        To be written by the subclass.

        Args:
            batch: What Lightning hands to `training_step`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `values(batch)`")

    def targets(self, batch: Any) -> Any:
        """What of a step's values is known before the forward pass.

        Targets, masks, weights of samples and lengths, under the names that `values` gives them.
        The batch itself, unless overridden; one that is no mapping has no names.

        Args:
            batch: A batch as the dataloader gives it, on whatever device it is.

        Raises:
            InputError: The batch is no mapping.
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

        To be overridden where not all ranks share a batch (`group=`), or where the strategy sums
        gradients over the ranks and does not average them (`world_size=1`).

        Args:
            micro_batches: What `targets` gives for each micro-batch of this rank.
        """
        return self.objective.denominators(micro_batches)

    def log_objective(self, out: LossOutput) -> None:
        """Log an optimizer step: once per step, with what all its micro-batches add up to.

        On one of several ranks that is this rank's part times their number; the mean over the
        ranks, which `sync_dist=True` takes, is the step's value. To be overridden to log
        otherwise.

        Args:
            out: The step's values, detached.
        """
        self.log_dict(out.log_dict("train/"))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The composite's total, as Lightning divides it.

        Raises:
            InputError: The values do not fit the composite.
            LossregError: Nobody has counted what the step's terms divide by.
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
        # Lightning divides each micro-batch's loss by this, those of a shorter last step as well.
        loss: Tensor = out.total * self.trainer.accumulate_grad_batches
        return loss

    def configure_callbacks(self) -> list[Callback]:
        """The callback that counts denominators and moves the schedules."""
        return [_Steps()]


class _Window:
    """The micro-batches of one optimizer step.

    Args:
        end: The index of the batch after its last.
        denominators: What its terms divide by; None if each divides by its own.
    """

    def __init__(self, *, end: int, denominators: Denominators | None = None) -> None:
        self.end = end
        self.denominators = denominators
        self._before: LossOutput | None = None
        self._summed: LossOutput | None = None

    @property
    def summed(self) -> LossOutput:
        """What the micro-batches so far add up to, detached."""
        assert self._summed is not None  # noqa: S101 - asked for after `add`
        return self._summed

    def next(self) -> None:
        """The micro-batch before this one is done."""
        self._before = self._summed

    def add(self, out: LossOutput) -> None:
        """Add a micro-batch; again where an optimizer calls its closure several times."""
        world_size = 1 if self.denominators is None else self.denominators.world_size
        total, terms, weights = out.total.detach(), out.terms, out.weights
        if world_size != 1:  # the total is multiplied already
            terms = {name: term * world_size for name, term in terms.items()}
        if self._before is not None:
            before = self._before
            total = before.total + total
            terms = {name: before.terms[name] + term for name, term in terms.items()}
            # An optional term that is missing has the weight 0, whatever it had before.
            weights = {
                name: torch.where(weight == 0, before.weights[name], weight)
                for name, weight in weights.items()
            }
        self._summed = LossOutput(total, terms, weights)


class _LookAhead(CombinedLoader):  # type: ignore[misc]
    """Lightning's own wrapper of the train dataloaders, which can be asked what comes next.

    So samplers are injected, limits kept and lengths known as without it.
    """

    def __init__(self, iterables: Any, mode: str) -> None:
        super().__init__(iterables, mode)
        # What Lightning took, and has not begun: without a length, it takes one more in advance.
        self._taken: deque[Any] = deque()
        # What comes next, each with what the dataloaders' state was before it was read.
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
        # A checkpoint made within a step must not pass over what was only looked at.
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
            pass  # Lightning passes over a None
        return batch

    def following(self, count: int) -> list[Any]:
        """The batches after that, as many as there are; they are still to be taken."""
        with contextlib.suppress(StopIteration):
            while len(self._taken) + len(self._ahead) < count:
                state = super()._state_dicts()
                self._ahead.append((super().__next__(), state))
        batches = [*self._taken, *(item[0] for item, _ in self._ahead)]
        return batches[:count]


class _Steps(Callback):  # type: ignore[misc]
    """Counts denominators before each optimizer step, and moves the schedules after it.

    A callback, because a module's own hooks are overridden without a call of super().
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
            given = original()
            if isinstance(given, CombinedLoader):
                self._loader = _LookAhead(given.iterables, given._mode)  # noqa: SLF001
            else:
                self._loader = _LookAhead(given, "max_size_cycle")  # as Lightning has it
            return self._loader

        source.dataloader = dataloader

    def _release(self, trainer: Trainer) -> None:
        """Give Lightning its method back."""
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
        # As Lightning counts: from the epoch's start, and the epoch's last batch ends a step.
        accumulated = trainer.accumulate_grad_batches
        left = min(accumulated - batch_idx % accumulated, trainer.num_training_batches - batch_idx)
        batches = [begun, *self._loader.following(int(left) - 1)]
        denominators = None
        if len(batches) > 1 or trainer.world_size > 1:
            targets = [pl_module.targets(each) for each in batches if each is not None]
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
        self._end_epoch(pl_module)  # it was left before its last batch

    def _end_epoch(self, module: CompositeModule) -> None:
        # With the last batch, and not where Lightning says that the epoch ended: a run that is
        # resumed from a checkpoint made in between may hear of that a second time, or never.
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
            f"{type(strategy).__name__} accumulates gradients by itself, with a division of its "
            "own; use accumulate_grad_batches=1"
        )
    if trainer.world_size > 1 and not (distributed.is_available() and distributed.is_initialized()):
        raise LossregError(
            f"{type(strategy).__name__} does not use torch.distributed, over which denominators "
            "are added up"
        )
