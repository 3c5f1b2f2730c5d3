"""Whether a loss can be built and differentiated: with small batches, one of which may fit it."""

from __future__ import annotations

import inspect
import re
import sys
import warnings
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from pydantic import ValidationError

from lossreg.plugin.fields import is_tensor
from lossreg.plugin.from_module.annotations import words_of_field
from lossreg.plugin.from_module.signatures import constructor_arguments

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping

    from pydantic.fields import FieldInfo
    from torch import nn

    from lossreg.plugin import LossDefinition

__all__ = ["Trial", "guessed_types", "tried"]

# Shapes of values that are to be compared: rows, images, volumes, sound.
_SHAPES = ("4, 3", "2, 3, 16, 16", "2, 1, 16, 16", "2, 1, 8, 8, 8", "2, 1, 4096", "2, 3, 64, 64")
_CLASSES = ("class", "classes", "gt", "label", "labels", "target", "targets", "y")
_EMBEDDINGS = "torch.randn(8, 6, generator=generator)"
_SIZE = re.compile(r"^(num|n)_|_(dims?|size|channels)$|^(classes|dim)$")
_UNFIT = "no batch that was tried fits it"
_MOST_PARAMETERS = 24  # combinations of values for the parameters that must be given


class Trial(NamedTuple):
    """A batch that a loss takes.

    Attributes:
        batch: Each input's tensor, as source with a `generator`.
        params: The parameters that must be given.
        gradient: The inputs that get a gradient.
    """

    batch: Mapping[str, str]
    params: Mapping[str, Any]
    gradient: tuple[str, ...]


def tried(definition: LossDefinition) -> Trial | str:
    """The first batch that a loss takes; or why there is none."""
    reason = "its parameters could not be guessed"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for params in _params(definition):
            try:
                module = definition.build(definition.config(**params))
            except Exception as error:  # noqa: BLE001 - whatever a library raises
                reason = f"it cannot be built: {_first_line(error)}"
                continue
            for batch in _batches(definition):
                gradient = _gradient(definition, module, batch)
                if isinstance(gradient, tuple):
                    return Trial(batch, params, gradient)
                if not reason.startswith(_UNFIT):
                    reason = f"{_UNFIT}: {gradient}"  # of the likeliest batch
    return reason


def _gradient(
    definition: LossDefinition, module: nn.Module, batch: Mapping[str, str]
) -> tuple[str, ...] | str:
    """The inputs that get a gradient, or why the batch does not fit."""
    declared = {argument.name for argument in definition.inputs if argument.gradient}
    reason = ""
    for leaves in (batch.keys(), declared):  # some losses write to a target
        try:
            gradient = _differentiated(definition, module, batch, leaves)
        except Exception as error:  # noqa: BLE001 - whatever a library raises
            reason = reason or _first_line(error)
            continue
        if gradient:
            return gradient
        reason = reason or "its value has no gradient"
    return reason


def _first_line(error: Exception) -> str:
    text = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {text[:120]}"


def _params(definition: LossDefinition) -> Iterator[dict[str, Any]]:
    """Values for the parameters that must be given."""
    required = {
        name: _values(name, field)
        for name, field in definition.config.model_fields.items()
        if field.is_required()
    }
    for count, values in enumerate(product(*required.values())):
        if count == _MOST_PARAMETERS:
            return
        params = dict(zip(required, values, strict=True))
        try:
            definition.config(**params)
        except ValidationError:
            continue
        yield params


def _values(name: str, field: FieldInfo) -> list[Any]:
    if words := words_of_field(field.annotation):
        return list(words)
    written = re.findall(r"""['"`](\w+)['"`]""", field.description or "")
    sizes = {"embedding_size": [6], "num_classes": [4, 3], "classes": [3], "spatial_dims": [2, 3]}
    numbers = sizes.get(name, [0.5, 1, 2, 3, 6])
    return [*numbers, *written, True, [3, 5]] if str in _arms(field) else [*numbers, True, [3, 5]]


def _arms(field: FieldInfo) -> tuple[Any, ...]:
    return (field.annotation, *get_args(field.annotation))


