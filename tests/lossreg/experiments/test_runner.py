from __future__ import annotations

import csv
import importlib.util
import math
import signal
import sys
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from lightning.pytorch.trainer.states import TrainerStatus

import lossreg
from lossreg import experiments
from lossreg.config import load_experiment
from lossreg.errors import InputError, LossregError, MissingExtraError
from lossreg.experiments import runner
from lossreg.experiments.task import Task
from lossreg.registry import TASKS, Registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lossreg.experiments.runner import Result

CLASSIFY = {"type": "cross_entropy", "inputs": ["logits", "labels"]}
REBUILD = {"type": "smooth_l1", "inputs": ["decoder.pixels", "image"], "weight": 5.0}
TWO_TERMS = {"classify": CLASSIFY, "rebuild": REBUILD}


def train(
    root: Path,
    *,
    seed: int = 0,
    terms: dict[str, Any] | None = None,
    on_nonfinite: str = "raise",
    **trainer: Any,
) -> Result:
    options = {"accelerator": "cpu", "max_epochs": 1, **trainer}
    source = {
        "task": "digits",
        "seed": seed,
        "trainer": options,
        "loss": {"on_nonfinite": on_nonfinite, "terms": TWO_TERMS if terms is None else terms},
    }
    experiment = load_experiment(source)
    result = experiments.run(experiment, name="digits", document="task: digits\n", root=root)
    assert result is not None
    return result


