"""Lightning's batches, read ahead: each optimizer step's before its first forward pass."""

from __future__ import annotations

import contextlib
from collections import deque
from typing import TYPE_CHECKING, Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import CombinedLoader
from torch import distributed

from lossreg.errors import LossregError
from lossreg.integrations.accumulation import OptimizerStep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lossreg.integrations.lightning.module import ObjectiveModule
    from lossreg.runtime.composite import CompositeLoss
    from lossreg.runtime.denominators import Denominators

__all__ = ["Batches"]


class _Window(OptimizerStep):
    """The micro-batches of one optimizer step under Lightning.

    Args:
        module: What they train.
        batches: The micro-batches, as the dataloader returns them.
        first: The index of the first in its epoch.
        divided: What Lightning divides each micro-batch's total by.
    """

    def __init__(
        self, module: ObjectiveModule, batches: Sequence[Any], *, first: int, divided: int
    ) -> None:
        super().__init__(batches, known=module.targets, trainer_divides_by=divided)
        self.first = first
        self._module = module

    def count(self, objective: CompositeLoss, micro_batches: Sequence[Any]) -> Denominators:
        module = self._module
        name = next(key for key, each in module._objectives().items() if each is objective)  # noqa: SLF001
        if name is None:
            return module.denominators(micro_batches)
        return module.denominators_of(name, micro_batches)


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


class Batches(Callback):  # type: ignore[misc]
    """Gives an `ObjectiveModule` the batches of each optimizer step, and logs its averages.

    A callback, because subclasses override a module's own hooks without calling super().
    """

    def __init__(self) -> None:
        self._loader: _LookAhead | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        del pl_module
        _refuse_what_cannot_be_right(trainer)
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

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        del stage
        self._release(trainer)
        pl_module._window = None  # noqa: SLF001

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        del exception
        self._release(trainer)
        pl_module._window = None  # noqa: SLF001

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        del trainer
        pl_module._window = None  # noqa: SLF001

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        del batch
        assert self._loader is not None  # noqa: S101 - made in `setup`
        begun = self._loader.begun()
        window = pl_module._window  # noqa: SLF001
        if isinstance(window, _Window) and batch_idx < window.first + len(window):
            window.index = batch_idx - window.first
            return
        # Lightning counts from the epoch's start, and the epoch's last batch ends a step.
        divided = trainer.accumulate_grad_batches if pl_module.automatic_optimization else 1
        length = divided if pl_module.automatic_optimization else pl_module._micro_batches  # noqa: SLF001
        left = min(length - batch_idx % length, trainer.num_training_batches - batch_idx)
        batches = [begun, *self._loader.following(int(left) - 1)]
        pl_module._window = _Window(  # noqa: SLF001
            pl_module, batches, first=batch_idx, divided=divided
        )

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        del trainer
        pl_module._averages.clear()  # noqa: SLF001

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        _log_averages(trainer, pl_module, "val")

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        del trainer
        pl_module._averages.clear()  # noqa: SLF001

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        _log_averages(trainer, pl_module, "test")


def _log_averages(trainer: Trainer, module: LightningModule, stage: str) -> None:
    averages = module._averages  # noqa: SLF001
    several = len({place for place, _ in averages}) > 1
    for (place, name), average in averages.items():
        out = average.mean()
        if out is None:
            continue
        # Lightning keeps `dataloader_idx_0` for itself.
        parts = [stage, *([str(place)] if several else []), *([] if name is None else [name])]
        # Every rank has the same values.
        module.log_dict(out.log_dict(f"{'/'.join(parts)}/"), sync_dist=trainer.world_size > 1)
    averages.clear()


def _refuse_what_cannot_be_right(trainer: Trainer) -> None:
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