def _batches(definition: LossDefinition) -> Iterator[dict[str, str]]:
    """Batches that losses with these inputs often take, the likely ones first."""
    holds = {argument.name: argument.holds for argument in definition.inputs}
    for batch in _batches_of_tensors(definition):
        yield {
            name: {"tensor": tensor, "list": f"[{tensor}, {tensor}]", "number": "1"}[holds[name]]
            for name, tensor in batch.items()
        }


def _batches_of_tensors(definition: LossDefinition) -> Iterator[dict[str, str]]:
    required = [argument.name for argument in definition.inputs if not argument.optional]
    for names in (required, [argument.name for argument in definition.inputs][: len(required) + 1]):
        *before, last = names
        are_classes = any(part in _CLASSES for part in last.lower().split("_"))
        alike = [dict.fromkeys(names, _floats(shape)) for shape in _SHAPES]
        classes = [
            {**dict.fromkeys(before, values), last: indices} for values, indices in _of_classes()
        ]
        if not before:
            yield from alike
            yield {last: _EMBEDDINGS}
        elif "embed" in before[0]:
            yield from classes
        else:
            yield from [*classes, *alike] if are_classes else [*alike, *classes]


def _floats(shape: str) -> str:
    return f"torch.rand({shape}, generator=generator)"


def _of_classes() -> Iterator[tuple[str, str]]:
    """Values, and what they are compared with: classes, or yes and no."""
    yield _EMBEDDINGS, "torch.arange(8) // 2"
    indices = "torch.randint(3, ({}), generator=generator)"
    for shape, labels in (("6, 3", "6,"), ("2, 3, 8, 8", "2, 8, 8")):
        yield f"torch.randn({shape}, generator=generator)", indices.format(labels)
    yield "torch.randn(2, 3, 8, 8, 8, generator=generator)", indices.format("2, 1, 8, 8, 8")
    for shape in ("4, 3", "2, 3, 16, 16", "2, 1, 16, 16"):
        drawn = f"torch.rand({shape}, generator=generator)"
        yield f"torch.randn({shape}, generator=generator)", f"{drawn}.round()"
    yield _floats("4, 3"), "torch.tensor([1.0, -1.0, 1.0, -1.0])"
    yield "torch.randn(2, 1, 8, 8, generator=generator)", f"{_floats('2, 8, 8')}.round()"
    # Last, because it is also broadcast.
    yield "torch.randn(2, 3, 8, 8, generator=generator)", indices.format("2, 1, 8, 8")


def _differentiated(
    definition: LossDefinition, module: nn.Module, batch: Mapping[str, str], leaves: Container[str]
) -> tuple[str, ...]:
    """Those of some inputs that get a gradient.

    Raises:
        TypeError: The value is not one number.
        ValueError: It is not finite.
    """
    torch: Any = sys.modules["torch"]
    torch.manual_seed(0)
    scope = {"torch": torch, "generator": torch.Generator().manual_seed(0)}
    values = {name: eval(source, scope) for name, source in batch.items()}  # noqa: S307 - our own
    floats = [(name, tensor) for name, value in values.items() for tensor in _floating(value)]
    for name, tensor in floats:
        tensor.requires_grad_(name in leaves)
    arguments = ((), values) if definition.call == "keyword" else (values.values(), {})
    value = module(*arguments[0], **arguments[1])
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"its value is a {type(value).__name__}, not a tensor")
    if value.dim():
        raise TypeError(f"its value has the shape {tuple(value.shape)}, not one number")
    if not bool(value.isfinite()):
        raise ValueError(f"its value is {float(value)}")
    value.backward()
    moved = [name for name, tensor in floats if tensor.grad is not None and bool(tensor.grad.any())]
    if not all(
        bool(tensor.grad.isfinite().all()) for _, tensor in floats if tensor.grad is not None
    ):
        raise ValueError("its gradient is not finite")
    return tuple(dict.fromkeys(moved))


def _floating(value: Any) -> list[Any]:
    """The floating-point tensors of an input."""
    members = value if isinstance(value, list) else [value]
    return [member for member in members if is_tensor(member) and member.is_floating_point()]


def guessed_types(loss: type[nn.Module]) -> dict[str, Any]:
    """The types of parameters whose signature does not say them, by their names."""
    return {
        argument.parameter.name: int
        for argument in constructor_arguments(loss)
        if argument.hint is inspect.Parameter.empty
        and argument.parameter.default is inspect.Parameter.empty
        and _SIZE.search(argument.parameter.name)
    }