def table(result: Result) -> list[dict[str, str]]:
    with (result.folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return train(tmp_path_factory.mktemp("run"), max_epochs=2, log_every_n_steps=10)


def test_a_run_leaves_config_metrics_picture_and_checkpoint(result: Result) -> None:
    assert {each.name for each in result.folder.iterdir()} == {
        "config.yaml",
        "metrics.csv",
        "curves.png",
        "last.ckpt",
    }
    assert (result.folder / "config.yaml").read_text() == "task: digits\n"
    assert (result.folder / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_the_metrics_have_a_column_a_term_and_held_out_values_at_each_epochs_end(
    result: Result,
) -> None:
    rows = table(result)
    assert list(rows[0]) == [
        "step",
        "epoch",
        "total",
        "classify",
        "rebuild",
        "held_out/accuracy",
        "held_out/rebuild_error",
    ]
    # 1,347 images in batches of 64: 22 steps an epoch.
    assert [(row["step"], row["epoch"]) for row in rows] == [
        ("1", "1"), ("10", "1"), ("20", "1"), ("22", "1"), ("30", "2"), ("40", "2"), ("44", "2")
    ]  # fmt: skip
    measured = [row["step"] for row in rows if row["held_out/accuracy"]]
    assert measured == ["22", "44"]


def test_a_learned_weight_is_trained_and_what_it_adds_is_recorded(tmp_path: Path) -> None:
    terms = {"classify": {**CLASSIFY, "weight": {"learned": "log_variance"}}, "rebuild": REBUILD}
    run = train(tmp_path, terms=terms, max_steps=3, log_every_n_steps=1)
    added = [row.weighted["regularizer/classify"] for row in run.rows]
    assert added[0] == 0
    assert len(set(added)) == 3  # the optimizer moves it
    for row in run.rows:
        assert sum(row.weighted.values()) == pytest.approx(row.total)


def test_the_weighted_terms_add_up_to_the_total(result: Result) -> None:
    for row in result.rows:
        assert row.weighted["rebuild"] == pytest.approx(5 * row.terms["rebuild"])
        assert sum(row.weighted.values()) == pytest.approx(row.total)


def test_a_row_is_the_mean_over_the_steps_since_the_row_before(
    result: Result, tmp_path: Path
) -> None:
    each_step = train(tmp_path, log_every_n_steps=1).rows
    assert [row.step for row in each_step] == list(range(1, 23))
    expected = sum(row.terms["classify"] for row in each_step[1:10]) / 9
    assert result.rows[1].terms["classify"] == pytest.approx(expected)


def test_the_held_out_values_are_those_of_the_checkpoint(result: Result) -> None:
    checkpoint = torch.load(result.folder / "last.ckpt", weights_only=True)
    task = Registry.installed().of(TASKS)["digits"].build()
    assert isinstance(task, Task)
    prefix = "model."
    state = {
        name.removeprefix(prefix): each
        for name, each in checkpoint["state_dict"].items()
        if name.startswith(prefix)
    }
    task.model.load_state_dict(state)
    batch = task.held_out.tensors
    with torch.no_grad():
        values = {**batch, **task.model(batch)}
    for measure in task.measures:
        value = measure.per_sample(values).mean().item()
        assert result.held_out[measure.name] == pytest.approx(value)


def test_the_same_seed_gives_the_same_bytes(result: Result, tmp_path: Path) -> None:
    again = train(tmp_path, max_epochs=2, log_every_n_steps=10)
    first = (result.folder / "metrics.csv").read_bytes()
    assert (again.folder / "metrics.csv").read_bytes() == first


def test_another_seed_gives_other_bytes(result: Result, tmp_path: Path) -> None:
    other = train(tmp_path, seed=1, max_epochs=2, log_every_n_steps=10)
    first = (result.folder / "metrics.csv").read_bytes()
    assert (other.folder / "metrics.csv").read_bytes() != first


def test_a_second_run_has_a_folder_of_its_own(tmp_path: Path) -> None:
    folders = [train(tmp_path, max_steps=1).folder.name for _ in range(2)]
    assert folders == ["digits", "digits-2"]


def test_a_run_that_ends_within_an_epoch_is_measured(tmp_path: Path) -> None:
    short = train(tmp_path, max_steps=3, accumulate_grad_batches=2, log_every_n_steps=2)
    assert [row.step for row in short.rows] == [1, 2, 3]
    assert short.held_out["accuracy"] > 0


def test_a_term_may_bear_the_name_of_another_column(tmp_path: Path) -> None:
    named = train(tmp_path, max_steps=1, terms={"step": CLASSIFY, "epoch": REBUILD})
    row = table(named)[0]
    assert row["step"] == row["epoch"] == "1"
    assert float(row["term/step"]) == pytest.approx(named.rows[0].terms["step"], rel=1e-5)
    assert float(row["term/epoch"]) == pytest.approx(named.rows[0].terms["epoch"], rel=1e-5)


def test_nan_is_recorded_and_drawn_around(tmp_path: Path) -> None:
    # A sum over 4,096 pixels, times nearly the largest float32.
    heavy = {
        "classify": CLASSIFY,
        "rebuild": {**REBUILD, "weight": 3e38, "params": {"reduction": "sum"}},
    }
    wild = train(tmp_path, terms=heavy, on_nonfinite="ignore", max_steps=3, log_every_n_steps=1)
    assert not math.isfinite(wild.rows[-1].total)
    assert table(wild)[-1]["total"] in ("nan", "inf")
    assert (wild.folder / "curves.png").exists()


def weights_of(run: Result) -> list[tuple[int, float]]:
    """The weight of `rebuild` at each row, from what was recorded."""
    return [(row.step, row.weighted["rebuild"] / row.terms["rebuild"]) for row in run.rows]


def schedule(unit: str, steps: int) -> dict[str, Any]:
    weight = {"schedule": "linear", "start": 1.0, "end": 0.0, "steps": steps, "unit": unit}
    return {"classify": CLASSIFY, "rebuild": {**REBUILD, "weight": weight}}


def progress(run: Result) -> dict[str, int]:
    checkpoint = torch.load(run.folder / "last.ckpt", weights_only=True)
    state = checkpoint["state_dict"]["objective.progress._extra_state"]
    return dict(zip(("steps", "epochs"), state.tolist(), strict=True))


@pytest.mark.parametrize("batches", [1, 2])
def test_a_schedule_moves_with_each_step_of_the_optimizer(batches: int, tmp_path: Path) -> None:
    run = train(
        tmp_path,
        terms=schedule("step", 10),
        max_steps=5,
        log_every_n_steps=1,
        accumulate_grad_batches=batches,
    )
    # Before the first step the weight is 1.
    assert weights_of(run) == [(step, pytest.approx(1 - (step - 1) / 10)) for step in range(1, 6)]
    assert progress(run)["steps"] == 5


def test_a_schedule_by_epochs_moves_at_each_epochs_end(tmp_path: Path) -> None:
    run = train(tmp_path, terms=schedule("epoch", 4), max_epochs=3, log_every_n_steps=22)
    assert weights_of(run) == [
        (step, pytest.approx(weight))
        for step, weight in [(1, 1.0), (22, 1.0), (44, 0.75), (66, 0.5)]
    ]
    assert (progress(run)["steps"], progress(run)["epochs"]) == (66, 3)


@pytest.mark.nightly
def test_a_run_with_a_schedule_gives_the_same_bytes_for_the_same_seed(tmp_path: Path) -> None:
    runs = [train(tmp_path, terms=schedule("step", 30), max_epochs=2) for _ in range(2)]
    first, second = [(run.folder / "metrics.csv").read_bytes() for run in runs]
    assert first == second


def test_the_progress_of_a_checkpoint_can_be_loaded(tmp_path: Path) -> None:
    run = train(tmp_path, terms=schedule("step", 100), max_steps=7)
    checkpoint = torch.load(run.folder / "last.ckpt", weights_only=True)
    loss = lossreg.build({"terms": schedule("step", 100)})
    prefix = "objective."
    state = {
        name.removeprefix(prefix): each
        for name, each in checkpoint["state_dict"].items()
        if name.startswith(prefix)
    }
    loss.load_state_dict(state, strict=True)
    assert loss.weights["rebuild"] == pytest.approx(1 - 7 / 100)


@pytest.mark.parametrize(
    "precision", ["bf16-mixed", pytest.param("64-true", marks=pytest.mark.nightly)]
)
def test_precision_is_lightnings(precision: str, tmp_path: Path) -> None:
    assert math.isfinite(train(tmp_path, precision=precision, max_steps=2).rows[-1].total)


def test_a_missing_input_leaves_nothing_behind(tmp_path: Path) -> None:
    lost = {"rebuild": {**REBUILD, "inputs": ["pixels", "image"]}}
    with pytest.raises(InputError, match="there is no 'pixels'"):
        train(tmp_path, terms=lost)
    assert list(tmp_path.iterdir()) == []


def test_a_fault_while_training_keeps_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "logged_values", fails_after(12, runner.logged_values))
    with pytest.raises(InputError, match="too late"):
        train(tmp_path, log_every_n_steps=5)
    folder = tmp_path / "digits"
    assert (folder / "metrics.csv").read_text().splitlines()[-1].startswith("10,")
    assert (folder / "curves.png").exists()


def fails_after(calls: int, function: Any) -> Any:
    left = iter(range(calls))

    def wrapped(*arguments: Any) -> Any:
        if next(left, None) is None:
            raise InputError("too late")
        return function(*arguments)

    return wrapped


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_told_with_lightnings_reason(tmp_path: Path) -> None:
    with pytest.raises(LossregError, match=r"Lightning refuses the trainer's options: .*gpu"):
        train(tmp_path, accelerator="gpu")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    root.write_text("a file")
    with pytest.raises(LossregError, match="cannot make a run folder"):
        train(root)


def test_a_file_that_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_folder: Path | None, _document: str) -> None:
        raise OSError(28, "No space left on device", "config.yaml")

    monkeypatch.setattr(runner, "_write_config", full)
    with pytest.raises(LossregError, match=r"cannot write 'config\.yaml': No space left"):
        train(tmp_path)


