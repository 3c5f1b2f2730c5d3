"""Schedules in LightningModules of one's own move once per optimizer step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import Tensor, nn

import lossreg
from lightning_runs import loader
from lossreg.errors import ConfigWarning, LossregError
from lossreg.integrations.lightning import ObjectiveCallback, ObjectiveModule
from ragged_training import WIDTH, trained

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings(r"ignore:.*isinstance\(treespec, LeafSpec\)"),
]


def composite(unit: str = "step") -> lossreg.CompositeLoss:
    weight = {"schedule": "linear", "start": 0.0, "end": 1.0, "steps": 100, "unit": unit}
    term = {"type": "mse", "inputs": ["y", "wanted"], "weight": weight}
    return lossreg.build({"terms": {"fit": {**term, "divide_by": {"rows": "wanted"}}}})


def steps(loss: Any) -> int:
    assert loss.progress is not None
    return int(loss.progress.steps)


class Own(LightningModule):
    """A module with a composite in each of the usual places, all of them used."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Linear(WIDTH, 1).double()
        self.loss = composite()
        self.several = nn.ModuleList([composite(), composite("epoch")])
        self.nested = nn.Sequential(nn.Identity(), nn.ModuleDict({"deep": composite()}))

    def losses(self) -> list[lossreg.CompositeLoss]:
        return [each for each in self.modules() if isinstance(each, lossreg.CompositeLoss)]

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        del batch_idx
        values = {"y": self.network(batch["x"]), "wanted": batch["x"].sum(1, keepdim=True)}
        return sum((loss(values).total for loss in self.losses()), torch.zeros(()))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.network.parameters(), lr=0.01)


@pytest.mark.parametrize("accumulated", [1, 2])
def test_each_composite_moves_once_a_step_wherever_it_is(accumulated: int) -> None:
    module = Own()
    trainer = trained(
        module,
        loader(10),
        accumulate_grad_batches=accumulated,
        max_epochs=2,
        callbacks=[ObjectiveCallback()],
    )
    assert trainer.global_step == 2 * -(-5 // accumulated)
    assert len(module.losses()) == 4
    for loss in module.losses():
        assert loss.progress is not None
        assert (loss.progress.steps, loss.progress.epochs) == (trainer.global_step, 2)


@pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint")
def test_a_resumed_run_goes_on(tmp_path: Path) -> None:
    checkpoint = ModelCheckpoint(tmp_path, filename="last")
    callbacks = [ObjectiveCallback(), checkpoint]
    trained(Own(), loader(8), callbacks=callbacks, enable_checkpointing=True)
    module = Own()
    trained(
        module,
        loader(8),
        callbacks=[ObjectiveCallback()],
        max_epochs=3,
        ckpt_path=tmp_path / "last.ckpt",
    )
    assert [steps(loss) for loss in module.losses()] == [12] * 4
    assert [loss.progress.epochs for loss in module.losses() if loss.progress] == [3] * 4


def test_a_step_that_the_scaler_skips_moves_nothing() -> None:
    class Scaled(Own):
        def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
            single = {"x": batch["x"].float()}
            return super().training_step(single, batch_idx)

    module = Scaled()
    module.network.float()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, backoff_factor=2.0**-120)
    trainer = trained(
        module,
        loader(10),
        plugins=[MixedPrecision("16-mixed", "cpu", scaler=scaler)],
        callbacks=[ObjectiveCallback()],
    )
    assert trainer.global_step == 5
    assert [steps(loss) for loss in module.losses()] == [4] * 4


@pytest.mark.parametrize("after", [False, True])
def test_a_module_that_moves_one_itself_is_warned_once(after: bool) -> None:
    class Moving(Own):
        def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
            total = super().training_step(batch, batch_idx)
            if not after:
                self.loss.step()
            return total

        def on_train_batch_end(self, *_: Any) -> None:
            if after:
                self.loss.step()

    module = Moving()
    with pytest.warns(ConfigWarning, match=r"Moving moves the schedules of 'loss' itself") as found:
        trained(module, loader(10), callbacks=[ObjectiveCallback()])
    assert len([each for each in found if each.category is ConfigWarning]) == 1
    # Seen before the callback moved it at all, or after it did so once.
    assert steps(module.loss) == 5 + after
    assert [steps(loss) for loss in module.several] == [5, 5]


def test_a_run_of_one_step_is_warned_of_too() -> None:
    class Moving(Own):
        def on_train_batch_end(self, *_: Any) -> None:
            self.loss.step()

    with pytest.warns(ConfigWarning, match="moves the schedules of 'loss' itself"):
        trained(Moving(), loader(2), callbacks=[ObjectiveCallback()])


