"""Gradients, logs, checkpoints and evaluations under Hugging Face's Trainer."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments, Trainer, TrainerCallback

import huggingface_runs
import lossreg
from huggingface_runs import (
    EPOCHS,
    FIT,
    TERMS,
    Heads,
    InOrder,
    OrderedTrainer,
    Samples,
    apart,
    arguments,
    big_batches,
    collate,
    counts,
    logged,
    trained,
    trainer,
    whole_steps,
)
from lossreg.errors import ConfigWarning, InputError, LossregError, MissingExtraError
from lossreg.integrations.accumulation import OptimizerStep
from lossreg.integrations.transformers import ObjectiveCallback, ObjectiveMixin, ObjectiveTrainer
from lossreg.integrations.transformers.values import names_read


@pytest.mark.parametrize("accumulated", [1, 2, 4, 5])
def test_gradients_and_logs_equal_those_of_one_big_batch(accumulated: int, tmp_path: Path) -> None:
    made, gradients = trained(tmp_path, Samples(12), gradient_accumulation_steps=accumulated)
    expected, terms = big_batches(Samples(12), whole_steps(12, 2 * accumulated))
    assert len(gradients.taken) == len(expected)
    for one, other in zip(gradients.taken, expected, strict=True):
        assert apart(one, other) <= 8
    for entry, values in zip(logged(made), terms, strict=True):
        assert {key: entry[key] for key in values} == pytest.approx(values, rel=1e-13, abs=1e-15)
        assert entry["loss"] == pytest.approx(values["loss/total"], rel=1e-4)
    assert counts(made) == (len(expected), 1)


class Uncounted(OrderedTrainer):
    def get_batch_samples(self, *given: Any) -> Any:
        batches, count = super().get_batch_samples(*given)
        self._step = OptimizerStep(batches)
        self._step.denominators = lambda *_: None  # type: ignore[method-assign]
        return batches, count


def test_they_would_not_with_the_batches_own_means(tmp_path: Path) -> None:
    settings = {"gradient_accumulation_steps": 3, "kind": Uncounted}
    _, gradients = trained(tmp_path, Samples(12), **settings)
    expected, _ = big_batches(Samples(12), whole_steps(12, 6))
    assert apart(gradients.taken[0], expected[0]) > 1e12


def assert_function_is_right(found: dict[str, Any]) -> None:
    expected, terms = big_batches(Samples(24), whole_steps(24, 12), huggingface_runs.CLASSIFY)
    for one, other in zip(found["gradients"], expected, strict=True):
        assert apart(one, other) <= 8
    for entry, values in zip(found["logged"], terms, strict=True):
        assert {key: entry[key] for key in values} == pytest.approx(values, rel=1e-13)
        assert entry["loss"] == pytest.approx(values["loss/total"], rel=1e-4)
    assert 0.5 < found["metrics"]["eval_loss"] / terms[-1]["loss/total"] < 2


def test_on_two_ranks(tmp_path: Path) -> None:
    ranks = []
    for rank in range(2):
        variables = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
        variables |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "LOCAL_WORLD_SIZE": "2"}
        script = [huggingface_runs.__file__, str(rank), "2", str(tmp_path / "meeting")]
        ranks.append(
            subprocess.Popen(
                [sys.executable, *script, str(tmp_path)],
                env={**os.environ, **variables},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    try:
        errors = [process.communicate(timeout=300)[1] for process in ranks]
    finally:
        for process in ranks:
            process.kill()
    assert [process.returncode for process in ranks] == [0, 0], "\n".join(errors)
    expected, terms = big_batches(Samples(24), whole_steps(24, 12))
    for rank in range(2):
        found = torch.load(tmp_path / f"rank-{rank}.pt")
        for one, other in zip(found["gradients"], expected, strict=True):
            assert apart(one, other) <= 8
        for entry, values in zip(found["logged"], terms, strict=True):
            assert {key: entry[key] for key in values} == pytest.approx(values, rel=1e-13)
            assert entry["loss"] == pytest.approx(values["loss/total"], rel=1e-4)
        # The mean of 3 on one rank and nothing on the other; and nothing on any.
        some, none = found["unevenly"]
        assert some.tolist() == [1.5]
        assert none is None
        assert_function_is_right(found["function"])
        # On two ranks the last batch of 3 is filled with samples that do not count.
        metrics = {key: each for key, each in found["metrics"].items() if "whole" not in key}
        made = trained(tmp_path, Samples(24), gradient_accumulation_steps=6)[0]
        alone = made.evaluate(Samples(11, seed=1))
        assert metrics["eval_loss/follow"] == pytest.approx(alone["eval_loss/follow"], rel=1e-13)
        assert metrics["eval_loss/classify"] == pytest.approx(
            alone["eval_loss/classify"], rel=1e-13
        )
        assert metrics["eval_loss"] == pytest.approx(alone["eval_loss"], rel=1e-13)


def test_the_log_has_the_mean_over_its_steps(tmp_path: Path) -> None:
    every, _ = trained(tmp_path, Samples(12))
    some, _ = trained(tmp_path, Samples(12), logging_steps=3)
    one = logged(every)
    keys = [key for key in one[0] if "/" in key]
    assert {"loss/follow", "weighted/follow", "weight/follow", "regularizer/doubt"} <= set(keys)
    for place, entry in enumerate(logged(some)):
        part = one[3 * place : 3 * place + 3]
        expected = {key: sum(step[key] for step in part) / 3 for key in keys}
        assert {key: entry[key] for key in keys} == pytest.approx(expected, rel=1e-12)


def test_loggers_get_the_terms(tmp_path: Path) -> None:
    seen: list[dict[str, float]] = []

    class Logger(TrainerCallback):
        def on_log(self, *_: Any, logs: dict[str, float], **__: Any) -> None:
            seen.append(dict(logs))

    trained(tmp_path, Samples(4), terms=FIT, callbacks=[Logger()])
    assert all("loss/fit" in logs for logs in seen if "loss" in logs)
    assert any("loss" in logs for logs in seen)


def test_learned_weights_have_no_weight_decay(tmp_path: Path) -> None:
    made, _ = trained(tmp_path, Samples(4), weight_decay=0.5)
    weights = list(made.objective.weighting.learned.parameters())
    assert len(weights) == 1
    groups = made.optimizer.param_groups
    decay = [group["weight_decay"] for group in groups for p in group["params"] if p is weights[0]]
    assert decay == [0.0]
    assert 0.5 in [group["weight_decay"] for group in groups]


def test_an_optimizer_that_is_given_must_have_them(tmp_path: Path) -> None:
    made = trainer(tmp_path, Samples(4))
    made.optimizer = torch.optim.SGD(made.model.parameters(), lr=0.1)
    with pytest.raises(LossregError, match=r"does not have the objective's param.*weighting\.lea"):
        made.train()
    made.optimizer.add_param_group({"params": list(made.objective.parameters())})
    made.train()
    assert made.objective.weights["doubt"] != pytest.approx(torch.tensor(-0.3).exp().item())


def test_evaluation_is_the_mean_over_the_set(tmp_path: Path) -> None:
    terms = {name: term for name, term in TERMS.items() if name != "whole"}
    samples = Samples(11, seed=1)
    seen: list[Any] = []

    def accuracy(prediction: Any) -> dict[str, float]:
        seen.append(prediction)
        return {"hits": 0.5}

    made = trainer(
        tmp_path, Samples(4), terms=terms, evaluated=samples, more={"compute_metrics": accuracy}
    )
    metrics = made.evaluate()
    batch = samples.rows(range(11))
    out = made.objective({**batch, **made.model(batch["x"])})
    expected = {f"eval_{key}": value.item() for key, value in out.log_dict().items()}
    assert {key: metrics[key] for key in expected} == pytest.approx(expected, rel=1e-13)
    assert metrics["eval_loss"] == metrics["eval_loss/total"]
    assert metrics["eval_hits"] == 0.5
    logits, track = seen[0].predictions
    assert (logits.shape, track.shape) == ((11, 3), (11, 5))
    assert torch.equal(torch.as_tensor(seen[0].label_ids), batch["labels"])
    assert counts(made) == (0, 0)
    json.dumps(metrics)


def test_evaluation_without_predictions_and_labels(tmp_path: Path) -> None:
    made = trainer(
        tmp_path, Samples(4), terms=FIT, evaluated=Samples(11), prediction_loss_only=True
    )
    batch = Samples(11).rows(range(11))
    expected = nn.functional.mse_loss(made.model(batch["x"])["track"], batch["wanted"]).item()
    assert made.evaluate()["eval_loss"] == pytest.approx(expected, rel=1e-13)


def test_prediction_needs_no_targets(tmp_path: Path) -> None:
    made = trainer(tmp_path, Samples(4), terms=FIT)
    made.data_collator = lambda samples: {"x": collate(samples)["x"]}
    predicted = made.predict(Samples(5))
    assert predicted.predictions[0].shape == (5, 3)
    assert "test_loss" not in predicted.metrics
    with pytest.raises(InputError, match="'wanted'"):
        made.evaluate(Samples(5))


def test_evaluation_within_training_leaves_training_as_it_is(tmp_path: Path) -> None:
    often = {"evaluated": Samples(5, seed=1), "eval_strategy": "steps", "eval_steps": 1}
    _, gradients = trained(tmp_path, Samples(12), **often, gradient_accumulation_steps=2)
    _, expected = trained(tmp_path, Samples(12), gradient_accumulation_steps=2)
    for one, other in zip(gradients.taken, expected.taken, strict=True):
        assert all(map(torch.equal, one, other))


class Named(nn.Module):
    """A model that returns what the batch has too."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = Heads()
        self.given: list[set[str]] = []

    def forward(self, x: Tensor, wanted: Any = None, labels: Any = None) -> dict[str, Tensor]:
        self.given.append({"labels"} if labels is not None else set())
        return {**self.heads(x), "zeros": x, "wanted": wanted}


