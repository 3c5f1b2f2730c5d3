"""Show what a loss is, what it takes and how to declare it."""

from __future__ import annotations

import shutil
import textwrap
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from lossreg.cli.output import say, say_json
from lossreg.cli.plugins import add_plugin_arguments, registry_of
from lossreg.cli.render.page import BREAKS, loss_page
from lossreg.cli.render.parameters import parameters_in_words
from lossreg.cli.render.report import table
from lossreg.errors import printable

if TYPE_CHECKING:
    import argparse

    from lossreg.cli.render.parameters import Parameter
    from lossreg.plugin import LossDefinition

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("name", metavar="NAME", help="a loss, as `lossreg list` names it")
    add_plugin_arguments(parser)
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print JSON")
    output.add_argument("--markdown", action="store_true", help="print a page of documentation")


def run(arguments: argparse.Namespace) -> int:
    """Print one loss's definition."""
    registry = registry_of(arguments)
    definition = registry[arguments.name]
    entry = registry.entry(arguments.name)
    origin = f"{entry.distribution} {entry.version}" if entry.distribution else entry.module
    schema = definition.config.model_json_schema()
    if arguments.json:
        say_json(_as_dict(definition, origin, schema))
        return 0
    if arguments.markdown:
        say(loss_page(definition, origin), end="")
        return 0
    width = min(shutil.get_terminal_size().columns, 100)
    say(_text(definition, origin, schema, width))
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
            {field.name: getattr(each, field.name) for field in fields(each) if field.init}
            for each in definition.inputs
        ],
        "compiles": definition.compiles,
        "example": definition.example,
        "generated": definition.generated,
    }


def _text(definition: LossDefinition, origin: str, schema: dict[str, Any], width: int) -> str:
    generated = ", generated from its signature" if definition.generated else ""
    title = printable(f"{definition.name}: {definition.summary}")
    sections = [f"{title}\nfrom {printable(origin)}{generated}"]
    for title, prose in (
        ("Use it when", definition.use_when),
        ("Choose another when", definition.avoid_when),
    ):
        if prose:
            sections.append(f"{title}\n{_indented(prose, width)}")
    if definition.formula:
        sections.append("Formula (LaTeX)\n" + textwrap.indent(definition.formula, "  "))
    parameters = parameters_in_words(schema)
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
        sections.append(f"torch.compile\n{_indented(BREAKS, width)}")
    if definition.example:
        sections.append("Example\n" + textwrap.indent(definition.example.rstrip(), "  "))
    if definition.references:
        references = "\n".join(_indented(each, width) for each in definition.references)
        sections.append("References\n" + references)
    return "\n\n".join(sections)


def _blocks(parameters: list[Parameter], width: int) -> str:
    lines = []
    for each in parameters:
        default = "required" if each.default is None else f"default {each.default}"
        lines.append(printable(f"  {each.name}: {each.kind}, {default}"))
        if each.description:
            lines.append(_indented(each.description, width, by=6))
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
