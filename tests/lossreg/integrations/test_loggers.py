"""The loggers of docs/trainers.md get every term, where they are installed."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from documents import Document
from lossreg.integrations.history import History

PAGE = Document("docs/trainers.md").section("## Loggers")
KEYS = [
    "train/loss/total",
    *(
        f"train/{kind}/{term}"
        for term in ("classify", "smooth")
        for kind in ("loss", "weighted", "weight")
    ),
]


def run(heading: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, float]]:
    """Run a logger's block in a folder; what it was to log in each step."""
    monkeypatch.chdir(folder)
    namespace: dict[str, Any] = {}
    start = PAGE.blocks("python")[0]
    (block,) = PAGE.subsection(heading).blocks("python")
    for text in (start, block):
        exec(compile(text, PAGE.name, "exec"), namespace)
    return [out.log_dict("train/", numbers=True) for _, out in namespace["training"]()]


def test_tensorboard_gets_every_term(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    expected = run("### TensorBoard", tmp_path, monkeypatch)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "runs/first"))
    events.Reload()
    assert sorted(events.Tags()["scalars"]) == sorted(KEYS)
    for key in KEYS:
        found = [(event.step, event.value) for event in events.Scalars(key)]
        wanted = [(step, pytest.approx(row[key])) for step, row in enumerate(expected, 1)]
        assert found == wanted


def test_wandb_gets_every_term(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    logged: list[tuple[int, dict[str, float]]] = []
    log = wandb.Run.log

    def kept(self: Any, data: dict[str, float], step: int) -> None:
        logged.append((step, data))
        log(self, data, step=step)

    monkeypatch.setattr(wandb.Run, "log", kept)
    monkeypatch.setenv("WANDB_SILENT", "true")
    expected = run("### W&B", tmp_path, monkeypatch)
    assert logged == list(enumerate(expected, 1))
    (file,) = (tmp_path / "wandb").glob("offline-run-*/*.wandb")
    assert b"train/weighted/smooth" in file.read_bytes()


def test_mlflow_gets_every_term(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    before = mlflow.get_tracking_uri()
    try:
        expected = run("### MLflow", tmp_path, monkeypatch)
        client = mlflow.MlflowClient()
        ran = mlflow.last_active_run().info.run_id
        for key in KEYS:
            found = [(each.step, each.value) for each in client.get_metric_history(ran, key)]
            assert found == [(step, row[key]) for step, row in enumerate(expected, 1)]
    finally:
        mlflow.set_tracking_uri(before)


def test_a_csv_file_has_every_term(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = run("### CSV", tmp_path, monkeypatch)
    with (tmp_path / "metrics.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["step", *KEYS]
    assert [{key: float(row[key]) for key in KEYS} for row in rows] == expected
    history = History.read_csv(tmp_path / "metrics.csv")
    wanted = [(step, row["train/weight/smooth"]) for step, row in enumerate(expected, 1)]
    assert history.curves("train/")["weight/smooth"] == wanted


def test_the_picture_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("### A picture", tmp_path, monkeypatch)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
