"""How far a composite's schedules have come: what of them is state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from lossreg.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lossreg.config.schema import Weight

__all__ = ["Progress"]


class Progress(nn.Module):
    """Counts completed steps and epochs, and keeps them in the `state_dict`.

    The state holds the counts and a description of every weight, so that a state made under
    another config is told apart; the weights themselves are computed from the config.

    Args:
        weights: Each term's weight.
    """

    def __init__(self, weights: Mapping[str, Weight]) -> None:
        super().__init__()
        self.steps = 0
        self.epochs = 0
        self.by_step = any(
            schedule.unit == "step" for weight in weights.values() for schedule in weight.schedules
        )
        self._weights = {name: str(weight) for name, weight in weights.items()}

    def get_extra_state(self) -> dict[str, Any]:
        """Plain values, which `torch.load(weights_only=True)` reads."""
        return {"steps": self.steps, "epochs": self.epochs, "weights": dict(self._weights)}

    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        """Take over a state.

        Raises:
            StateError: It was made under another config; the message says what differs.
        """
        saved = state["weights"]
        differences = [
            f"the weight of '{name}' was {saved.get(name, 'not there')}, "
            f"is {self._weights.get(name, 'not there')}"
            for name in dict.fromkeys((*saved, *self._weights))
            if saved.get(name) != self._weights.get(name)
        ]
        if differences:
            raise StateError("the state was made under another config: " + "; ".join(differences))
        self.steps = int(state["steps"])
        self.epochs = int(state["epochs"])

    def extra_repr(self) -> str:
        """The counts."""
        return f"steps={self.steps}, epochs={self.epochs}"
