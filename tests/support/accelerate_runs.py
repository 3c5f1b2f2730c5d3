"""A network that Accelerate trains on ragged data, and the gradients that one big batch gives.

As a script, with the rank, how many there are, a port and a folder, it is one rank of a gloo run.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from torch import Tensor, distributed, nn
from torch.utils.data import DataLoader, Dataset

import lossreg
from lossreg.integrations.accelerate import optimizer_steps
from lossreg.integrations.accumulation import OptimizerStep, mean_over_ranks
from properties import ulps

CLASSES, WIDTH, LENGTH = 3, 4, 5
TERMS: dict[str, Any] = {
    "classify": {
        "type": "cross_entropy",
        "inputs": ["logits", "labels"],
        "params": {"weight": [0.2, 1.0, 5.0]},
    },
    "follow": {
        "type": "smooth_l1",
        "inputs": ["track", "wanted"],
        "mask": "valid",
        "weight": {"schedule": "linear", "start": 1.0, "end": 3.0, "steps": 8},
    },
    "whole": {"type": "mse", "inputs": ["track", "wanted"], "params": {"reduction": "sum"}},
}
# The initial numbers are such that the two parts of their gradients do not cancel.
LEARNED = {
    "classify": {**TERMS["classify"], "weight": {"learned": "log_variance", "initial": -2.0}},
    "follow": {**TERMS["follow"], "weight": {"learned": "kendall", "initial": 1.0}},
}

Batch = dict[str, Tensor]


class Samples(Dataset[Batch]):
    """Tracks of which a random part is valid, and labels of which some are to be ignored."""

    def __init__(self, count: int, dtype: torch.dtype = torch.float64) -> None:
        generator = torch.Generator().manual_seed(0)
        labels = torch.randint(CLASSES, (count,), generator=generator)
        lengths = torch.randint(1, LENGTH + 1, (count, 1), generator=generator)
        self.tensors = {
            "x": torch.randn(count, WIDTH, generator=generator, dtype=dtype),
            "labels": labels.where(torch.arange(count) % 3 != 1, -100),
            "wanted": torch.randn(count, LENGTH, generator=generator, dtype=dtype),
            "valid": torch.arange(LENGTH) < lengths,
        }

    def __len__(self) -> int:
        return len(self.tensors["x"])

    def __getitem__(self, index: int) -> Batch:
        return {name: tensor[index] for name, tensor in self.tensors.items()}


class Network(nn.Module):
    """Two heads."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            self.heads = nn.Linear(WIDTH, CLASSES + LENGTH)
        self.to(dtype)

    def forward(self, x: Tensor) -> Batch:
        logits, track = self.heads(x).split([CLASSES, LENGTH], dim=1)
        return {"logits": logits, "track": track}


def composite(terms: dict[str, Any] | None = None) -> lossreg.CompositeLoss:
    return lossreg.build({"terms": TERMS if terms is None else terms}).double()


def accelerator(micro_batches: int = 1, **options: Any) -> Accelerator:
    """A new one, as in a new process; Accelerate keeps its state beside it."""
    AcceleratorState._reset_state(reset_partial_state=not distributed.is_initialized())
    GradientState._reset_state()
    return Accelerator(cpu=True, gradient_accumulation_steps=micro_batches, **options)


