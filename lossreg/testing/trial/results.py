"""The record of a trial."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Gradient", "ObjectiveTrial", "TermTrial", "Trial", "TriedTensor"]


class TriedTensor(NamedTuple):
    """A tensor, or a Python number, of the step.

    Attributes:
        path: Where it is.
        shape: Its sizes.
        dtype: torch's name of its dtype; `number` for a Python number.
        holds: What it was filled with.
        guessed: Why its values are a guess; empty if the definitions say them.
        unused: Why no term that ran, or failed, reads it; empty if one does.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    holds: str
    guessed: str
    unused: str


class Gradient(NamedTuple):
    """Whether a gradient reaches an argument that the definition declares with one.

    Attributes:
        argument: The argument of the loss.
        paths: Where its tensors are.
        reached: Whether one of them gets a gradient.
        detached: Whether the config says that none is meant.
    """

    argument: str
    paths: tuple[str, ...]
    reached: bool
    detached: bool


class TermTrial(NamedTuple):
    """What became of one term.

    Attributes:
        name: Its name.
        loss: Its loss.
        value: Its raw value; None if it did not run.
        weight: Its weight at step 0.
        error: Why it failed; empty if it did not.
        argument: The argument that the error is about, if it names one.
        path: Where that argument's tensor was looked for.
        left_out: The paths for whose lack an optional term was left out.
        gradients: One for each argument that is declared with a gradient.
        notes: What to know besides.
    """

    name: str
    loss: str
    value: float | None = None
    weight: float | None = None
    error: str = ""
    argument: str | None = None
    path: str | None = None
    left_out: tuple[str, ...] = ()
    gradients: tuple[Gradient, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def without_gradient(self) -> str:
        """What is wrong with its gradients; empty if nothing is."""
        lost = [one for one in self.gradients if not one.reached and not one.detached]
        if lost:
            names = ", ".join(f"'{one.argument}' ({', '.join(one.paths)})" for one in lost)
            return f"no gradient reaches {names}"
        if self.gradients and not any(one.reached for one in self.gradients):
            names = " and ".join(f"'{one.argument}'" for one in self.gradients)
            return f"no gradient reaches any input: the config detaches {names}"
        return ""


class ObjectiveTrial(NamedTuple):
    """What became of one objective.

    Attributes:
        name: Its name in a map of objectives; empty for a single one.
        terms: Its terms.
        total: The total; None if a term failed, or if it failed as a whole.
        error: Why it failed as a whole; empty if it did not.
    """

    name: str
    terms: tuple[TermTrial, ...]
    total: float | None
    error: str = ""


class Trial(NamedTuple):
    """What became of a trial.

    Attributes:
        sizes: The size of each letter.
        tensors: The values of the step.
        objectives: The objectives that were tried with them.
        missing: The paths that a term reads and that were not given; not those of optional terms.
    """

    sizes: Mapping[str, int]
    tensors: tuple[TriedTensor, ...]
    objectives: tuple[ObjectiveTrial, ...]
    missing: tuple[str, ...]

    @property
    def has_problem(self) -> bool:
        """Whether a term failed or gets no gradient, or a tensor is not used."""
        terms = [term for objective in self.objectives for term in objective.terms]
        return (
            any(term.error or term.without_gradient for term in terms)
            or any(objective.error for objective in self.objectives)
            or any(tensor.unused for tensor in self.tensors)
        )
