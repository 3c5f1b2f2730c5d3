"""An ObjectiveModule's validation, names, several objectives and manual optimization."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import lossreg
import lossreg.integrations.lightning as adapter
from lightning_runs import assert_equal_gradients, loader
from lossreg.errors import InputError, LossregError
from lossreg.integrations.lightning import ObjectiveModule
from ragged_training import TERMS, WIDTH, Ragged, Samples, big_batches, trained

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings(r"ignore:.*isinstance\(treespec, LeafSpec\)"),
]


def test_the_older_name_is_the_same_class() -> None:
    with pytest.warns(DeprecationWarning, match="CompositeModule is now called ObjectiveModule"):
        older = adapter.CompositeModule
    assert older is ObjectiveModule
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        adapter.Nothing  # type: ignore[attr-defined]  # noqa: B018


def means(module: Ragged, count: int) -> dict[str, Tensor]:
    """The objective of all samples as one batch."""
    with torch.no_grad():
        out = module.objective(module.values(Samples(count)[:]))
    return out.log_dict()


@pytest.mark.parametrize("stage", ["validate", "test"])
def test_a_set_is_averaged_as_one_batch(stage: str) -> None:
    module = Ragged()
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    (found,) = getattr(trainer, stage)(module, DataLoader(Samples(13), batch_size=3), verbose=False)
    prefix = stage[:3] if stage == "validate" else stage
    expected = {f"{prefix}/{key}": value.item() for key, value in means(module, 13).items()}
    assert found == pytest.approx(expected, rel=1e-6)


def test_early_stopping_sees_the_validation_loss() -> None:
    module = Ragged()
    stopping = EarlyStopping("val/loss/total", patience=0, min_delta=1e9)
    trainer = trained(
        module, loader(8), val_dataloaders=loader(7), max_epochs=9, callbacks=[stopping]
    )
    assert trainer.current_epoch == 2
    # The schedule has moved on since the last validation, but only in the log of weights.
    found = trainer.callback_metrics["val/loss/classify"]
    torch.testing.assert_close(found.double(), means(module, 7)["loss/classify"], rtol=1e-6, atol=0)
    assert {"val/weight/follow", "train/loss/total"} <= set(trainer.callback_metrics)


def test_training_is_the_same_with_validation() -> None:
    module = Ragged()
    trained(
        module,
        loader(12),
        val_dataloaders=loader(4),
        accumulate_grad_batches=2,
        val_check_interval=1,
    )
    assert_equal_gradients(module.gradients, big_batches(Samples(12), [4, 4, 4]).gradients)


def test_several_validation_sets_are_logged_apart() -> None:
    module = Ragged()
    sets = [loader(4), loader(7)]
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    trainer.validate(module, sets, verbose=False)
    for place, count in enumerate((4, 7)):
        found = trainer.callback_metrics[f"val/{place}/loss/total"]
        torch.testing.assert_close(found.item(), means(module, count)["loss/total"].item())


def test_without_validation_data_nothing_is_said_and_later_it_is_there() -> None:
    module = Ragged()  # warnings are errors
    trainer = trained(module, loader(4))
    assert not any(key.startswith("val/") for key in trainer.callback_metrics)
    trainer.validate(module, loader(4), verbose=False)
    assert "val/loss/total" in trainer.callback_metrics


class Pairs(ObjectiveModule):
    """Trained on tuples."""

    def __init__(self, **options: Any) -> None:
        terms = {"classify": TERMS["classify"]}
        super().__init__(lossreg.build({"terms": terms}), **options)
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.network = nn.Linear(WIDTH, 3)
        self.double()
        self.gradients: list[Tensor] = []

    def values(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        x, labels = batch
        return {"logits": self.network(x), "labels": labels}

    def on_before_optimizer_step(self, _: Any) -> None:
        self.gradients.append(self.network.weight.grad.clone())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_batches_may_be_tuples_with_names() -> None:
    samples = Samples(8).tensors
    batches = DataLoader(TensorDataset(samples["x"], samples["labels"]), batch_size=2)
    module, twin = Pairs(names=("x", "labels")), Pairs()
    trained(module, batches, val_dataloaders=batches, accumulate_grad_batches=4)
    twin.objective(twin.values((samples["x"], samples["labels"]))).total.backward()
    assert_equal_gradients(module.gradients, [twin.network.weight.grad])
    with pytest.raises(InputError, match=r"names=\('image', 'labels'\); or override Pairs.targets"):
        trained(Pairs(), batches, accumulate_grad_batches=4)


ADVERSARIAL = {
    "objectives": {
        "generator": {
            "terms": {
                "fool": {
                    "type": "bce_with_logits",
                    "inputs": ["score", "wanted"],
                    "weight": {"schedule": "linear", "start": 0.5, "end": 1.0, "steps": 4},
                }
            }
        },
        "critic": {"terms": {"judge": {"type": "bce_with_logits", "inputs": ["score", "wanted"]}}},
    }
}


class GAN(ObjectiveModule):
    """A generator of numbers and its critic."""

    def __init__(self, **options: Any) -> None:
        super().__init__(lossreg.build_objectives(ADVERSARIAL), **options)
        self.automatic_optimization = False
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.generator = nn.Linear(WIDTH, 2).double()
            self.critic = nn.Linear(2, 1).double()

    def judged(self, made: Tensor, wanted: float) -> dict[str, Tensor]:
        score = self.critic(made)
        return {"score": score, "wanted": torch.full_like(score, wanted)}

    def targets(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"wanted": torch.ones(len(batch["x"]), 1).double()}

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        del batch_idx
        for_generator, for_critic = self.optimizers()
        made = self.generator(batch["x"])
        out = self.compute(self.judged(made.detach(), 0.0), "critic")
        self.manual_backward(out.total)
        if self.is_last_micro_batch:
            for_critic.step()
            for_critic.zero_grad()
        out = self.compute(self.judged(made, 1.0), "generator")
        self.manual_backward(out.total)
        if self.is_last_micro_batch:
            for_generator.step()
            for_generator.zero_grad()
            for_critic.zero_grad()

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        parts = (self.generator, self.critic)
        return [torch.optim.SGD(part.parameters(), lr=0.1) for part in parts]


def by_hand(sizes: list[int]) -> GAN:
    """The same training without Lightning, each step with one batch."""
    module, samples = GAN(), Samples(sum(sizes)).tensors["x"]
    generator, critic = module.objectives["generator"], module.objectives["critic"]
    for_generator, for_critic = module.configure_optimizers()
    for x in samples.split(sizes):
        made = module.generator(x)
        critic(module.judged(made.detach(), 0.0)).total.backward()
        for_critic.step()
        for_critic.zero_grad()
        generator(module.judged(made, 1.0)).total.backward()
        for_generator.step()
        for_generator.zero_grad()
        for_critic.zero_grad()
        generator.step()
        critic.step()
    return module


def test_a_gan_is_trained_as_by_hand() -> None:
    module, twin = GAN(), by_hand([2, 2, 2])
    trainer = trained(module, loader(6))
    for found, expected in zip(module.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-14, atol=1e-15)
    progress: Any = module.objectives["generator"]
    assert progress.progress.steps == 3
    assert {"train/generator/loss/fool", "train/critic/loss/judge"} <= set(trainer.callback_metrics)


def test_micro_batches_of_a_gan_share_a_step() -> None:
    class InTwo(GAN):
        def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
            del batch_idx
            # The generator's objective must not give the critic gradients.
            self.critic.requires_grad_(requires_grad=False)
            made = self.generator(batch["x"])
            out = self.compute(self.judged(made, 1.0), "generator")
            self.manual_backward(out.total)
            self.critic.requires_grad_(requires_grad=True)
            out = self.compute(self.judged(made.detach(), 0.0), "critic")
            self.manual_backward(out.total)
            if self.is_last_micro_batch:
                for optimizer in self.optimizers():
                    optimizer.step()
                    optimizer.zero_grad()

    found = InTwo(micro_batches=3)
    trainer = trained(found, loader(8))
    expected = InTwo()
    batches = DataLoader(Samples(8), batch_size=6)
    trained(expected, batches)
    for value, wanted in zip(found.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(value, wanted, rtol=1e-13, atol=1e-15)
    assert trainer.global_step == 4  # two optimizers, two steps each


def test_an_optimizer_may_be_named_for_an_objective() -> None:
    numbers = {"objectives.generator": 0, "objectives.critic": 1}
    module = GAN(micro_batches=2, optimizers=numbers)
    trained(module, loader(8))
    progress: Any = module.objectives["generator"]
    assert progress.progress.steps == 2


def test_several_objectives_are_validated_from_the_same_values() -> None:
    class Validated(GAN):
        def values(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
            return self.judged(self.generator(batch["x"]), 1.0)

    module = Validated()
    trainer = trained(module, loader(4), val_dataloaders=loader(4))
    assert {"val/generator/loss/total", "val/critic/loss/judge"} <= set(trainer.callback_metrics)


def test_a_name_that_is_missing_or_too_many_is_refused() -> None:
    class Unnamed(GAN):
        def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
            del batch_idx
            self.compute(self.judged(self.generator(batch["x"]), 1.0))

    with pytest.raises(LossregError, match=r"of an objective \(generator, critic\), found None"):
        trained(Unnamed(), loader(4))

    class Named(Pairs):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            del batch_idx
            return self.compute(self.values(batch), "critic").total

    batches = DataLoader(TensorDataset(*[Samples(4).tensors[k] for k in ("x", "labels")]))
    with pytest.raises(LossregError, match="Named has one objective, without a name; found 'crit"):
        trained(Named(), batches)
