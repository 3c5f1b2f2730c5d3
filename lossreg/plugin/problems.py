"""What a plugin may say of a batch, and looks that several losses share.

These take tensors and import no torch: the first batch brings it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch

__all__ = ["Problem", "aligned_weight", "normalised_logits", "several_classes", "unnormalised"]

# How far from 1 the probabilities of a softmax may add up.
_ROUNDING, _HALF_ROUNDING = 1e-4, 1e-2
# By how much the probabilities of rounded logarithms may exceed 1 together.
_EXCESS = 0.05
_SINGLE = 4  # bytes


class Problem(NamedTuple):
    """What is wrong with a batch, found by a definition's `check_shapes` or `check_values`.

    Attributes:
        argument: The input that is at fault.
        message: What was expected, what was found, and what to do.
        certain: True: the batch is refused. False: it can be right in principle, so that a
            `ConfigWarning` says it once a term.
    """

    argument: str
    message: str
    certain: bool = True


def several_classes(
    argument: str, tensor: torch.Tensor, instead: str, *, dim: int = 1
) -> Problem | None:
    """Refuse one class: whatever the model gives for it, there is nothing to choose.

    Args:
        argument: The input.
        tensor: What it holds: C numbers, or a batch with the classes at `dim`.
        instead: What may have been meant, as a question.
        dim: Where the classes are.
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
    """Suspect probabilities where logits are meant: the loss takes a second softmax of them.

    Logits that happen to lie between 0 and 1 are no reason; these also add up to 1 in each row,
    as no network gives them by chance.

    Args:
        argument: The input.
        logits: C numbers, or a batch with the classes at dimension 1.
        instead: What to give, or to use.
    """
    place = 1 if logits.dim() > 1 else 0
    if logits.dim() == 0 or logits.numel() == 0 or logits.shape[place] == 1:
        return None
    if not bool(((logits >= 0) & (logits <= 1)).all()):
        return None
    is_half = logits.dtype.itemsize < _SINGLE
    sums = (logits.float() if is_half else logits).sum(place)
    # What stands in for masked rows is all zeros.
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
    """Suspect logits where log-probabilities are meant: probabilities that exceed 1 together.

    Args:
        argument: The input.
        log_probs: C numbers, or a batch with the classes at `dim`.
        instead: What to give, or to use.
        dim: Where the classes are.
    """
    place = dim if log_probs.dim() > 1 else -1
    sums = log_probs.float().exp().sum(place)
    # What stands in for masked rows is all zeros.
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
    """Refuse a factor that torch would align with another dimension than the one meant.

    torch aligns on the right: a list of C numbers means columns where the loss is `N C H W`. A
    tensor with a dimension for each of the loss's says itself where it belongs.

    Args:
        name: The parameter.
        weight: Its factors, or None.
        argument: An input of the shape of the unreduced loss.
        tensor: What it holds.
    """
    if weight is None or weight.numel() == 1:
        return None
    shape, factors = tuple(tensor.shape), tuple(weight.shape)
    last = shape[max(0, len(shape) - len(factors)) :]
    fits = len(factors) <= len(shape) and all(
        one in (1, size) for one, size in zip(factors, last, strict=True)
    )
    # Classes are nearly always either first after the batch or last.
    is_elsewhere = weight.dim() == 1 and factors[0] in shape[1:-1]
    if fits and not is_elsewhere:
        return None
    if weight.dim() > 1:
        message = f"expected a shape that '{name}' {factors} fits on the right, found {shape}"
        return Problem(argument, message)
    message = (
        f"expected a last dimension of {factors[0]}, for '{name}' has so many numbers and torch "
        f"aligns them with the last dimension, found {shape}"
    )
    if is_elsewhere:
        order = [0, *range(2, len(shape)), 1]
        message += (
            ". Let one dimension have the classes and another one all the rest: apply to the "
            f"inputs and the mask [{{permute: {order}}}, {{flatten: {{end: -2}}}}] where the "
            "classes are at dimension 1, [{flatten: {end: -2}}] where they are last"
        )
    return Problem(argument, message)
