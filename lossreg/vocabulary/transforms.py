"""Transforms: the operations on a tensor between its path and a loss.

One closed table. To add a transform, add an entry to `TRANSFORMS` and a case to its test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from lossreg.vocabulary.arguments import (
    COUNT,
    DIM,
    DIMS,
    DIVISOR,
    DTYPE,
    DTYPES,
    NUMBER,
    PAIR,
    WHOLE,
    Argument,
    Violation,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import torch
    from torch import Tensor

    from lossreg.vocabulary.arguments import Rule

__all__ = ["TRANSFORMS", "TransformDefinition"]


class TransformDefinition(NamedTuple):
    """A transform.

    Attributes:
        name: Its name, torch's name if torch has one.
        gives: Its result, for the docs: one phrase, with an example in backticks if that helps.
        run: Computes the result from the tensor and the arguments' values, in their order. It
            imports torch inside, or only uses the tensor's methods: reading a config must not
            import torch.
        arguments: Its arguments.
        rule: Checks all arguments together.
        by_name: Whether its arguments must be named; otherwise a single value binds to the first
            argument.
        foreign: What other systems call it.
    """

    name: str
    gives: str
    run: Callable[..., Tensor]
    arguments: tuple[Argument, ...] = ()
    rule: Rule | None = None
    by_name: bool = False
    foreign: tuple[str, ...] = ()


def _same_side(start: int, end: int) -> bool:
    """Whether both count from the same end: only then can they be compared without the size."""
    return (start < 0) == (end < 0)


def _check_flatten(values: Mapping[str, Any]) -> Violation | None:
    start, end = values["start"], values["end"]
    if not _same_side(start, end) or start <= end:
        return None
    return Violation(f"expected a 'start' of at most 'end' ({end}), found {start}", "start")


def _check_slice(values: Mapping[str, Any]) -> Violation | None:
    start, end = values["start"], values["end"]
    if end == 0:
        message = "expected an 'end' other than 0: nothing is before place 0; without 'end', the "
        return Violation(f"{message}slice goes to the last place", "end")
    if start is None or end is None or not _same_side(start, end) or start < end:
        return None
    message = f"expected an 'end' above 'start' ({start}), found {end}: the slice would be empty"
    return Violation(message, "end")


def _slice(tensor: Tensor, dim: int, start: int | None, end: int | None, step: int) -> Tensor:
    tensor.size(dim)  # raises if the tensor has no such dimension
    places: list[Any] = [slice(None)] * tensor.dim()
    places[dim] = slice(start, end, step)
    return tensor[tuple(places)]


def _one_hot(tensor: Tensor, classes: int, dim: int, ignore: int | None) -> Tensor:
    """Class indices to indicators of float32; an ignored index gives zeros.

    functional.one_hot would read the largest index back from the device. Here an index that is
    not a class raises only on the CPU, where reading is free; elsewhere it gives zeros.
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
    return hot.to(torch.float32)


def _cast(tensor: Tensor, dtype: str) -> Tensor:
    import torch

    return tensor.to(getattr(torch, dtype))


def _shift(tensor: Tensor, by: int, dim: int, fill: float) -> Tensor:
    """The tensor moved by some places along a dimension, with the free places filled."""
    import torch

    size = tensor.size(dim)
    count = min(abs(by), size)
    padding = _full_like(tensor.narrow(dim, 0, count), fill)
    if by > 0:
        return torch.cat((padding, tensor.narrow(dim, 0, size - count)), dim)
    return torch.cat((tensor.narrow(dim, count, size - count), padding), dim)


def _range(dtype: torch.dtype) -> tuple[int, int]:
    import torch

    if dtype == torch.bool:
        return 0, 1
    limits = torch.iinfo(dtype)
    return limits.min, limits.max


def _full_like(tensor: Tensor, value: float) -> Tensor:
    import torch

    # torch would drop a fraction, and would wrap a negative number around in an unsigned dtype.
    if not (tensor.is_floating_point() or tensor.is_complex()):
        least, most = _range(tensor.dtype)
        if value != int(value) or not least <= value <= most:
            raise ValueError(f"{value} does not fit {tensor.dtype}")
    return torch.full_like(tensor, value)


