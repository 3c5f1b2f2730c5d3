"""A JSON Schema of configs: what an editor completes and validates.

Made from the grammar, the vocabulary and the losses that are installed. It accepts every config
that `check` accepts; it cannot say what depends on several places, such as a key that stands twice.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from lossreg.config.declare.fields import LARGEST
from lossreg.config.declare.trainer import TrainerConfig
from lossreg.config.declare.weights import FORMS
from lossreg.config.grammar import (
    ACTIVE,
    CLASS_WEIGHTS,
    COMPOSITE,
    CONSTANT,
    EACH,
    ELEMENT_WEIGHTS,
    ENTRIES,
    EXPERIMENT,
    GROUP,
    LEARNED,
    MASK,
    PICK,
    REQUIRED,
    ROUTE,
    TERM,
)
from lossreg.config.tools.class_weights import WEIGHED, of_class_weights, with_class_weights
from lossreg.vocabulary.arguments import REQUIRED as NO_DEFAULT
from lossreg.vocabulary.schedules import SCHEDULES
from lossreg.vocabulary.transforms import TRANSFORMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from lossreg.config.grammar import Construct, Key
    from lossreg.plugin import LossDefinition
    from lossreg.vocabulary.arguments import Argument
    from lossreg.vocabulary.schedules import Schedule
    from lossreg.vocabulary.transforms import TransformDefinition

    _Schema: TypeAlias = dict[str, Any]

__all__ = ["document_schema", "term_schema"]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_INDEX = r"\[-?[0-9]{1,9}\]"
_KEY = r"[^\s.\[\]]+"
_PATH = rf"^({_KEY}({_INDEX})*|({_INDEX})+)(\.{_KEY}({_INDEX})*)*$"
_FILE = r"^(?![/~])(?!(.*/)?\.\./)[^\\\0]*\.([jJ][sS][oO][nN]|[cC][sS][vV])$"
_NAN = r"^\.?nan$"
_NUMBER: _Schema = {"type": "number", "minimum": -LARGEST, "maximum": LARGEST}


def _ref(name: str) -> _Schema:
    return {"$ref": f"#/$defs/{name}"}


def _any_of(*schemas: _Schema) -> _Schema:
    return {"anyOf": list(schemas)}


def _choice(key: Key) -> _Schema:
    return {"enum": list(key.choices)}


def _list_of(schema: _Schema) -> _Schema:
    return {"type": "array", "items": schema}


# By kind of value, as the grammar names them.
_FRAGMENTS: Mapping[str, Callable[[Key], _Schema]] = MappingProxyType(
    {
        "active": lambda _: _mapping(ACTIVE),
        "beta": lambda _: {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
        "choice": _choice,
        "class names": lambda _: {
            **_list_of({"type": "string"}),
            "minItems": 1,
            "uniqueItems": True,
        },
        "composite": lambda _: _ref("composite"),
        "constant": lambda _: _any_of(_NUMBER, _ref("schedule")),
        "count": lambda _: {"type": "integer", "minimum": 0},
        "counts": lambda _: {
            "type": ["array", "object", "integer"],
            "minimum": 1,
            "items": {"type": ["integer", "array"], "minimum": 1},
            "additionalProperties": {"type": "integer", "minimum": 1},
        },
        "decay": lambda _: {"type": "number", "exclusiveMinimum": 0},
        "derived": lambda _: {"type": "object", "additionalProperties": _ref("operand")},
        "dim": lambda _: {"type": "integer"},
        "dims": lambda _: {**_list_of({"type": "integer"}), "minItems": 1, "uniqueItems": True},
        "divisor": lambda _: _ref("divisor"),
        "each": lambda _: _mapping(EACH),
        "element weights": lambda _: _any_of(_list_of(_NUMBER), _mapping(ELEMENT_WEIGHTS)),
        "entries": lambda _: _any_of(_ref("path"), _ref("entries")),
        "file": lambda _: {"type": "string", "pattern": _FILE},
        "ignored": lambda _: _any_of(_NUMBER, {"type": "string", "pattern": _NAN}),
        "inputs": lambda _: _any_of(
            _list_of(_ref("input")), {"type": "object", "additionalProperties": _ref("input")}
        ),
        # Both keys of a learned weight: its form, which is required, and a number.
        "learned": lambda key: {"enum": list(FORMS)} if key.default is REQUIRED else _NUMBER,
        "lists": lambda _: {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": _any_of(_ref("operand"), _list_of(_ref("operand"))),
        },
        "loss": lambda _: {"type": "string"},
        "mask": lambda _: _any_of(_ref("path"), _ref("mask")),
        "method": _choice,
        "names": lambda _: {**_list_of({"type": "string"}), "uniqueItems": True},
        "params": lambda _: {"type": "object"},
        "path": lambda _: _ref("path"),
        "paths": lambda _: _list_of(_ref("path")),
        "pick": lambda _: _any_of(
            _mapping(PICK), {"type": "object", "additionalProperties": _mapping(PICK)}
        ),
        "place": lambda _: {"type": ["integer", "null"]},
        "places": lambda _: _list_of({"type": "integer"}),
        "seed": lambda _: {"type": "integer", "minimum": 0},
        "switch": lambda _: {"type": "boolean"},
        "task": lambda _: {"type": "string"},
        "terms": lambda _: _ref("terms"),
        "total": lambda _: {"type": "integer", "minimum": 1},
        "trainer": lambda _: _without_titles(TrainerConfig.model_json_schema()),
        "transforms": lambda _: _any_of(_ref("transform"), _list_of(_ref("transform"))),
        "whole number": lambda _: {"type": "integer", "minimum": 1},
        "weights by class": lambda _: {
            "type": "object",
            "additionalProperties": {**_NUMBER, "minimum": 0},
        },
        "weight": lambda _: _any_of(_NUMBER, _ref("schedule"), _ref("learned"), _ref("route")),
    }
)


def document_schema(
    losses: Iterable[tuple[str, LossDefinition]], tasks: Iterable[str]
) -> dict[str, Any]:
    """The schema of a document: an objective, several, or an experiment.

    Args:
        losses: Each loss under the name by which a config may call it.
        tasks: The names of tasks.
    """
    named = list(losses)
    return {
        "$schema": _DIALECT,
        "title": "lossreg config",
        "description": "What a model optimises: terms by name, each a weighted, routed loss.",
        "type": "object",
        **_chosen(
            ("task", _ref("experiment")),
            ("objectives", _ref("objectives")),
            ("terms", _ref("composite")),
            ("loss", {"properties": {"loss": _ref("composite")}}),
            otherwise={"required": ["loss"]},
        ),
        "$defs": _definitions(named, tasks),
    }


def term_schema(name: str, definition: LossDefinition) -> dict[str, Any]:
    """The schema of one term of a loss.

    Args:
        name: The loss's name, as a config writes it.
        definition: The loss.
    """
    return {
        "$schema": _DIALECT,
        "title": f"a term of {name}",
        **_ref("term"),
        "$defs": _definitions([(name, definition)], ()),
    }


def _chosen(*cases: tuple[str, _Schema], otherwise: _Schema) -> _Schema:
    """The schema for the first of the keys that is there."""
    for key, then in reversed(cases):
        otherwise = {"if": {"required": [key]}, "then": then, "else": otherwise}
    return otherwise


def _definitions(losses: list[tuple[str, LossDefinition]], tasks: Iterable[str]) -> _Schema:
    return {
        "composite": _mapping(COMPOSITE),
        "objectives": {
            "properties": {
                "objectives": {
                    "type": "object",
                    "minProperties": 1,
                    "additionalProperties": _ref("composite"),
                }
            }
        },
        # The rest of an experiment's document is its owner's.
        "experiment": {
            **_mapping(EXPERIMENT, task={"enum": list(tasks)}),
            "additionalProperties": True,
        },
        "terms": {
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"pattern": "^[A-Za-z0-9_-]+$"},
            "additionalProperties": {
                "type": "object",
                **_chosen(("type", _ref("term")), otherwise=_ref("group")),
            },
        },
        "group": _mapping(GROUP),
        "term": {
            **_mapping(TERM, type=_named(losses)),
            "allOf": [_of_loss(name, definition) for name, definition in losses],
        },
        "path": {
            "type": "string",
            "pattern": _PATH,
            "description": "where a tensor is in a step's values: heads.seg.logits, hidden[-1]",
        },
        "input": _any_of(_ref("path"), _ref("route"), _mapping(CONSTANT)),
        "route": _mapping(ROUTE),
        "entries": _mapping(ENTRIES),
        "mask": _mapping(MASK),
        "learned": _mapping(LEARNED),
        "operand": _any_of(_ref("path"), _ref("route")),
        "divisor": _divisor(),
        "transform": _any_of(
            {"enum": [name for name, entry in TRANSFORMS.items() if _is_alone(entry)]},
            *map(_transform, TRANSFORMS.values()),
        ),
        "schedule": _schedule(),
        **{
            f"weights_of_{weigh}": of_class_weights(weigh, _mapping(CLASS_WEIGHTS))
            for weigh in WEIGHED
        },
    }


def _mapping(construct: Construct, **known: _Schema) -> _Schema:
    """The schema of one kind of mapping of the language."""
    properties, required = {}, []
    for name, key in construct.keys.items():
        properties[name] = known.get(name) or _FRAGMENTS[key.reads](key)
        properties[name] = {**properties[name], "description": key.meaning}
        if key.default is REQUIRED:
            required.append(name)
        elif isinstance(key.default, bool | int | float | str):
            properties[name]["default"] = key.default
    return {
        "title": construct.name,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _named(losses: list[tuple[str, LossDefinition]]) -> _Schema:
    return {"oneOf": [{"const": name, "description": loss.summary} for name, loss in losses]}


def _of_loss(name: str, definition: LossDefinition) -> _Schema:
    """What a term of one loss may have under `params`, `inputs` and `detach`."""
    arguments = [argument.name for argument in definition.inputs]
    required = [argument.name for argument in definition.inputs if not argument.optional]
    by_name = {
        argument.name: {**_ref("input"), "description": argument.meaning}
        for argument in definition.inputs
    }
    inputs = _any_of(
        {"type": "array", "minItems": arguments.index(required[-1]) + 1, "maxItems": len(by_name)},
        {"type": "object", "required": required},
    )
    return {
        "if": {"properties": {"type": {"const": name}}, "required": ["type"]},
        "then": {
            "properties": {
                "params": _params(definition),
                "inputs": {
                    **inputs,
                    "properties": by_name,
                    "items": _ref("input"),
                    "additionalProperties": False,
                },
                "detach": {"items": {"enum": arguments}},
            }
        },
    }


def _params(definition: LossDefinition) -> _Schema:
    schema = _without_titles(definition.config.model_json_schema(ref_template=_LOCAL))
    schema["title"] = f"parameters of {definition.name}"
    inner = schema.pop("$defs", None)
    if inner:
        schema = _inlined(schema, inner)
    with_class_weights(schema, definition.config, lambda weigh: _ref(f"weights_of_{weigh}"))
    reductions = schema.get("properties", {}).get("reduction", {}).get("enum", [])
    if "none" in reductions:
        reductions.remove("none")  # a term must be one number
    return dict(schema)


_LOCAL = "{model}"


def _inlined(schema: Any, definitions: Mapping[str, Any]) -> Any:
    """A schema of pydantic's with its references replaced, since its place is not the root."""
    if isinstance(schema, list):
        return [_inlined(child, definitions) for child in schema]
    if not isinstance(schema, dict):
        return schema
    name = schema.get("$ref")
    if isinstance(name, str) and name in definitions:
        beside = {key: child for key, child in schema.items() if key != "$ref"}
        return _inlined({**definitions[name], **beside}, definitions)
    return {key: _inlined(child, definitions) for key, child in schema.items()}


