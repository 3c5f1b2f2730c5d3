"""Checks tensors before a loss uses them: shapes, dtypes, devices and domains.

torch broadcasts a target of `N` against predictions of `N 1` without an error, and accepts labels
of 0 and 1 for a loss that needs plus and minus one. These checks read values, so on an accelerator
they wait for it: `checks: first` checks only each term's first batch.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from lossreg.errors import described
from lossreg.plugin.problems import Problem
from lossreg.runtime.reduction import Misfit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor, nn

    from lossreg.plugin import LossDefinition, LossInput

__all__ = [
    "CLASS_DIM",
    "check_alone",
    "check_divisor",
    "check_inputs",
    "check_mask",
    "check_result",
    "check_sample_weight",
    "check_values",
    "is_changed",
    "suspicions",
]

CLASS_DIM = 1
"""Where losses with classes expect them."""

# How far a probability may be outside 0 to 1, its logarithm above 0, and a distance below 0: room
# for the rounding of a half-precision softmax, or of mixed targets.
_SLACK = 1e-2
# torch moves these to the device itself.
_ANYWHERE = ("label sequence", "length")


def _check_devices(definition: LossDefinition, inputs: Mapping[str, Tensor]) -> None:
    """Check that all are on one device, but for 0-d tensors, labels of sequences, and lengths.

    Raises:
        Misfit: A tensor is on another device.
    """
    if not definition.inputs:
        return
    first = inputs[definition.inputs[0].name].device
    for argument in definition.inputs:
        tensor = inputs[argument.name]
        if tensor.device != first and tensor.dim() and argument.domain not in _ANYWHERE:
            raise Misfit(
                argument.name, f"expected a tensor on {first}, found one on {tensor.device}"
            )


def check_inputs(
    definition: LossDefinition, inputs: Mapping[str, Tensor], class_dim: int = 1
) -> dict[str, int]:
    """Check the inputs' shapes, dtypes and devices against the definition.

    Args:
        definition: The loss.
        inputs: Its arguments by name.
        class_dim: Where the classes were, before they were moved to dimension 1.

    Returns:
        The size behind each label, as `Shape.sizes` returns them.

    Raises:
        Misfit: A tensor does not fit the definition.
    """
    for argument in definition.inputs:
        _check_layout(argument, inputs[argument.name])
    _check_devices(definition, inputs)
    for argument in definition.inputs:
        _check_dtype(argument, inputs[argument.name])
    return _check_shapes(definition, inputs, class_dim)


def suspicions(
    definition: LossDefinition, module: nn.Module, inputs: Mapping[str, Tensor], *, values: bool
) -> list[Problem]:
    """Run the definition's own checks, and return problems that may be intended.

    Args:
        definition: The loss.
        module: The built loss.
        inputs: Its arguments by name, which fit the definition's shapes and dtypes.
        values: Whether to check values, filled where they are masked, instead of shapes.

    Raises:
        Misfit: A check found something that is certainly wrong.
        RuntimeError: A check failed.
        TypeError: A check did not return a Problem or None.
    """
    name = "check_values" if values else "check_shapes"
    check: Callable[[nn.Module, Mapping[str, Tensor]], object] | None = getattr(definition, name)
    if check is None:
        return []
    try:
        problem = check(module, inputs)
    except torch.OutOfMemoryError:
        raise  # a RuntimeError, but not for the loss's reason
    except Exception as error:
        raise RuntimeError(f"its {name} failed: {described(error)}") from error
    if problem is None:
        return []
    if not isinstance(problem, Problem):
        raise TypeError(f"its {name} gave a {type(problem).__name__}, not a Problem or None")
    if problem.certain:
        raise Misfit(problem.argument, problem.message)
    return [problem]


def check_values(
    definition: LossDefinition,
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    sizes: Mapping[str, int],
    *,
    masked: bool,
) -> None:
    """Check the inputs' values against the definition.

    Args:
        definition: The loss.
        module: The built loss.
        inputs: Its arguments by name, filled where they are masked.
        sizes: The size behind each letter.
        masked: Whether anything was filled.

    Raises:
        Misfit: A value is outside of its domain.
    """
    for argument in definition.inputs:
        tensor = inputs[argument.name]
        if tensor.numel() == 0:
            continue
        outside = _outside(argument, tensor, sizes, module)
        if outside is None:
            continue
        wrong, wanted = outside
        if masked:
            # A safe value may be outside of the domain that a parameter has chosen.
            wrong = wrong & (tensor != argument.safe)
        if bool(wrong.any()):
            worst = tensor[wrong].flatten()[0].item()
            raise Misfit(argument.name, f"expected {wanted}, found {worst:g}")


def check_alone(
    argument: LossInput, tensor: Tensor, place: str, device: torch.device | None, *, values: bool
) -> None:
    """Check a number, or one tensor of a list, whose sizes are its own.

    Args:
        argument: The input.
        tensor: The tensor; of a number, its dtype and shape have been checked.
        place: Where it is in a list, to end a message with.
        device: Where it should be; None for a number.
        values: Whether to check its values, as far as they are no class indices.

    Raises:
        Misfit: It does not fit.
    """
    if argument.holds == "list":
        _check_layout(argument, tensor)
        if tensor.device != device:
            message = f"expected a tensor on {device}, found one on {tensor.device}{place}"
            raise Misfit(argument.name, message)
        _check_dtype(argument, tensor, place)
        if argument.letters.forms and argument.letters.sizes(tensor.shape) is None:
            message = f"expected the shape {argument.letters} of each tensor in the list, found "
            raise Misfit(argument.name, f"{message}{tuple(tensor.shape)}{place}")
    outside = _values(argument.domain, tensor) if values else None
    if outside is not None and bool(outside[0].any()):
        worst = tensor[outside[0]].flatten()[0].item()
        raise Misfit(argument.name, f"expected {outside[1]}, found {worst:g}{place}")


def check_mask(mask: Tensor | None) -> list[str]:
    """Return what is suspicious in a mask that is not bool.

    Raises:
        Misfit: It has numbers that mean neither 0 nor 1.
    """
    if mask is None or mask.dtype == torch.bool:
        return []
    wanted = "expected a mask of bool, or of 0 and 1"
    if mask.is_complex():
        raise Misfit("mask", f"{wanted}, found {mask.dtype}")
    others = mask[(mask != 0) & (mask != 1)]
    if not others.numel():
        return []
    # A count, or an image's 255, means that an entry is kept; a number below 1 would be a weight.
    wrong = others[~(others > 1) | (others == math.inf)]
    if wrong.numel():
        raise Misfit(
            "mask",
            f"{wanted}, found {wrong[0].item():g}: a mask keeps or drops; how much an entry counts "
            "is its sample_weight",
        )
    problem = (
        f"{wanted}, found {others[0].item():g}: every number but 0 keeps an entry, whatever "
        "its size; if this is intended, write apply: [{cast: bool}]"
    )
    return [problem]


def check_sample_weight(weight: Tensor | None, keep: Tensor | None, *, divides: bool) -> None:
    """Check the weights of the entries that count.

    Args:
        weight: The weights, if there are any.
        keep: Which entries count, or None for all.
        divides: Whether the term is divided by their sum.

    Raises:
        Misfit: A weight is nan or infinite; or it is negative, and the term is divided by the sum.
    """
    if weight is None:
        return
    if weight.is_complex():
        raise Misfit("sample_weight", f"expected real numbers, found {weight.dtype}")
    wrong = ~weight.isfinite()
    if divides:
        wrong = wrong | (weight < 0)
    if keep is not None:
        if keep.dim() > weight.dim():
            keep = keep.flatten(weight.dim()).any(-1)
        shape = weight.shape[: keep.dim()]
        if keep.shape != shape:
            return  # the reduction reports it
        keep = keep.reshape(keep.shape + (1,) * (weight.dim() - keep.dim()))
        wrong = wrong & keep.to(wrong.device)
    if not bool(wrong.any()):
        return
    worst = weight[wrong][0].item()
    if math.isfinite(worst):
        raise Misfit(
            "sample_weight",
            f"expected weights of at least 0, because the mean divides by their sum, found "
            f"{worst:g}; write divide_by: kept, entries or rows, or params: {{reduction: sum}}",
        )
    raise Misfit("sample_weight", f"expected finite weights where an entry counts, found {worst:g}")


def check_divisor(divisor: Tensor | float, rounded: Tensor) -> None:
    """Check the number of a `divide_by`.

    Args:
        divisor: The number.
        rounded: The number in the dtype of the division.

    Raises:
        Misfit: It is nan, infinite or below 0, or becomes infinite or 0 when it is rounded.
    """
    exact = divisor.item() if isinstance(divisor, torch.Tensor) else divisor
    number = rounded.item()
    if 0 <= number < math.inf and (number > 0 or exact == 0):
        return
    shown = f"{exact:g}"
    if 0 < exact < math.inf:
        shown += f", which is {number:g} in {rounded.dtype}"
    raise Misfit("divide_by", f"expected a finite number of at least 0, found {shown}")


def is_changed(before: Tensor, after: Tensor) -> bool:
    """Whether a tensor's values differ from those of its copy; nan equals nan."""
    after = after.detach()
    if (before.shape, before.dtype, before.device) != (after.shape, after.dtype, after.device):
        return True
    if before.layout != torch.strided or before.is_meta:
        return False  # not every layout can be compared
    is_nan = (before != before) & (after != after)  # noqa: PLR0124
    return not bool(((before == after) | is_nan).all())


