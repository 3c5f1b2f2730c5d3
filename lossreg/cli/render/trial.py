"""How a trial of an objective looks."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from lossreg.cli.render.report import table, terminal_width
from lossreg.errors import printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from lossreg.testing.trial import Asked, Trial
    from lossreg.testing.trial.results import Gradient, ObjectiveTrial, TermTrial, TriedTensor
    from lossreg.vocabulary.paths import ValuePath

__all__ = ["command_to_type", "trial_as_dict", "trial_text"]


def command_to_type(
    arguments: argparse.Namespace,
    wanted: Mapping[ValuePath, str],
    asked: Sequence[Asked] = (),
) -> str:
    """The whole command: the tensors that were asked for, and those that are read besides.

    Args:
        arguments: The command's arguments.
        wanted: A shape for each path that is read.
        asked: The values that the command has already; those that nothing reads are left out.
    """
    shapes = {str(path): shape for path, shape in wanted.items()}
    for one, word in zip(asked, arguments.words, strict=True):
        if str(one.path) in shapes:
            shapes[str(one.path)] = word.partition("=")[2]
    options = [("--key", arguments.key)] if arguments.key else []
    options += [("--set", override) for override in arguments.overrides]
    options += [("--plugin", module) for module in arguments.plugins]
    options += [("--size", size) for size in arguments.sizes if asked]
    words = ["lossreg", "try", arguments.file, *(word for pair in options for word in pair)]
    parts = [shlex.quote(word) for word in words]
    for path, shape in shapes.items():
        # A shell takes `[` for a pattern.
        is_plain = shlex.quote(path) == path
        quoted = shape if shape.isalnum() else f"'{shape}'"
        parts.append(f"{path}={quoted}" if is_plain else shlex.quote(f"{path}={shape}"))
    return printable(" ".join(parts))


def trial_as_dict(trial: Trial, command: str) -> dict[str, Any]:
    """A trial as JSON has it.

    Args:
        trial: The trial.
        command: The whole command, if tensors are missing.
    """
    return {
        "sizes": dict(trial.sizes),
        "tensors": [tensor._asdict() for tensor in trial.tensors],
        "objectives": [
            {
                "name": objective.name,
                "terms": [
                    {
                        **term._asdict(),
                        "gradients": [one._asdict() for one in term.gradients],
                        "without_gradient": term.without_gradient,
                    }
                    for term in objective.terms
                ],
                "total": objective.total,
                "error": objective.error,
            }
            for objective in trial.objectives
        ],
        "missing": list(trial.missing),
        "command": command,
        "problem": trial.has_problem,
    }


def trial_text(trial: Trial, command: str) -> str:
    """A trial for a terminal; arguments as for `trial_as_dict`."""
    width = terminal_width()
    sections = []
    if trial.sizes:
        sections.append(", ".join(f"{letter} = {size}" for letter, size in trial.sizes.items()))
    rows = [("tensor", "shape", "dtype", "holds"), *map(_tensor_row, trial.tensors)]
    sections.append(table(rows, width=width))
    sections += [_objective_text(objective, width) for objective in trial.objectives]
    unused = [f"unused: '{one.path}': {one.unused}" for one in trial.tensors if one.unused]
    if unused:
        sections.append(printable("\n".join(unused), keep="\n"))
    if command:
        names = ", ".join(f"'{path}'" for path in trial.missing)
        sections.append(printable(f"missing: {names}; the whole command is\n", keep="\n") + command)
    return "\n\n".join(sections)


def _tensor_row(tensor: TriedTensor) -> tuple[str, str, str, str]:
    guess = f"; a guess: {tensor.guessed}" if tensor.guessed else ""
    shape = "" if tensor.dtype == "number" else str(tensor.shape)
    return tensor.path, shape, tensor.dtype, tensor.holds + guess


def _objective_text(objective: ObjectiveTrial, width: int) -> str:
    rows = [("term", "loss", "value", "weight", "gradient"), *map(_term_row, objective.terms)]
    lines = [f"objective '{objective.name}'"] if objective.name else []
    lines.append(table(rows, width=width))
    total = "none" if objective.total is None else f"{objective.total:.4g}"
    lines.append(f"total {total}" + ", forward and backward" * (objective.total is not None))
    for term in objective.terms:
        lines += [f"failed: {term.error}"] if term.error else []
        if term.without_gradient:
            lines.append(f"no gradient: term '{term.name}': {term.without_gradient}")
        lines += [f"note: {note}" for note in term.notes]
    lines += [f"failed: {objective.error}"] if objective.error else []
    return "\n".join(printable(line, keep="\n") for line in lines)


def _term_row(term: TermTrial) -> tuple[str, str, str, str, str]:
    if term.left_out:
        missing = ", ".join(f"'{path}'" for path in term.left_out)
        return term.name, term.loss, "-", "-", f"left out: optional, and there is no {missing}"
    if term.value is None or term.weight is None:
        return term.name, term.loss, "-", "-", "failed"
    reached = "; ".join(map(_gradient, term.gradients)) or "none is declared"
    return term.name, term.loss, f"{term.value:.4g}", f"{term.weight:.4g}", reached


def _gradient(gradient: Gradient) -> str:
    answer = "yes" if gradient.reached else "detached by the config" if gradient.detached else "no"
    return f"{gradient.argument}: {answer}"