def _without_titles(schema: Any) -> Any:
    """A schema without the titles that pydantic makes from names of classes and fields."""
    if isinstance(schema, list):
        return [_without_titles(child) for child in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _without_titles(child)
        for key, child in schema.items()
        if not (key == "title" and isinstance(child, str))
    }


def _divisor() -> _Schema:
    from lossreg.config.declare.divisors import OF_A_PATH, WORDS

    forms = [
        {
            "type": "object",
            "properties": {word: _ref("operand" if word == "number" else "path")},
            "required": [word],
            "additionalProperties": False,
        }
        for word in OF_A_PATH
    ]
    return _any_of({"enum": list(WORDS)}, *forms)


def _schedule() -> _Schema:
    return {
        "type": "object",
        "properties": {"schedule": {"enum": list(SCHEDULES)}},
        "required": ["schedule"],
        "allOf": [
            {
                "if": {"properties": {"schedule": {"const": name}}, "required": ["schedule"]},
                "then": _of_schedule(name, model),
            }
            for name, model in SCHEDULES.items()
        ],
    }


def _of_schedule(name: str, model: type[Schedule]) -> _Schema:
    schema = _without_titles(model.model_json_schema())
    schema["title"] = f"schedule {name}"
    schema["properties"] = {"schedule": {"const": name}, **schema["properties"]}
    return dict(schema)


