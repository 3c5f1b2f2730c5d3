"""Print a config with every default written out."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from lossreg.cli.options import add_override_argument, add_plugin_arguments
from lossreg.cli.output import say
from lossreg.cli.plugins import registry_of
from lossreg.cli.standard_input import NAME, source
from lossreg.config.tools.documents import whole
from lossreg.config.tools.expand import expanded

if TYPE_CHECKING:
    import argparse

__all__ = ["EXAMPLES", "add_arguments", "run"]


EXAMPLES = {
    "lossreg expand loss.yaml > whole.yaml": "a file that means the same under later defaults",
    "lossreg expand - < loss.yaml": "a config from standard input",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "file", metavar="FILE", help="a YAML file with one objective or several, or -"
    )
    parser.add_argument("--key", help="where the objective is, as in model.criterion")
    add_override_argument(parser)
    add_plugin_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the document."""
    registry = registry_of(arguments)
    examined = whole(
        source(arguments.file), arguments.key, registry, arguments.overrides, name=NAME
    )
    say(expanded(examined, version("lossreg")), end="")
    return 0
