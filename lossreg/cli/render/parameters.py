"""A config's parameters in words, from its JSON schema."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

__all__ = ["ComponentInWords", "Parameter", "parameters_in_words"]

_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}
# The bounds of 64-bit integers would not help a reader.
_LARGEST_SHOWN = 2**53


class Parameter(NamedTuple):
    """One parameter of a loss.

    Attributes:
        name: As a config writes it.
        kind: Its type and bounds: `number at least 0`.
        default: As JSON, `none` for null; None, if there is no default.
        description: A sentence.
        components: Those that it is one of, if it is a choice.
    """

    name: str
    kind: str
    default: str | None
    description: str
    components: tuple[ComponentInWords, ...] = ()


class ComponentInWords(NamedTuple):
    """One of the components of a choice.

    Attributes:
        name: The word that chooses it.
        summary: A sentence; may be empty.
        parameters: Its own parameters.
    """

    name: str
    summary: str
    parameters: list[Parameter]


def parameters_in_words(schema: dict[str, Any]) -> list[Parameter]:
    """The parameters that the JSON schema of a config names.

    >>> (beta,) = parameters_in_words(
    ...     {"properties": {"beta": {"type": "number", "minimum": 0, "default": 1.0}}}
    ... )
    >>> beta.kind, beta.default
    ('number at least 0', '1.0')
    """
    return [
        Parameter(
            name,
            _kind(field),
            _default(name, schema, field),
            field.get("description", ""),
            tuple(map(_component, _forms(field) or _forms(field.get("items", {})))),
        )
        for name, field in schema.get("properties", {}).items()
    ]


def _forms(field: dict[str, Any]) -> list[dict[str, Any]]:
    """The mappings that choose a component, by their `type`."""
    return [
        arm
        for arm in field.get("anyOf", ())
        if "const" in arm.get("properties", {}).get("type", {})
    ]


def _component(form: dict[str, Any]) -> ComponentInWords:
    own = {name: field for name, field in form["properties"].items() if name != "type"}
    parameters = parameters_in_words({**form, "properties": own})
    return ComponentInWords(
        form["properties"]["type"]["const"], form.get("description", ""), parameters
    )


def _default(name: str, schema: dict[str, Any], field: dict[str, Any]) -> str | None:
    if name in schema.get("required", ()):
        return None
    default = field.get("default")
    if isinstance(default, dict) and _forms(field):
        return f"{{{', '.join(f'{key}: {_plain(value)}' for key, value in default.items())}}}"
    return "none" if default is None else json.dumps(default)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _kind(field: dict[str, Any]) -> str:
    """A JSON schema's type and bounds in words."""
    if forms := _forms(field):
        return " | ".join(form["properties"]["type"]["const"] for form in forms)
    if "anyOf" in field or "oneOf" in field:
        arms = field.get("anyOf") or field["oneOf"]
        return " or ".join(_kind(arm) for arm in arms if arm.get("type") != "null")
    if "enum" in field:
        return " | ".join(map(str, field["enum"]))
    if "const" in field:
        return str(field["const"])
    if "prefixItems" in field:
        return f"list of {', '.join(map(_kind, field['prefixItems']))}"
    if field.get("type") == "array":
        items = field.get("items", {})
        if _forms(items):
            return f"list of {_kind(items)}"
        arms = [_kind(arm) for arm in items.get("anyOf", [items])]
        return f"list of {' or '.join(f'{arm}s' for arm in arms)}" if items else "list"
    kind = {"boolean": "true or false"}.get(field.get("type", ""), field.get("type", "value"))
    bounds = [
        f"{words} {field[key]:g}"
        for key, words in _BOUNDS.items()
        if key in field and abs(field[key]) < _LARGEST_SHOWN
    ]
    return f"{kind} {' and '.join(bounds)}" if bounds else str(kind)
