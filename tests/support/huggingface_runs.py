"""Short runs of Hugging Face's Trainer on ragged data, and the gradients one big batch gives.

As a script, it is one of several ranks, with its number, how many there are, a file to meet at and
a folder: it trains, evaluates and saves what came of it.
"""

from __future__ import annotations

import datetime as dt
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.utils.data import Dataset, SequentialSampler
from transformers import Trainer, TrainerCallback, TrainingArguments

import lossreg
from lossreg.integrations.transformers import (
    ObjectiveCallback,
    ObjectiveTrainer,
    loss_function,
)
from lossreg.integrations.transformers.learned import average_gradients

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
        "sample_weight": "importance",
        "divide_by": "weights",
        "weight": {"schedule": "linear", "start": 1.0, "end": 3.0, "steps": 8},
    },
    "shrink": {"type": "mse", "inputs": ["logits", "zeros"], "weight": 0.1},
    "count": {
        "type": "l1",
        "inputs": ["track", "wanted"],
        "divide_by": {"number": {"from": "objects", "apply": ["sum"]}},
        "weight": 0.5,
    },
    "doubt": {
        "type": "mse",
        "inputs": ["track", "wanted"],
        "weight": {"learned": "log_variance", "initial": 0.3},
    },
    "whole": {"type": "l1", "inputs": ["logits", "zeros"], "params": {"reduction": "sum"}},
}


FIT: dict[str, Any] = {"fit": {"type": "mse", "inputs": ["track", "wanted"]}}
EPOCHS: dict[str, Any] = {
    "follow": TERMS["follow"],
    "doubt": TERMS["doubt"],
    "rise": {
        "type": "mse",
        "inputs": ["track", "wanted"],
        "weight": {"schedule": "linear", "start": 0, "end": 1, "steps": 4, "unit": "epoch"},
    },
}


class Samples(Dataset[dict[str, Tensor]]):
    """Tracks of which a random part is valid, and labels of which some are to be ignored."""

    def __init__(self, count: int, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)

        def real(*shape: int) -> Tensor:
            return torch.randn(count, *shape, generator=generator, dtype=torch.float64)

        lengths = torch.randint(1, LENGTH + 1, (count, 1), generator=generator)
        labels = torch.randint(CLASSES, (count,), generator=generator)
        self.tensors = {
            "x": real(WIDTH),
            "labels": labels.where(torch.arange(count) % 4 != 1, -100),
            "wanted": real(LENGTH),
            "valid": torch.arange(LENGTH) < lengths,
            "importance": real(LENGTH).square(),
            "zeros": torch.zeros(count, CLASSES, dtype=torch.float64),
            "objects": lengths.squeeze(1).double(),
        }

    def __len__(self) -> int:
        return len(self.tensors["x"])

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: tensor[index] for name, tensor in self.tensors.items()}

    def rows(self, indices: Sequence[int]) -> dict[str, Tensor]:
        return {name: tensor[list(indices)] for name, tensor in self.tensors.items()}


