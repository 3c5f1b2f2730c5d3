"""An objective's parameters, which stand outside of the model that Trainer prepares."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import torch

from lossreg.errors import LossregError
from lossreg.runtime.composite import CompositeLoss
from lossreg.runtime.denominators import added_up

__all__ = ["add_to_optimizer", "average_gradients"]

_LEARNED = "weighting.learned."


def add_to_optimizer(
    optimizer: Any,
    objective: CompositeLoss,
    decayed: Container[str],
    weight_decay: float,
    *,
    is_given: bool,
) -> None:
    """Add an objective's parameters to an optimizer that does not have them.

    Args:
        optimizer: The optimizer.
        objective: The objective.
        decayed: The names of the parameters that weight decay is for; learned weights have none.
        weight_decay: That weight decay.
        is_given: Whether the optimizer was made elsewhere, perhaps with a schedule for its groups.

    Raises:
        LossregError: It was made elsewhere, without them.
    """
    present = {id(each) for group in optimizer.param_groups for each in group["params"]}
    named = {
        name: parameter
        for name, parameter in objective.named_parameters()
        if parameter.requires_grad and id(parameter) not in present
    }
    if named and is_given:
        raise LossregError(
            f"the optimizer does not have the objective's parameters {', '.join(named)}: give it "
            'the group {"params": objective.parameters(), "weight_decay": 0.0} as well'
        )
    groups: dict[float, list[Any]] = {}
    for name, parameter in named.items():
        decays = name in decayed and not name.startswith(_LEARNED)
        groups.setdefault(weight_decay if decays else 0.0, []).append(parameter)
    for decay, parameters in groups.items():
        optimizer.add_param_group({"params": parameters, "weight_decay": decay})


def average_gradients(objective: CompositeLoss) -> None:
    """Average the gradients of an objective's parameters over all ranks, as DDP does the model's.

    A parameter without a gradient on every rank keeps none, so the optimizer leaves it out.
    """
    parameters = [each for each in objective.parameters() if each.requires_grad]
    if not parameters:
        return
    gradients = [torch.zeros_like(each) if each.grad is None else each.grad for each in parameters]
    present = torch.tensor([float(each.grad is not None) for each in parameters])
    flat = torch.cat([each.detach().flatten() for each in gradients])
    total, ranks = added_up(torch.cat([flat, present.to(flat)]), None, None)
    if ranks == 1:
        return
    means, counts = total[: len(flat)] / ranks, total[len(flat) :]
    for parameter, count in zip(parameters, counts, strict=True):
        mean, means = means[: parameter.numel()], means[parameter.numel() :]
        if count:
            parameter.grad = mean.view_as(parameter).to(parameter)
