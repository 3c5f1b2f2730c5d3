"""The process function of docs/trainers.md, as Ignite runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

ignite = pytest.importorskip("ignite")

from ignite.engine import create_supervised_trainer  # noqa: E402
from ignite.handlers import Checkpoint  # noqa: E402

import lossreg  # noqa: E402
from documents import Document  # noqa: E402

PAGE = Document("docs/trainers.md").section("## Ignite")


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the page's block leaves behind."""
    monkeypatch.chdir(tmp_path)
    (block,) = PAGE.blocks("python")
    namespace: dict[str, Any] = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        exec(compile(block, PAGE.name, "exec"), namespace)
    return namespace


def by_hand(page: dict[str, Any]) -> tuple[torch.nn.Module, lossreg.CompositeLoss, dict[str, Any]]:
    """The same training on big batches, without Ignite; and the last validation."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = torch.nn.Linear(8, 3)
    loss = lossreg.build({"terms": page["terms"]})
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    batches = page["batches"]

    def values(start: int, end: int) -> dict[str, Any]:
        joined = {
            name: torch.cat([batch[name] for batch in batches[start:end]]) for name in batches[0]
        }
        return {**joined, "logits": model(joined["x"])}

    for _ in range(3):
        for start in (0, 2, 4):
            loss(values(start, start + 2)).total.backward()
            optimizer.step()
            optimizer.zero_grad()
            loss.step()
    with torch.no_grad():
        logged = loss(values(0, 5)).log_dict("val/", numbers=True)
    return model, loss, logged


def test_it_is_training_on_the_big_batches(page: dict[str, Any]) -> None:
    model, loss, logged = by_hand(page)
    assert page["trainer"].state.iteration == loss.progress.steps == 9
    assert page["loss"].weights == loss.weights
    torch.testing.assert_close(page["model"].weight, model.weight, rtol=1e-4, atol=1e-5)
    metrics = page["evaluator"].state.metrics
    assert metrics == pytest.approx(logged, rel=1e-4)


def test_the_checkpoint_brings_the_schedules_back(page: dict[str, Any]) -> None:
    (file,) = Path("checkpoints").iterdir()
    loss = lossreg.build({"terms": page["terms"]})
    Checkpoint.load_objects({"loss": loss}, checkpoint=torch.load(file, weights_only=True))
    assert loss.progress.steps == 9
    assert loss.weights == page["loss"].weights


def test_a_supervised_trainer_takes_one_loss_but_no_objective() -> None:
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batch = (torch.ones(3, 2), torch.zeros(3, 1))
    trainer = create_supervised_trainer(model, optimizer, lossreg.create("mse"))
    assert trainer.run([batch]).output > 0
    loss = lossreg.build({"terms": {"fit": {"type": "mse", "inputs": ["x", "y"]}}})
    trainer = create_supervised_trainer(model, optimizer, loss)
    trainer.logger.disabled = True
    with pytest.raises(TypeError, match="give the step's tensors by name"):
        trainer.run([batch])
