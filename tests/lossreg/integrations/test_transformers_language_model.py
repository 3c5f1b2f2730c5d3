"""A tiny GPT-2 under Hugging Face's Trainer: its own loss, and `configs/language_model.yaml`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
)

import lossreg
from huggingface_runs import arguments, collate
from lossreg.errors import LossregError, StateError
from lossreg.integrations.transformers import ObjectiveCallback, ObjectiveTrainer, loss_function
from properties import CONFIGS

VOCABULARY, LENGTH = 31, 12


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """So small a network is slower on several."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


NEXT: dict[str, Any] = {
    "type": "cross_entropy",
    "inputs": {
        "input": {"from": "logits", "apply": [{"transpose": [1, 2]}]},
        "target": {"from": "labels", "apply": [{"shift": {"by": -1, "dim": 1, "fill": -100}}]},
    },
}
RAMP = {"schedule": "linear", "start": 0.5, "end": 2.0, "steps": 20}


class Texts(Dataset[dict[str, Tensor]]):
    """Random tokens, of which the last ones of each text are to be ignored.

    The first label is never predicted. Some versions of Trainer count it, so it is ignored too.
    """

    def __init__(self, count: int, first: int = -100) -> None:
        generator = torch.Generator().manual_seed(0)
        self.tokens = torch.randint(VOCABULARY, (count, LENGTH), generator=generator)
        ends = torch.randint(3, LENGTH + 1, (count, 1), generator=generator)
        self.labels = self.tokens.where(torch.arange(LENGTH) < ends, -100)
        if first < 0:
            self.labels[:, 0] = first

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"input_ids": self.tokens[index], "labels": self.labels[index]}


