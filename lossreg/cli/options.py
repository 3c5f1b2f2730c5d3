"""Options that several commands have."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

__all__ = ["add_override_argument", "add_plugin_arguments"]


def add_plugin_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that name modules which are not installed."""
    parser.add_argument(
        "--plugin",
        dest="plugins",
        metavar="MODULE",
        action="append",
        default=[],
        help="a module with losses or tasks, such as my_project.losses, found from the working "
        "directory; may be repeated",
    )
    parser.add_argument(
        "--no-plugins",
        dest="pyproject",
        action="store_false",
        help="ignore the plugins of [tool.lossreg] in pyproject.toml",
    )


def add_override_argument(parser: argparse.ArgumentParser) -> None:
    """Declare the option that overrides values of a config."""
    parser.add_argument(
        "--set",
        dest="overrides",
        metavar="PATH=VALUE",
        action="append",
        default=[],
        help="override one value, as in loss.terms.rebuild.weight=0.3; may be repeated",
    )
