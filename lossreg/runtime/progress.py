"""How many steps and epochs a composite's schedules have completed, as saved state."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from itertools import chain
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lossreg.errors import ConfigWarning, StateError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lossreg.config.models import Active, Weight
    from lossreg.vocabulary.schedules import Schedule

__all__ = ["Progress"]

# Forwards without a step() after which a warning says that the schedules do not move.
_PATIENCE = 100
_END = 2**63  # a count is a 64-bit integer


class Progress(nn.Module):
    """Counts completed steps and epochs, and keeps them in the `state_dict`.

    The weights and numbers themselves are computed from the config.

    Args:
        weights: Each term's weight.
        schedules: The schedules that stand elsewhere than in weights.
        active: The times at which terms are active.
    """

    def __init__(
        self,
        weights: Mapping[str, Weight],
        schedules: Iterable[Schedule] = (),
        active: Iterable[Active] = (),
    ) -> None:
        super().__init__()
        self.steps = 0
        self.epochs = 0
        self._idle_forwards = 0
        of_weights = (schedule for weight in weights.values() for schedule in weight.schedules)
        times = tuple(active)
        by_step = any(schedule.unit == "step" for schedule in chain(of_weights, schedules))
        self.by_step = by_step or any(time.unit == "step" for time in times)
        self._moving = "the schedules" if not times else "the times under 'active' and schedules"
        self._weights = {name: str(weight) for name, weight in weights.items()}

    def used(self) -> None:
        """Count a forward pass in training; warn once if many came without a step."""
        if self.steps or not self.by_step or self._idle_forwards == _PATIENCE:
            return
        self._idle_forwards += 1
        if self._idle_forwards == _PATIENCE:
            message = (
                f"{_PATIENCE} forwards without a loss.step(): {self._moving} stand still; call "
                "loss.step() after each optimizer.step()"
            )
            warnings.warn(message, ConfigWarning, stacklevel=7)

    def move_to(self, steps: int | None, epochs: int | None) -> None:
        """Set the counts; None leaves one as it is.

        Raises:
            ValueError: A count is not a whole number from 0.
        """
        for name, count in (("steps", steps), ("epochs", epochs)):
            if count is not None and (type(count) is not int or not 0 <= count < _END):
                raise ValueError(f"expected a number of {name} from 0, found {count!r:.40}")
        self.steps = self.steps if steps is None else steps
        self.epochs = self.epochs if epochs is None else epochs

    def get_extra_state(self) -> Tensor:
        """Both counts as int64, of shape 2: steps, then epochs."""
        return torch.tensor([self.steps, self.epochs])

    def set_extra_state(self, state: object) -> None:
        """Take over the counts.

        Raises:
            StateError: They are damaged.
        """
        self.steps, self.epochs = _counts(state)

    def differences(self, state: object) -> list[str]:
        """In which weights a state of the older form, a mapping, differs from these.

        Raises:
            StateError: The state is damaged.
        """
        if not isinstance(state, Mapping):
            _counts(state)
            return []
        saved = state.get("weights")
        if not isinstance(saved, Mapping):
            raise _damaged(f"expected the weights by name, found {saved!r:.40}")
        _counts(state)
        return [
            f"the weight of '{name}' was {saved.get(name, 'not there')}, "
            f"is {self._weights.get(name, 'not there')}"
            for name in dict.fromkeys((*saved, *self._weights))
            if saved.get(name) != self._weights.get(name)
        ]

    def extra_repr(self) -> str:
        """The counts."""
        return f"steps={self.steps}, epochs={self.epochs}"


def _counts(state: object) -> tuple[int, int]:
    """Steps and epochs: from a tensor of both, or from a mapping, as older states have it."""
    if isinstance(state, Tensor):
        if state.dtype != torch.int64 or state.shape != (2,):
            found = f"one of {state.dtype} and shape {tuple(state.shape)}"
            raise _damaged(f"expected a tensor of int64 and shape (2,), found {found}")
        steps, epochs = state.tolist()
    elif isinstance(state, Mapping):
        steps, epochs = state.get("steps"), state.get("epochs")
    else:
        raise _damaged(f"expected a tensor, found a {type(state).__name__}")
    return _count("steps", steps), _count("epochs", epochs)


def _count(name: str, value: object) -> int:
    if type(value) is not int or not 0 <= value < _END:
        raise _damaged(f"expected a number of {name}, found {value!r:.40}")
    return value


def _damaged(problem: str) -> StateError:
    return StateError(f"the state's progress is damaged: {problem}")
