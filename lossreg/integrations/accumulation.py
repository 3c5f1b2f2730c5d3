"""The micro-batches of an optimizer step: what trainers' adapters and hand-written loops share.

`optimizer_steps` is the loop. `OptimizerStep` holds the batches of one step, counts what each
objective divides by before its first forward pass, and adds up the outputs for the log. Nothing
here moves a schedule or calls an optimizer: who does so calls `loss.step()` once after it.

Who divides by what: lossreg makes each micro-batch's total its share of the step's, so totals are
added up by `backward` as they are. A trainer that divides each total by a number itself is given as
`trainer_divides_by`, and the total is multiplied by this number beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any, Literal, overload

import torch
from torch import Tensor, distributed

from lossreg.errors import InputError
from lossreg.runtime.composite import CompositeLoss
from lossreg.runtime.denominators import Denominators, added_up
from lossreg.runtime.output import LossOutput, Named
from lossreg.runtime.ranks import world_size_of

__all__ = [
    "OptimizerStep",
    "known_values",
    "mean_over_ranks",
    "optimizer_steps",
    "sum_of",
]


def optimizer_steps(
    loader: Iterable[Any],
    micro_batches: int,
    *,
    names: Sequence[str] | None = None,
    known: Callable[[Any], Any] | None = None,
    group: distributed.ProcessGroup | None = None,
    world_size: int | None = None,
    trainer_divides_by: int = 1,
) -> Iterator[OptimizerStep]:
    """The optimizer steps of one pass over a loader, each with its micro-batches.

    The last step has fewer micro-batches if their number does not divide the loader's. The batches
    of a step are read before its first forward pass, and held in memory until the next step's are
    read. On several ranks each rank must have equally many steps; the last may differ in length.

    Args:
        loader: The batches, such as a DataLoader.
        micro_batches: How many batches an optimizer step has.
        names: The names of a batch's parts, if it is a tuple or a list: `("image", "labels")`.
        known: What of a batch the objective's targets, masks, weights and lengths are read from,
            under the names that the objective has; by default the batch itself.
        group: The ranks that share a step; the default group, if torch.distributed runs.
        world_size: What totals are multiplied by, because gradients are averaged over the ranks; by
            default the group's size. 1 where gradients are summed.
        trainer_divides_by: What a trainer divides each micro-batch's total by, if it does so.

    Raises:
        ValueError: A number is below 1, or both `names` and `known` are given.

    >>> import torch
    >>> import lossreg
    >>> loss = lossreg.build({"terms": {"fit": {"type": "mse", "inputs": ["y", "wanted"]}}})
    >>> model = torch.nn.Linear(2, 1)
    >>> batches = [{"x": torch.ones(n, 2), "wanted": torch.ones(n, 1)} for n in (3, 1, 2)]
    >>> for step in optimizer_steps(batches, micro_batches=2):
    ...     for batch in step:
    ...         out = step.compute(loss, {**batch, "y": model(batch["x"])})
    ...         out.total.backward()
    ...     # optimizer.step(), optimizer.zero_grad()
    ...     loss.step()
    ...     print(len(step), list(step.log_dict("train/")))
    2 ['train/loss/total', 'train/loss/fit', 'train/weighted/fit', 'train/weight/fit']
    1 ['train/loss/total', 'train/loss/fit', 'train/weighted/fit', 'train/weight/fit']
    """
    if micro_batches < 1:
        raise ValueError(f"expected at least 1 micro-batch in a step, found {micro_batches}")
    if names is not None and known is not None:
        raise ValueError("give the names of a batch's parts or `known`, not both")
    make = partial(
        OptimizerStep,
        known=partial(known_values, names=names) if known is None else known,
        group=group,
        world_size=world_size,
        trainer_divides_by=trainer_divides_by,
    )
    return _steps(loader, micro_batches, make)


def _steps(
    loader: Iterable[Any], micro_batches: int, make: Callable[[list[Any]], OptimizerStep]
) -> Iterator[OptimizerStep]:
    batches = iter(loader)
    while read := list(islice(batches, micro_batches)):
        yield make(read)


def known_values(batch: Any, names: Sequence[str] | None = None) -> Any:
    """A batch in the form in which an objective reads it, unchanged where it has names.

    Mappings, dataclasses, named tuples and the outputs and batches of Hugging Face have names.

    Args:
        batch: A batch as a loader returns it.
        names: The names of its parts, if it is a tuple, a list or one tensor.

    Returns:
        The batch itself, or a mapping of its parts by these names.

    Raises:
        InputError: The batch has no names and none are given, or they do not fit it.
    """
    is_tensor = isinstance(batch, Tensor)
    is_sequence = isinstance(batch, (list, tuple))
    kind = type(batch).__name__
    if names is None:
        if not is_tensor and (not is_sequence or hasattr(batch, "_fields")):
            return batch
        raise InputError(
            f"a batch is a {kind}, which has no names: name its parts in their order, as in "
            "names=('image', 'labels')"
        )
    if isinstance(names, str):
        raise InputError(f"expected a sequence of names, found {names!r}: write ({names!r},)")
    if not is_tensor and not is_sequence:
        raise InputError(f"a batch is a {kind}, which has names of its own: leave out `names`")
    parts = (batch,) if is_tensor else tuple(batch)
    if len(parts) != len(names):
        raise InputError(
            f"a batch is a {kind} of {len(parts)}, but there are {len(names)} names: "
            f"{', '.join(names)}"
        )
    return dict(zip(names, parts, strict=True))


class OptimizerStep:
    """The micro-batches of one optimizer step, and what their objectives gave.

    Iterating it gives each batch as the loader returned it; it may be iterated again, for another
    objective or by an optimizer's closure. An objective that is computed again for the same
    micro-batch counts once in the log: its last output.

    Args:
        batches: The micro-batches of this rank.
        known: What of a batch is known before the forward pass; by default `known_values`.
        group: The ranks that share the step; the default group, if torch.distributed runs.
        world_size: What totals are multiplied by, because gradients are averaged over the ranks; by
            default the group's size. 1 where gradients are summed.
        trainer_divides_by: What a trainer divides each micro-batch's total by, if it does so.

    Attributes:
        batches: The micro-batches.
        index: Which of them is computed now; adapters whose trainer has a loop of its own set it.
    """

    def __init__(
        self,
        batches: Iterable[Any],
        *,
        known: Callable[[Any], Any] = known_values,
        group: distributed.ProcessGroup | None = None,
        world_size: int | None = None,
        trainer_divides_by: int = 1,
    ) -> None:
        if trainer_divides_by < 1:
            raise ValueError(f"trainer_divides_by is at least 1, found {trainer_divides_by}")
        self.batches = tuple(batches)
        self.index = 0
        self._known = known
        self._group = group
        self._world_size = world_size
        self._divides_by = trainer_divides_by
        self._denominators: dict[CompositeLoss, Denominators | None] = {}
        self._outputs: dict[CompositeLoss, dict[int, LossOutput]] = {}

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        for index, batch in enumerate(self.batches):
            self.index = index
            yield batch

    @property
    def is_last(self) -> bool:
        """Whether this is the last micro-batch, in whose backward pass ranks exchange gradients."""
        return self.index == len(self.batches) - 1

    def denominators(self, objective: CompositeLoss) -> Denominators | None:
        """What the terms of an objective divide by in this step, counted once, on the first call.

        On several ranks each rank must call it in each step, even without a micro-batch.

        Args:
            objective: The objective, before its `step()`.

        Returns:
            None if the step is one batch on one rank, which divides by its own.

        Raises:
            InputError: A tensor is missing or does not fit, or a term cannot be counted.
        """
        if objective not in self._denominators:
            self._denominators[objective] = self._counted(objective)
        return self._denominators[objective]

    def _counted(self, objective: CompositeLoss) -> Denominators | None:
        is_whole = len(self.batches) == 1 and world_size_of(self._group) == 1
        if is_whole and self._world_size is None and self._divides_by == 1:
            return None
        # A trainer may skip a batch that is None.
        known = [self._known(batch) for batch in self.batches if batch is not None]
        counted = self.count(objective, known)
        return replace(counted, world_size=counted.world_size * self._divides_by)

    def count(self, objective: CompositeLoss, micro_batches: Sequence[Any]) -> Denominators:
        """Add up what an objective's terms divide by, without the trainer's own division.

        Args:
            objective: The objective.
            micro_batches: What is known of each micro-batch of this rank.
        """
        return objective.denominators(micro_batches, self._group, world_size=self._world_size)

    def compute(
        self, objective: CompositeLoss, values: Any = None, /, **tensors: Any
    ) -> LossOutput:
        """An objective's share of the step for the current micro-batch, also added to the log.

        Args:
            objective: The objective.
            values: The micro-batch's values, as the objective takes them.
            tensors: The values as keywords.

        Returns:
            The output, whose total is what `backward` (the trainer's, if it divides) takes.

        Raises:
            InputError: A tensor is missing or does not fit, or a term cannot be counted.
        """
        denominators = self.denominators(objective)
        out: LossOutput = objective(values, denominators=denominators, **tensors)
        self.add(objective, out)
        return out

    def add(self, objective: CompositeLoss, out: LossOutput) -> None:
        """Add the current micro-batch's output to the log, if it was not made by `compute`.

        Args:
            objective: The objective.
            out: Its output with this step's denominators.
        """
        denominators = self.denominators(objective)
        multiplied = 1 if denominators is None else denominators.world_size
        total, terms = out.total.detach(), out.terms
        if multiplied != self._divides_by:
            ranks = multiplied // self._divides_by
            terms = {name: term * ranks for name, term in terms.items()}
        if self._divides_by != 1:
            total = total / self._divides_by
        share = LossOutput(total, terms, out.weights)
        self._outputs.setdefault(objective, {})[self.index] = share

    def summed(self, objective: CompositeLoss | None = None) -> LossOutput:
        """The sum of an objective's micro-batches so far, detached.

        With several ranks, each has its own part times the number of ranks: the mean over the
        ranks, as `mean_over_ranks` computes it, is the step's value.

        Args:
            objective: The objective; it may be left out if the step has only one.

        Raises:
            ValueError: The objective was not computed, or there are several to choose from.
        """
        if objective is None and len(self._outputs) != 1:
            raise ValueError(
                f"this step computed {len(self._outputs)} objectives: say which is meant"
                if self._outputs
                else "this step computed no objective yet: call step.compute(loss, values)"
            )
        if objective is not None and objective not in self._outputs:
            raise ValueError("this step did not compute that objective")
        shares = (
            next(iter(self._outputs.values())) if objective is None else self._outputs[objective]
        )
        return sum_of(shares[index] for index in sorted(shares))

    @overload
    def log_dict(
        self,
        prefix: str = "",
        *,
        objective: CompositeLoss | None = None,
        numbers: Literal[False] = False,
    ) -> dict[str, Tensor]: ...

    @overload
    def log_dict(
        self, prefix: str = "", *, objective: CompositeLoss | None = None, numbers: Literal[True]
    ) -> dict[str, float]: ...

    def log_dict(
        self, prefix: str = "", *, objective: CompositeLoss | None = None, numbers: bool = False
    ) -> dict[str, Tensor] | dict[str, float]:
        """The sum of an objective's micro-batches under flat keys, as `LossOutput.log_dict`.

        Args:
            prefix: Put before each key, like `train/`.
            objective: The objective; it may be left out if the step has only one.
            numbers: Whether the values are numbers of Python, which waits once for the device.

        Raises:
            ValueError: The objective was not computed, or there are several to choose from.
        """
        summed = self.summed(objective)
        return summed.log_dict(prefix, numbers=True) if numbers else summed.log_dict(prefix)


def sum_of(outputs: Iterable[LossOutput]) -> LossOutput:
    """The sum of the outputs of one step's micro-batches, detached.

    Args:
        outputs: At least one.
    """
    first, *others = outputs
    total, terms, weights = first.total.detach(), dict(first.terms), dict(first.weights)
    for out in others:
        total = total + out.total.detach()
        terms = {name: terms[name] + term for name, term in out.terms.items()}
        # An optional term has the weight 0 in a micro-batch without its tensors.
        weights = {
            name: torch.where(weight == 0, weights[name], weight)
            for name, weight in out.weights.items()
        }
    return LossOutput(total, Named(terms), Named(weights))


def mean_over_ranks(out: LossOutput, group: distributed.ProcessGroup | None = None) -> LossOutput:
    """A step's value, from what `OptimizerStep.summed` gives on each rank, in one reduction.

    Args:
        out: The rank's sum.
        group: The ranks that share the step; the default group, if torch.distributed runs.
    """
    ranks = world_size_of(group)
    if ranks == 1:
        return out
    names, of_parts = tuple(out.weights), tuple(out.parts)
    like = out.total
    weights = torch.stack([out.weights[name].to(like) for name in names])
    terms = torch.stack([out.terms[name].to(like) for name in names])
    parts = [part.to(like)[None] for part in out.parts.values()]
    # An optional term has the weight 0 on a rank without its tensors.
    has_weight = (weights != 0).to(weights)
    numbers = torch.cat([like.detach()[None], terms, weights, has_weight, *parts])
    numbers, _ = added_up(numbers, group, None)
    count = len(names)
    total, terms = numbers[0] / ranks, numbers[1 : 1 + count] / ranks
    ends = 1 + 2 * count, 1 + 3 * count
    weights = numbers[1 + count : ends[0]] / numbers[ends[0] : ends[1]].clamp(min=1)
    means = numbers[ends[1] :] / ranks
    return LossOutput(
        total,
        Named(dict(zip((*names, *of_parts), (*terms.unbind(), *means.unbind()), strict=True))),
        Named(dict(zip(names, weights.unbind(), strict=True))),
    )
