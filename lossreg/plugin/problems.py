"""The problems that a plugin can report of a batch, and checks that several losses share.

The checks take tensors without importing torch: whoever has a tensor has imported it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch

__all__ = ["Problem", "aligned_weight", "normalised_logits", "several_classes", "unnormalised"]

# How far from 1 the sum of a softmax may be.
_ROUNDING, _HALF_ROUNDING = 1e-4, 1e-2
# By how much the sum of probabilities from rounded logarithms may exceed 1.
_EXCESS = 0.05
_SINGLE = 4  # bytes


class Problem(NamedTuple):
    """A fault in a batch, reported by a definition's `check_shapes` or `check_values`.

    Attributes:
        argument: The input that is at fault.
        message: What was expected, what was found, and what to do.
        certain: True: the batch is refused. False: the batch can be right, so a `ConfigWarning`
            is raised, once for each term.
    """

    argument: str
    message: str
    certain: bool = True


def several_classes(
    argument: str, tensor: torch.Tensor, instead: str, *, dim: int = 1
) -> Problem | None:
    """Refuse a single class: whatever the model gives for it, there is nothing to choose.

    Args:
        argument: The input's name.
        tensor: The input: C numbers, or a batch with the classes at `dim`.
        instead: What may have been meant, as a question.
        dim: The dimension of the classes.
    """
    place = dim if tensor.dim() > 1 else -1
    if tensor.dim() == 0 or tensor.shape[place] != 1:
        return None
    where = "" if tensor.dim() == 1 else f" at dimension {place % tensor.dim()}"
    return Problem(
        argument,
        f"expected at least two classes{where}, found one, {tuple(tensor.shape)}: there is nothing "
        f"to choose, whatever the model gives. {instead}",
    )


def normalised_logits(argument: str, logits: torch.Tensor, instead: str) -> Problem | None:
    """Suspect probabilities instead of logits, of which the loss would take a second softmax.

    Logits may happen to lie between 0 and 1; but if each row also adds up to 1, that is not by
    chance.

    Args:
        argument: The input's name.
        logits: The input: C numbers, or a batch with the classes at dimension 1.
        instead: What to give or to use instead.
    """
    place = 1 if logits.dim() > 1 else 0
    if logits.dim() == 0 or logits.numel() == 0 or logits.shape[place] == 1:
        return None
    if not bool(((logits >= 0) & (logits <= 1)).all()):
        return None
    is_half = logits.dtype.itemsize < _SINGLE
    sums = (logits.float() if is_half else logits).sum(place)
    # Masked rows are filled with zeros.
    is_one = (sums - 1).abs() <= (_HALF_ROUNDING if is_half else _ROUNDING)
    is_filled = sums == 0
    # One row in half precision may add up to 1 by chance.
    enough = int(is_one.sum()) > is_half
    if not enough or not bool((is_one | is_filled).all()):
        return None
    return Problem(
        argument,
        "expected logits, found what looks like probabilities: all from 0 to 1, and each row adds "
        f"up to 1. The loss takes the softmax itself, and a second one flattens it; {instead}",
        certain=False,
    )


def unnormalised(
    argument: str, log_probs: torch.Tensor, instead: str, *, dim: int = 1
) -> Problem | None:
    """Suspect logits instead of log-probabilities: the probabilities add up to more than 1.

    Args:
        argument: The input's name.
        log_probs: The input: C numbers, or a batch with the classes at `dim`.
        instead: What to give or to use instead.
        dim: The dimension of the classes.
    """
    place = dim if log_probs.dim() > 1 else -1
    sums = log_probs.float().exp().sum(place)
    # Masked rows are filled with zeros.
    wrong = (sums > 1 + _EXCESS) & (log_probs != 0).any(place)
    if not bool(wrong.any()):
        return None
    return Problem(
        argument,
        "expected log-probabilities, found classes whose probabilities add up to "
        f"{sums[wrong].flatten()[0].item():.3g}, not 1; {instead}",
        certain=False,
    )


def aligned_weight(
    name: str, weight: torch.Tensor | None, argument: str, tensor: torch.Tensor
) -> Problem | None:
    """Refuse factors that torch would align with another dimension than the one meant.

    torch aligns on the right: a list of C numbers means columns if the loss is `N C H W`. A
    tensor with as many dimensions as the loss is unambiguous.

    Args:
        name: The parameter's name.
        weight: Its factors, or None.
        argument: The name of an input that has the shape of the unreduced loss.
        tensor: The input.
    """
    if weight is None or (weight.numel() == 1 and weight.dim() <= tensor.dim()):
        return None
    shape, factors = tuple(tensor.shape), tuple(weight.shape)
    last = shape[max(0, len(shape) - len(factors)) :]
    fits = len(factors) <= len(shape) and all(
        one in (1, size) for one, size in zip(factors, last, strict=True)
    )
    # Usually the classes are either at dimension 1 or last.
    is_elsewhere = weight.dim() == 1 and factors[0] in shape[1:-1]
    if fits and not is_elsewhere:
        return None
    if weight.dim() > 1:
        message = f"expected a shape that '{name}' {factors} fits on the right, found {shape}"
        return Problem(argument, message)
    message = (
        f"expected a last dimension of {factors[0]}, because '{name}' has {factors[0]} numbers "
        f"and torch aligns them with the last dimension, found {shape}"
    )
    if is_elsewhere:
        order = [0, *range(2, len(shape)), 1]
        message += (
            ". Move the classes to the last dimension and flatten all others into one: apply to "
            f"the inputs and the mask [{{permute: {order}}}, {{flatten: {{end: -2}}}}] if the "
            "classes are at dimension 1, or [{flatten: {end: -2}}] if they are last"
        )
    return Problem(argument, message)
