"""Show what a loss or a task is, or the objective of a config as a formula."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lossreg.cli.options import add_override_argument, add_plugin_arguments
from lossreg.cli.output import can_show, complain, say, say_json
from lossreg.cli.plugins import registry_of
from lossreg.cli.render.definition import definition_as_dict, definition_text
from lossreg.cli.render.page import loss_page, task_page
from lossreg.cli.render.report import terminal_width
from lossreg.cli.standard_input import MARK, NAME, source
from lossreg.errors import LossregError, PluginError, UnknownNameError
from lossreg.plugin import LossDefinition
from lossreg.registry import KINDS, LOSSES

if TYPE_CHECKING:
    import argparse

    from lossreg.registry import Kind, Registry

__all__ = ["EXAMPLES", "add_arguments", "run"]


_KINDS = {kind.noun: kind for kind in KINDS}
_SUFFIXES = (".yaml", ".yml")


EXAMPLES = {
    "lossreg show cross_entropy": "its formula, parameters and inputs, and how to declare it",
    "lossreg show digits": "a task",
    "lossreg show loss.yaml": "the objective of a config as a formula",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "name",
        metavar="NAME|FILE",
        help="a loss or a task, as `lossreg list` names it; or a config, which has a slash or ends "
        "in .yaml or .yml, or - for standard input",
    )
    parser.add_argument("--kind", choices=_KINDS, help="which one, if several have that name")
    parser.add_argument("--key", help="where the objective of a config is, as in model.criterion")
    add_override_argument(parser)
    add_plugin_arguments(parser)
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print JSON")
    output.add_argument("--markdown", action="store_true", help="print a page of documentation")


def run(arguments: argparse.Namespace) -> int:
    """Print one definition, or a config's objectives."""
    registry = registry_of(arguments)
    if _is_file(arguments.name):
        if arguments.kind:
            return _refused("--kind is for the name of a loss or a task, not for a file")
        _show_file(arguments, registry)
        return 0
    if arguments.key is not None or arguments.overrides:
        return _refused(
            "--key and --set are for a file, whose name has a slash or ends in .yaml or .yml"
        )
    _show_definition(arguments, registry)
    return 0


def _is_file(name: str) -> bool:
    return name == MARK or "/" in name or "\\" in name or name.endswith(_SUFFIXES)


def _refused(message: str) -> int:
    complain(f"error: {message}")
    return 2


def _show_file(arguments: argparse.Namespace, registry: Registry) -> None:
    from lossreg.cli.render.objective import (
        ASCII,
        as_dict,
        objective_page,
        objective_text,
    )
    from lossreg.config.tools.documents import whole
    from lossreg.config.tools.formula import objectives

    examined = whole(
        source(arguments.name), arguments.key, registry, arguments.overrides, name=NAME
    )
    shown = objectives(examined)
    if arguments.json:
        say_json({"objectives": [as_dict(objective) for objective in shown]})
    elif arguments.markdown:
        say("\n\n".join(map(objective_page, shown)))
    else:
        width = terminal_width()
        text = "\n\n\n".join(objective_text(objective, width) for objective in shown)
        signs_are_shown = can_show("".join(map(chr, ASCII)))
        say(text if signs_are_shown else text.translate(ASCII))


def _show_definition(arguments: argparse.Namespace, registry: Registry) -> None:
    kind = _KINDS[arguments.kind] if arguments.kind else _kind_of(arguments.name, registry)
    definitions = registry.of(kind)
    definition = definitions[arguments.name]
    provider = definitions.origin(arguments.name)
    origin = provider.release or provider.module
    if arguments.json:
        say_json(definition_as_dict(definition, origin))
    elif arguments.markdown:
        is_loss = isinstance(definition, LossDefinition)
        say(loss_page(definition, origin) if is_loss else task_page(definition, origin), end="")
    else:
        say(definition_text(definition, origin, terminal_width(), can_show))


def _kind_of(name: str, registry: Registry) -> Kind[Any]:
    """The kind with a definition of that name, or else of a similar name; or else losses."""
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
