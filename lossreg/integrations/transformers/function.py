"""An objective as the `compute_loss_func` of a Trainer that stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lossreg.errors import LossregError
from lossreg.integrations.transformers.shares import REMEDY, shares_of
from lossreg.integrations.transformers.values import merged, names_read
from lossreg.runtime.composite import CompositeLoss

__all__ = ["loss_function"]


def loss_function(objective: CompositeLoss) -> Callable[..., Tensor]:
    """An objective as Trainer's `compute_loss_func`, beside `ObjectiveCallback(objective)`.

    Trainer calls it with the model's output, the labels, and one count: the labels of the whole
    optimizer step that are not -100. So it takes objectives whose terms read the output and
    `labels` only, and are sums or divide by this count. Whether a term does is compared before each
    optimizer step, exactly; `ObjectiveTrainer` has no such limits.

    Args:
        objective: The objective.

    Raises:
        LossregError: The objective has parameters, or a term reads or divides by more than this.
            On a call: no callback is attached, or Trainer gave no count.
        TypeError: It is not an objective.
    """
    if not isinstance(objective, CompositeLoss):
        raise TypeError(
            "loss_function takes what lossreg.build returns, found a "
            f"{type(objective).__name__}; for a compiled objective call objective.compile()"
        )
    _refuse_what_is_not_counted(objective)
    names, shares = names_read(objective.config), shares_of(objective)

    def compute_loss(outputs: Any, labels: Any, num_items_in_batch: Any = None, **_: Any) -> Tensor:
        if labels is None:
            raise LossregError(
                "Trainer gave no labels: the batch has no 'labels', or Trainer removed them, "
                "because the model's forward does not take them; then set label_names=['labels'] "
                "in the TrainingArguments"
            )
        count, values = num_items_in_batch, merged({"labels": labels}, outputs, names)
        is_training = torch.is_grad_enabled()  # Trainer evaluates without gradients
        if is_training and not shares.is_attached:
            raise LossregError(
                "nothing moves the objective's schedules and saves their progress: also write "
                "Trainer(..., callbacks=[ObjectiveCallback(objective)]), with the same objective"
            )
        if is_training and count is None:
            raise LossregError(f"Trainer could not count the labels of this step: {REMEDY}")
        objective.train(is_training)
        known = {"labels": labels}
        if is_training:
            out = objective(values, denominators=shares.counted(objective, known, count))
            shares.add(out)
        else:
            averaged = shares.averages(is_counted=count is not None)
            denominators = objective.denominators([known], world_size=averaged)
            out = objective(values, denominators=denominators)
        total: Tensor = out.total
        return total

    return compute_loss


def _refuse_what_is_not_counted(objective: CompositeLoss) -> None:
    if any(parameter.requires_grad for parameter in objective.parameters()):
        raise LossregError(
            f"the objective has parameters that are learned: {REMEDY} and trains these as well"
        )
    for term in objective.config.terms:
        if not term.enabled:
            continue
        options = {
            "mask": term.mask,
            "sample_weight": term.sample_weight,
            "divide_by": None if term.divide_by is None else term.divide_by.route,
            "each": term.each,
        }
        for option, value in options.items():
            if value is not None:
                raise LossregError(
                    f"Trainer counts the labels that are not -100, and the term '{term.name}' "
                    f"has '{option}': {REMEDY}"
                )