class Training:
    """What a script with Accelerate has, and its loop.

    Attributes:
        gradients: Those of each optimizer step that Accelerate ran.
        read: The batches of each step, of this rank.
        logged: The outputs of each step, summed.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        rows: int = 20,
        batch_size: int = 2,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        self.accelerator = accelerator
        self.loss = composite().to(dtype)
        self.network = Network(dtype)
        optimizer = torch.optim.Adam(self.network.parameters(), lr=0.1)
        loader = DataLoader(Samples(rows, dtype), batch_size=batch_size)
        self.model, self.optimizer, self.loader = accelerator.prepare(
            self.network, optimizer, loader
        )
        self.gradients: list[list[Tensor]] = []
        self.read: list[list[Batch]] = []
        self.logged: list[lossreg.LossOutput] = []

    def epoch(self, loader: Any = None, after: Callable[[int], None] = lambda _: None) -> None:
        """The documented loop."""
        accelerator, optimizer = self.accelerator, self.optimizer
        for step in optimizer_steps(accelerator, self.loader if loader is None else loader):
            for batch in step:
                with accelerator.accumulate(self.model):
                    out = step.compute(self.loss, {**batch, **self.model(batch["x"])})
                    accelerator.backward(out.total)
                    if accelerator.sync_gradients:
                        self.gradients.append(gradients(self.network))
                    optimizer.step()
                    optimizer.zero_grad()
            if not accelerator.optimizer_step_was_skipped:
                self.loss.step()
            self.read.append(list(step))
            self.logged.append(step.summed())
            after(len(self.read))


def gradients(model: nn.Module) -> list[Tensor]:
    return [parameter.grad.clone() for parameter in model.parameters()]


def furthest(found: list[Tensor], expected: list[Tensor]) -> float:
    """In units of the last place of each parameter's largest gradient."""
    pairs = zip(found, expected, strict=True)
    return max(ulps(gradient, wanted, of_largest=True) for gradient, wanted in pairs)


def joined(batches: list[Batch]) -> Batch:
    return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}


def everyone(value: Any) -> list[Any]:
    """What each rank has."""
    if not distributed.is_initialized():
        return [value]
    every = [None] * distributed.get_world_size()
    distributed.all_gather_object(every, value)
    return every


def compare(training: Training) -> float:
    """Train again on big batches, all ranks' of a step at once; the largest difference."""
    network, loss = Network(), composite()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
    apart = 0.0
    for index, read in enumerate(training.read):
        values = joined([batch for batches in everyone(read) for batch in batches])
        out = loss({**values, **network(values["x"])})
        out.total.backward()
        apart = max(apart, furthest(training.gradients[index], gradients(network)))
        # The same numbers in both, so that only one step's rounding is compared.
        for parameter, gradient in zip(
            network.parameters(), training.gradients[index], strict=True
        ):
            parameter.grad = gradient
        optimizer.step()
        optimizer.zero_grad()
        loss.step()
        logged = mean_over_ranks(training.logged[index]).log_dict()
        expected = {name: value.detach() for name, value in out.log_dict().items()}
        torch.testing.assert_close(logged, expected, rtol=1e-12, atol=1e-12)
    assert len(training.gradients) == len(training.read)
    return apart


def accumulated(micro_batches: int) -> float:
    training = Training(accelerator(micro_batches), rows=20)
    for _ in range(2):
        training.epoch()
    return compare(training)


def learned(micro_batches: int) -> float:
    """The loss is prepared, for DDP has to average the gradients of its weights too."""
    own = accelerator(micro_batches)
    network, loss = Network(), composite(LEARNED)
    parameters = [*network.parameters(), *loss.parameters()]
    model, prepared, loader = own.prepare(network, loss, DataLoader(Samples(20), batch_size=2))
    step: OptimizerStep = next(iter(optimizer_steps(own, loader)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for batch in step:
            with own.accumulate(model, prepared):
                out = step.compute(prepared, {**batch, **model(batch["x"])})
                own.backward(out.total)
    twin, other = Network(), composite(LEARNED)
    values = joined([batch for batches in everyone(list(step)) for batch in batches])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the learned weight of .* is outside of the forward")
        other({**values, **twin(values["x"])}).total.backward()
    expected = [*twin.parameters(), *other.parameters()]
    return furthest([each.grad for each in parameters], [each.grad for each in expected])


CASES: dict[str, Callable[[], float]] = {
    **{f"accumulated {count}": lambda count=count: accumulated(count) for count in (1, 2, 4)},
    **{f"learned {count}": lambda count=count: learned(count) for count in (1, 2)},
}


def outcome(case: Callable[[], float]) -> float | str:
    try:
        return case()
    except Exception:  # noqa: BLE001 - the test reports it
        return traceback.format_exc()


def main(rank: int, world: int, port: str, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(world),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=port,
        ACCELERATE_USE_CPU="true",
        OMP_NUM_THREADS="1",  # without it, Accelerate warns
    )
    found = {name: outcome(case) for name, case in CASES.items()}
    Path(folder, f"{rank}.json").write_text(json.dumps(found), encoding="utf-8")
    if distributed.is_initialized():
        distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
