"""A network trained by Lightning on ragged data, and the gradients that one big batch gives.

As a script it trains and validates for two epochs on two processes, and saves what they computed.
"""

from __future__ import annotations

import sys
import warnings
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import lossreg
from lossreg.integrations.lightning import ObjectiveModule

if TYPE_CHECKING:
    from collections.abc import Sequence

CLASSES, WIDTH, LENGTH = 3, 4, 5
TERMS = {
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
        "divide_by": {"number": "objects"},
        "weight": 0.5,
    },
}


class Samples(Dataset[dict[str, Tensor]]):
    """Tracks of which a random part is valid, and labels of which some are to be ignored."""

    def __init__(self, count: int) -> None:
        generator = torch.Generator().manual_seed(0)

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
        return {name: each[index] for name, each in self.tensors.items()}


class Ragged(ObjectiveModule):
    """A linear network with two heads, which keeps the gradients of each optimizer step."""

    def __init__(self, terms: dict[str, Any] | None = None) -> None:
        super().__init__(lossreg.build({"terms": TERMS if terms is None else terms}))
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.heads = nn.Linear(WIDTH, CLASSES + LENGTH)
        self.double()
        self.gradients: list[Tensor] = []
        self.logged: list[dict[str, Tensor]] = []

    def values(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        logits, track = self.heads(batch["x"]).split([CLASSES, LENGTH], dim=1)
        return {**self.targets(batch), "logits": logits, "track": track}

    def targets(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {**batch, "objects": batch["objects"].sum()}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def on_before_optimizer_step(self, _optimizer: torch.optim.Optimizer) -> None:
        self.gradients.append(torch.cat([each.grad.flatten() for each in self.heads.parameters()]))

    def log_objective(self, out: Any) -> None:
        super().log_objective(out)
        self.logged.append(out.log_dict())


def big_batches(samples: Samples, sizes: Sequence[int], order: Sequence[int] = ()) -> Ragged:
    """The same training without Lightning, each step with one batch of the given size."""
    module = Ragged()
    optimizer = module.configure_optimizers()
    left = iter(order or range(len(samples)))
    for size in sizes:
        rows = list(islice(left, size))
        batch = {name: each[rows] for name, each in samples.tensors.items()}
        optimizer.zero_grad()
        out = module.objective(module.values(batch))
        out.total.backward()
        module.on_before_optimizer_step(optimizer)
        module.logged.append(out.log_dict())
        optimizer.step()
        module.objective.step()
    return module


def trained(module: Any, loader: Any, **options: Any) -> Trainer:
    """The trainer, after it has trained a module."""
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    defaults = {"accelerator": "cpu", "max_epochs": 1, "enable_checkpointing": False, **quiet}
    fit = {name: options.pop(name) for name in ("val_dataloaders", "ckpt_path") if name in options}
    trainer = Trainer(**{**defaults, **options})
    trainer.fit(module, loader, **fit)
    return trainer


def main(file: str) -> None:
    """One batch a step in the first epoch, three in the second."""
    warnings.simplefilter("ignore")
    module = Ragged()
    trainer = trained(
        module,
        DataLoader(Samples(24), batch_size=2),
        strategy="ddp",
        devices=2,
        max_epochs=2,
        callbacks=[GradientAccumulationScheduler({0: 1, 1: 3})],
        val_dataloaders=DataLoader(Samples(10), batch_size=2),
    )
    logged = torch.stack([torch.stack(list(each.values())) for each in module.logged])
    mean = trainer.strategy.reduce(logged, reduce_op="mean")
    if trainer.is_global_zero:
        metrics = trainer.callback_metrics
        found = {name: metrics[name] for name in metrics if name.startswith("val/")}
        with torch.no_grad():
            out = module.objective(module.values(Samples(10)[:]))
        expected = out.log_dict("val/")
        results = {"gradients": module.gradients, "logged": mean}
        torch.save({**results, "validated": (found, expected)}, file)


if __name__ == "__main__":
    main(sys.argv[1])
