"""Training with Accelerate against one big batch, on one process and on two."""

from __future__ import annotations

import functools
import json
import runpy
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

accelerate = pytest.importorskip("accelerate")

import accelerate_runs as runs  # noqa: E402
from documents import Document  # noqa: E402
from lossreg.errors import LossregError  # noqa: E402
from lossreg.integrations.accelerate import optimizer_steps  # noqa: E402

WORLD = 2
# Of each parameter's gradient, in units of the last place of its largest entry.
MOST_ULPS = 8


@pytest.mark.parametrize("micro_batches", [1, 2, 4, 7])
@pytest.mark.parametrize("rows", [15, 16])
def test_gradients_are_those_of_the_big_batch(micro_batches: int, rows: int) -> None:
    training = runs.Training(runs.accelerator(micro_batches), rows=rows)
    for _ in range(2):
        training.epoch()
    assert runs.compare(training) <= MOST_ULPS
    assert len(training.read) == 2 * -(-8 // micro_batches)
    assert training.loss.progress.steps == len(training.read)


def test_a_loader_that_is_not_prepared_is_read_as_well() -> None:
    training = runs.Training(runs.accelerator(3))
    loader = DataLoader(runs.Samples(16), batch_size=2)
    training.epoch(loader)
    assert [len(read) for read in training.read] == [3, 3, 2]
    assert runs.compare(training) <= MOST_ULPS


def test_a_pass_that_was_left_in_its_last_step_leaves_nothing_behind() -> None:
    training = runs.Training(runs.accelerator(2), rows=16)
    for step in optimizer_steps(training.accelerator, training.loader):
        for _ in step:
            break  # after the first micro-batch
    training.epoch()
    assert runs.compare(training) <= MOST_ULPS
    assert len(training.gradients) == 4


def test_within_a_step_the_loader_is_at_its_end_as_when_it_is_read_one_by_one() -> None:
    own = runs.accelerator(2)
    training = runs.Training(own, rows=16)
    ends = []
    for step in optimizer_steps(own, training.loader):
        ends += [own.gradient_state.end_of_dataloader for _ in step]
    assert ends == [False] * 7 + [True]


@functools.cache
def launched() -> list[dict[str, float | str]]:
    """What each rank of one launch found: all cases run in it, for a launch takes seconds."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = str(listening.getsockname()[1])
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-W", "error", runs.__file__]
        running = [
            subprocess.Popen(
                [*command, str(rank), str(WORLD), port, folder], stderr=subprocess.PIPE, text=True
            )
            for rank in range(WORLD)
        ]
        try:
            told = [process.communicate(timeout=400)[1] for process in running]
        finally:
            for process in running:
                process.kill()
        assert [process.returncode for process in running] == [0] * WORLD, "\n".join(told)
        files = [Path(folder, f"{rank}.json") for rank in range(WORLD)]
        return [json.loads(file.read_text(encoding="utf-8")) for file in files]


@pytest.mark.parametrize("case", runs.CASES)
def test_two_ranks_have_the_gradients_of_the_big_batch(case: str) -> None:
    for rank, found in enumerate(launched()):
        assert isinstance(found[case], float), f"rank {rank}: {found[case]}"
        assert found[case] <= MOST_ULPS


def test_learned_weights_on_one_process() -> None:
    assert runs.learned(2) <= MOST_ULPS


def test_a_resumed_run_is_the_one_that_was_not_interrupted(tmp_path: Path) -> None:
    whole = runs.Training(runs.accelerator(2))
    whole.accelerator.register_for_checkpointing(whole.loss)

    def save(steps: int) -> None:
        if steps == 3:
            whole.accelerator.save_state(str(tmp_path / "saved"))

    whole.epoch(after=save)
    whole.epoch()

    resumed = runs.Training(runs.accelerator(2))
    resumed.accelerator.register_for_checkpointing(resumed.loss)
    resumed.accelerator.load_state(str(tmp_path / "saved"))
    assert resumed.loss.progress.steps == 3
    resumed.epoch(resumed.accelerator.skip_first_batches(resumed.loader, 6))
    resumed.epoch()
    assert len(resumed.read) == len(whole.read) - 3
    assert resumed.loss.weights == whole.loss.weights
    for parameter, other in zip(
        resumed.network.parameters(), whole.network.parameters(), strict=True
    ):
        assert torch.equal(parameter, other)


def test_learned_weights_are_in_the_checkpoint(tmp_path: Path) -> None:
    def prepared() -> tuple[Any, Any]:
        own = runs.accelerator()
        return own, own.prepare(runs.composite(runs.LEARNED))

    own, loss = prepared()
    with torch.no_grad():
        for parameter in loss.parameters():
            parameter.add_(1.5)
    own.save_state(str(tmp_path / "saved"))
    again, other = prepared()
    assert other.weights != loss.weights
    again.load_state(str(tmp_path / "saved"))
    assert other.weights == loss.weights


def test_in_bfloat16_as_exact_as_its_numbers() -> None:
    training = runs.Training(runs.accelerator(4, mixed_precision="bf16"), dtype=torch.float32)
    training.epoch()
    network, loss = runs.Network(torch.float32), runs.composite().float()
    values = runs.joined(training.read[0])
    with torch.autocast("cpu", torch.bfloat16):
        outputs = network(values["x"])
    assert outputs["logits"].dtype == torch.bfloat16
    out = loss({**values, **{name: output.float() for name, output in outputs.items()}})
    out.total.backward()
    for found, expected in zip(training.gradients[0], runs.gradients(network), strict=True):
        assert (found - expected).norm() <= 0.01 * expected.norm()


def test_a_skipped_step_moves_no_schedule() -> None:
    own = runs.accelerator(2)
    # Accelerate makes one only on an accelerator. The first step overflows, and halves the scale.
    own.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    training = runs.Training(own, dtype=torch.float32)
    skipped = []
    training.epoch(after=lambda _: skipped.append(own.optimizer_step_was_skipped))
    assert skipped[0]
    assert not skipped[-1]
    assert training.loss.progress.steps == skipped.count(False)


def test_tuples_are_read_by_the_names_of_their_parts() -> None:
    own = runs.accelerator(2)
    rows = [(torch.ones(4), torch.tensor(index % 3)) for index in range(8)]
    loader = own.prepare(DataLoader(rows, batch_size=2))
    loss = runs.composite({"classify": runs.TERMS["classify"]})
    for step in optimizer_steps(own, loader, names=("x", "labels")):
        for x, labels in step:
            step.compute(loss, logits=x[:, :3].double(), labels=labels)
        assert step.summed().total > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "MEGATRON_LM"}, "Megatron-LM computes and divides the loss by itself"),
        ({"kind": "DEEPSPEED"}, "DeepSpeed accumulates gradients by itself"),
        ({"sync_with_dataloader": False}, "an optimizer step ends with the loader"),
        ({"kind": "XLA", "num_processes": 2}, "XLA does not use torch.distributed"),
        ({"not_data_parallel": 2}, "give `group=`"),
    ],
)
def test_what_cannot_be_right_is_refused(settings: dict[str, Any], message: str) -> None:
    own = SimpleNamespace(
        distributed_type=accelerate.DistributedType[settings.get("kind", "NO")],
        gradient_accumulation_steps=2,
        gradient_state=SimpleNamespace(
            sync_with_dataloader=settings.get("sync_with_dataloader", True)
        ),
        num_processes=settings.get("num_processes", 1),
        parallelism_config=SimpleNamespace(
            non_data_parallel_size=settings.get("not_data_parallel", 1)
        ),
    )
    with pytest.raises(LossregError, match=message):
        optimizer_steps(own, [])


def test_names_and_known_are_not_given_together() -> None:
    with pytest.raises(ValueError, match="not both"):
        optimizer_steps(runs.accelerator(), [], names=("x",), known=dict)


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Document("docs/trainers.md").section("## Accelerate")
    page.write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    runs.accelerator()  # the page's is then as in a new process
    namespace = runpy.run_path("accelerated.py")
    # 10 batches an epoch: two whole steps and a shorter one.
    assert namespace["loss"].progress.steps == 6
    assert (tmp_path / "checkpoint" / "custom_checkpoint_0.pkl").exists()
