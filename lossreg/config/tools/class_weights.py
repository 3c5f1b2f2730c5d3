"""The part of the JSON Schema that is about class weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lossreg.config.declare.class_weights import SOURCES, WEIGHED
from lossreg.config.declare.fields import LARGEST
from lossreg.plugin.fields import weights_of
from lossreg.vocabulary.class_weights import METHODS

if TYPE_CHECKING:
    from collections.abc import Callable

    from lossreg.plugin import LossConfig
    from lossreg.vocabulary.class_weights import Method

__all__ = ["WEIGHED", "of_class_weights", "with_class_weights"]

_BESIDE = ("default", "description")
_ARGUMENTS = ("beta", "total")
_BOUNDS: dict[str, dict[str, float]] = {
    "number": {"minimum": 0, "maximum": LARGEST},
    "array": {"minItems": 1},
}


def of_class_weights(weigh: str, form: dict[str, Any]) -> dict[str, Any]:
    """The schema of a mapping of class weights.

    Args:
        weigh: What the numbers of its parameter weigh, a key of `WEIGHED`.
        form: The schema of its keys.
    """
    fitting = [method for method in METHODS.values() if method.weigh == weigh]
    form["properties"]["method"] |= {"enum": [method.name for method in fitting]}
    form["oneOf"] = [{"required": [source]} for source in SOURCES]
    counted = ("counts", "positives", *_ARGUMENTS)
    form["dependentRequired"] = {"values": ["classes"], **{key: ["method"] for key in counted}}
    rules = [
        {
            "if": {"properties": {"method": {"const": method.name}}, "required": ["method"]},
            "then": _of_method(method),
        }
        for method in fitting
    ]
    return {**form, "allOf": rules} if rules else form


def _of_method(method: Method) -> dict[str, Any]:
    arguments = [argument.name for argument in method.arguments]
    return {
        "required": arguments,
        "anyOf": [{"required": [key]} for key in (method.counts, "file")],
        "properties": {name: False for name in _ARGUMENTS if name not in arguments},
    }


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
                "anyOf": [*map(_bounded, rest.get("anyOf", [rest])), form(weights.weigh)],
                **{key: known[key] for key in _BESIDE if key in known},
            }


def _bounded(arm: dict[str, Any]) -> dict[str, Any]:
    """An arm of the parameter's own schema, with the bounds that it is checked for."""
    bounded = {**arm, **_BOUNDS.get(arm.get("type", ""), {})}
    items = arm.get("items", {})
    if "anyOf" in items:
        bounded["items"] = {"anyOf": list(map(_bounded, items["anyOf"]))}
    elif items:
        bounded["items"] = _bounded(items)
    return bounded