class Heads(nn.Module):
    """A linear network with two heads."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.heads = nn.Linear(WIDTH, CLASSES + LENGTH)
        self.double()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        logits, track = self.heads(x).split([CLASSES, LENGTH], dim=1)
        return {"logits": logits, "track": track}


def collate(samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([each[name] for each in samples]) for name in samples[0]}


class InOrder:
    """Reads the samples one after the other."""

    def _get_train_sampler(self, *_: Any) -> Any:
        return SequentialSampler(self.train_dataset)  # type: ignore[attr-defined]


class OrderedTrainer(InOrder, ObjectiveTrainer):
    pass


class Gradients(TrainerCallback):
    """Keeps what the optimizer is about to take."""

    def __init__(self, objective: Any = None) -> None:
        self.objective = objective
        self.taken: list[list[Tensor]] = []

    def on_pre_optimizer_step(self, *_: Any, model: Any = None, **__: Any) -> None:
        parameters = [*model.parameters(), *(self.objective or nn.Module()).parameters()]
        self.taken.append([each.grad.detach().clone() for each in parameters])


def arguments(folder: Path, **options: Any) -> TrainingArguments:
    defaults: dict[str, Any] = {
        "output_dir": str(folder),
        "use_cpu": True,
        "report_to": "none",
        "disable_tqdm": True,
        "save_strategy": "no",
        "logging_steps": 1,
        "optim": "sgd",
        "learning_rate": 0.1,
        "lr_scheduler_type": "constant",
        "max_grad_norm": 0.0,
        "num_train_epochs": 1,
        "per_device_train_batch_size": 2,
        "per_device_eval_batch_size": 4,
        "dataloader_pin_memory": False,
        "remove_unused_columns": True,
    }
    return TrainingArguments(**{**defaults, **options})


def trainer(
    folder: Path,
    samples: Samples,
    *,
    terms: dict[str, Any] | None = None,
    kind: Any = OrderedTrainer,
    callbacks: Sequence[Any] = (),
    evaluated: Any = None,
    more: dict[str, Any] | None = None,
    **options: Any,
) -> Any:
    return kind(
        Heads(),
        arguments(folder, **options),
        train_dataset=samples,
        eval_dataset=evaluated,
        data_collator=collate,
        objective=lossreg.build({"terms": TERMS if terms is None else terms}).double(),
        callbacks=list(callbacks),
        **(more or {}),
    )


def trained(folder: Path, samples: Samples, **options: Any) -> tuple[Any, Gradients]:
    made = trainer(folder, samples, **options)
    gradients = Gradients(made.objective)
    made.add_callback(gradients)
    made.train()
    return made, gradients


def big_batches(
    samples: Samples, steps: Sequence[Sequence[int]], terms: dict[str, Any] | None = None
) -> tuple[list[list[Tensor]], list[dict[str, float]]]:
    """The same training without Trainer, each step with one batch: its gradients and its log."""
    model = Heads()
    loss = lossreg.build({"terms": TERMS if terms is None else terms}).double()
    parameters = [*model.parameters(), *loss.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    gradients, values = [], []
    for rows in steps:
        batch = samples.rows(rows)
        optimizer.zero_grad()
        out = loss({**batch, **model(batch["x"])})
        out.total.backward()
        gradients.append([each.grad.detach().clone() for each in parameters])
        values.append({key: value.item() for key, value in out.log_dict().items()})
        optimizer.step()
        loss.step()
    return gradients, values


def logged(made: Any) -> list[dict[str, float]]:
    """What was logged of training."""
    return [entry for entry in made.state.log_history if "loss" in entry]


def counts(made: Any) -> tuple[int, int]:
    """The steps and epochs that the objective's schedules have completed."""
    return made.objective.progress.steps, made.objective.progress.epochs


def apart(taken: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """The largest distance, in units in the last place of the largest entry."""
    one, other = (torch.cat([each.flatten() for each in side]) for side in (taken, expected))
    distance = (one - other).abs().max() / other.abs().max()
    return float(distance / torch.finfo(one.dtype).eps)


def whole_steps(rows: int, size: int) -> list[range]:
    """The rows of each step, if each has so many and the last what is left."""
    return [range(first, min(first + size, rows)) for first in range(0, rows, size)]


def unevenly(rank: int, world: int) -> list[Any]:
    """The gradients of two learned weights, after averaging one that only the last rank has."""
    terms = {
        name: {"type": "mse", "inputs": ["a", "b"], "weight": {"learned": "kendall"}}
        for name in ("some", "none")
    }
    loss = lossreg.build({"terms": terms})
    some, _ = loss.parameters()
    if rank == world - 1:
        some.grad = torch.full_like(some, 3.0)
    average_gradients(loss)
    return [each.grad for each in loss.parameters()]


CLASSIFY = {
    "classify": {
        "type": "cross_entropy",
        "inputs": ["logits", "labels"],
        "weight": TERMS["follow"]["weight"],
    }
}


class Ordered(InOrder, Trainer):
    pass


def with_function(folder: Path) -> dict[str, Any]:
    """As `trained`, by a Trainer that gives its loss function the count of the labels."""
    objective = lossreg.build({"terms": CLASSIFY}).double()
    gradients = Gradients()
    made = Ordered(
        Heads(),
        arguments(
            folder,
            gradient_accumulation_steps=3,
            average_tokens_across_devices=True,
            label_names=["labels"],
        ),
        train_dataset=Samples(24),
        eval_dataset=Samples(16, seed=1),
        data_collator=collate,
        compute_loss_func=loss_function(objective),
        callbacks=[ObjectiveCallback(objective), gradients],
    )
    made.train()
    return {"gradients": gradients.taken, "logged": logged(made), "metrics": made.evaluate()}


def main(rank: int, world: int, meeting: str, folder: str) -> None:
    """An epoch of accumulation over ranks, then an evaluation."""
    warnings.simplefilter("error", lossreg.ConfigWarning)
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo",
        init_method=Path(meeting).as_uri(),
        rank=rank,
        world_size=world,
        timeout=dt.timedelta(seconds=120),
    )
    made, gradients = trained(
        Path(folder), Samples(24), gradient_accumulation_steps=3, evaluated=Samples(11, seed=1)
    )
    found = {
        "gradients": gradients.taken,
        "logged": logged(made),
        "metrics": made.evaluate(),
        "unevenly": unevenly(rank, world),
        "function": with_function(Path(folder)),
    }
    torch.save(found, Path(folder, f"rank-{rank}.pt"))
    distributed.barrier()
    # Without destructors: that of DDP's reducer may wait for a thread of gloo that waits for it.
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