def named_trainer(folder: Path, terms: dict[str, Any]) -> Any:
    return OrderedTrainer(
        Named(),
        arguments(folder),
        train_dataset=Samples(4),
        data_collator=collate,
        objective=lossreg.build({"terms": terms}).double(),
    )


def test_a_name_in_both_is_an_error_unless_it_is_the_same_object(tmp_path: Path) -> None:
    named_trainer(tmp_path, FIT).train()  # 'wanted' is handed through, and nothing reads 'zeros'
    clash = {"fit": {"type": "mse", "inputs": ["logits", "zeros"]}}
    with pytest.raises(InputError, match="reads 'zeros', which is in the batch and in the model's"):
        named_trainer(tmp_path, clash).train()


def test_the_model_gets_labels_only_if_it_must(tmp_path: Path) -> None:
    withheld = named_trainer(tmp_path, {"classify": TERMS["classify"]})
    withheld.train()
    assert set().union(*withheld.model.given) == set()
    handed = named_trainer(tmp_path, FIT)
    handed.train()
    assert set().union(*handed.model.given) == {"labels"}


def test_an_output_without_names_is_an_error(tmp_path: Path) -> None:
    class Bare(Heads):
        def forward(self, x: Tensor) -> Any:
            return tuple(super().forward(x).values())

    made = trainer(tmp_path, Samples(4), terms=FIT)
    made.model = made.model_wrapped = Bare()
    with pytest.raises(InputError, match=r"returns a tuple, which has no names.*override values"):
        made.train()


