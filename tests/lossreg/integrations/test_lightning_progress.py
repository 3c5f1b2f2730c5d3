"""Schedules under Lightning, and runs that are resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor
from torch.utils.data import DataLoader

from lightning_runs import SIZE, assert_equal_gradients, loader
from ragged_training import Ragged, Samples, big_batches, trained

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings(r"ignore:.*isinstance\(treespec, LeafSpec\)"),
]


@pytest.mark.parametrize("accumulated", [1, 2, 4])
def test_schedules_move_once_per_step_and_epoch(accumulated: int) -> None:
    module = Ragged()
    trainer = trained(module, loader(10), accumulate_grad_batches=accumulated, max_epochs=2)
    progress = module.objective.progress
    assert progress is not None
    assert progress.steps == trainer.global_step == 2 * -(-5 // accumulated)
    assert progress.epochs == 2
    weights = [each["weight/follow"].item() for each in module.logged]
    assert weights == [min(3.0, 1.0 + step / 4) for step in range(trainer.global_step)]


def test_they_move_though_the_module_overrides_its_hooks_without_super() -> None:
    class Overriding(Ragged):
        def on_train_epoch_end(self) -> None: ...
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None: ...
        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None: ...
        def setup(self, stage: str) -> None: ...

    module = Overriding()
    trained(module, loader(8), accumulate_grad_batches=2)
    progress = module.objective.progress
    assert progress is not None
    assert (progress.steps, progress.epochs) == (2, 1)


def test_validation_moves_nothing() -> None:
    seen = []

    class Validated(Ragged):
        def validation_step(self, batch: Any, _batch_idx: int) -> None:
            progress = self.objective.progress
            assert progress is not None
            seen.append(progress.steps)
            self.log_dict(self.objective(self.values(batch)).log_dict("val/"), batch_size=SIZE)

    module = Validated()
    trained(
        module,
        loader(12),
        val_dataloaders=loader(4),
        accumulate_grad_batches=2,
        val_check_interval=1,
    )
    # Two batches before training, and two after each micro-batch.
    assert seen == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3]
    assert_equal_gradients(module.gradients, big_batches(Samples(12), [4, 4, 4]).gradients)


class Resumable(DataLoader[dict[str, Tensor]]):
    """Goes on where its state says."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.given = 0

    def state_dict(self) -> dict[str, int]:
        return {"given": self.given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.given = state["given"]

    def __iter__(self) -> Any:
        self.given %= len(self)
        for batch in list(super().__iter__())[self.given :]:
            self.given += 1
            yield batch


@pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint")
@pytest.mark.parametrize("steps", [2, 3, 5])  # the third is the last of its epoch
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(steps: int, tmp_path: Path) -> None:
    def run(module: Ragged, **options: Any) -> Ragged:
        batches = Resumable(Samples(10), batch_size=SIZE)
        trained(module, batches, accumulate_grad_batches=2, max_epochs=4, **options)
        return module

    checkpoint = ModelCheckpoint(tmp_path, every_n_train_steps=steps, save_top_k=-1)
    whole = run(Ragged(), callbacks=[checkpoint], enable_checkpointing=True)
    (file,) = tmp_path.glob(f"*step={steps}.ckpt")
    resumed = run(Ragged(), ckpt_path=file)
    assert len(whole.gradients) == 12
    assert len(resumed.gradients) == 12 - steps
    for found, expected in zip(resumed.gradients, whole.gradients[steps:], strict=True):
        assert torch.equal(found, expected)
    for name, each in whole.state_dict().items():
        if isinstance(each, Tensor):
            assert torch.equal(each, resumed.state_dict()[name])
        else:
            assert each == resumed.state_dict()[name]
    assert resumed.logged == whole.logged[steps:]


@pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint")
@pytest.mark.parametrize("after_validation", [True, False])
def test_an_epoch_counts_once_wherever_its_checkpoint_was_made(
    after_validation: bool, tmp_path: Path
) -> None:
    class Validated(Ragged):
        def validation_step(self, batch: Any, _batch_idx: int) -> None:
            self.objective(self.values(batch))

    def run(epochs: int, **options: Any) -> tuple[int, int]:
        module = Validated()
        batches = {"val_dataloaders": loader(4), **options}
        trained(module, loader(8), max_epochs=epochs, accumulate_grad_batches=2, **batches)
        progress = module.objective.progress
        assert progress is not None
        return progress.steps, progress.epochs

    checkpoint = ModelCheckpoint(
        tmp_path, filename="first", save_on_train_epoch_end=not after_validation
    )
    assert run(1, callbacks=[checkpoint], enable_checkpointing=True) == (2, 1)
    assert run(3, ckpt_path=tmp_path / "first.ckpt") == (6, 3)


def test_an_epoch_that_is_left_early_counts_and_leaves_nothing_to_the_next() -> None:
    class Leaving(Ragged):
        def on_train_batch_start(self, _batch: Any, batch_idx: int) -> int | None:
            return -1 if batch_idx == 2 else None

    module = Leaving()
    trained(module, loader(12), accumulate_grad_batches=2, max_epochs=2)
    progress = module.objective.progress
    assert progress is not None
    assert progress.epochs == 2
    expected = big_batches(Samples(12), [4, 4], [*range(4), *range(4)])
    assert_equal_gradients(module.gradients, expected.gradients)


def test_a_run_resumed_within_a_step_ends_it_where_lightning_does(tmp_path: Path) -> None:
    class Save(Callback):
        def on_train_batch_end(self, trainer: Trainer, *arguments: Any) -> None:
            if arguments[-1] == 2:
                trainer.save_checkpoint(tmp_path / "third.ckpt")

    def batches() -> Resumable:
        return Resumable(Samples(12), batch_size=SIZE)

    trained(Ragged(), batches(), accumulate_grad_batches=2, callbacks=[Save()])
    resumed = Ragged()
    trained(resumed, batches(), accumulate_grad_batches=2, ckpt_path=tmp_path / "third.ckpt")
    # The gradients of the third batch are not in the checkpoint.
    expected = big_batches(Samples(12), [4, 2, 4], [*range(4), *range(6, 12)])
    assert_equal_gradients(resumed.gradients, expected.gradients[1:])
