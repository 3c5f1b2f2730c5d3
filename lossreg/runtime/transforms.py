"""What transforms do to a tensor: one function each, for `lossreg.vocabulary.inputs.TRANSFORMS`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FUNCTIONS"]


def _transpose(tensor: Tensor, dims: tuple[int, int]) -> Tensor:
    return tensor.transpose(*dims)


def _flatten(tensor: Tensor, start: int, end: int) -> Tensor:
    return tensor.flatten(start, end)


def _select(tensor: Tensor, index: int, dim: int) -> Tensor:
    return tensor.select(dim, index)


def _slice(tensor: Tensor, dim: int, start: int | None, end: int | None, step: int) -> Tensor:
    tensor.size(dim)  # refuses a dimension that there is not
    places: list[Any] = [slice(None)] * tensor.dim()
    places[dim] = slice(start, end, step)
    return tensor[tuple(places)]


def _one_hot(tensor: Tensor, classes: int, dim: int, ignore: int | None) -> Tensor:
    """Class indices to indicators of float32; an ignored index gives zeros.

    Not functional.one_hot: it reads the largest index back from the device. Here an index that is
    no class is refused on the CPU alone, where reading is free; elsewhere it gives zeros.
    """
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
            found = tensor[wrong][0].item()
            raise ValueError(f"expected class indices from 0 to {classes - 1}, found {found}")
    return hot.to(torch.float32)


def _cast(tensor: Tensor, dtype: str) -> Tensor:
    return tensor.to(getattr(torch, dtype))


def _shift(tensor: Tensor, by: int, dim: int, fill: float) -> Tensor:
    """Moved by so many places along a dimension; what comes in is filled."""
    size = tensor.size(dim)
    count = min(abs(by), size)
    padding = _full_like(tensor.narrow(dim, 0, count), fill)
    if by > 0:
        return torch.cat((padding, tensor.narrow(dim, 0, size - count)), dim)
    return torch.cat((tensor.narrow(dim, count, size - count), padding), dim)


def _range(dtype: torch.dtype) -> tuple[int, int]:
    if dtype == torch.bool:
        return 0, 1
    limits = torch.iinfo(dtype)
    return limits.min, limits.max


def _full_like(tensor: Tensor, value: float) -> Tensor:
    # torch would cut a fraction off, and wrap a negative number in an unsigned dtype around.
    if not (tensor.is_floating_point() or tensor.is_complex()):
        least, most = _range(tensor.dtype)
        if value != int(value) or not least <= value <= most:
            raise ValueError(f"{value} does not fit {tensor.dtype}")
    return torch.full_like(tensor, value)


FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "detach": Tensor.detach,
    "div": lambda tensor, by: tensor / by,
    "mul": lambda tensor, by: tensor * by,
    "add": lambda tensor, by: tensor + by,
    "softmax": functional.softmax,
    "log_softmax": functional.log_softmax,
    "sigmoid": torch.sigmoid,
    "transpose": _transpose,
    "permute": lambda tensor, dims: tensor.permute(dims),
    "flatten": _flatten,
    "squeeze": lambda tensor, dim: tensor.squeeze(dim),
    "unsqueeze": lambda tensor, dim: tensor.unsqueeze(dim),
    "select": _select,
    "slice": _slice,
    "one_hot": _one_hot,
    "cast": _cast,
    "shift": _shift,
    "ones_like": torch.ones_like,
    "zeros_like": torch.zeros_like,
    "full_like": _full_like,
}
"""Each transform's function: the tensor first, then the arguments by name."""