def check_result(
    definition: LossDefinition, inputs: Mapping[str, Sequence[Tensor]], value: Tensor
) -> str:
    """Say what is wrong with a loss's result, which is a 0-d tensor; empty if nothing is.

    Reads no value, so it does not wait for a device.

    Args:
        definition: The loss.
        inputs: By argument, its tensors: one, or those of a list.
        value: The result.
    """
    if not value.is_floating_point():
        return f"expected a floating-point number, found {value.dtype}"
    wanted = [argument.name for argument in definition.inputs if argument.gradient]
    if torch.is_grad_enabled() and not value.requires_grad:
        attached = [name for name in wanted if any(t.requires_grad for t in inputs.get(name, ()))]
        if attached:
            names = " and ".join(f"'{name}'" for name in attached)
            return f"expected a value with a gradient for {names}, found one detached from it"
    return ""


def _check_layout(argument: LossInput, tensor: Tensor) -> None:
    """Refuse tensors without one shape or without all entries, if the loss names a shape."""
    if not argument.letters.forms:
        return
    if tensor.is_nested:
        message = (
            "expected one shape, found a nested tensor, whose rows differ; pad it, "
            "torch.nested.to_padded_tensor(x, 0.0), and give the term a 'mask' of what is not "
            "padding"
        )
        raise Misfit(argument.name, message)
    if tensor.layout != torch.strided:
        message = f"expected a dense tensor, found {tensor.layout}; give x.to_dense()"
        raise Misfit(argument.name, message)


