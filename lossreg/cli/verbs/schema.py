"""Print the JSON Schema of configs, or of one loss's terms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossreg.cli.options import add_plugin_arguments
from lossreg.cli.output import say_json
from lossreg.cli.plugins import registry_of
from lossreg.config.tools.schema import document_schema, term_schema
from lossreg.plugin import LossDefinition
from lossreg.registry import TASKS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from lossreg.registry import Registry

__all__ = ["EXAMPLES", "add_arguments", "run"]


EXAMPLES = {
    "lossreg schema > lossreg.schema.json": (
        "for configs that begin with: # yaml-language-server: $schema=lossreg.schema.json"
    ),
    "lossreg schema --loss mse": "of the terms of one loss",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--loss", metavar="NAME", help="the schema of one loss's terms, instead of a document's"
    )
    add_plugin_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the schema as JSON."""
    registry = registry_of(arguments)
    if arguments.loss is not None:
        say_json(term_schema(arguments.loss, registry[arguments.loss]))
    else:
        tasks = (entry.name for entry in registry.of(TASKS).entries())
        say_json(document_schema(_installed(registry), tasks))
    return 0


def _installed(registry: Registry) -> Iterator[tuple[str, LossDefinition]]:
    """Each loss that loads, under its name and its name with its distribution."""
    for entry in registry.entries():
        definition = entry.definition
        if entry.state == "ok" and isinstance(definition, LossDefinition):
            yield entry.name, definition
            if entry.distribution:
                yield f"{entry.distribution}:{entry.name}", definition
