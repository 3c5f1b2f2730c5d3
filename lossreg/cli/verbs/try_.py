"""Run an objective, forward and backward, on small tensors of given shapes."""

from __future__ import annotations

import argparse

from lossreg.cli.options import add_override_argument, add_plugin_arguments
from lossreg.cli.output import complain, say, say_json
from lossreg.cli.plugins import registry_of
from lossreg.cli.standard_input import NAME, source
from lossreg.config.tools.documents import whole
from lossreg.errors import printable

__all__ = ["EXAMPLES", "MIXES", "add_arguments", "run"]

EXAMPLES = {
    "lossreg try loss.yaml input='N 3 8 8' target='N 3 8 8'": "what each term gives",
    "lossreg try loss.yaml input='N 3' target='N 3 bfloat16' --size N=4": "with a dtype and a size",
}

MIXES = True
"""Options may stand between the file and the tensors."""

_LARGEST_SEED = 2**63


def _seed(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) < _LARGEST_SEED:
        return int(text)
    raise argparse.ArgumentTypeError(f"'{text}': expected a number from 0 to 2^63 - 1")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "file", metavar="FILE", help="a YAML file with one objective or several, or -"
    )
    parser.add_argument(
        "words",
        metavar="PATH=SHAPE",
        nargs="*",
        help="a tensor of the step, as in logits='N 10' or labels='N int64': letters and sizes, "
        "then a dtype (float32 if none); '' has no dimensions, and 0.5 is a number; without any, "
        "the command says which ones the config reads",
    )
    parser.add_argument(
        "--size",
        dest="sizes",
        metavar="LETTER=SIZE",
        action="append",
        default=[],
        help="the size of a letter, as in N=4; by default a small one of its own; may be repeated",
    )
    parser.add_argument("--key", help="where the objective is, as in model.criterion")
    parser.add_argument(
        "--seed", type=_seed, default=0, help="seeds the tensors' values (default: 0)"
    )
    add_override_argument(parser)
    add_plugin_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print what became of each term, and return 1 if there is a problem."""
    registry = registry_of(arguments)
    examined = whole(
        source(arguments.file), arguments.key, registry, arguments.overrides, name=NAME
    )
    configs = dict(examined.by_name)
    if examined.loss is not None:
        configs = {"": examined.loss}

    from lossreg.cli.render.trial import command_to_type, trial_as_dict, trial_text
    from lossreg.testing.trial import WordError, asked_for, nested, sizes_of, try_out, wanted_words

    terms = [term for config in configs.values() for term in config.terms if term.enabled]
    try:
        asked = asked_for(arguments.words)
        sizes = sizes_of(asked, arguments.sizes)
        if not asked:
            command = command_to_type(arguments, wanted_words(terms, {}))
            if arguments.json:
                say_json({"command": command})
            else:
                say("Pass the tensors that the config reads, with shapes of your own:\n" + command)
            return 2
        trial = try_out(configs, asked, sizes, seed=arguments.seed)
    except WordError as error:
        complain(f"error: {printable(str(error))}")
        return 2
    command = ""
    if trial.missing:
        values = nested({one.path: one for one in asked})
        command = command_to_type(arguments, wanted_words(terms, values), asked)
    if arguments.json:
        say_json(trial_as_dict(trial, command))
    else:
        say(trial_text(trial, command))
    return int(trial.has_problem)