def _check_dtype(argument: LossInput, tensor: Tensor, place: str = "") -> None:
    is_float = tensor.is_floating_point()
    is_int = not is_float and not tensor.is_complex()
    fits = {"float": is_float, "int": is_int, "float or int": is_float or is_int}[argument.dtype]
    if not fits:
        wanted = "a floating-point tensor" if argument.dtype == "float" else "an integer tensor"
        message = f"expected {wanted}, found {tensor.dtype}{place}"
        if tensor.is_complex() and argument.dtype == "float":
            message += (
                "; give its magnitudes, x.abs(), or its two parts as a dimension more, "
                "torch.view_as_real(x)"
            )
        raise Misfit(argument.name, message)


def _check_shapes(
    definition: LossDefinition, inputs: Mapping[str, Tensor], class_dim: int
) -> dict[str, int]:
    """The size behind each letter; each letter has one, and `*` one shape."""
    sizes, misfit = _match_shapes(definition, inputs, batched=True)
    if misfit is None:
        return sizes
    # Raised only here: torch 2.6 does not trace a Misfit that is made and caught.
    if definition.unbatched:
        sizes, still_misfit = _match_shapes(definition, inputs, batched=False)
        if still_misfit is None:
            return sizes
    argument, owner = misfit
    tensor = inputs[argument.name]
    if owner is None:
        shape = tuple(tensor.shape)
        letters = argument.letters_of(tensor, definition.inputs[0])
        message = f"expected the shape {letters}, found {shape}"
        if letters is not argument.letters:
            message += (
                ": floating-point targets are class probabilities; class indices are integers of "
                f"the shape {argument.letters}, and apply: [{{cast: int64}}] makes them"
            )
        raise Misfit(argument.name, message)
    against = _against(tensor, inputs[owner], owner)
    raise Misfit(argument.name, against + _of_classes(definition, inputs, class_dim))


