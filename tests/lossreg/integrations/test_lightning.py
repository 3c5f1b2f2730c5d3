from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningDataModule, Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler, ModelCheckpoint
from lightning.pytorch.tuner import Tuner
from lightning.pytorch.utilities import CombinedLoader
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler, IterableDataset

import ragged_training
from lossreg.errors import InputError, LossregError, MissingExtraError
from ragged_training import Ragged, Samples, big_batches, trained

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings(r"ignore:.*isinstance\(treespec, LeafSpec\)"),
]

SIZE = 2


def assert_equal_gradients(found: list[Tensor], expected: list[Tensor]) -> None:
    """Within 8 units in the last place of the largest entry."""
    assert len(found) == len(expected)
    for each, other in zip(found, expected, strict=True):
        assert (each - other).abs().max() <= 8 * torch.finfo(torch.float64).eps * other.abs().max()


def loader(count: int, **options: Any) -> DataLoader[dict[str, Tensor]]:
    return DataLoader(Samples(count), batch_size=SIZE, **options)


class Stream(IterableDataset[dict[str, Tensor]]):
    """The same samples, without a length."""

    def __init__(self, count: int) -> None:
        self.samples = Samples(count)

    def __iter__(self) -> Any:
        return (self.samples[index] for index in range(len(self.samples)))


@pytest.mark.parametrize(
    ("accumulated", "sizes"),
    [(1, [2] * 6), (2, [4] * 3), (4, [8, 4]), (5, [10, 2]), (8, [12])],
)
def test_gradients_equal_those_of_one_big_batch(accumulated: int, sizes: list[int]) -> None:
    module = Ragged()
    trained(module, loader(12), accumulate_grad_batches=accumulated)
    expected = big_batches(Samples(12), sizes)
    assert_equal_gradients(module.gradients, expected.gradients)


def test_they_would_not_without_denominators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ragged, "denominators", lambda *_: None)
    module = Ragged()
    trained(module, loader(12), accumulate_grad_batches=2)
    expected = big_batches(Samples(12), [4])
    assert (module.gradients[0] - expected.gradients[0]).abs().max() > 0.01


@pytest.mark.parametrize("limit", [3, 0.5])
def test_a_limit_ends_the_last_step(limit: float) -> None:
    module = Ragged()
    trained(module, loader(12), accumulate_grad_batches=2, limit_train_batches=limit)
    assert_equal_gradients(module.gradients, big_batches(Samples(12), [4, 2]).gradients)


@pytest.mark.parametrize("accumulated", [1, 2, 4])
def test_data_without_a_length(accumulated: int) -> None:
    module = Ragged()
    stream = DataLoader(Stream(10), batch_size=SIZE)
    trained(module, stream, accumulate_grad_batches=accumulated)
    full, rest = divmod(10, SIZE * accumulated)
    sizes = [SIZE * accumulated] * full + [rest] * (rest > 0)
    assert_equal_gradients(module.gradients, big_batches(Samples(10), sizes).gradients)


