"""Show what a loss is, what it takes and how to declare it; or what a task is."""

from __future__ import annotations

import shutil
import textwrap
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from lossreg.cli.options import add_plugin_arguments
from lossreg.cli.output import say, say_json
from lossreg.cli.plugins import registry_of
from lossreg.cli.render.page import BREAKS, loss_page, task_page
from lossreg.cli.render.parameters import parameters_in_words
from lossreg.cli.render.report import table
from lossreg.cli.render.value import divisors, shape_in_words, symbols, worked_in_words
from lossreg.errors import LossregError, PluginError, UnknownNameError, printable
from lossreg.plugin import LossDefinition
from lossreg.registry import KINDS, LOSSES

if TYPE_CHECKING:
    import argparse

    from lossreg.cli.render.parameters import Parameter
    from lossreg.plugin import LossInput
    from lossreg.registry import Kind, Registry
    from lossreg.registry.kinds import Record

__all__ = ["EXAMPLES", "add_arguments", "run"]


_KINDS = {kind.noun: kind for kind in KINDS}


EXAMPLES = {
    "lossreg show cross_entropy": "its formula, parameters and inputs, and how to declare it",
    "lossreg show digits": "a task",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("name", metavar="NAME", help="a loss or a task, as `lossreg list` names it")
    parser.add_argument("--kind", choices=_KINDS, help="which one, if several have that name")
    add_plugin_arguments(parser)
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print JSON")
    output.add_argument("--markdown", action="store_true", help="print a page of documentation")


def run(arguments: argparse.Namespace) -> int:
    """Print one definition."""
    registry = registry_of(arguments)
    kind = _KINDS[arguments.kind] if arguments.kind else _kind_of(arguments.name, registry)
    definitions = registry.of(kind)
    definition = definitions[arguments.name]
    provider = definitions.origin(arguments.name)
    origin = provider.release or provider.module
    is_loss = isinstance(definition, LossDefinition)
    if arguments.json:
        as_dict = _loss_as_dict(definition, origin) if is_loss else _as_dict(definition, origin)
        say_json(as_dict)
    elif arguments.markdown:
        page = loss_page(definition, origin) if is_loss else task_page(definition, origin)
        say(page, end="")
    else:
        width = min(shutil.get_terminal_size().columns, 100)
        sections = [_head(definition, origin)]
        say("\n\n".join([*sections, *_loss_sections(definition, width)] if is_loss else sections))
    return 0


def _kind_of(name: str, registry: Registry) -> Kind[Any]:
    """The kind with a definition of that name, or else of a similar name; or else losses."""
    if name.endswith((".yaml", ".yml")):
        raise LossregError(
            f"'{name}' is a file, not the name of a loss; `lossreg check {name}` reads it"
        )
    exact, near = [], []
    for kind in KINDS:
        try:
            registry.of(kind).origin(name)
        except UnknownNameError as error:
            if error.suggestion is not None:
                near.append(kind)
            continue
        except PluginError:  # several claim it
            pass
        exact.append(kind)
    if len(exact) > 1:
        nouns = " and ".join(f"a {kind.noun}" for kind in exact)
        options = " or ".join(f"--kind {kind.noun}" for kind in exact)
        raise LossregError(f"'{name}' is {nouns}; write {options}")
    return (exact or near or [LOSSES])[0]


def _as_dict(definition: Record, origin: str) -> dict[str, Any]:
    return {"name": definition.name, "from": origin, "summary": definition.summary}


def _loss_as_dict(definition: LossDefinition, origin: str) -> dict[str, Any]:
    return {
        **_as_dict(definition, origin),
        "use_when": definition.use_when,
        "avoid_when": definition.avoid_when,
        "formula": definition.formula,
        "symbols": dict(definition.symbols),
        "references": list(definition.references),
        "parameters": definition.config.model_json_schema(),
        "inputs": [
            {field.name: getattr(argument, field.name) for field in fields(argument) if field.init}
            for argument in definition.inputs
        ],
        "unreduced": definition.unreduced if "none" in definition.reductions else None,
        "divided_by": divisors(definition),
        "worked": None if definition.worked is None else definition.worked._asdict(),
        "compiles": definition.compiles,
        "example": definition.example,
        "generated": definition.generated,
    }


def _head(definition: Record, origin: str) -> str:
    generated = ", generated from its signature" * getattr(definition, "generated", False)
    title = printable(f"{definition.name}: {definition.summary}")
    return f"{title}\nfrom {printable(origin)}{generated}"


def _loss_sections(definition: LossDefinition, width: int) -> list[str]:
    sections = []
    for title, prose in (
        ("Use it when", definition.use_when),
        ("Choose another when", definition.avoid_when),
    ):
        if prose:
            sections.append(f"{title}\n{_indented(prose, width)}")
    if definition.formula:
        sections.append("Formula (LaTeX)\n" + textwrap.indent(definition.formula, "  "))
        sections += _key(definition, width)
    parameters = parameters_in_words(definition.config.model_json_schema())
    if parameters:
        sections.append("Parameters\n" + _blocks(parameters, width))
    inputs = [
        (
            f"  {argument.name}",
            shape_in_words(argument, definition),
            argument.dtype,
            argument.meaning + _in_brackets(argument),
        )
        for argument in definition.inputs
    ]
    sections.append("Inputs\n" + table(inputs, width=width))
    if reduction := _reduction(definition):
        sections.append(f"Reduction\n{_indented(reduction, width)}")
    if definition.worked is not None:
        sections.append(f"Worked number\n{_indented(worked_in_words(definition), width)}")
    if not definition.compiles:
        sections.append(f"torch.compile\n{_indented(BREAKS, width)}")
    if definition.example:
        example = textwrap.indent(definition.example.rstrip(), "    ")
        sections.append(f"Example\n  terms:\n{example}")
    if definition.references:
        references = "\n".join(_indented(reference, width) for reference in definition.references)
        sections.append("References\n" + references)
    return sections


def _key(definition: LossDefinition, width: int) -> list[str]:
    """What the symbols of the formula stand for."""
    rows = [
        (f"  {symbol.latex}", ", ".join(filter(None, (symbol.name, symbol.words))))
        for symbol in symbols(definition)
    ]
    return [table(rows, width=width)] if rows else []


def _in_brackets(argument: LossInput) -> str:
    remarks: list[str] = [] if argument.domain == "real" else [argument.domain]
    remarks += ["has a gradient"] * argument.gradient
    return f" ({', '.join(remarks)})" if remarks else ""


def _reduction(definition: LossDefinition) -> str:
    """What there is before the reduction, and what each reduction divides by."""
    sentences = []
    if "none" in definition.reductions:
        sentences.append(f"Before it is reduced, the loss has the shape {definition.unreduced}.")
    for reduction, words in divisors(definition).items():
        sentences.append(f"Its {reduction} divides by {words}.")
    return " ".join(sentences)


def _blocks(parameters: list[Parameter], width: int) -> str:
    lines = []
    for parameter in parameters:
        default = "required" if parameter.default is None else f"default {parameter.default}"
        lines.append(printable(f"  {parameter.name}: {parameter.kind}, {default}"))
        if parameter.description:
            lines.append(_indented(parameter.description, width, by=6))
    return "\n".join(lines)


def _indented(prose: str, width: int, by: int = 2) -> str:
    # Links and hyphenated names stay whole, so that they can be copied.
    return textwrap.fill(
        prose,
        width,
        initial_indent=" " * by,
        subsequent_indent=" " * by,
        break_long_words=False,
        break_on_hyphens=False,
    )