_ENTRIES = (
    TransformDefinition(
        "detach",
        "the tensor outside the graph",
        lambda tensor: tensor.detach(),
        foreign=("stop_gradient", "no_grad"),
    ),
    TransformDefinition(
        "div",
        "divided by a number other than 0",
        lambda tensor, by: tensor / by,
        (Argument("by", DIVISOR),),
        foreign=("divide",),
    ),
    TransformDefinition(
        "mul",
        "multiplied by a number",
        lambda tensor, by: tensor * by,
        (Argument("by", NUMBER),),
        foreign=("multiply", "scale", "times"),
    ),
    TransformDefinition(
        "add",
        "a number added",
        lambda tensor, by: tensor + by,
        (Argument("by", NUMBER),),
        foreign=("plus",),
    ),
    TransformDefinition(
        "softmax",
        "probabilities over a dimension",
        lambda tensor, dim: tensor.softmax(dim),
        (Argument("dim", DIM, -1),),
    ),
    TransformDefinition(
        "log_softmax",
        "log-probabilities over a dimension",
        lambda tensor, dim: tensor.log_softmax(dim),
        (Argument("dim", DIM, -1),),
    ),
    TransformDefinition("sigmoid", "numbers between 0 and 1", lambda tensor: tensor.sigmoid()),
    TransformDefinition(
        "transpose",
        "two dimensions swapped: `{transpose: [1, 2]}`",
        lambda tensor, dims: tensor.transpose(*dims),
        (Argument("dims", PAIR),),
        foreign=("swapaxes", "swapdims"),
    ),
    TransformDefinition(
        "permute",
        "all dimensions in a new order: `{permute: [0, 3, 1, 2]}`",
        lambda tensor, dims: tensor.permute(dims),
        (Argument("dims", DIMS),),
    ),
    TransformDefinition(
        "flatten",
        "dimensions from start to end as one",
        lambda tensor, start, end: tensor.flatten(start, end),
        (Argument("start", DIM, 0), Argument("end", DIM, -1)),
        rule=_check_flatten,
    ),
    TransformDefinition(
        "squeeze",
        "a dimension of size 1 removed",
        lambda tensor, dim: tensor.squeeze(dim),
        (Argument("dim", DIM),),
    ),
    TransformDefinition(
        "unsqueeze",
        "a dimension of size 1 added",
        lambda tensor, dim: tensor.unsqueeze(dim),
        (Argument("dim", DIM),),
        foreign=("expand_dims",),
    ),
    TransformDefinition(
        "select",
        "one place of a dimension, which is removed",
        lambda tensor, index, dim: tensor.select(dim, index),
        (Argument("index", WHOLE), Argument("dim", DIM)),
        foreign=("index", "take"),
    ),
    TransformDefinition(
        "slice",
        "part of a dimension, as in Python",
        _slice,
        (
            Argument("dim", DIM),
            Argument("start", WHOLE, None),
            Argument("end", WHOLE, None),
            Argument("step", COUNT, 1),
        ),
        rule=_check_slice,
        foreign=("narrow",),
    ),
    TransformDefinition(
        "one_hot",
        "indicators of class indices as float32; zeros where the index is ignored",
        _one_hot,
        (Argument("classes", COUNT), Argument("dim", DIM, -1), Argument("ignore", WHOLE, None)),
    ),
    TransformDefinition(
        "cast",
        f"converted to {', '.join(DTYPES[:-1])} or {DTYPES[-1]}",
        _cast,
        (Argument("dtype", DTYPE),),
        foreign=("astype", "to", "type"),
    ),
    TransformDefinition(
        "shift",
        "moved `by` places (to the front if negative); the free places get `fill`",
        _shift,
        (Argument("by", WHOLE), Argument("dim", DIM), Argument("fill", NUMBER)),
    ),
    TransformDefinition(
        "ones_like", "ones of the same shape", lambda tensor: _full_like(tensor, 1)
    ),
    TransformDefinition(
        "zeros_like", "zeros of the same shape", lambda tensor: _full_like(tensor, 0)
    ),
    TransformDefinition(
        "full_like",
        "a number in the same shape: `{full_like: 0.9}`",
        _full_like,
        (Argument("value", NUMBER),),
        foreign=("fill",),
    ),
)

TRANSFORMS: dict[str, TransformDefinition] = {entry.name: entry for entry in _ENTRIES}
"""Every transform by name: a closed list."""
