"""The optimizer steps of a loop that Accelerate runs.

`accelerator.backward` divides each total by `gradient_accumulation_steps`, whatever the objective
has divided by already; `optimizer_steps` undoes this, so gradients equal those of one big batch.
Needs the extra `accelerate`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from itertools import islice
from typing import Any

from torch import distributed

from lossreg.errors import LossregError, MissingExtraError
from lossreg.integrations.accumulation import OptimizerStep, known_values
from lossreg.runtime.output import LossOutput

if importlib.util.find_spec("accelerate") is None:
    raise MissingExtraError(__name__, extra="accelerate", missing="accelerate")


from accelerate import Accelerator, DistributedType
from accelerate.state import GradientState

__all__ = ["optimizer_steps"]


def optimizer_steps(
    accelerator: Accelerator,
    loader: Iterable[Any],
    *,
    names: Sequence[str] | None = None,
    known: Callable[[Any], Any] | None = None,
    group: distributed.ProcessGroup | None = None,
) -> Iterator[OptimizerStep]:
    """The optimizer steps of one pass over a loader, each with its micro-batches.

    A step has `accelerator.gradient_accumulation_steps` micro-batches, and the last one of the pass
    those that are left. Within `accelerator.accumulate`, the optimizer steps and the ranks exchange
    gradients in each step's last micro-batch. The batches of a step are held in memory.

    Call `loss.step()` once after each step, unless `accelerator.optimizer_step_was_skipped`. Do not
    prepare the loss: move it, as in `loss.to(accelerator.device)`. A loss with learned weights is
    prepared, and given to `accumulate`, like a model.

    Args:
        accelerator: The Accelerator.
        loader: The batches, from `accelerator.prepare`.
        names: The names of a batch's parts, if it is a tuple or a list: `("image", "labels")`.
        known: What of a batch the objective's targets, masks, weights and lengths are read from,
            under the names that the objective has; by default the batch itself.
        group: The ranks that share a step; by default all.

    Raises:
        LossregError: The Accelerator runs something whose division cannot be undone.
        ValueError: Both `names` and `known` are given.
    """
    if names is not None and known is not None:
        raise ValueError("give the names of a batch's parts or `known`, not both")
    _refuse_what_cannot_be_right(accelerator, group)
    make = partial(
        _Step,
        accelerator,
        known=partial(known_values, names=names) if known is None else known,
        group=group,
        trainer_divides_by=accelerator.gradient_accumulation_steps,
    )
    return _steps(iter(loader), accelerator.gradient_accumulation_steps, make)


def _steps(
    batches: Iterator[Any], size: int, make: Callable[[list[Any]], OptimizerStep]
) -> Iterator[OptimizerStep]:
    while read := list(islice(batches, size)):
        yield make(read)


class _Step(OptimizerStep):
    """A step whose micro-batches Accelerate counts as it would if they were read one by one."""

    def __init__(self, accelerator: Accelerator, batches: list[Any], **options: Any) -> None:
        super().__init__(batches, **options)
        self._accelerator = accelerator

    def __iter__(self) -> Iterator[Any]:
        accelerator = self._accelerator
        for index, batch in enumerate(self.batches):
            self.index = index
            # Accelerate adds 1 and steps at a multiple, which a shorter step would not reach.
            accelerator.step = (
                accelerator.gradient_accumulation_steps - 1 if self.is_last else index
            )
            # It also steps if the loader's last batch was read, as that of the step may have been.
            with nullcontext() if self.is_last else _not_at_the_end(accelerator.gradient_state):
                yield batch

    def compute(self, objective: Any, values: Any = None, /, **tensors: Any) -> LossOutput:
        # DDP exchanges the gradients of learned weights only if it is what is called.
        inner = self._accelerator.unwrap_model(objective)
        out: LossOutput = objective(values, denominators=self.denominators(inner), **tensors)
        self.add(inner, out)
        return out


@contextmanager
def _not_at_the_end(state: GradientState) -> Iterator[None]:
    loader = state.active_dataloader
    if loader is None or not loader.end_of_dataloader:
        yield
        return
    loader.end_of_dataloader = False
    try:
        yield
    finally:
        loader.end_of_dataloader = True


def _refuse_what_cannot_be_right(
    accelerator: Accelerator, group: distributed.ProcessGroup | None
) -> None:
    kind = accelerator.distributed_type
    is_split = accelerator.gradient_accumulation_steps > 1
    if kind == DistributedType.MEGATRON_LM:
        raise LossregError(
            "Megatron-LM computes and divides the loss by itself; use another engine"
        )
    if kind == DistributedType.DEEPSPEED and is_split:
        raise LossregError(
            "DeepSpeed accumulates gradients by itself, with its own division; use "
            "gradient_accumulation_steps=1"
        )
    if is_split and not accelerator.gradient_state.sync_with_dataloader:
        raise LossregError(
            "an optimizer step ends with the loader, but sync_with_dataloader=False continues it "
            "in the next pass; leave it out of GradientAccumulationPlugin"
        )
    has_group = distributed.is_available() and distributed.is_initialized()
    if accelerator.num_processes > 1 and not has_group:
        raise LossregError(
            f"{kind.value} does not use torch.distributed, which is needed to add up denominators "
            "over the ranks"
        )
    layout = getattr(accelerator, "parallelism_config", None)
    if group is None and layout is not None and layout.non_data_parallel_size > 1:
        raise LossregError(
            "parallelism_config has ranks that share their batches; give `group=`, the ranks that "
            "have batches of their own"
        )
