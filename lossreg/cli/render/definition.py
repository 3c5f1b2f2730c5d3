"""A definition as it is shown in a terminal, and as data."""

from __future__ import annotations

import textwrap
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from lossreg.cli.render.latex import unicode_text
from lossreg.cli.render.page import REMEMBERS, compiling_in_words
from lossreg.cli.render.parameters import parameters_in_words
from lossreg.cli.render.report import table
from lossreg.cli.render.value import shape_in_words, symbols, worked_in_words
from lossreg.config.tools.divisors import divisors
from lossreg.errors import printable
from lossreg.plugin import LossDefinition
from lossreg.plugin.requirements import parsed, unmet

if TYPE_CHECKING:
    from collections.abc import Callable

    from lossreg.cli.render.parameters import Parameter
    from lossreg.plugin import LossInput
    from lossreg.registry.kinds import Record

__all__ = ["definition_as_dict", "definition_text"]


def definition_as_dict(definition: Record, origin: str) -> dict[str, Any]:
    """A definition as data, for JSON.

    Args:
        definition: The loss or the task.
        origin: The distribution and version that provide it.
    """
    if isinstance(definition, LossDefinition):
        return _loss_as_dict(definition, origin)
    return _as_dict(definition, origin)


def definition_text(
    definition: Record, origin: str, width: int, can_show: Callable[[str], bool]
) -> str:
    """A definition for a terminal.

    Args:
        definition: The loss or the task.
        origin: The distribution and version that provide it.
        width: How wide the terminal is.
        can_show: Whether the terminal has the characters of a text.
    """
    sections = [_head(definition, origin)]
    if isinstance(definition, LossDefinition):
        sections += _loss_sections(definition, width, can_show)
    return "\n\n".join(sections)


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
        "stateful": definition.stateful,
        "example": definition.example,
        "generated": definition.generated,
        "requires": list(definition.requires),
        "missing": [lacking.text for lacking in unmet(definition.requires)],
        "aliases": list(definition.aliases),
        "not_offered": dict(definition.not_offered),
    }


def _head(definition: Record, origin: str) -> str:
    generated = ", generated from its signature" * getattr(definition, "generated", False)
    title = printable(f"{definition.name}: {definition.summary}")
    return f"{title}\nfrom {printable(origin)}{generated}"


def _loss_sections(
    definition: LossDefinition, width: int, can_show: Callable[[str], bool]
) -> list[str]:
    sections = [_needs(definition, width)] if definition.requires else []
    for title, prose in (
        ("Use it when", definition.use_when),
        ("Choose another when", definition.avoid_when),
    ):
        if prose:
            sections.append(f"{title}\n{_indented(prose, width)}")
    if definition.formula:
        sections += _formula(definition, width, can_show)
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
    sections += _untold(definition, width)
    if definition.stateful:
        sections.append(f"State\n{_indented(REMEMBERS, width)}")
    if definition.example:
        example = textwrap.indent(definition.example.rstrip(), "    ")
        sections.append(f"Example\n  terms:\n{example}")
    if definition.references:
        references = "\n".join(_indented(reference, width) for reference in definition.references)
        sections.append("References\n" + references)
    return sections + _elsewhere(definition, width)


def _elsewhere(definition: LossDefinition, width: int) -> list[str]:
    """What other libraries call the loss, if its definition says so."""
    names = ", ".join(definition.aliases)
    return [f"Other libraries' names\n{_indented(names, width)}"] if names else []


def _needs(definition: LossDefinition, width: int) -> str:
    lacking = {entry.text: str(entry) for entry in unmet(definition.requires)}
    lines = [
        lacking.get(parsed(text).text, f"{text}, which is installed")
        for text in definition.requires
    ]
    return "\n".join(["Needs", *(_indented(line, width) for line in lines)])


def _untold(definition: LossDefinition, width: int) -> list[str]:
    """What it does not promise, and what of the class a config cannot reach."""
    sections = []
    if remark := compiling_in_words(definition):
        sections.append(f"torch.compile\n{_indented(remark, width)}")
    if definition.not_offered:
        rows = [(f"  {name}", reason) for name, reason in definition.not_offered.items()]
        sections.append("Not offered\n" + table(rows, width=width))
    return sections


def _formula(definition: LossDefinition, width: int, can_show: Callable[[str], bool]) -> list[str]:
    """The formula, and what its symbols stand for; in LaTeX if it cannot be shown otherwise."""
    keys = symbols(definition)
    texts = [unicode_text(latex) for latex in (definition.formula, *(key.latex for key in keys))]
    if all(text is not None and can_show(text) for text in texts):
        formula, *letters = map(str, texts)
        title = "Formula"
    else:
        formula, *letters = definition.formula, *(key.latex for key in keys)
        title = "Formula (LaTeX)"
    rows = [
        (f"  {letter}", ", ".join(filter(None, (key.name, key.words))))
        for letter, key in zip(letters, keys, strict=True)
    ]
    sections = [f"{title}\n{textwrap.indent(formula, '  ')}"]
    return [*sections, table(rows, width=width)] if rows else sections


def _in_brackets(argument: LossInput) -> str:
    remarks: list[str] = [] if argument.domain == "real" else [argument.domain]
    remarks += ["optional"] * argument.optional
    remarks += [{"list": "a list of tensors", "number": "one number"}.get(argument.holds, "")]
    remarks += ["has a gradient"] * argument.gradient
    remarks = list(filter(None, remarks))
    return f" ({', '.join(remarks)})" if remarks else ""


def _reduction(definition: LossDefinition) -> str:
    """What there is before the reduction, and what each reduction divides by."""
    sentences = []
    if "none" in definition.reductions:
        sentences.append(f"Before it is reduced, the loss has the shape {definition.unreduced}.")
    if definition.parts:
        sentences.append(
            f"It is the sum of its parts, which are logged: {', '.join(definition.parts)}."
        )
    if definition.mask is not None:
        sentences.append(f"A term's mask and ignore go to its input '{definition.mask}'.")
    for reduction, words in divisors(definition).items():
        sentences.append(f"Its {reduction} divides by {words}.")
    return " ".join(sentences)


def _blocks(parameters: list[Parameter], width: int, by: int = 2) -> str:
    lines = []
    for parameter in parameters:
        default = "required" if parameter.default is None else f"default {parameter.default}"
        lines.append(printable(f"{' ' * by}{parameter.name}: {parameter.kind}, {default}"))
        if parameter.description:
            lines.append(_indented(parameter.description, width, by=by + 4))
        for component in parameter.components:
            if component.summary or component.parameters:
                about = f"{component.name}: {component.summary}".rstrip()
                lines.append(_indented(printable(about), width, by=by + 4))
            if component.parameters:
                lines.append(_blocks(component.parameters, width, by=by + 8))
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
