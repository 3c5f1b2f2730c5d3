"""What an objective reads, and a step's values: the batch and the model's output by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from lossreg.config import CompositeConfig
from lossreg.errors import InputError
from lossreg.integrations.accumulation import known_values

__all__ = ["merged", "names_read"]


def names_read(config: CompositeConfig) -> dict[str, None]:
    """The first keys of an objective's paths, in order.

    Args:
        config: The objective.
    """
    return {
        path.steps[0]: None
        for term in config.terms
        if term.enabled
        for route in term.routes
        for path in route.paths
        if path.steps and isinstance(path.steps[0], str)
        if term.each is None or not term.each.starts(path)
    }


def merged(batch: Any, outputs: Any, names: Mapping[str, None]) -> dict[str, Any]:
    """The batch and the model's output as one mapping.

    Args:
        batch: The batch, a mapping.
        outputs: The model's output, which has names.
        names: What the objective reads.

    Raises:
        InputError: The output has no names; or a name that the objective reads is in both, and is
            not the same object.
    """
    tensors, of_model = _named(batch), _named(outputs)
    for name in names:
        mine, other = tensors.get(name), of_model.get(name)
        if mine is not None and other is not None and mine is not other:
            raise InputError(
                f"the objective reads '{name}', which is in the batch and in the model's output: "
                "override values(inputs, outputs) of the Trainer to return a mapping in which they "
                "have different names"
            )
    return {**of_model, **{name: value for name, value in tensors.items() if value is not None}}


def _named(values: Any) -> dict[str, Any]:
    """A batch or an output as a dictionary."""
    if isinstance(values, Mapping):
        return dict(values)
    if dataclasses.is_dataclass(values):
        return {field.name: getattr(values, field.name) for field in dataclasses.fields(values)}
    if hasattr(values, "_asdict"):
        named: dict[str, Any] = values._asdict()
        return named
    try:
        known_values(values)
    except InputError:
        pass
    else:
        if getattr(values, "__dict__", None):
            return dict(vars(values))
    raise InputError(
        f"the model returns a {type(values).__name__}, which has no names: let it return a mapping "
        "or a ModelOutput (return_dict=True), or override values(inputs, outputs) of the Trainer"
    )
