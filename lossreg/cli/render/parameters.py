"""A config's parameters in words, from its JSON schema."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

__all__ = ["Parameter", "parameters_in_words"]

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
    """

    name: str
    kind: str
    default: str | None
    description: str


def parameters_in_words(schema: dict[str, Any]) -> list[Parameter]:
    """The parameters that the JSON schema of a config names.

    >>> (beta,) = parameters_in_words(
    ...     {"properties": {"beta": {"type": "number", "minimum": 0, "default": 1.0}}}
    ... )
    >>> beta.kind, beta.default
    ('number at least 0', '1.0')
    """
    return [
        Parameter(name, _kind(field), _default(name, schema, field), field.get("description", ""))
        for name, field in schema.get("properties", {}).items()
    ]


def _default(name: str, schema: dict[str, Any], field: dict[str, Any]) -> str | None:
    if name in schema.get("required", ()):
        return None
    default = field.get("default")
    return "none" if default is None else json.dumps(default)


def _kind(field: dict[str, Any]) -> str:
    """A JSON schema's type and bounds in words."""
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
        arms = [_kind(arm) for arm in items.get("anyOf", [items])]
        return f"list of {' or '.join(f'{arm}s' for arm in arms)}" if items else "list"
    kind = {"boolean": "true or false"}.get(field.get("type", ""), field.get("type", "value"))
    bounds = [
        f"{words} {field[key]:g}"
        for key, words in _BOUNDS.items()
        if key in field and abs(field[key]) < _LARGEST_SHOWN
    ]
    return f"{kind} {' and '.join(bounds)}" if bounds else str(kind)