def _is_alone(entry: TransformDefinition) -> bool:
    return all(argument.default is not NO_DEFAULT for argument in entry.arguments)


def _transform(entry: TransformDefinition) -> _Schema:
    """A mapping of a transform's name to its arguments, or to the only one."""
    named = {
        "type": "object",
        "properties": {argument.name: _argument(argument) for argument in entry.arguments},
        "required": [
            argument.name for argument in entry.arguments if argument.default is NO_DEFAULT
        ],
        "additionalProperties": False,
    }
    forms: list[_Schema] = [named]
    if _is_alone(entry):
        forms.append({"type": "null"})
    if entry.arguments and not entry.by_name:
        forms.append(_argument(entry.arguments[0]))
    if entry.by_list:
        each = [_argument(argument) for argument in entry.arguments]
        forms.append({"type": "array", "prefixItems": each, "minItems": len(each), "items": False})
    return {
        "type": "object",
        "properties": {entry.name: {**_any_of(*forms), "description": entry.gives}},
        "required": [entry.name],
        "additionalProperties": False,
    }


def _argument(argument: Argument) -> _Schema:
    """What an argument may be, found by asking its kind: the kind's check is a function."""
    kind = argument.kind
    forms: list[_Schema] = []
    if kind.words:
        forms.append({"enum": list(kind.words)})
    if kind.accepts(True):  # noqa: FBT003 - a value, not an option
        forms.append({"type": "boolean"})
    if kind.accepts(1):
        number = dict(_NUMBER) if kind.accepts(0.5) else {"type": "integer"}
        if not kind.accepts(0):
            number |= {"not": {"const": 0}} if kind.accepts(-1) else {"exclusiveMinimum": 0}
        forms.append(number)
    if kind.accepts((0, 1)):
        most = {} if kind.accepts((0, 1, 2)) else {"maxItems": 2}
        least = 0 if kind.accepts(()) else 1 if kind.accepts((0,)) else 2
        unique = {"uniqueItems": not kind.accepts((1, 1))}
        forms.append({**_list_of({"type": "integer"}), "minItems": least, **most, **unique})
    if kind.is_routed:
        forms.append(_ref("operand"))
    if kind.is_scheduled:
        forms.append(_ref("schedule"))
    if argument.default is None:
        forms.append({"type": "null"})
    return {**_any_of(*forms), "description": kind.wanted}
