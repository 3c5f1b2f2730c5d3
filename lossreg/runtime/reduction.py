"""From an unreduced loss to one number: masks, sample weights, means and denominators.

A mask or a sample weight has the unreduced loss's leading dimensions; one with others is `placed`
before. Masked entries are filled with a safe value before the loss is called and weighted 0
afterwards: boolean indexing would wait for the device and break a graph, and a `where` on the loss
has a nan gradient.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lossreg.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from lossreg.config.models import Divisor
    from lossreg.plugin import LossDefinition, LossInput

__all__ = [
    "Misfit",
    "denominator",
    "divided",
    "entry_shape",
    "filled",
    "kept_entries",
    "numerator",
    "reduced",
    "share_state",
    "spread",
]

_HALF = (torch.float16, torch.bfloat16)


class Misfit(Exception):  # noqa: N818 - caught by the term, which makes an InputError of it
    """A tensor does not fit its loss.

    Attributes:
        argument: The tensor: an input, `mask` or `sample_weight`.
        message: What was expected, and what was found.
    """

    # Properties, because torch.compile shows the arguments of an exception without a constructor.
    @property
    def argument(self) -> str:  # noqa: D102 - described above
        name: str = self.args[0]
        return name

    @property
    def message(self) -> str:  # noqa: D102 - described above
        text: str = self.args[1]
        return text

    def __str__(self) -> str:
        return self.message

    def located(self, term: str, path: str) -> InputError:
        """The error that a user sees."""
        return InputError(
            f"term '{term}', '{self.argument}' (path '{path}'): {self.message}",
            term=term,
            argument=self.argument,
            path=path,
        )


def kept_entries(mask: Tensor | None, target: Tensor | None, ignore: float | None) -> Tensor | None:
    """Which entries count: those that the mask keeps and whose target is not the ignored value.

    Args:
        mask: True, or not 0, where an entry counts.
        target: The target, if a value of it is ignored.
        ignore: The ignored value; nan ignores nan.
    """
    keep = None if mask is None else mask.to(torch.bool)
    if target is None or ignore is None:
        return keep
    if math.isnan(ignore):
        is_target = ~target.isnan()
    else:
        # An integer of more than 24 bits compared with a float is rounded first.
        is_index = not target.is_floating_point() and ignore.is_integer()
        is_target = target != (int(ignore) if is_index else ignore)
    if keep is None:
        return is_target
    return spread("mask", keep, is_target.shape) & is_target


def spread(argument: str, tensor: Tensor, shape: torch.Size) -> Tensor:
    """Add the missing trailing dimensions to a tensor that has the leading ones.

    torch aligns on the right: N against N C with N = C would silently mean columns.

    Raises:
        Misfit: Its shape is not the beginning of `shape`.
    """
    if tensor.shape != shape[: tensor.dim()]:
        raise Misfit(
            argument,
            f"expected the leading dimensions of {tuple(shape)}, found {tuple(tensor.shape)}"
            + _remedy(argument, tensor, shape),
        )
    return tensor.reshape(tensor.shape + (1,) * (len(shape) - tensor.dim()))


def _remedy(argument: str, tensor: Tensor, shape: torch.Size | None) -> str:
    """What to write for a tensor that has other than leading dimensions, if that is certain."""
    count = 0 if shape is None else len(shape)
    ones = [dim for dim in range(tensor.dim()) if tensor.shape[dim] == 1]
    if shape is not None and ones and tensor.dim() == count:
        dims = [dim for dim in range(count) if dim not in ones]
        if dims and all(tensor.shape[dim] == shape[dim] for dim in dims):
            # From the last one, so that none changes its place before it is removed.
            squeezed = ", ".join(f"{{squeeze: {dim}}}" for dim in reversed(ones))
            return (
                f"; this loss takes no size of 1 that stands for all: write {argument}: "
                f"{{from: ..., apply: [{squeezed}], dims: {dims}}}"
            )
    fitting = [
        dims
        for dims in combinations(range(count), tensor.dim())
        if shape is not None and [shape[dim] for dim in dims] == list(tensor.shape)
    ]
    if len(fitting) != 1 or not tensor.dim():
        return ""
    dims = list(fitting[0])
    return f"; if it has the dimensions {dims}, write {argument}: {{from: ..., dims: {dims}}}"


def filled(
    definition: LossDefinition, inputs: Mapping[str, Tensor], keep: Tensor
) -> dict[str, Tensor]:
    """The arguments in `inputs`, with a safe value where an entry is masked.

    An optional one of unknown shape is left as it is.

    Raises:
        Misfit: The mask does not fit an input.
    """
    safe_inputs = dict(inputs)
    for argument in definition.inputs:
        if argument.name not in inputs or (argument.optional and not argument.letters.forms):
            continue
        tensor = inputs[argument.name]
        view = _as_seen_by(argument, tensor, keep, definition).to(tensor.device)
        # A Python number takes the tensor's dtype, and is not copied to its device.
        safe = argument.safe if tensor.is_floating_point() else int(argument.safe)
        safe_inputs[argument.name] = torch.where(view, tensor, safe)
    return safe_inputs


def _as_seen_by(
    argument: LossInput, tensor: Tensor, keep: Tensor, definition: LossDefinition
) -> Tensor:
    """The mask in a shape that broadcasts to one input."""
    letters = argument.letters_of(tensor, definition.inputs[0])
    labels = letters.labels(tensor.shape)
    if labels is None:
        raise Misfit(
            argument.name,
            f"a mask needs the shape {letters}, a batch, found {tuple(tensor.shape)}",
        )
    covered = definition.unreduced_letters.labels_beside(labels)[: keep.dim()]
    sizes = [tensor.shape[i] if label in covered else 1 for i, label in enumerate(labels)]
    expected = [tensor.shape[i] for i, label in enumerate(labels) if label in covered]
    # An input without some of the masked dimensions is filled where all of its entries are masked.
    missing = tuple(i for i, label in enumerate(covered) if label not in labels)
    left = keep.any(dim=missing) if missing else keep
    if len(covered) < keep.dim() or list(left.shape) != expected:
        whole = "the loss" if definition.mask is None else "the mask that it takes"
        raise Misfit(
            "mask",
            f"expected the leading dimensions of {whole}, {definition.unreduced} in the letters "
            f"of '{argument.name}' {letters} {tuple(tensor.shape)}, found {tuple(keep.shape)}"
            + _remedy("mask", keep, entry_shape(definition, {argument.name: tensor})),
        )
    return left.reshape(sizes)


def numerator(
    definition: LossDefinition,
    module: nn.Module,
    loss: Tensor,
    inputs: Mapping[str, Tensor],
    *,
    reduction: str,
    keep: Tensor | None,
    sample_weight: Tensor | None,
    divisor: Divisor | None = None,
) -> tuple[Tensor, torch.Size]:
    """The sum of a term's entries, from its unreduced loss.

    Args:
        definition: The loss.
        module: Built with reduction `none`.
        loss: The module's result for the inputs.
        inputs: The forward arguments by name, filled where they are masked.
        reduction: What is wanted: `mean`, `sum` or `batchmean`.
        keep: Which entries count, or None for all.
        sample_weight: How much they count, or None for 1 each.
        divisor: What the sum will be divided by, if not by the mean's own.

    Returns:
        A 0-d tensor, and the unreduced loss's shape.

    Raises:
        Misfit: The mask or the weights do not fit.
    """
    if not isinstance(loss, Tensor):
        raise TypeError(f"expected a tensor as its result, found a {type(loss).__name__}")
    if loss.dtype in _HALF:
        loss = loss.float()
    shape = loss.shape
    if not shape and entry_shape(definition, inputs, keep, sample_weight):
        # The builder ignored the reduction: its mean would be divided a second time.
        raise TypeError("with reduction 'none' it gave one number, not one for each entry")
    scale = definition.denominator.scale
    # A scale is part of the mean over entries; a row's own sum goes without it.
    if reduction == "mean" and scale is not None and not (divisor and divisor.counts_rows):
        loss = loss * scale(module, inputs)
    if divisor is not None and divisor.within_row == "mean":
        loss = loss / _kept_of_each_row(definition, module, inputs, shape, keep)
    weight = _entry_weights(shape, loss.dtype, keep, sample_weight)
    return (loss if weight is None else loss * weight).sum(), shape


def denominator(
    definition: LossDefinition,
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    shape: torch.Size,
    *,
    dtype: torch.dtype,
    reduction: str,
    keep: Tensor | None,
    sample_weight: Tensor | None,
    divisor: Divisor | None = None,
) -> Tensor:
    """What the sum of a term's entries is divided by; as `numerator`.

    Args:
        definition: The loss.
        module: The built loss.
        inputs: At least the forward arguments with `counted`.
        shape: The unreduced loss's shape.
        dtype: The result's dtype; counts above 256 are not exact in bfloat16.
        reduction: `mean` or `batchmean`.
        keep: Which entries count, or None for all.
        sample_weight: How much they count, or None for 1 each.
        divisor: What the config divides by, without a path; None for the mean's own.

    Returns:
        A 0-d tensor, without a graph.
    """
    if divisor is not None and divisor.by != "weights":
        like = _like(inputs, keep, sample_weight).new_empty((), dtype=dtype)
        return _count(definition, module, inputs, shape, like, keep, divisor.by)
    weight = _entry_weights(shape, dtype, keep, sample_weight)
    like = _like(inputs, weight)
    if reduction == "batchmean":
        return _rows(shape, weight, like, dtype)
    counts = definition.denominator.count
    if counts is None and weight is None:
        return like.new_full((), math.prod(shape), dtype=dtype)
    entries = like.new_ones((), dtype=dtype)
    if counts is not None:
        entries = counts(module, inputs).detach().to(dtype)
    if weight is not None:
        entries = entries * weight
    return entries.expand(shape).sum()


def _count(
    definition: LossDefinition,
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    shape: torch.Size,
    like: Tensor,
    keep: Tensor | None,
    by: str,
) -> Tensor:
    """The number of entries or rows, all or kept ones."""
    kept = None
    if by.startswith("kept"):
        kept = _kept(definition, module, inputs, shape, keep)
    if kept is None:
        number = math.prod(shape[:1] if by.endswith("rows") else shape)
        return like.new_full((), number)
    if by == "kept":
        return kept.expand(shape).sum().to(like.dtype)
    return _by_row(kept, shape).any(1).sum().to(like.dtype)


def _like(inputs: Mapping[str, Tensor], *weights: Tensor | None) -> Tensor:
    """Any tensor of a term, for its device."""
    return next(tensor for tensor in (*inputs.values(), *weights) if tensor is not None)


def _kept(
    definition: LossDefinition,
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    shape: torch.Size,
    keep: Tensor | None,
) -> Tensor | None:
    """Which entries are kept, in a shape that broadcasts to the loss; None for all of them."""
    mask = None if keep is None else spread("mask", keep, shape)
    if definition.denominator.kept is None:
        return mask
    own = definition.denominator.kept(module, inputs)
    return own if mask is None else own & mask


def _by_row(kept: Tensor, shape: torch.Size) -> Tensor:
    """A matrix of a row's entries each; an unbatched loss has one row."""
    whole = kept.expand(shape)
    return whole.unsqueeze(-1).flatten(1) if shape else whole.reshape(1, 1)


