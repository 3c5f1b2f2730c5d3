"""Where the dimensions of a mask or a sample weight are among those of the unreduced loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossreg.runtime.reduction import Misfit, entry_shape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Size, Tensor

    from lossreg.plugin import LossDefinition

__all__ = ["placed"]


def placed(
    definition: LossDefinition,
    argument: str,
    tensor: Tensor,
    dims: tuple[int, ...] | None,
    inputs: Mapping[str, Tensor],
) -> Tensor:
    """A mask or a sample weight in the shape of the unreduced loss, or of its leading dimensions.

    Args:
        definition: The loss.
        argument: `mask` or `sample_weight`.
        tensor: The mask or the weights.
        dims: Which dimensions of the unreduced loss it has, in its order. If None, the leading
            ones, or all of them, where a size may be 1.
        inputs: The loss's arguments by name; at least those with `counted`.

    Returns:
        An expanded view, or the tensor itself if there is nothing to do, or it does not fit: where
        it is used, this is reported.

    Raises:
        Misfit: The unreduced loss does not have these dimensions.
    """
    if dims is None:
        if 1 not in tensor.shape:
            return tensor
        # Only what is counted before the forward pass, so that both take a size of 1 alike.
        counted = {entry.name for entry in definition.inputs if entry.counted}
        shape = entry_shape(
            definition, {name: value for name, value in inputs.items() if name in counted}
        )
        is_whole = shape is not None and _fits(tensor.shape, shape)
        return tensor.expand(shape) if shape is not None and is_whole else tensor
    shape = entry_shape(definition, inputs)
    if shape is None:
        raise Misfit(
            argument,
            f"expected inputs that tell the shape of the unreduced loss, {definition.unreduced}, "
            f"which 'dims' is about, found {_shown(inputs)}; what is counted before the model runs "
            "needs them: write divide_by: {rows: path}, {entries: path} or {number: path}",
        )
    places = _places(argument, dims, shape)
    wanted = [shape[place] for place in places]
    is_whole = len(wanted) == len(shape) and _fits(tensor.shape, wanted)
    if list(tensor.shape) != wanted and not is_whole:
        raise Misfit(
            argument,
            f"expected {tuple(wanted)}, the dimensions {list(dims)} of the unreduced loss "
            f"{tuple(shape)}, found {tuple(tensor.shape)}",
        )
    whole = tensor.permute([places.index(place) for place in sorted(places)])
    for dim in range(len(shape)):
        if dim not in places:
            whole = whole.unsqueeze(dim)
    return whole.expand(shape)


def _fits(sizes: Sequence[int], shape: Sequence[int]) -> bool:
    """Whether a tensor has every dimension, each with its size or 1."""
    if len(sizes) != len(shape):
        return False
    return all(size in (1, whole) for size, whole in zip(sizes, shape, strict=False))


def _places(argument: str, dims: tuple[int, ...], shape: Size) -> list[int]:
    """The dimensions counted from the front."""
    count = len(shape)
    places = []
    for dim in dims:
        if not -count <= dim < count:
            raise Misfit(
                argument,
                f"expected dims from {-count} to {count - 1} for an unreduced loss of "
                f"{tuple(shape)}, found {dim}",
            )
        place = dim % count
        if place in places:
            raise Misfit(
                argument,
                f"expected each dimension once, found {list(dims)}: {dim} is the dimension {place} "
                f"of the unreduced loss {tuple(shape)}",
            )
        places.append(place)
    return places


def _shown(inputs: Mapping[str, Tensor]) -> str:
    return ", ".join(f"'{name}' {tuple(tensor.shape)}" for name, tensor in inputs.items()) or "none"
