"""What transforms compute, where a tensor's methods are not enough.

torch is imported inside the functions: reading a config imports this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch
    from torch import Tensor

__all__ = [
    "arange_like",
    "as_class_probabilities",
    "cast",
    "clamp",
    "concatenated",
    "constant",
    "full_like",
    "gather",
    "maximum",
    "method",
    "minimum",
    "normalize",
    "of_masks",
    "one_hot",
    "opposite",
    "over",
    "part",
    "shift",
    "softplus",
    "stacked",
    "where",
    "with_classes_second",
    "with_operand",
]

_PAIR = 2  # dimensions
_TOLERANCE = 1e-3  # of a sum of class probabilities that a config wrote with a few digits


def _is_tensor(value: Any) -> bool:
    return not isinstance(value, (int, float))  # a tuple: torch 2.6 does not trace a union


def _align(tensor: Tensor, operand: Tensor, name: str) -> None:
    """Refuse two tensors that torch would silently align on the right.

    Raises:
        ValueError: The shapes differ, without a 1 in each place that differs, and both tensors
            have dimensions.
    """
    shape, other = tensor.shape, operand.shape
    if shape == other or not shape or not other or _fit(shape, other):
        return
    found = f"found {tuple(other)} in '{name}'"
    message = f"{found}; expected {tuple(shape)}, a 1 in each place that differs, or no dimensions"
    short = "it" if len(other) < len(shape) else "the tensor before"
    few, many = sorted((tuple(other), tuple(shape)), key=len)
    ways = [
        f"{{unsqueeze: {dim}}}"
        for dim in range(len(many))
        if len(few) + 1 == len(many) and _spreads((*few[:dim], 1, *few[dim:]), many)
    ]
    if ways:
        message += f": give {short} {' or '.join(ways)}"
    elif len(few) < len(many):
        message += f": give {short} an 'unsqueeze' for each dimension that it lacks"
    raise ValueError(message)


def _fit(shape: Sequence[int], other: Sequence[int]) -> bool:
    """Whether two shapes have as many dimensions, and are equal or 1 in each."""
    if len(shape) != len(other):
        return False
    # A list: torch 2.6 does not trace `strict`, nor every generator.
    return all([size in (1, beside) or beside == 1 for size, beside in zip(shape, other)])  # noqa: B905, C419


def _spreads(shape: Sequence[int], whole: Sequence[int]) -> bool:
    """Whether a shape becomes the whole one; of N 1 and 1 N, which fit, all pairs would be made."""
    return all([size in (1, beside) for size, beside in zip(shape, whole)])  # noqa: B905, C419


def with_operand(
    function: Callable[[Tensor, Any], Tensor], name: str = "by"
) -> Callable[[Tensor, Any], Tensor]:
    """A function of a tensor and of a number, or of another tensor whose shape fits."""

    def run(tensor: Tensor, operand: Any) -> Tensor:
        if _is_tensor(operand):
            _align(tensor, operand, name)
        return function(tensor, operand)

    return run


def of_masks(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """A function of two masks whose shapes fit."""

    def run(tensor: Tensor, mask: Tensor) -> Tensor:
        _check_mask(tensor, "")
        _check_mask(mask, " in 'mask'")
        _align(tensor, mask, "mask")
        return function(tensor, mask)

    return run


def _check_mask(tensor: Tensor, where: str) -> None:
    import torch

    if tensor.dtype != torch.bool:
        raise TypeError(
            f"expected a mask of bool, found {tensor.dtype}{where}; compare it first, as in "
            "{gt: 0}, or write {cast: bool}"
        )


def opposite(tensor: Tensor) -> Tensor:
    """The opposite of a mask."""
    _check_mask(tensor, "")
    return ~tensor


def minimum(tensor: Tensor, other: Any) -> Tensor:
    """The lower of the two, entry by entry."""
    import torch

    if not _is_tensor(other):
        return tensor.clamp(max=other)
    _align(tensor, other, "other")
    return torch.minimum(tensor, other)


def maximum(tensor: Tensor, other: Any) -> Tensor:
    """The higher of the two, entry by entry."""
    import torch

    if not _is_tensor(other):
        return tensor.clamp(min=other)
    _align(tensor, other, "other")
    return torch.maximum(tensor, other)


def clamp(tensor: Tensor, min: Any, max: Any) -> Tensor:  # noqa: A002 - torch's names
    """The tensor with entries beyond the limits set to them; as torch, without a gradient there."""
    # One after the other: torch does not take a number and a tensor together.
    if min is not None:
        if _is_tensor(min):
            _align(tensor, min, "min")
        tensor = tensor.clamp(min=min)
    if max is not None:
        if _is_tensor(max):
            _align(tensor, max, "max")
        tensor = tensor.clamp(max=max)
    return tensor


def where(tensor: Tensor, condition: Tensor, other: Any) -> Tensor:
    """The tensor where the condition is true, the other elsewhere."""
    import torch

    _check_mask(condition, " in 'condition'")
    _align(tensor, condition, "condition")
    if _is_tensor(other):
        _align(tensor, other, "other")
    return torch.where(condition, tensor, other)


def method(name: str) -> Callable[[Tensor], Tensor]:
    """A tensor's method without arguments."""

    def run(tensor: Tensor) -> Tensor:
        result: Tensor = getattr(tensor, name)()
        return result

    return run