def _kept_of_each_row(
    definition: LossDefinition,
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    shape: torch.Size,
    keep: Tensor | None,
) -> Tensor | int:
    """How many entries of each row are kept, at least 1, in a shape that broadcasts to the loss."""
    kept = _kept(definition, module, inputs, shape, keep)
    if kept is None:
        return max(math.prod(shape[1:]), 1)
    counts = _by_row(kept, shape).sum(1).clamp(min=1)
    return counts.reshape(shape[:1] + (1,) * (len(shape) - 1))


def reduced(
    definition: LossDefinition,
    module: nn.Module,
    loss: Tensor,
    inputs: Mapping[str, Tensor],
    *,
    reduction: str,
    keep: Tensor | None,
    sample_weight: Tensor | None,
    divisor: Divisor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """A term's numerator and its denominator, which is None for `sum`; as `numerator`."""
    total, shape = numerator(
        definition,
        module,
        loss,
        inputs,
        reduction=reduction,
        keep=keep,
        sample_weight=sample_weight,
        divisor=divisor,
    )
    if reduction == "sum":
        return total, None
    return total, denominator(
        definition,
        module,
        inputs,
        shape,
        dtype=total.dtype,
        reduction=reduction,
        keep=keep,
        sample_weight=sample_weight,
        divisor=divisor,
    )


def _entry_weights(
    shape: torch.Size, dtype: torch.dtype, keep: Tensor | None, sample_weight: Tensor | None
) -> Tensor | None:
    mask = None if keep is None else spread("mask", keep, shape)
    if sample_weight is None:
        return None if mask is None else mask.to(dtype)
    weight = spread("sample_weight", sample_weight, shape).to(dtype)
    # Not a product: a masked entry's weight may be nan.
    return weight if mask is None else torch.where(mask, weight, 0.0)


def _rows(shape: torch.Size, weight: Tensor | None, like: Tensor, dtype: torch.dtype) -> Tensor:
    """The number of rows with an entry that counts."""
    if weight is None or not shape:
        return like.new_full((), shape[0] if shape else 1, dtype=dtype)
    return (weight != 0).expand(shape).unsqueeze(-1).flatten(1).any(1).sum().to(dtype)


def entry_shape(
    definition: LossDefinition, inputs: Mapping[str, Tensor], *weights: Tensor | None
) -> torch.Size | None:
    """The unreduced loss's shape, from only some of its inputs.

    Args:
        definition: The loss.
        inputs: The forward arguments with `counted`.
        weights: Masks and weights; one of them may have all dimensions of the loss.

    Returns:
        The shape; None if it cannot be known from these tensors.
    """
    letters = definition.unreduced_letters
    if not letters.forms:
        return None
    for argument in definition.inputs:
        if argument.name in inputs:
            shape = _shape_from(argument, inputs[argument.name], definition)
            if shape is not None:
                return shape
    (form,) = letters.forms
    if "*" in form:
        return None
    whole = (weight for weight in weights if weight is not None and weight.dim() == len(form))
    return next((weight.shape for weight in whole), None)


def _shape_from(
    argument: LossInput, tensor: Tensor, definition: LossDefinition
) -> torch.Size | None:
    """The unreduced loss's shape, if one input has all of its dimensions."""
    letters, batched = argument.letters_of(tensor, definition.inputs[0]), True
    sizes = letters.sizes(tensor.shape)
    if sizes is None and definition.unbatched:
        sizes, batched = letters.sizes(tensor.shape, batched=False), False
    if sizes is None:
        return None
    known = dict(sizes)
    known.update({label: int(label) for label in _numerals(definition)})
    wanted = definition.unreduced_letters.labels_beside(known, batched=batched)
    return torch.Size([known[label] for label in wanted]) if set(wanted) <= set(known) else None


def _numerals(definition: LossDefinition) -> list[str]:
    """The sizes that stand in the unreduced loss's shape."""
    return [
        label for form in definition.unreduced_letters.forms for label in form if label.isdigit()
    ]


_STATE = (
    "_parameters",
    "_buffers",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_backward_pre_hooks",
    "_backward_hooks",
    "_is_full_backward_hook",
)


def share_state(twin: nn.Module, module: nn.Module) -> None:
    """Share parameters, buffers and hooks of `module` with `twin`.

    Also tensors that are plain attributes, such as class weights. The twin's children share the
    same with the module's children and stay the twin's own, because they may be built with another
    `reduction`; a child of another type is replaced by the module's.

    Raises:
        TypeError: The twin has a parameter or a buffer that the module does not have.
    """
    own_names = (*twin._parameters, *twin._buffers)  # noqa: SLF001
    lacking = [name for name in own_names if not hasattr(module, name)]
    if lacking:
        raise TypeError(f"it has '{lacking[0]}', which the loss with its reduction does not have")
    for name in _STATE:
        twin.__dict__[name] = module.__dict__[name]
    for name, value in module.__dict__.items():
        if isinstance(value, Tensor):
            twin.__dict__[name] = value
    for name, child in module.named_children():
        own = getattr(twin, name, None)
        if isinstance(own, type(child)):
            share_state(own, child)
        else:
            setattr(twin, name, child)


def divided(numerator: Tensor, denominator: Tensor | None) -> Tensor:
    """The mean; where no entry counts, a zero that is attached to the graph.

    A denominator below 0, from sample weights, gives nan: it would turn minimising into
    maximising.
    """
    if denominator is None:
        return numerator
    otherwise = torch.where(denominator == 0, 1.0, math.nan)
    return numerator / torch.where(denominator > 0, denominator, otherwise)
