"""The keys of a mapping, compared with the grammar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossreg.config.faults.guesses import Guesses, missing_space
from lossreg.config.read.nodes import MOST_FAULTS

if TYPE_CHECKING:
    from lossreg.config.declare.tree import Loss
    from lossreg.config.faults.faults import ConfigPath, Faults
    from lossreg.config.grammar import Construct
    from lossreg.config.read.nodes import Node

__all__ = ["as_meant"]


def as_meant(
    construct: Construct, node: Node, path: ConfigPath, faults: Faults, loss: Loss | None = None
) -> Node:
    """The mapping as it was probably meant, after noting its unknown keys.

    So one run finds its other faults, too.

    Args:
        construct: The kind of mapping.
        node: The mapping.
        path: Its place.
        faults: Takes the faults.
        loss: A term's loss, whose parameters and inputs may be in the wrong place.
    """
    known = construct.keys
    unknown = [name for name in node.keys if name not in known][: MOST_FAULTS + 1]
    if not unknown:
        return node
    hints = {name: _belonging(missing_space(name)[0], construct, loss) for name in unknown}
    guesses = Guesses.of(construct, node, {name: hint for name, hint in hints.items() if hint})
    guesses.note(unknown, path, faults, otherwise=f"expected one of {', '.join(known)}")
    return guesses.applied(path, faults)


def _belonging(name: str, construct: Construct, loss: Loss | None) -> str | None:
    """What to do with a key that belongs elsewhere."""
    elsewhere = construct.elsewhere.get(name)
    if elsewhere is not None:
        return elsewhere
    if loss is None:
        return construct.ambiguous.get(name)
    if name in loss.definition.config.model_fields:
        return "it is a parameter of the loss: move it under 'params'"
    if name in loss.arguments:
        return "it is an input of the loss: move it under 'inputs'"
    return None