class Adversarial(LightningModule):
    """Two networks, two composites and two optimizers; the critic makes two steps a batch."""

    critic_steps = 2

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.networks = nn.ModuleList([nn.Linear(WIDTH, 1).double() for _ in range(2)])
        self.losses = nn.ModuleDict({"made": composite(), "judged": composite()})

    def total(self, name: str, batch: dict[str, Tensor]) -> Tensor:
        number = list(self.losses).index(name)
        wanted = batch["x"].sum(1, keepdim=True)
        out = self.losses[name](y=self.networks[number](batch["x"]), wanted=wanted)
        return out.total  # type: ignore[no-any-return]

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        del batch_idx
        made, judged = self.optimizers()
        for _ in range(self.critic_steps):
            judged.zero_grad()
            self.manual_backward(self.total("judged", batch))
            judged.step()
        made.zero_grad()
        self.manual_backward(self.total("made", batch))
        made.step()

    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(each.parameters(), lr=0.01) for each in self.networks]


def test_under_manual_optimization_each_moves_after_the_step_that_used_it() -> None:
    module = Adversarial()
    trained(module, loader(10), callbacks=[ObjectiveCallback()])
    assert {name: steps(loss) for name, loss in module.losses.items()} == {
        "made": 5,
        "judged": 10,
    }


def test_composites_computed_together_move_once_each() -> None:
    class Together(Adversarial):
        def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
            del batch_idx
            optimizers = self.optimizers()
            self.manual_backward(self.total("made", batch) + self.total("judged", batch))
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()

    module = Together()
    trained(module, loader(10), callbacks=[ObjectiveCallback()])
    assert [steps(loss) for loss in module.losses.values()] == [5, 5]


class Interleaved(Adversarial):
    """The generator steps every second batch, the critic in each."""

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        made, judged = self.optimizers()
        self.manual_backward(self.total("made", batch))
        self.manual_backward(self.total("judged", batch))
        judged.step()
        judged.zero_grad()
        if batch_idx % 2:
            self.manual_backward(self.total("made", batch))
            made.step()
            made.zero_grad()


def test_a_composite_between_two_optimizers_must_be_assigned() -> None:
    with pytest.raises(LossregError, match=r"ObjectiveCallback\(\{'losses.made': 1\}\)"):
        trained(Interleaved(), loader(8), callbacks=[ObjectiveCallback()])
    module = Interleaved()
    trained(module, loader(8), callbacks=[ObjectiveCallback({"losses.made": 0})])
    assert [steps(loss) for loss in module.losses.values()] == [2, 4]


@pytest.mark.filterwarnings("ignore:The .grad attribute")
def test_a_compiled_composite_must_be_assigned() -> None:
    module = Adversarial()
    module.losses["made"].compile(backend="eager")
    with pytest.raises(LossregError, match=r"'losses\.made', because it is compiled"):
        trained(module, loader(4), callbacks=[ObjectiveCallback()])
    trained(module, loader(4), callbacks=[ObjectiveCallback({"losses.made": 0})])
    assert [steps(loss) for loss in module.losses.values()] == [2, 4]


@pytest.mark.parametrize(
    ("optimizers", "message"),
    [
        ({"losses.mode": 0}, "no composite 'losses.mode'; it has losses.made, losses.judged"),
        ({"losses.made": 2}, "'losses.made' has optimizer 2, but there are 2, counted from 0"),
    ],
)
def test_assignments_that_lead_nowhere_are_refused(optimizers: Any, message: str) -> None:
    with pytest.raises(LossregError, match=message):
        trained(Adversarial(), loader(4), callbacks=[ObjectiveCallback(optimizers)])


def test_composites_that_no_checkpoint_would_have_are_refused() -> None:
    class Plain(Own):
        def __init__(self) -> None:
            super().__init__()
            self.objectives = {"a": composite()}

    with pytest.raises(LossregError, match=r"'objectives' is a dict .* = nn\.ModuleDict"):
        trained(Plain(), loader(4), callbacks=[ObjectiveCallback()])


def test_a_module_without_a_composite_is_refused() -> None:
    class Without(Own):
        def __init__(self) -> None:
            super().__init__()
            del self.loss, self.several, self.nested

    with pytest.raises(LossregError, match="Without has no composite for ObjectiveCallback"):
        trained(Without(), loader(4), callbacks=[ObjectiveCallback()])


def test_an_objective_module_brings_its_own() -> None:
    class Module(ObjectiveModule):
        def __init__(self) -> None:
            super().__init__(composite())
            self.network = nn.Linear(WIDTH, 1).double()

        def values(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
            return {"y": self.network(batch["x"]), "wanted": batch["x"].sum(1, keepdim=True)}

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.01)

    module = Module()
    trainer = trained(module, loader(10), callbacks=[ObjectiveCallback()])
    assert sum(isinstance(each, ObjectiveCallback) for each in trainer.callbacks) == 1
    assert steps(module.objective) == 5


def test_nothing_is_left_behind_after_a_fault() -> None:
    class Faulty(Adversarial):
        def on_train_batch_end(self, *_: Any) -> None:
            raise ValueError("mine")

    module, callback = Faulty(), ObjectiveCallback()
    with pytest.raises(ValueError, match="mine"):
        trained(module, loader(4), callbacks=[callback])
    assert not any(loss._forward_hooks for loss in module.losses.values())
    assert callback._handles == []