def network() -> GPT2LMHeadModel:
    torch.manual_seed(0)
    config = GPT2Config(
        n_layer=2,
        n_embd=32,
        n_head=2,
        n_positions=LENGTH,
        vocab_size=VOCABULARY,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    return GPT2LMHeadModel(config)


def trainer(kind: Any, folder: Path, more: dict[str, Any], **options: Any) -> Any:
    settings = {"gradient_accumulation_steps": 4, "max_steps": 8}
    return kind(
        network(),
        arguments(folder, **{**settings, **options}),
        train_dataset=Texts(20),
        eval_dataset=Texts(6),
        data_collator=collate,
        **more,
    )


def with_objective(folder: Path, **options: Any) -> Any:
    objective = lossreg.build(CONFIGS / "language_model.yaml")
    return trainer(ObjectiveTrainer, folder, {"objective": objective}, **options)


def with_function(folder: Path, terms: dict[str, Any], **options: Any) -> Any:
    objective = lossreg.build({"terms": terms})
    given = {"compute_loss_func": loss_function(objective)}
    made = trainer(
        Trainer, folder, {**given, "callbacks": [ObjectiveCallback(objective)]}, **options
    )
    made.objective = objective
    return made


def parameters(made: Any) -> Tensor:
    return nn.utils.parameters_to_vector(made.model.parameters()).detach()


def losses(made: Any) -> list[float]:
    return [entry["loss"] for entry in made.state.log_history if "loss" in entry]


class Killed(TrainerCallback):
    def __init__(self, after: int) -> None:
        self.after = after

    def on_step_begin(self, _: Any, state: Any, *__: Any, **___: Any) -> None:
        if state.global_step == self.after:
            raise KeyboardInterrupt


def test_the_config_trains_as_the_built_in_loss_does(tmp_path: Path) -> None:
    built_in = trainer(Trainer, tmp_path / "built-in", {}, max_steps=20)
    built_in.train()
    saving = {"save_strategy": "steps", "save_steps": 5, "max_steps": 20}
    killed = with_objective(tmp_path / "objective", **saving)
    killed.add_callback(Killed(12))
    with pytest.raises(KeyboardInterrupt):
        killed.train()
    resumed = with_objective(tmp_path / "objective", **saving)
    resumed.train(resume_from_checkpoint=True)
    assert len(losses(built_in)) == 20
    assert losses(resumed) == pytest.approx(losses(built_in), rel=1e-4)
    moved = (parameters(built_in) - nn.utils.parameters_to_vector(network().parameters())).norm()
    assert (parameters(resumed) - parameters(built_in)).norm() < 1e-5 * moved
    entries = [entry for entry in resumed.state.log_history if "loss/next_token" in entry]
    assert len(entries) == 20


def test_the_function_trains_as_the_trainer_does(tmp_path: Path) -> None:
    terms = {"next": {**NEXT, "weight": RAMP}}
    function = with_function(tmp_path, terms)
    function.train()
    objective = lossreg.build({"terms": terms})
    other = trainer(ObjectiveTrainer, tmp_path, {"objective": objective})
    other.train()
    assert function.objective.progress.steps == objective.progress.steps == 8
    assert function.objective.progress.epochs == objective.progress.epochs
    assert (parameters(function) - parameters(other)).norm() < 1e-5 * parameters(other).norm()
    histories = [
        [entry for entry in made.state.log_history if "loss" in entry] for made in (function, other)
    ]
    for one, two in zip(*histories, strict=True):
        keys = [key for key in two if "next" in key]
        assert len(keys) == 3
        assert {k: one[k] for k in keys} == pytest.approx({k: two[k] for k in keys}, rel=1e-4)
    batches = [function.evaluate()["eval_loss"], other.evaluate()["eval_loss"]]
    assert batches[0] == pytest.approx(batches[1], rel=0.2)  # a mean of batches, and the true mean


def test_the_functions_progress_is_in_the_checkpoint(tmp_path: Path) -> None:
    terms = {"next": {**NEXT, "weight": RAMP}}
    saving = {"save_strategy": "steps", "save_steps": 3}
    whole = with_function(tmp_path / "whole", terms)
    whole.train()
    killed = with_function(tmp_path / "cut", terms, **saving)
    killed.add_callback(Killed(4))
    with pytest.raises(KeyboardInterrupt):
        killed.train()
    other = {"next": {**NEXT, "weight": {**RAMP, "end": 3.0}}}
    changed = with_function(tmp_path / "cut", other, **saving)
    with pytest.raises(StateError, match="another objective"):
        changed.train(resume_from_checkpoint=True)
    resumed = with_function(tmp_path / "cut", terms, **saving)
    resumed.train(resume_from_checkpoint=True)
    assert resumed.objective.progress.get_extra_state().tolist() == [8, 2]
    assert torch.equal(parameters(resumed), parameters(whole))


def test_a_checkpoint_without_progress_is_an_error(tmp_path: Path) -> None:
    saving = {"save_strategy": "steps", "save_steps": 1, "max_steps": 1}
    trainer(Trainer, tmp_path, {}, **saving).train()
    made = with_function(tmp_path, {"next": {**NEXT, "weight": RAMP}}, **saving)
    with pytest.raises(StateError, match="was saved without ObjectiveCallback"):
        made.train(resume_from_checkpoint=True)


def test_a_function_without_a_callback_is_refused(tmp_path: Path) -> None:
    objective = lossreg.build({"terms": {"next": NEXT}})
    made = trainer(Trainer, tmp_path, {"compute_loss_func": loss_function(objective)})
    assert made.evaluate()["eval_loss"] > 0
    with pytest.raises(LossregError, match=r"callbacks=\[ObjectiveCallback\(objective\)\]"):
        made.train()


def test_a_callback_without_a_function_is_refused(tmp_path: Path) -> None:
    objective = lossreg.build({"terms": {"next": NEXT}})
    made = trainer(Trainer, tmp_path, {"callbacks": [ObjectiveCallback(objective)]})
    with pytest.raises(LossregError, match="did not call loss_function"):
        made.train()


@pytest.mark.parametrize(
    "option",
    [
        {"mask": "attention_mask"},
        {"divide_by": {"number": "n"}},
        {"weight": {"learned": "kendall"}},
        {"sample_weight": "w", "divide_by": "weights"},
    ],
)
def test_what_trainer_does_not_count_is_refused_at_once(option: dict[str, Any]) -> None:
    objective = lossreg.build({"terms": {"next": {**NEXT, **option}}})
    with pytest.raises(LossregError, match=r"use ObjectiveTrainer\(objective=\.\.\.\)"):
        loss_function(objective)


@pytest.mark.parametrize(
    ("term", "said"),
    [
        ({"params": {"weight": [2.0] * VOCABULARY}}, "'next' divides by"),
        ({"inputs": {**NEXT["inputs"], "target": "labels"}}, None),
        ({"divide_by": "rows"}, "'next' divides by"),
        ({"inputs": {**NEXT["inputs"], "target": "position_ids"}}, "knows the labels only"),
    ],
)
def test_what_is_divided_otherwise_is_refused_in_the_first_step(
    term: dict[str, Any], said: str | None, tmp_path: Path
) -> None:
    made = with_function(tmp_path, {"next": {**NEXT, **term}}, max_steps=1)
    before = parameters(made).clone()
    if said is None:  # not shifted: as many labels, since the first are ignored
        made.train()
        return
    with pytest.raises(LossregError, match=rf"{said}.*use ObjectiveTrainer"):
        made.train()
    assert torch.equal(parameters(made), before)


def test_the_first_labels_count_as_trainer_counts_them(tmp_path: Path) -> None:
    made = with_function(tmp_path, {"next": NEXT}, max_steps=1)
    made.train_dataset = Texts(20, first=0)
    if getattr(made, "_loss_shifts_labels", False):
        made.train()
        return
    with pytest.raises(LossregError, match=r"Trainer counts \d+ labels in this step, and the term"):
        made.train()


def test_label_smoothing_of_the_arguments_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LossregError, match="label_smoothing_factor would not reach the objective"):
        with_objective(tmp_path, label_smoothing_factor=0.1)


@pytest.mark.parametrize(
    ("several", "said"),
    [
        ({"n_gpu": 2, "world_size": 1}, "start one process for each GPU"),
        (
            {"n_gpu": 1, "world_size": 2, "average_tokens_across_devices": False},
            "set average_tokens_across_devices=True",
        ),
    ],
)
def test_what_trainer_counts_apart_is_refused(several: dict[str, Any], said: str) -> None:
    callback = ObjectiveCallback(lossreg.build({"terms": {"next": NEXT}}))
    with pytest.raises(LossregError, match=said):
        callback.on_train_begin(SimpleNamespace(**several), TrainerState(), TrainerControl())