def _match_shapes(
    definition: LossDefinition, inputs: Mapping[str, Tensor], *, batched: bool
) -> tuple[dict[str, int], tuple[LossInput, str | None] | None]:
    """The size behind each letter, and an input that does not fit, with the one it contradicts."""
    sizes: dict[str, int] = {}
    owners: dict[str, str] = {}
    for argument in definition.inputs:
        if not argument.letters.forms:
            continue
        own_sizes = _sizes(argument, inputs[argument.name], definition, batched=batched)
        if own_sizes is None:
            return sizes, (argument, None)
        for label, size in own_sizes:
            owner = owners.setdefault(label, argument.name)
            if sizes.setdefault(label, size) != size:
                return sizes, (argument, owner)
    return sizes, None


def _sizes(
    argument: LossInput, tensor: Tensor, definition: LossDefinition, *, batched: bool
) -> tuple[tuple[str, int], ...] | None:
    letters = argument.letters_of(tensor, definition.inputs[0])
    if argument.domain == "label sequence" and tensor.dim() == 1:
        return ((letters.forms[0][-1], tensor.shape[0]),)  # concatenated, without padding
    return letters.sizes(tensor.shape, batched=batched)


def _against(tensor: Tensor, other: Tensor, name: str) -> str:
    return (
        f"expected a shape that fits {tuple(other.shape)} of '{name}', found "
        f"{tuple(tensor.shape)}; torch would broadcast or refuse it"
    )


def _of_classes(definition: LossDefinition, inputs: Mapping[str, Tensor], class_dim: int) -> str:
    """Where classes are expected, for inputs that do not fit; and what to write, if that helps."""
    names, is_moved = definition.with_classes, class_dim != CLASS_DIM
    # Of two dimensions, the classes are the last one already.
    least = CLASS_DIM if is_moved else CLASS_DIM + 1
    if not names or inputs[names[0]].dim() <= least:
        return ""
    start, end = (CLASS_DIM, class_dim) if is_moved else (-1, CLASS_DIM)
    others = {}
    for argument in definition.inputs:
        tensor = inputs[argument.name]
        has_classes = argument.letters_of(tensor, definition.inputs[0]).has("C", CLASS_DIM)
        is_movable = has_classes and tensor.dim() > CLASS_DIM
        others[argument.name] = tensor.movedim(start, end) if is_movable else tensor
    fits = _match_shapes(definition, others, batched=True)[1] is None
    if is_moved:
        remedy = "; without it they fit" if fits else ""
        return f". class_dim: {class_dim} moved the classes of '{names[0]}' to dimension 1{remedy}"
    remedy = "; if they are last, write class_dim: -1 in the term" if fits else ""
    return f". The classes of '{names[0]}' are expected at dimension 1{remedy}"


def _outside(
    argument: LossInput, tensor: Tensor, sizes: Mapping[str, int], module: nn.Module
) -> tuple[Tensor, str] | None:
    """Which entries are outside the input's domain, and what was expected."""
    domain: str = argument.domain
    if domain == "class index or probability":
        domain = "probability" if tensor.is_floating_point() else "class index"
    if domain == "probability or log-probability" and getattr(module, "log_target", False):
        domain = "log-probability"
    if domain.startswith("class index"):
        ignored = getattr(module, "ignore_index", None)
        return _class_indices(domain, tensor, sizes.get("C"), ignored)
    return _values(domain, tensor)


def _class_indices(
    domain: str, tensor: Tensor, classes: int | None, ignored: int | None
) -> tuple[Tensor, str] | None:
    """Which entries are not a class index, and what was expected."""
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
    if domain == "probability or log-probability":
        wrong = (tensor < -_SLACK) | (tensor > 1 + _SLACK)
        return wrong, "probabilities from 0 to 1 (log_target: true takes their logarithms)"
    if domain == "log-probability":
        return tensor > _SLACK, "log-probabilities, at most 0: is a log_softmax missing?"
    if domain in ("count", "length"):
        return tensor < 0, "no negative value"
    if domain == "non-negative":
        # A distance that is a difference, such as 1 - cosine, may be rounded to below 0.
        return tensor < -_SLACK, "no negative value"
    return None
