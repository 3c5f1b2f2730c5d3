"""Show what a loss is, what it takes and how to declare it."""

from __future__ import annotations

import json
import shutil
import textwrap
from typing import TYPE_CHECKING, Any

from lossreg.cli.plugins import add_plugin_arguments, registry_of
from lossreg.cli.report import table

if TYPE_CHECKING:
    import argparse

    from lossreg.plugin import LossDefinition

__all__ = ["add_arguments", "run"]

_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}
# Bounds of 64-bit integers say nothing to a reader.
_LARGEST_SHOWN = 2**53
_BREAKS = "The graph breaks at this loss, so fullgraph=True is refused; the rest is compiled."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("name", metavar="NAME", help="a loss, as `lossreg list` names it")
    add_plugin_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print one loss's definition."""
    registry = registry_of(arguments)
    definition = registry[arguments.name]
    entry = registry.entry(arguments.name)
    origin = f"{entry.distribution} {entry.version}" if entry.distribution else entry.module
    schema = definition.config.model_json_schema()
    if arguments.json:
        print(json.dumps(_as_dict(definition, origin, schema), indent=2))
        return 0
    width = min(shutil.get_terminal_size().columns, 100)
    print(_text(definition, origin, schema, width))
    return 0


def _as_dict(definition: LossDefinition, origin: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": definition.name,
        "from": origin,
        "summary": definition.summary,
        "use_when": definition.use_when,
        "avoid_when": definition.avoid_when,
        "formula": definition.formula,
        "references": list(definition.references),
        "parameters": schema,
        "inputs": [
            {name: getattr(each, name) for name in each.__slots__} for each in definition.inputs
        ],
        "compiles": definition.compiles,
        "example": definition.example,
        "generated": definition.generated,
    }


def _text(definition: LossDefinition, origin: str, schema: dict[str, Any], width: int) -> str:
    generated = ", generated from its signature" if definition.generated else ""
    sections = [f"{definition.name}: {definition.summary}\nfrom {origin}{generated}"]
    for title, prose in (
        ("Use it when", definition.use_when),
        ("Choose another when", definition.avoid_when),
    ):
        if prose:
            sections.append(f"{title}\n{_indented(prose, width)}")
    if definition.formula:
        sections.append(f"Formula (LaTeX)\n  {definition.formula}")
    parameters = [
        (f"  {name}", _kind(each), _default(name, schema, each), each.get("description", ""))
        for name, each in schema.get("properties", {}).items()
    ]
    if parameters:
        sections.append("Parameters\n" + _blocks(parameters, width))
    inputs = [
        (
            f"  {each.name}",
            each.shape,
            each.dtype,
            each.meaning + ("" if each.domain == "real" else f" ({each.domain})"),
        )
        for each in definition.inputs
    ]
    sections.append("Inputs\n" + table(inputs, width=width))
    if not definition.compiles:
        sections.append(f"torch.compile\n{_indented(_BREAKS, width)}")
    if definition.example:
        sections.append("Example\n" + textwrap.indent(definition.example.rstrip(), "  "))
    if definition.references:
        references = "\n".join(_indented(each, width) for each in definition.references)
        sections.append("References\n" + references)
    return "\n\n".join(sections)


def _blocks(parameters: list[tuple[str, str, str, str]], width: int) -> str:
    lines = []
    for name, kind, default, description in parameters:
        lines.append(f"{name}: {kind}{default}")
        if description:
            lines.append(_indented(description, width, by=6))
    return "\n".join(lines)


def _indented(prose: str, width: int, by: int = 2) -> str:
    # Neither a link nor a hyphenated name is broken: both are there to be copied.
    return textwrap.fill(
        prose,
        width,
        initial_indent=" " * by,
        subsequent_indent=" " * by,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _default(name: str, schema: dict[str, Any], field: dict[str, Any]) -> str:
    if name in schema.get("required", ()):
        return ", required"
    default = field.get("default")
    return f", default {'none' if default is None else json.dumps(default)}"


def _kind(field: dict[str, Any]) -> str:
    """A JSON schema's type and bounds in words."""
    if "anyOf" in field or "oneOf" in field:
        arms = field.get("anyOf") or field["oneOf"]
        return " or ".join(_kind(each) for each in arms if each.get("type") != "null")
    if "enum" in field:
        return " | ".join(str(each) for each in field["enum"])
    if "const" in field:
        return str(field["const"])
    if "prefixItems" in field:
        return f"list of {', '.join(map(_kind, field['prefixItems']))}"
    if field.get("type") == "array":
        return f"list of {_kind(field.get('items', {}))}s"
    kind = {"boolean": "true or false"}.get(field.get("type", ""), field.get("type", "value"))
    bounds = [
        f"{words} {field[key]:g}"
        for key, words in _BOUNDS.items()
        if key in field and abs(field[key]) < _LARGEST_SHOWN
    ]
    return f"{kind} {' and '.join(bounds)}" if bounds else str(kind)