def test_a_trainer_of_ones_own(tmp_path: Path) -> None:
    class Mine(InOrder, ObjectiveMixin, Seq2SeqTrainer):
        def values(self, inputs: Any, outputs: Any) -> Any:
            return {"guess": outputs["track"], "wanted": inputs["wanted"]}

    terms = {"fit": {"type": "mse", "inputs": ["guess", "wanted"]}}
    made = Mine(
        Heads(),
        Seq2SeqTrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to="none"),
        train_dataset=Samples(4),
        data_collator=collate,
        objective=lossreg.build({"terms": terms}),
    )
    made.train()
    assert made.evaluate(Samples(5))["eval_loss/fit"] > 0


def test_several_trainings_begin_where_the_model_does(tmp_path: Path) -> None:
    made = trainer(tmp_path, Samples(4), terms=EPOCHS)
    made.train()
    with pytest.warns(ConfigWarning, match="go on at step 2 and epoch 1"):
        made.train()
    assert counts(made) == (4, 2)
    anew = OrderedTrainer(
        args=arguments(tmp_path),
        model_init=Heads,
        train_dataset=Samples(4),
        data_collator=collate,
        objective=lossreg.build({"terms": EPOCHS}).double(),
    )
    anew.train()
    first = [each.detach().clone() for each in anew.objective.parameters()]
    anew.train()
    assert counts(anew) == (2, 1)
    assert all(map(torch.equal, first, anew.objective.parameters()))


