"""Schedules, learned weights and checkpoints under Hugging Face's Trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerCallback

from huggingface_runs import (
    EPOCHS,
    FIT,
    Gradients,
    Samples,
    collate,
    counts,
    logged,
    trained,
    trainer,
)
from lossreg.errors import StateError
from lossreg.integrations.transformers import ObjectiveTrainer


class Killed(TrainerCallback):
    def __init__(self, after: int) -> None:
        self.after = after

    def on_step_begin(self, _: Any, state: Any, *__: Any, **___: Any) -> None:
        if state.global_step == self.after:
            raise KeyboardInterrupt


SAVING = {
    "terms": EPOCHS,
    "kind": ObjectiveTrainer,  # which shuffles
    "gradient_accumulation_steps": 2,
    "num_train_epochs": 3,
    "save_strategy": "steps",
    "save_steps": 1,
    "optim": "adamw_torch",
}


@pytest.mark.parametrize(
    "after",  # an epoch has 3 steps
    [4, *(pytest.param(step, marks=pytest.mark.nightly) for step in (1, 2, 3, 6))],
)
def test_a_killed_and_resumed_run_equals_one_that_was_not(after: int, tmp_path: Path) -> None:
    whole, gradients = trained(tmp_path / "whole", Samples(10), **SAVING)
    killed = trainer(tmp_path / "cut", Samples(10), callbacks=[Killed(after)], **SAVING)
    with pytest.raises(KeyboardInterrupt):
        killed.train()
    resumed = trainer(tmp_path / "cut", Samples(10), **SAVING)
    rest = Gradients(resumed.objective)
    resumed.add_callback(rest)
    resumed.train(resume_from_checkpoint=True)
    assert counts(resumed) == counts(whole) == (9, 3)
    for one, other in zip(rest.taken, gradients.taken[after:], strict=True):
        assert all(map(torch.equal, one, other))
    for part in ("model", "objective"):
        states = [getattr(each, part).state_dict() for each in (resumed, whole)]
        assert states[0].keys() == states[1].keys()
        assert all(map(torch.equal, states[0].values(), states[1].values()))
    keys = [key for key in logged(whole)[0] if "/" in key]
    histories = [[{key: e[key] for key in keys} for e in logged(m)] for m in (resumed, whole)]
    assert histories[0] == histories[1]


def test_a_checkpoint_without_the_objective_is_an_error(tmp_path: Path) -> None:
    trained(tmp_path, Samples(4), **SAVING)
    for file in tmp_path.glob("*/objective.pt"):
        file.unlink()
    made = trainer(tmp_path, Samples(4), **SAVING)
    with pytest.raises(
        StateError, match=r"has no .*objective\.pt.*progress_to\(steps=\d\).*torch\.save\(obj"
    ):
        made.train(resume_from_checkpoint=True)


def test_a_checkpoint_without_it_is_fine_if_it_has_no_state(tmp_path: Path) -> None:
    settings = {**SAVING, "terms": FIT}
    trained(tmp_path, Samples(4), **settings)
    for file in tmp_path.glob("*/objective.pt"):
        file.unlink()
    made = trainer(tmp_path, Samples(4), **{**settings, "num_train_epochs": 4})
    made.train(resume_from_checkpoint=True)
    assert made.state.global_step == 4


def test_a_checkpoint_of_another_objective_is_an_error(tmp_path: Path) -> None:
    trained(tmp_path, Samples(4), **SAVING)
    terms = {**EPOCHS, "follow": {**EPOCHS["follow"], "weight": 2.0}}
    made = trainer(tmp_path, Samples(4), **{**SAVING, "terms": terms})
    with pytest.raises(StateError, match="'follow'"):
        made.train(resume_from_checkpoint=True)


def test_the_best_model_comes_with_its_objective(tmp_path: Path) -> None:
    best = {"load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 1}
    best |= {"metric_for_best_model": "eval_loss/rise", "greater_is_better": True}
    made, _ = trained(tmp_path, Samples(10), evaluated=Samples(5, seed=1), **SAVING, **best)
    state = made.state
    at_best = torch.load(Path(state.best_model_checkpoint, "objective.pt"), weights_only=True)
    assert counts(made) == (state.best_global_step, state.best_global_step // 3)
    assert state.best_global_step < 9
    for name, tensor in made.objective.state_dict().items():
        assert torch.equal(tensor, at_best[name])


@pytest.mark.parametrize(("steps", "epochs"), [(4, 1), (6, 2)])
def test_an_epoch_that_is_cut_off_is_not_counted(steps: int, epochs: int, tmp_path: Path) -> None:
    settings = {**SAVING, "save_strategy": "epoch", "max_steps": steps}
    made, _ = trained(tmp_path, Samples(10), **settings)
    assert counts(made) == (steps, epochs)


def test_steps_that_a_scaler_skips_move_nothing(tmp_path: Path) -> None:
    made = trainer(tmp_path, Samples(12), terms=EPOCHS)
    made.model.float()
    made.objective.float()
    made.data_collator = lambda samples: {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in collate(samples).items()
    }
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, backoff_factor=2.0**-100)
    made.accelerator.scaler = scaler  # as accelerate makes one for mixed precision
    made.train()
    assert made.state.global_step == 6
    assert counts(made) == (5, 1)
