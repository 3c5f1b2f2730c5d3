"""A definition as a page of documentation, in Markdown."""

from __future__ import annotations

import html
import re
import textwrap
from typing import TYPE_CHECKING

from lossreg.cli.render.parameters import parameters_in_words
from lossreg.cli.render.value import shape_in_words, symbols, worked_in_words
from lossreg.config.tools.divisors import divisors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lossreg.cli.render.parameters import Parameter
    from lossreg.plugin import LossDefinition, TaskDefinition
    from lossreg.registry.kinds import Record

__all__ = [
    "REMEMBERS",
    "compiling_in_words",
    "displayed",
    "escaped",
    "loss_page",
    "task_page",
]

_BREAKS = "The graph breaks at this loss, so fullgraph=True is refused; the rest is compiled."
_NOT_TRIED = "Not tried: whether the graph breaks at this loss is not known."

REMEMBERS = (
    "It remembers what it saw in training, in buffers that the state_dict has. Each rank keeps its "
    "own, unless it is part of a module whose buffers DistributedDataParallel broadcasts: then all "
    "have the first rank's. Where steps are split into micro-batches, each one moves it."
)
"""What is shown of a loss that keeps state."""

_LINK = re.compile(r"https?://\S*[^\s.,;)]")
_MARKUP = re.compile(r"([\\`*_{}\[\]|$])")


def compiling_in_words(definition: LossDefinition) -> str:
    """What is said of `torch.compile`; nothing of a loss that it takes as one graph."""
    return {True: "", False: _BREAKS, None: _NOT_TRIED}[definition.compiles]


def loss_page(definition: LossDefinition, origin: str) -> str:
    """A loss's page: everything that its definition says.

    Args:
        definition: The loss.
        origin: The distribution and version that provide it.
    """
    sections = _head(definition)
    needs = ", ".join(f"`{text}`" for text in definition.requires)
    sections += [f"**Needs:** {needs}"] * bool(needs)
    for title, prose in (
        ("Use it when", definition.use_when),
        ("Choose another when", definition.avoid_when),
    ):
        if prose:
            sections.append(f"**{title}:** {escaped(prose)}")
    if definition.formula:
        sections += ["## Formula", displayed(definition.formula), *_symbols(definition)]
    parameters = parameters_in_words(definition.config.model_json_schema())
    if parameters:
        rows = list(_parameters(parameters))
        sections += [
            "## Parameters",
            _table(("parameter", "values", "default", "meaning"), rows),
        ]
    sections += ["## Inputs", _inputs(definition), _reductions(definition)]
    if definition.worked is not None:
        sections += ["## Worked number", escaped(worked_in_words(definition))]
    sections += _remarks(definition)
    if definition.example:
        example = textwrap.indent(definition.example.rstrip(), "  ")
        sections += ["## Example", _fenced(f"terms:\n{example}", "yaml")]
    if definition.references:
        listed = "\n".join(f"- {_linked(reference)}" for reference in definition.references)
        sections += ["## References", listed]
    sections += _elsewhere(definition)
    generated = ", generated from its signature" if definition.generated else ""
    return "\n\n".join([*sections, f"From {escaped(origin)}{generated}."]) + "\n"


def _remarks(definition: LossDefinition) -> list[str]:
    """What to know beside the value: graphs, what of the class is not offered, state."""
    sections = []
    if remark := compiling_in_words(definition):
        sections += ["## torch.compile", escaped(remark)]
    if definition.not_offered:
        kept = [(f"`{name}`", escaped(reason)) for name, reason in definition.not_offered.items()]
        sections += ["## Not offered", _table(("argument", "why"), kept)]
    if definition.stateful:
        sections += ["## State", escaped(REMEMBERS)]
    return sections


def task_page(definition: TaskDefinition, origin: str) -> str:
    """A task's page: everything that its definition says.

    Args:
        definition: The task.
        origin: The distribution and version that provide it.
    """
    return "\n\n".join([*_head(definition), f"From {escaped(origin)}."]) + "\n"


