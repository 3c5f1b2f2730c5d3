"""Which objective a state belongs to: in the `state_dict`'s metadata, compared at loading.

Metadata is not a key of the state. It survives `torch.save`, `weights_only` and nesting; where it
is lost, as in a file of tensors only, nothing is compared.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lossreg.config.fingerprint import differences, fingerprint, in_words, is_comparable
from lossreg.errors import ConfigWarning, StateError

if TYPE_CHECKING:
    from typing import TypeGuard

    from lossreg.config import CompositeConfig
    from lossreg.config.fingerprint import Words
    from lossreg.runtime.composite import CompositeLoss

__all__ = ["Identity", "compare", "describe"]

_KEY = "lossreg"
_PROGRESS = "progress._extra_state"
_LEARNED = "weighting.learned."
_MOST = 5  # differences in a message
_ACCEPT = "if the change is meant, call accept_state() on the loss before loading"


class Identity:
    """A composite's objective, as its states tell it.

    Args:
        config: The objective.

    Attributes:
        accepts: Whether the next state may be another objective's.
    """

    def __init__(self, config: CompositeConfig) -> None:
        self.config = config
        self.accepts = False

    @cached_property
    def words(self) -> Words:
        """What the objective declares, by term."""
        return in_words(self.config)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of these words."""
        return fingerprint(self.words)

    def differences(self, saved: object) -> list[str]:
        """In what a state's objective differs from this one; nothing where that cannot be told."""
        if not isinstance(saved, Mapping) or saved.get("fingerprint") == self.fingerprint:
            return []
        made, objective = saved.get("fingerprint"), saved.get("objective")
        if not isinstance(made, str) or not is_comparable(made):
            return []
        if not _are_words(objective):
            return ["what it was made under cannot be read, for its metadata is damaged"]
        return differences(objective, self.words)


def describe(composite: CompositeLoss, _: object, __: str, metadata: dict[str, Any]) -> None:
    """A hook: put the objective into a state's metadata."""
    identity = composite.identity
    metadata[_KEY] = {"fingerprint": identity.fingerprint, "objective": identity.words}


def compare(
    composite: CompositeLoss,
    state: dict[str, Any],
    prefix: str,
    metadata: Mapping[str, Any],
    *_: Any,
) -> None:
    """A hook: compare a state's objective with the composite's, before anything is copied.

    Raises:
        StateError: The state's progress or its learned weights belong to another objective, or are
            damaged.
    """
    identity, progress, key = composite.identity, composite.progress, prefix + _PROGRESS
    accepts, identity.accepts = identity.accepts, False
    saved = metadata.get(_KEY)
    differing = identity.differences(saved)
    has_progress = progress is not None and key in state
    has_learned = any(name.startswith(prefix + _LEARNED) for name in state)
    if has_progress and progress is not None:
        differing = differing or progress.differences(state[key])
    if differing and not accepts and (has_progress or has_learned):
        message = "the state's progress belongs to another objective"
        if not has_progress:
            message = "the state's learned weights belong to another objective"
        raise StateError(f"{message}: {_listed(differing)}; {_ACCEPT}")
    if accepts or differing:
        _fit_learned(composite, state, prefix)
    if has_progress:
        return
    if key in state:
        del state[key]
        differing = differing or ["it has the progress of schedules, and this objective has none"]
    elif progress is not None:
        differing = differing or [f"it has no '{key}', the progress of this objective's schedules"]
        if saved is not None or accepts:
            state[key] = progress.get_extra_state()
    if differing and not accepts:
        message = f"the state was made under another objective: {_listed(differing)}; {_ACCEPT}"
        warnings.warn(message, ConfigWarning, stacklevel=2)


def _fit_learned(composite: CompositeLoss, state: dict[str, Any], prefix: str) -> None:
    """Drop the learned weights that this objective does not have; the others stay as they are."""
    learned = composite.weighting.learned
    own = {} if learned is None else learned.state_dict(prefix=prefix + _LEARNED)
    for name in [name for name in state if name.startswith(prefix + _LEARNED)]:
        if name not in own:
            del state[name]
    for name, number in own.items():
        state.setdefault(name, number)


def _are_words(objective: object) -> TypeGuard[Words]:
    """Whether something from a file is an objective in words."""
    return isinstance(objective, Mapping) and all(
        isinstance(term, Mapping) and all(isinstance(text, str) for text in (*term, *term.values()))
        for term in objective.values()
    )


def _listed(differing: list[str]) -> str:
    more = f"; and {len(differing) - _MOST} more" if len(differing) > _MOST else ""
    return "; ".join(differing[:_MOST]) + more
