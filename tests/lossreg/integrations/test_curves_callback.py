"""What Lightning's callback keeps and draws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from lightning.pytorch import Callback

from lightning_runs import loader
from lossreg.integrations.lightning import CurvesCallback, ObjectiveModule
from ragged_training import Ragged, trained

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings(r"ignore:.*isinstance\(treespec, LeafSpec\)"),
]


class Logged(Ragged):
    log_objective = ObjectiveModule.log_objective


class Kept(Callback):  # type: ignore[misc]
    """The total of each step, as another callback sees it."""

    def __init__(self) -> None:
        self.totals: dict[int, float] = {}

    def on_train_batch_end(self, trainer: Any, *_arguments: Any) -> None:
        if trainer.global_step:
            self.totals[trainer.global_step] = trainer.callback_metrics["train/loss/total"].item()


def test_every_step_and_every_validation_is_kept_and_drawn(tmp_path: Path) -> None:
    curves, kept = CurvesCallback(tmp_path / "curves.png", title="ragged"), Kept()
    trainer = trained(
        Logged(),
        loader(8),
        val_dataloaders=loader(7),
        max_epochs=2,
        accumulate_grad_batches=2,
        log_every_n_steps=1,
        callbacks=[curves, kept],
    )
    train, val = curves.history.curves("train/"), curves.history.curves("val/")
    assert dict(train["loss/total"]) == kept.totals
    assert [step for step, _ in train["loss/classify"]] == list(range(1, trainer.global_step + 1))
    assert [step for step, _ in val["loss/total"]] == [
        trainer.global_step // 2,
        trainer.global_step,
    ]
    assert val["loss/total"][-1][1] == trainer.callback_metrics["val/loss/total"].item()
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_steps_are_kept_as_often_as_the_trainer_logs(tmp_path: Path) -> None:
    curves = CurvesCallback(tmp_path / "curves.png")
    trainer = trained(Logged(), loader(8), max_epochs=2, log_every_n_steps=3, callbacks=[curves])
    steps = [step for step, _ in curves.history.curves("train/")["loss/total"]]
    assert steps == [1, *range(3, trainer.global_step + 1, 3)]


class Stop(Callback):  # type: ignore[misc]
    def on_train_batch_end(self, trainer: Any, *_arguments: Any) -> None:
        if trainer.global_step == 2:
            raise RuntimeError("out of luck")


def test_a_training_that_an_error_ends_is_drawn(tmp_path: Path) -> None:
    curves = CurvesCallback(tmp_path / "curves.png")
    with pytest.raises(RuntimeError, match="out of luck"):
        trained(Logged(), loader(7), max_epochs=1, log_every_n_steps=1, callbacks=[curves, Stop()])
    assert (tmp_path / "curves.png").is_file()


def test_where_nothing_was_logged_nothing_is_drawn(tmp_path: Path) -> None:
    class Silent(Ragged):
        def log_objective(self, out: Any) -> None:
            del out

    curves = CurvesCallback(tmp_path / "curves.png")
    trained(Silent(), loader(3), max_epochs=1, callbacks=[curves])
    assert not list(tmp_path.iterdir())
