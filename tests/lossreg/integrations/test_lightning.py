"""Gradients under Lightning are those of one big batch, and what cannot be is refused."""

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
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from lightning.pytorch.tuner import Tuner
from lightning.pytorch.utilities import CombinedLoader
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler, IterableDataset

import ragged_training
from lightning_runs import SIZE, assert_equal_gradients, loader
from lossreg.errors import InputError, LossregError, MissingExtraError
from ragged_training import Ragged, Samples, big_batches, trained

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings(r"ignore:.*isinstance\(treespec, LeafSpec\)"),
]


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
    first = lambda module, known: module.objective.denominators(known[:1])  # noqa: E731
    monkeypatch.setattr(Ragged, "denominators", first)
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
    # Each rank has five of the ten, in batches of two, two and one.
    averages, whole = found["validated"]
    assert set(averages) == set(whole)
    for name, average in averages.items():
        torch.testing.assert_close(average.double(), whole[name].double(), rtol=1e-6, atol=0)


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