def test_what_would_move_the_schedules_twice_is_an_error(tmp_path: Path) -> None:
    made = trainer(tmp_path, Samples(8), terms=EPOCHS)

    class Steps(TrainerCallback):
        def on_optimizer_step(self, *_: Any, **__: Any) -> None:
            made.objective.step()

    made.add_callback(Steps())
    with pytest.raises(LossregError, match="something else moves the objective's schedules"):
        made.train()
    twice = trainer(tmp_path, Samples(8))
    twice.add_callback(ObjectiveCallback(twice.objective))
    with pytest.raises(LossregError, match="moves the schedules itself: remove the callback"):
        twice.train()


def test_a_step_that_was_not_counted_is_an_error(tmp_path: Path) -> None:
    class Own(OrderedTrainer):
        def get_batch_samples(self, *given: Any) -> Any:
            return Trainer.get_batch_samples(self, *given)

    with pytest.raises(LossregError, match=r"get_batch_samples must call super\(\)"):
        trained(tmp_path, Samples(4), kind=Own)

    class Other(OrderedTrainer):
        def compute_loss(self, model: Any, inputs: Any, *_: Any, **__: Any) -> Any:
            return model(inputs["x"])["track"].sum()

    with pytest.raises(LossregError, match=r"compute_loss must call super\(\)"):
        trained(tmp_path, Samples(4), kind=Other)

    class Theirs(OrderedTrainer):
        def compute_loss(self, model: Any, inputs: Any, *_: Any, **named: Any) -> Any:
            del model, inputs
            return Trainer.compute_loss(self, Heads(), {"x": torch.ones(1, 4).double()}, **named)

    with pytest.raises(LossregError, match=r"computed its own loss.*compute_loss must call super"):
        trained(tmp_path, Samples(4), kind=Theirs)


def test_what_would_be_ignored_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LossregError, match="objective= or compute_loss_func=, not both"):
        trainer(tmp_path, Samples(4), more={"compute_loss_func": print})
    with pytest.raises(
        TypeError, match=r"expected objective=lossreg\.build\(\.\.\.\), found a Lin"
    ):
        ObjectiveTrainer(Heads(), arguments(tmp_path), objective=nn.Linear(1, 1))


def test_what_could_not_be_right_is_refused(tmp_path: Path) -> None:
    made = trainer(tmp_path, Samples(4))
    made.model.loss = made.objective
    with pytest.raises(LossregError, match="is a part of the model"):
        made.train()
    sharded = trainer(tmp_path, Samples(4))
    sharded.is_fsdp_enabled = True
    with pytest.raises(LossregError, match="FSDP and DeepSpeed do not know outside of the model"):
        sharded.train()
    parted = trainer(tmp_path, Samples(4))
    parted.get_tp_size = lambda: 2
    with pytest.raises(LossregError, match=r"share a sample \(tp_size above 1\)"):
        parted.train()


def test_the_names_that_an_objective_reads() -> None:
    listed = {"over": {"one": "heads", "other": "deep.targets"}, "combine": "sum"}
    terms = {
        "fit": {**FIT["fit"], "mask": "valid", "weight": {"from": "scale"}, "optional": True},
        "off": {"type": "mse", "inputs": ["never", "wanted"], "enabled": False},
        "group": {"each": listed, "terms": {"l1": {"type": "l1", "inputs": ["one.x", "other"]}}},
        "made": {"type": "l1", "inputs": ["half", {"from": "a", "apply": [{"sub": "b.c"}]}]},
    }
    derive = {"half": {"from": "whole", "apply": [{"div": 2.0}]}}
    objective = lossreg.build({"derive": derive, "terms": terms})
    read = {"track", "wanted", "valid", "scale", "heads", "deep", "whole", "a", "b"}
    assert set(names_read(objective.config)) == read


def test_an_objective_as_compute_loss_func_says_what_to_write(tmp_path: Path) -> None:
    made = Trainer(
        Heads(),
        arguments(tmp_path),
        train_dataset=Samples(4),
        data_collator=collate,
        compute_loss_func=lossreg.build({"terms": FIT}),
    )
    with pytest.raises(TypeError, match=r"ObjectiveTrainer\(objective=\.\.\.\); or compute_loss_f"):
        made.train()


@pytest.mark.parametrize("missing", ["transformers", "accelerate"])
def test_a_missing_library_names_the_extra(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *_: None if name == missing else find(name)
    )
    monkeypatch.delitem(sys.modules, "lossreg.integrations.transformers")
    with pytest.raises(MissingExtraError, match=rf"needs {missing}.*'lossreg\[transformers\]'"):
        importlib.import_module("lossreg.integrations.transformers")