def softplus(tensor: Tensor) -> Tensor:
    """log(1 + exp(x))."""
    import torch

    return torch.nn.functional.softplus(tensor)


def normalize(tensor: Tensor, dim: int, p: float, eps: float) -> Tensor:
    """The tensor divided by its norm over a dimension."""
    import torch

    return torch.nn.functional.normalize(tensor, p=p, dim=dim, eps=eps)


def over(name: str) -> Callable[[Tensor, Any, bool], Tensor]:
    """A reduction over one dimension, over several, or over all."""

    def run(tensor: Tensor, dim: Any, keepdim: bool) -> Tensor:
        dims = tuple(range(tensor.dim())) if dim is None else dim
        reduced: Tensor = getattr(tensor, name)(dims, keepdim)
        return reduced

    return run


def concatenated(tensors: Sequence[Tensor], dim: int) -> Tensor:
    """Tensors one after the other along a dimension."""
    import torch

    return torch.cat(list(tensors), dim)


def stacked(tensors: Sequence[Tensor], dim: int) -> Tensor:
    """Tensors side by side along a new dimension."""
    import torch

    return torch.stack(list(tensors), dim)


def gather(tensor: Tensor, index: Tensor, dim: int) -> Tensor:
    """The entries at some places of a dimension.

    Raises:
        ValueError: The sizes of the other dimensions differ; torch would leave out entries.
    """
    shape, other = list(tensor.shape), list(index.shape)
    tensor.size(dim)  # raises if the tensor has no such dimension
    if len(shape) == len(other):
        shape[dim] = other[dim]
    if shape != other:
        raise ValueError(
            f"found {tuple(other)} in 'index'; expected as many dimensions as "
            f"{tuple(tensor.shape)}, with the same sizes in all but dimension {dim}"
        )
    return tensor.gather(dim, index)


def arange_like(tensor: Tensor, dim: int) -> Tensor:
    """The places along a dimension: 0, 1, 2, ..."""
    import torch

    return torch.arange(tensor.size(dim), device=tensor.device)


def part(tensor: Tensor, dim: int, start: int | None, end: int | None, step: int) -> Tensor:
    """Some places of a dimension, as Python's slices choose them."""
    tensor.size(dim)  # raises if the tensor has no such dimension
    places: list[Any] = [slice(None)] * tensor.dim()
    places[dim] = slice(start, end, step)
    return tensor[tuple(places)]


def one_hot(
    tensor: Tensor, classes: int, dim: int, ignore: int | None, dtype: torch.dtype | None = None
) -> Tensor:
    """Class indices to indicators; an ignored index gives zeros.

    functional.one_hot would read the largest index back from the device. Here an index that is
    not a class raises only on the CPU, where reading is free; elsewhere it gives zeros.

    Args:
        tensor: Class indices.
        classes: How many classes there are.
        dim: Where the dimension of the classes is put.
        ignore: An index that is not a class.
        dtype: The dtype of the tensor that the indicators meet; float32 if there is none.
    """
    import torch

    if tensor.is_floating_point() or tensor.is_complex():
        raise TypeError("expected class indices, an integer tensor")
    indices = tensor.unsqueeze(dim)
    shape = [1] * indices.dim()
    shape[dim] = classes
    hot = indices == torch.arange(classes, device=tensor.device).view(shape)
    if ignore is not None:
        hot = hot & (indices != ignore)
    if tensor.device.type == "cpu" and not torch.compiler.is_compiling():
        wrong = (tensor < 0) | (tensor >= classes)
        if ignore is not None:
            wrong = wrong & (tensor != ignore)
        if bool(wrong.any()):
            index = tensor[wrong][0].item()
            raise ValueError(f"expected class indices from 0 to {classes - 1}, found {index}")
    return hot.to(torch.float32 if dtype is None else dtype)