class Twice(Samples):
    """The samples of two epochs, one after the other."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.tensors = {name: torch.cat([each, each]) for name, each in self.tensors.items()}


@pytest.mark.parametrize("data", [Samples, Stream])
def test_the_second_epoch_begins_anew(data: Any) -> None:
    module = Ragged()
    batches = DataLoader(data(10), batch_size=SIZE)
    trained(module, batches, accumulate_grad_batches=2, max_epochs=2)
    assert_equal_gradients(module.gradients, big_batches(Twice(10), [4, 4, 2] * 2).gradients)


@pytest.mark.parametrize("data", [Samples, Stream])
def test_the_number_of_micro_batches_may_change_between_epochs(data: Any) -> None:
    module = Ragged()
    batches = DataLoader(data(8), batch_size=SIZE)
    trained(module, batches, callbacks=[GradientAccumulationScheduler({0: 2, 1: 3})], max_epochs=2)
    assert_equal_gradients(module.gradients, big_batches(Twice(8), [4, 4, 6, 2]).gradients)


class Data(LightningDataModule):
    def train_dataloader(self) -> CombinedLoader:
        return CombinedLoader(loader(12), "min_size")


class WithData(Ragged):
    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        return loader(12)


@pytest.mark.parametrize(
    ("module", "data"), [(Ragged, Data), (WithData, lambda: None)], ids=["datamodule", "own hook"]
)
def test_batches_may_come_from_a_hook(module: Any, data: Any) -> None:
    made = module()
    trained(made, data(), accumulate_grad_batches=3)
    assert_equal_gradients(made.gradients, big_batches(Samples(12), [6, 6]).gradients)


def test_no_more_batches_are_held_than_one_step_has() -> None:
    drawn = 0
    most = 0

    class Counted(Samples):
        def __getitem__(self, index: int) -> dict[str, Tensor]:
            nonlocal drawn
            drawn += 1
            return super().__getitem__(index)

    class Watch(Callback):
        def on_train_batch_end(self, *arguments: Any) -> None:
            nonlocal most
            most = max(most, drawn // SIZE - arguments[-1])

    batches = DataLoader(Counted(40), batch_size=SIZE)
    trained(Ragged(), batches, accumulate_grad_batches=4, callbacks=[Watch()])
    assert most == 4


def test_an_optimizer_may_call_its_closure_several_times() -> None:
    class Closure(torch.optim.SGD):
        def step(self, closure: Any) -> None:
            closure()
            self.zero_grad()
            super().step(closure)

    class Again(Ragged):
        def configure_optimizers(self) -> torch.optim.Optimizer:
            return Closure(self.parameters(), lr=0.1)

    module = Again()
    trained(module, loader(12))
    expected = big_batches(Samples(12), [2] * 6)
    assert module.logged[0::2] == module.logged[1::2]
    assert module.logged[0::2] == expected.logged
    assert module.objective.progress is not None
    assert module.objective.progress.steps == 6


def test_a_step_logs_what_its_micro_batches_add_up_to_under_fixed_keys() -> None:
    module = Ragged()
    trainer = trained(module, loader(12), accumulate_grad_batches=4)
    expected = big_batches(Samples(12), [8, 4])
    assert len(module.logged) == 2
    for found, other in zip(module.logged, expected.logged, strict=True):
        assert list(found) == list(other)
        assert not any(each.requires_grad for each in found.values())
        for name in found:
            torch.testing.assert_close(found[name], other[name])
    assert set(trainer.callback_metrics) == {f"train/{name}" for name in expected.logged[0]}


def test_an_optional_term_is_logged_with_its_weight_if_any_micro_batch_has_it() -> None:
    class Sometimes(Ragged):
        def targets(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
            known = super().targets(batch)
            if batch["x"][0].equal(Samples(8).tensors["x"][0]):
                known["extra"] = batch["wanted"]
            return known

    extra = {"type": "mse", "inputs": ["track", "extra"], "optional": True, "weight": 0.5}
    module = Sometimes({**ragged_training.TERMS, "extra": extra})
    trained(module, loader(8), accumulate_grad_batches=2)
    weights = [each["weight/extra"].item() for each in module.logged]
    assert weights == [0.5, 0.0]
    assert module.logged[0]["loss/extra"] > 0
    assert module.logged[1]["loss/extra"] == 0


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


def test_a_trainer_can_be_used_again_after_a_fault() -> None:
    class Faulty(Ragged):
        def values(self, batch: Any) -> Any:
            raise ValueError(f"mine, of {len(batch)}")

    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        accumulate_grad_batches=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with pytest.raises(ValueError, match="mine"):
        trainer.fit(Faulty(), loader(8))
    assert "dataloader" not in vars(trainer.fit_loop._data_source)
    module = Ragged()
    trainer.fit(module, loader(8))
    assert_equal_gradients(module.gradients, big_batches(Samples(8), [4, 4]).gradients)
    assert "dataloader" not in vars(trainer.fit_loop._data_source)


def test_two_processes_give_the_gradients_of_one_big_batch(tmp_path: Path) -> None:
    file = tmp_path / "rank_0.pt"
    script = Path(ragged_training.__file__)
    roots = [str(script.parents[1]), str(script.parents[1] / "plugins")]
    path = os.pathsep.join([*roots, os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, script, file],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = torch.load(file, weights_only=True)
    # What Lightning injects: each rank takes every second sample of the same permutation.
    samples = Samples(24)
    sampler: DistributedSampler[Any] = DistributedSampler(samples, num_replicas=1, rank=0)
    order = list(sampler)
    sampler.set_epoch(1)
    order += list(sampler)
    expected = big_batches(samples, [4] * 6 + [12] * 2, order)
    assert_equal_gradients(found["gradients"], expected.gradients)
    logged = torch.stack([torch.stack(list(each.values())) for each in expected.logged])
    torch.testing.assert_close(found["logged"], logged)


def test_manual_optimization_is_refused() -> None:
    module = Ragged()
    module.automatic_optimization = False
    with pytest.raises(LossregError, match="needs Lightning's automatic optimization"):
        trained(module, loader(4))


def test_a_strategy_that_accumulates_by_itself_is_refused() -> None:
    from lightning.pytorch.strategies import SingleDeviceStrategy

    class Own(SingleDeviceStrategy):
        handles_gradient_accumulation = True

    with pytest.raises(LossregError, match="Own accumulates gradients by itself"):
        trained(Ragged(), loader(4), strategy=Own(), accumulate_grad_batches=2)


def test_batches_without_names_need_targets() -> None:
    class Pairs(Ragged):
        def targets(self, batch: Any) -> Any:
            return super(Ragged, self).targets(tuple(batch.values()))

    with pytest.raises(InputError, match=r"a batch is a tuple, .*override Pairs\.targets"):
        trained(Pairs(), loader(8), accumulate_grad_batches=2)


def test_a_step_of_one_micro_batch_counts_nothing() -> None:
    class Uncounted(Ragged):
        def denominators(self, micro_batches: Any) -> Any:
            raise AssertionError(micro_batches)

    trained(Uncounted(), loader(4))


class Untuned(Ragged):
    def __init__(self) -> None:
        super().__init__()
        self.lr = 0.1


def test_lightnings_tuner_runs_where_nothing_is_to_be_counted(tmp_path: Path) -> None:
    def tune(accumulated: int) -> Untuned:
        trainer = Trainer(
            accelerator="cpu",
            default_root_dir=tmp_path,
            max_epochs=1,
            accumulate_grad_batches=accumulated,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        module = Untuned()
        Tuner(trainer).lr_find(module, loader(24), num_training=3, update_attr=False)
        return module

    progress = tune(1).objective.progress
    assert progress is not None
    assert progress.steps == 0
    with pytest.raises(LossregError, match="the callback that counts denominators does not run"):
        tune(2)


def test_without_lightning_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "lossreg.integrations.lightning"
    monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lightning", None)
    with pytest.raises(MissingExtraError) as raised:
        importlib.import_module(name)
    assert str(raised.value) == (
        f"{name} needs lightning, which is not installed: pip install 'lossreg[lightning]'"
    )
