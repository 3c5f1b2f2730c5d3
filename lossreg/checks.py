"""Looking at tensors before a loss does: shapes, dtypes, devices and domains.

torch broadcasts a target of `N` against predictions of `N 1` without an error, and takes labels
of 0 and 1 where plus and minus one are meant. These checks read values, so on an accelerator they
wait for it: `checks: first` looks at each term's first batch alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lossreg.plugin.inputs import ANY_SHAPE
from lossreg.reduction import Misfit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from lossreg.plugin import LossDefinition, LossInput

__all__ = ["check_inputs", "check_result", "check_values"]

# How far a probability may be outside 0 to 1, and its logarithm above 0: the rounding of a
# half-precision softmax, or of mixed targets.
_SLACK = 1e-2
# torch itself brings these to where it wants them.
_ANYWHERE = ("label sequence", "length")


def _check_devices(definition: LossDefinition, inputs: Mapping[str, Tensor]) -> None:
    """All on one device; tensors of one value, and sequences' labels and lengths, may be elsewhere.

    Raises:
        Misfit: One is elsewhere.
    """
    first = inputs[definition.inputs[0].name].device
    for each in definition.inputs:
        tensor = inputs[each.name]
        if tensor.device != first and tensor.dim() and each.domain not in _ANYWHERE:
            raise Misfit(each.name, f"expected a tensor on {first}, found one on {tensor.device}")


def check_inputs(definition: LossDefinition, inputs: Mapping[str, Tensor]) -> dict[str, int]:
    """What the definition says of its inputs' shapes, dtypes and devices.

    Args:
        definition: The loss.
        inputs: Its arguments by name.

    Returns:
        The size behind each letter.

    Raises:
        Misfit: A tensor is not what it says.
    """
    _check_devices(definition, inputs)
    for each in definition.inputs:
        _check_dtype(each, inputs[each.name])
    return _check_shapes(definition, inputs)


def check_values(
    definition: LossDefinition,
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    sizes: Mapping[str, int],
    *,
    masked: bool,
) -> None:
    """What the definition says of its inputs' values.

    Args:
        definition: The loss.
        module: The built loss.
        inputs: Its arguments by name, filled where they are masked.
        sizes: The size behind each letter.
        masked: Whether anything was filled.

    Raises:
        Misfit: A tensor is not what it says.
    """
    for each in definition.inputs:
        tensor = inputs[each.name]
        if tensor.numel() == 0 or tensor.is_complex():
            continue
        found = _outside(each, tensor, sizes, module)
        if found is None:
            continue
        wrong, wanted = found
        if masked:
            # A safe value need not be in the domain that a parameter has chosen.
            wrong = wrong & (tensor != each.safe)
        if bool(wrong.any()):
            worst = tensor[wrong].flatten()[0].item()
            raise Misfit(each.name, f"expected {wanted}, found {worst:g}")


def check_result(definition: LossDefinition, inputs: Mapping[str, Tensor], value: Tensor) -> str:
    """What is wrong with a loss's result, apart from being no number; empty if nothing is.

    Reads no value, so no device is waited for.

    Args:
        definition: The loss.
        inputs: Its arguments by name.
        value: What it returned.
    """
    if not value.is_floating_point():
        return f"expected a floating-point number, found {value.dtype}"
    wanted = [each.name for each in definition.inputs if each.gradient]
    if torch.is_grad_enabled() and not value.requires_grad:
        attached = [name for name in wanted if inputs[name].requires_grad]
        if attached:
            names = " and ".join(f"'{name}'" for name in attached)
            return f"expected a value with a gradient for {names}, found one detached from it"
    return ""


def _check_dtype(each: LossInput, tensor: Tensor) -> None:
    is_float = tensor.is_floating_point()
    is_int = not is_float and not tensor.is_complex()
    fits = {"float": is_float, "int": is_int, "float or int": is_float or is_int}[each.dtype]
    if not fits:
        wanted = "a floating-point tensor" if each.dtype == "float" else "an integer tensor"
        raise Misfit(each.name, f"expected {wanted}, found {tensor.dtype}")


def _check_shapes(definition: LossDefinition, inputs: Mapping[str, Tensor]) -> dict[str, int]:
    """The size behind each letter; each letter has one, and `*` one shape."""
    try:
        return _match_shapes(definition, inputs, batched=True)
    except Misfit as problem:
        if not definition.unbatched:
            raise
        try:
            return _match_shapes(definition, inputs, batched=False)
        except Misfit:
            raise problem from None


def _match_shapes(
    definition: LossDefinition, inputs: Mapping[str, Tensor], *, batched: bool
) -> dict[str, int]:
    sizes: dict[str, int] = {}
    owners: dict[str, str] = {}
    rest: tuple[str, tuple[int, ...]] | None = None
    for each in definition.inputs:
        if each.shape == ANY_SHAPE:
            continue
        tensor = inputs[each.name]
        letters = _letters(each, tensor, definition)
        if not batched:
            letters = [letter for letter in letters if letter not in ("N", "*")]
        missing = tensor.dim() - len(letters) + ("*" in letters)
        if missing < 0 or (missing > 0 and "*" not in letters):
            raise Misfit(each.name, f"expected the shape {each.shape}, found {tuple(tensor.shape)}")
        shape = list(tensor.shape)
        for letter in letters:
            if letter == "*":
                found, shape = tuple(shape[:missing]), shape[missing:]
                if rest is not None and rest[1] != found:
                    raise Misfit(each.name, _against(tensor, inputs[rest[0]], rest[0]))
                rest = rest or (each.name, found)
                continue
            size = shape.pop(0)
            if sizes.setdefault(letter, size) != size:
                raise Misfit(each.name, _against(tensor, inputs[owners[letter]], owners[letter]))
            owners.setdefault(letter, each.name)
    return sizes


def _letters(each: LossInput, tensor: Tensor, definition: LossDefinition) -> list[str]:
    letters = each.letters(tensor, definition.inputs[0]).split()
    if each.domain == "label sequence" and tensor.dim() == 1:
        return letters[-1:]  # one after another, without padding
    return letters


def _against(tensor: Tensor, other: Tensor, name: str) -> str:
    return (
        f"expected a shape that fits {tuple(other.shape)} of '{name}', found "
        f"{tuple(tensor.shape)}; torch would broadcast or refuse it"
    )


def _outside(
    each: LossInput, tensor: Tensor, sizes: Mapping[str, int], module: nn.Module
) -> tuple[Tensor, str] | None:
    """Which entries are outside the input's domain, and what was expected."""
    domain: str = each.domain
    if domain == "class index or probability":
        domain = "probability" if tensor.is_floating_point() else "class index"
    if domain == "probability or log-probability":
        domain = "log-probability" if getattr(module, "log_target", False) else "probability"
    if domain.startswith("class index"):
        ignored = getattr(module, "ignore_index", None)
        return _class_indices(domain, tensor, sizes.get("C"), ignored)
    return _values(domain, tensor)


def _class_indices(
    domain: str, tensor: Tensor, classes: int | None, ignored: int | None
) -> tuple[Tensor, str] | None:
    """Which entries are no class index, and what was expected."""
    if classes is None:
        return None
    wanted = f"class indices from 0 to {classes - 1}"
    if domain == "class index list":
        return (tensor < -1) | (tensor >= classes), f"{wanted}, ended by -1"
    wrong = (tensor < 0) | (tensor >= classes)
    return (wrong if ignored is None else wrong & (tensor != ignored)), wanted


def _values(domain: str, tensor: Tensor) -> tuple[Tensor, str] | None:
    """Which entries are outside a domain, and what was expected."""
    if domain == "plus or minus one":
        return (tensor != 1) & (tensor != -1), "labels of 1 and -1"
    if domain == "zero or one":
        return (tensor != 0) & (tensor != 1), "labels of 0 and 1"
    if domain == "probability":
        return (tensor < -_SLACK) | (tensor > 1 + _SLACK), "probabilities from 0 to 1"
    if domain == "log-probability":
        return tensor > _SLACK, "log-probabilities, at most 0: is a log_softmax missing?"
    if domain in ("count", "length", "non-negative"):
        return tensor < 0, "no negative value"
    return None