def cast(tensor: Tensor, dtype: str) -> Tensor:
    """The tensor in another dtype."""
    import torch

    return tensor.to(getattr(torch, dtype))


def shift(tensor: Tensor, by: int, dim: int, fill: Any) -> Tensor:
    """The tensor moved by some places along a dimension, with the free places filled."""
    import torch

    size = tensor.size(dim)
    count = min(abs(by), size)
    padding = full_like(tensor.narrow(dim, 0, count), fill, "fill")
    if by > 0:
        return torch.cat((padding, tensor.narrow(dim, 0, size - count)), dim)
    return torch.cat((tensor.narrow(dim, count, size - count), padding), dim)


def _range(dtype: torch.dtype) -> tuple[int, int]:
    import torch

    if dtype == torch.bool:
        return 0, 1
    limits = torch.iinfo(dtype)
    return limits.min, limits.max


def full_like(tensor: Tensor, value: Any, name: str = "value") -> Tensor:
    """A number, or a tensor whose shape fits, in a tensor's shape, dtype and device."""
    import torch

    is_whole = not (tensor.is_floating_point() or tensor.is_complex())
    if _is_tensor(value):
        if is_whole and (value.is_floating_point() or value.is_complex()):
            raise TypeError(f"found {value.dtype} in '{name}'; it does not fit {tensor.dtype}")
        _align(tensor, value, name)
        filled: Tensor = value.to(tensor.dtype).expand_as(tensor).clone()
        return filled
    # torch would drop a fraction, and would wrap a negative number around in an unsigned dtype.
    if is_whole:
        least, most = _range(tensor.dtype)
        if value != int(value) or not least <= value <= most:
            raise ValueError(f"{value} does not fit {tensor.dtype}")
    return torch.full_like(tensor, value)


def constant(tensor: Tensor, value: Any, beside: Any, letters: Any) -> Tensor:
    """A number in the shape that an argument of a loss has beside a tensor of another argument.

    Args:
        tensor: The other argument's tensor.
        value: The number.
        beside: The shape of the other argument, in letters.
        letters: The shape of the argument, in letters.
    """
    labels = beside.labels(tensor.shape)
    if labels is None:
        raise ValueError(f"expected a tensor of shape {beside}")
    kept = letters.labels_beside(labels)
    # The first place of each dimension that the argument does not have.
    places = tuple(slice(None) if label in kept else 0 for label in labels)
    return full_like(tensor[places], value)


def as_class_probabilities(tensor: Tensor, value: float) -> Tensor:
    """A number as the probability of each class, beside logits.

    Raises:
        ValueError: The probabilities do not add up to 1.
    """
    classes = tensor.size(min(1, tensor.dim() - 1))
    if abs(value * classes - 1) > _TOLERANCE:
        raise ValueError(
            f"expected class probabilities that add up to 1, found {value} for each of {classes} "
            f"classes; the constant that does is {1 / classes:.6g}"
        )
    return full_like(tensor, value)


def with_classes_second(tensor: Tensor, dim: int, floats_only: bool) -> Tensor:
    """The tensor with its classes at dimension 1; indices of classes have no such dimension."""
    # A single example has its classes first, and nothing else.
    if tensor.dim() < _PAIR or (floats_only and not tensor.is_floating_point()):
        return tensor
    # torch's log_softmax copies it anyway, and its nll_loss2d has no gradient for a mere view.
    return tensor.movedim(dim, 1).contiguous()


def number(tensor: Tensor, value: float) -> float:  # noqa: ARG001 - as every operation
    """A number, whatever the tensor is."""
    return value


def detach_all(tensors: list[Tensor]) -> list[Tensor]:
    """The tensors outside the graph."""
    return [tensor.detach() for tensor in tensors]