def _parameters(
    parameters: Iterable[Parameter], prefix: str = "", of: str = ""
) -> Iterator[tuple[str, str, str, str]]:
    """A row for each parameter, and for each one of the components that it is chosen from."""
    for parameter in parameters:
        summaries = [f"{entry.name}: {entry.summary}" for entry in parameter.components]
        described = any(entry.summary for entry in parameter.components)
        yield (
            f"`{prefix}{parameter.name}`",
            escaped(parameter.kind),
            "required" if parameter.default is None else f"`{parameter.default}`",
            escaped(" ".join([f"{of}{parameter.description}", *summaries * described]).strip()),
        )
        for entry in parameter.components:
            inner = f"{prefix}{parameter.name}."
            yield from _parameters(entry.parameters, inner, f"Of {entry.name}: ")


def _head(definition: Record) -> list[str]:
    return [f"# {escaped(definition.name)}", f"{escaped(definition.summary)}."]


def displayed(latex: str) -> str:
    """A formula as a block of Markdown."""
    # `$$` or an empty line would end the block early, and the rest would be read as markup.
    ends = "$$" in latex or any(not line.strip() for line in latex.splitlines())
    return _fenced(latex, "latex") if ends else f"$$\n{latex}\n$$"


def _elsewhere(definition: LossDefinition) -> list[str]:
    """What other libraries call the loss, if its definition says so."""
    names = ", ".join(f"`{alias}`" for alias in definition.aliases)
    return ["## Other libraries' names", names] if names else []


def _symbols(definition: LossDefinition) -> list[str]:
    lines = []
    for symbol in symbols(definition):
        meanings = [f"`{symbol.name}`"] * bool(symbol.name)
        meanings += [escaped(symbol.words)] * bool(symbol.words)
        # A dollar sign would end the mathematics early.
        latex = f"`{symbol.latex}`" if "$" in symbol.latex else f"${symbol.latex}$"
        lines.append(f"- {latex}: {', '.join(meanings)}")
    return ["\n".join(lines)] if lines else []


def _fenced(text: str, language: str) -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}"


def _inputs(definition: LossDefinition) -> str:
    rows = [
        (
            f"`{argument.name}`",
            f"`{shape_in_words(argument, definition)}`",
            argument.dtype,
            argument.domain,
            "yes" if argument.gradient else "no",
            escaped(argument.meaning),
        )
        for argument in definition.inputs
    ]
    return _table(("input", "shape", "dtype", "values", "gradient", "meaning"), rows)


def _reductions(definition: LossDefinition) -> str:
    if "none" not in definition.reductions:
        sentences = ["It gives one value."]
    else:
        sentences = [f"Before it is reduced, the loss has the shape `{definition.unreduced}`."]
    if definition.parts:
        names = ", ".join(f"`{name}`" for name in definition.parts)
        sentences.append(f"It is the sum of its parts, which are logged: {names}.")
    if definition.mask is not None:
        sentences.append(f"A term's `mask` and `ignore` go to its input `{definition.mask}`.")
    for reduction, words in divisors(definition).items():
        sentences.append(f"Its {reduction} divides by {escaped(words)}.")
    return " ".join(sentences)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escaped(prose: str) -> str:
    r"""Plain prose as Markdown that reads the same: on one line, with all markup escaped.

    >>> print(escaped("x_1 is above 0 | *not* <b>1</b>"))
    x\_1 is above 0 \| \*not\* &lt;b&gt;1&lt;/b&gt;
    """
    return _MARKUP.sub(r"\\\1", html.escape(" ".join(prose.split()), quote=False))


def _linked(reference: str) -> str:
    return " ".join(
        _LINK.sub(r"<\g<0>>", word) if _LINK.match(word) else escaped(word)
        for word in reference.split()
    )
