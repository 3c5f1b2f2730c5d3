"""The part of the JSON Schema that is about class weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lossreg.config.declare.class_weights import SOURCES, WEIGHED
from lossreg.plugin.fields import weights_of
from lossreg.vocabulary.class_weights import METHODS

if TYPE_CHECKING:
    from collections.abc import Callable

    from lossreg.plugin import LossConfig

__all__ = ["WEIGHED", "of_class_weights", "with_class_weights"]

_BESIDE = ("default", "description")


def of_class_weights(weigh: str, form: dict[str, Any]) -> dict[str, Any]:
    """The schema of a mapping of class weights.

    Args:
        weigh: What the numbers of its parameter weigh, a key of `WEIGHED`.
        form: The schema of its keys.
    """
    fitting = [method for method in METHODS.values() if method.weigh == weigh]
    form["properties"]["method"] |= {"enum": [method.name for method in fitting]}
    form["oneOf"] = [{"required": [source]} for source in SOURCES]
    counted = ("counts", "positives", "beta", "total")
    form["dependentRequired"] = {"values": ["classes"], **{key: ["method"] for key in counted}}
    rules = [
        {
            "if": {"properties": {"method": {"const": method.name}}, "required": ["method"]},
            "then": {
                "required": [argument.name for argument in method.arguments],
                "anyOf": [{"required": [key]} for key in (method.counts, "file")],
            },
        }
        for method in fitting
    ]
    return {**form, "allOf": rules} if rules else form


def with_class_weights(
    schema: dict[str, Any], config: type[LossConfig], form: Callable[[str], dict[str, Any]]
) -> None:
    """Let each parameter that holds class weights be a mapping as well.

    Args:
        schema: The schema of a loss's parameters, which is changed.
        config: The class that describes them.
        form: Gives the schema of the mapping by what the numbers weigh.
    """
    properties = schema.get("properties", {})
    for name, field in config.model_fields.items():
        weights, written = weights_of(field), field.alias or name
        if weights is not None and written in properties:
            known = properties[written]
            rest = {key: part for key, part in known.items() if key not in _BESIDE}
            properties[written] = {
                "anyOf": [*rest.get("anyOf", [rest]), form(weights.weigh)],
                **{key: known[key] for key in _BESIDE if key in known},
            }
