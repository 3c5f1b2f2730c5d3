"""An objective's terms for TorchJD's aggregators, which combine a gradient of each.

Needs the extra `torchjd`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, distributed

from lossreg.errors import InputError, MissingExtraError
from lossreg.runtime.composite import CompositeLoss
from lossreg.runtime.denominators import Denominators, added_up
from lossreg.runtime.output import LossOutput
from lossreg.runtime.ranks import world_size_of

if importlib.util.find_spec("torchjd") is None:
    raise MissingExtraError(__name__, extra="torchjd", missing="torchjd")


from torchjd import autojac
from torchjd.aggregation import Aggregator

__all__ = ["Jacobian"]


class Jacobian:
    """The gradient of each weighted term, over the micro-batches and ranks of an optimizer step.

    `backward` adds a micro-batch's gradients to `.jac` of the parameters, as TorchJD does, and
    `to_grad` gives them to an aggregator. A row is a term times its current weight, together with
    what a learned weight adds to the total, so all rows add up to the total's gradient.

    A row that says nothing is not given to the aggregator, which would take it for a term that is
    at its optimum: that of a term whose weight is 0 in this step, that is not active, or whose
    tensors no micro-batch has. A term of constant weight 0 has no row at all.

    An aggregator with a number for each term, such as a preference vector, needs all rows in each
    step; TorchJD refuses it otherwise.

    On several ranks do not wrap the model in DistributedDataParallel: `to_grad` adds up the rows.

    Args:
        objective: The objective.
        parameters: What to compute gradients of.
        aggregator: One of `torchjd.aggregation`.
        parallel_chunk_size: How many rows are computed at once, as in `torchjd.autojac.backward`;
            1 where a loss or a compiled model does not allow several.
        group: The ranks that share a step; the default group, if torch.distributed runs.

    Attributes:
        names: The terms that have a row, in order.

    Raises:
        ValueError: There is no parameter, or every term has the constant weight 0.

    >>> import torch
    >>> from torchjd.aggregation import MGDA
    >>> import lossreg
    >>> terms = {
    ...     "left": {"type": "mse", "inputs": ["x", "minus"]},
    ...     "right": {"type": "mse", "inputs": ["x", "plus"], "weight": 0.5},
    ... }
    >>> loss = lossreg.build({"terms": terms})
    >>> x = torch.tensor([0.5, 1.0], requires_grad=True)
    >>> jacobian = Jacobian(loss, [x], MGDA())
    >>> plus = torch.tensor([1.0, 0.0])
    >>> out = jacobian.backward({"x": x, "plus": plus, "minus": -plus})
    >>> x.jac
    tensor([[ 1.5000,  1.0000],
            [-0.2500,  0.5000]])
    >>> jacobian.to_grad()
    """

    def __init__(
        self,
        objective: CompositeLoss,
        parameters: Iterable[Tensor],
        aggregator: Aggregator,
        *,
        parallel_chunk_size: int | None = None,
        group: distributed.ProcessGroup | None = None,
    ) -> None:
        self.names = objective.weighting.in_graph
        self._parameters = [each for each in parameters if each.requires_grad]
        if not self._parameters:
            raise ValueError("expected at least one parameter that requires a gradient")
        if not self.names:
            raise ValueError("every term has the weight 0, so there is no gradient to combine")
        self._objective = objective
        self._aggregator = aggregator
        self._chunk_size = parallel_chunk_size
        self._group = group
        self._counts: Tensor | None = None
        self._multiplied: int | None = None

    def rows(self, values: Any, denominators: Denominators | None = None) -> dict[str, Tensor]:
        """What `backward` computes gradients of: a 0-d tensor for each of `names`.

        Give them to `torchjd.autojac.mtl_backward` where terms share only a part of the model.

        Args:
            values: The step's values, as the objective takes them.
            denominators: From `loss.denominators`, if this is one of several micro-batches.

        Raises:
            InputError: A tensor is missing or does not fit.
        """
        weighted = self._objective.terms(values, weighted=True, denominators=denominators)
        rows = {name: weighted[name] for name in self.names}
        for name in self.names:
            added = weighted.get(f"regularizer/{name}")
            if added is not None:
                rows[name] = rows[name] + added
        return rows

    def backward(self, values: Any, denominators: Denominators | None = None) -> LossOutput:
        """Add a micro-batch's gradients to `.jac` of the parameters.

        Args:
            values: The step's values, as the objective takes them.
            denominators: From `loss.denominators`, if this is one of several micro-batches or
                ranks.

        Returns:
            The objective's output, without a graph, for the log.

        Raises:
            InputError: A tensor is missing or does not fit; or this is one of several micro-batches
                or ranks, without denominators.
            NonFiniteError: A term is nan or infinite.
        """
        multiplied = 1 if denominators is None else denominators.world_size
        if denominators is None and (self._counts is not None or world_size_of(self._group) > 1):
            raise InputError(
                "several micro-batches or ranks share this step: give denominators=..., from "
                "loss.denominators(micro_batches) or step.denominators(loss)"
            )
        rows = self.rows(values, denominators)
        with torch.no_grad():
            out: LossOutput = self._objective(values, denominators=denominators)
        autojac.backward(
            list(rows.values()), inputs=self._parameters, parallel_chunk_size=self._chunk_size
        )
        weights = torch.stack([out.weights[name] for name in self.names])
        counts = (weights != 0).to(weights)
        self._counts = counts if self._counts is None else self._counts + counts
        self._multiplied = multiplied
        return out

    def to_grad(self) -> None:
        """Combine the rows of the step, and add the result to `.grad` of the parameters.

        It waits for the device, to know which rows there are.

        Raises:
            InputError: `backward` was not called since the last time.
        """
        if self._counts is None or self._multiplied is None:
            raise InputError("there is nothing to combine: call jacobian.backward(values) before")
        counts, _ = added_up(self._counts, self._group, None)
        kept = [row for row, count in enumerate(counts.tolist()) if count]
        for parameter in self._parameters:
            self._reduce(parameter, kept)
        self._counts = None
        if kept:
            autojac.jac_to_grad(self._parameters, self._aggregator)

    def _reduce(self, parameter: Any, kept: list[int]) -> None:
        """Add up a parameter's rows over the ranks, and keep only those that say something."""
        jacobian = parameter.jac
        if world_size_of(self._group) > 1:
            jacobian, _ = added_up(jacobian, self._group, None)
        if self._multiplied != 1:
            jacobian = jacobian / self._multiplied  # nothing averages or divides the rows
        if not kept:
            del parameter.jac
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            return
        parameter.jac = jacobian[kept] if len(kept) < len(jacobian) else jacobian
