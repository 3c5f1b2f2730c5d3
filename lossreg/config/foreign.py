"""Which files of a repository are not lossreg's: those without an objective are skipped."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lossreg.config.grammar import DOCUMENT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lossreg.config.loading import Examined
    from lossreg.errors import Diagnostic

__all__ = ["may_hold_objective", "of_objectives"]


def of_objectives(examined: Examined, *, leniently: bool) -> Sequence[Diagnostic]:
    """The diagnostics that are about an objective, or about what seems to be one.

    Args:
        examined: A document that could be read.
        leniently: Whether a number or a word under `loss` is another system's, too.
    """
    diagnostics = examined.diagnostics
    has_none = any(map(_says_no_objective, diagnostics)) or (
        leniently and not examined.objectives and any(map(_says_no_mapping, diagnostics))
    )
    # A part of an objective (LR905) is reported even so.
    return [fault for fault in diagnostics if fault.code == "LR905"] if has_none else diagnostics


def _says_no_objective(diagnostic: Diagnostic) -> bool:
    # An LR109 with a path is about a key that looks misspelt.
    return diagnostic.code == "LR011" or (diagnostic.code == "LR109" and not diagnostic.path)


def _says_no_mapping(diagnostic: Diagnostic) -> bool:
    return diagnostic.code == "LR101" and diagnostic.path == "loss"


def may_hold_objective(data: bytes) -> bool:
    r"""Whether a text that cannot be read as a document has a key of an objective.

    That is `terms` at any depth, or at the root `loss`, `objectives` or another word for them.

    >>> may_hold_objective(b"kind: Pod\n---\nkind: Job\n")
    False
    >>> may_hold_objective(b"a: 1\n---\nmodel: {loss: {terms: {fit: {type: mse}}}}\n")
    True
    """
    text = data.replace(b"\0", b"").decode(errors="replace")  # without zeros, UTF-16 is readable
    at_root = "|".join((*DOCUMENT.names, *DOCUMENT.foreign))
    key = rf"""(?:^[ \t-]*|[{{,][ \t]*)["']?terms["']?[ \t]*:|^["']?(?:{at_root})["']?[ \t]*:"""
    return re.search(key, text.lstrip("\ufeff\ufffd"), re.MULTILINE) is not None
