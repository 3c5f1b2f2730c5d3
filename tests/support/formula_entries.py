"""What each entry of an unreduced loss is by the formula of its page."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args, get_origin

import torch
from torch import Tensor

from formulas import Formula, Names, UnreadableError, Value
from lossreg.plugin import LossDefinition
from lossreg.plugin.fields import weights_of


def entries(
    definition: LossDefinition,
    tensors: Mapping[str, Tensor],
    params: Mapping[str, Any],
    functions: Mapping[str, Callable[..., Value]],
) -> Tensor:
    """The unreduced loss by the formula of a definition, in float64.

    Args:
        definition: The loss.
        tensors: Its arguments by name.
        params: Its parameters, if not the defaults.
        functions: What computes a symbol that the definition explains in words.
    """
    formula, first = Formula(definition.formula, functions), definition.inputs[0]
    sizes: dict[str, int] = {}
    labels: dict[str, tuple[str, ...]] = {}
    for argument in definition.inputs:
        tensor = tensors[argument.name]
        labels[argument.name] = argument.letters_of(tensor, first).labels(tensor.shape) or ()
        sizes |= dict(zip(labels[argument.name], tensor.shape, strict=True))
    dims = definition.unreduced_letters.labels_beside(sizes)
    shape = [sizes[label] for label in dims]
    values = []
    for place in itertools.product(*map(range, shape)):
        at = dict(zip(dims, place, strict=True))
        own: Names = {
            argument.name: _slice(
                argument.domain, tensors[argument.name], labels[argument.name], at
            )
            for argument in definition.inputs
        }
        own |= _parameters(definition, params, sizes, shape, place)
        names: Names = {**sizes, **own, **functions}
        for latex, meaning in definition.symbols.items():
            name = meaning.partition(", ")[0]
            if name in own:
                names[latex] = own[name]
            elif latex not in functions:
                raise UnreadableError(f"{latex!r} is explained in words, which nobody computes")
        values.append(formula.value(names))
    return torch.tensor(values, dtype=torch.float64).reshape(shape)


def _slice(domain: str, tensor: Tensor, labels: tuple[str, ...], at: Mapping[str, int]) -> Value:
    """What one entry of the loss sees of an input."""
    own = tensor[tuple(at.get(label, slice(None)) for label in labels)]
    if domain == "class index list":
        return list(itertools.takewhile(lambda index: index >= 0, own.tolist()))
    if not own.dim():
        return own.item()
    return own.double() if own.is_floating_point() else own


def _parameters(
    definition: LossDefinition,
    params: Mapping[str, Any],
    sizes: Mapping[str, int],
    shape: list[int],
    place: tuple[int, ...],
) -> Names:
    """The parameters of one entry: a factor of each entry is the entry's own."""
    values = dict(definition.config(**params))
    for name, field in definition.config.model_fields.items():
        if get_origin(field.annotation) is Literal:
            for choice in get_args(field.annotation):
                values[f"{name}_is_{choice}".replace(" ", "_")] = values[name] == choice
        weights = weights_of(field)
        if weights is not None:
            wide = shape if weights.any_shape else [sizes["C"]]
            numbers = torch.tensor(values[name] or 1.0, dtype=torch.float64).expand(wide)
            values[name] = numbers[place].item() if weights.any_shape else numbers
    return values