def test_an_interrupt_keeps_what_was_written_and_ctrl_c_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_arguments: object) -> None:
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(runner._Training, "validation_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, log_every_n_steps=5)
    assert signal.getsignal(signal.SIGINT) is before
    assert len((tmp_path / "digits" / "metrics.csv").read_text().splitlines()) > 4


def test_after_an_interrupt_lightning_watches_no_process_that_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = ["the second", "the third"]

    def interrupted(trainer: Any, *_arguments: object) -> None:
        trainer.strategy._launcher = SimpleNamespace(procs=processes)
        trainer.state.status = TrainerStatus.INTERRUPTED
        raise SystemExit(1)

    monkeypatch.setattr(runner.Trainer, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path)
    assert processes == []


def test_an_interrupt_has_something_to_keep_once_there_is_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    @contextmanager
    def interruptible() -> Iterator[None]:
        told.append("from here")
        yield
        told.append("to here")

    for module, name in ((runner, "new_folder"), (runner, "_fit"), (runner, "_finish")):
        real = getattr(module, name)

        def noted(*arguments: Any, name: str = name, real: Any = real) -> Any:
            told.append(name)
            return real(*arguments)

        monkeypatch.setattr(module, name, noted)
    experiment = load_experiment(
        {
            "task": "digits",
            "trainer": {"max_steps": 1, "accelerator": "cpu"},
            "loss": {"terms": TWO_TERMS},
        }
    )
    experiments.run(experiment, name="digits", root=tmp_path, interruptible=interruptible())
    assert told == ["from here", "new_folder", "_fit", "to here", "_finish"]


def test_parameters_that_no_term_reaches_are_told_with_what_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_arguments: object) -> None:
        # What torch's DistributedDataParallel says.
        raise RuntimeError("Expected to have finished reduction; find_unused_parameters=True")

    monkeypatch.setattr(runner.Trainer, "fit", refused)
    with pytest.raises(LossregError, match="ddp_find_unused_parameters_true"):
        train(tmp_path)


def test_the_number_of_threads_is_as_before(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        train(tmp_path, max_steps=1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("module", "distribution"),
    [("lightning", "lightning"), ("sklearn", "scikit-learn"), ("matplotlib", "matplotlib")],
)
def test_without_the_extra_it_says_what_to_install(
    module: str, distribution: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert importlib.util.find_spec(module) is None
    with pytest.raises(MissingExtraError) as raised:
        train(tmp_path)
    assert str(raised.value) == (
        f"`lossreg run` needs {distribution}, which is not installed: "
        "pip install 'lossreg[experiments]'"
    )
