"""Print a config with every default written out."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from lossreg.cli.options import add_override_argument, add_plugin_arguments
from lossreg.cli.output import say
from lossreg.cli.plugins import registry_of
from lossreg.config.tools.documents import whole
from lossreg.config.tools.expand import expanded

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", metavar="FILE", help="a YAML file with one objective or several")
    parser.add_argument("--key", help="where the objective is, as in model.criterion")
    add_override_argument(parser)
    add_plugin_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the document."""
    registry = registry_of(arguments)
    examined = whole(arguments.file, arguments.key, registry, arguments.overrides)
    say(expanded(examined, version("lossreg")), end="")
    return 0
