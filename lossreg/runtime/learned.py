"""Weights that are learned: exp(-s)·L + s, where s is a parameter.

Kendall et al., Multi-Task Learning Using Uncertainty to Weigh Losses, CVPR 2018,
https://arxiv.org/abs/1705.07115
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lossreg.errors import warn
from lossreg.runtime.nonfinite import DelayedFlags
from lossreg.runtime.ranks import OutsideDDP

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from typing_extensions import Self

    from lossreg.config.models import Learned

__all__ = ["LearnedWeights"]

# Steps after which a parameter that is still what it was is warned of.
_PATIENCE = 100
_SINGLE = 4  # bytes


class LearnedWeights(nn.Module):
    """The parameter s of each term whose weight is learned, under the term's name.

    Each has the shape 1, because FSDP does not take parameters without dimensions.

    Args:
        learned: How each weight is learned, by term.

    Attributes:
        watch: Warns of parameters that nothing trains.
    """

    def __init__(self, learned: Mapping[str, Learned]) -> None:
        super().__init__()
        self._learned = dict(learned)
        self.watch = _Watch(tuple(learned))
        parameters: dict[str, Any] = self._parameters
        for name in self._learned:
            # Not register_parameter: it refuses names of nn.Module's attributes, and a term may be
            # called `forward`, `type` or `half`.
            parameters[name] = nn.Parameter(torch.empty(1))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Set each s to what the config says it is at first."""
        for name, learned in self._learned.items():
            self._parameter(name).fill_(learned.initial)

    def _parameter(self, name: str) -> Tensor:
        parameters: dict[str, Any] = self._parameters
        parameter: Tensor = parameters[name]
        return parameter

    @property
    def names(self) -> tuple[str, ...]:
        """The terms' names."""
        return tuple(self._learned)

    def weight(self, name: str, like: Tensor) -> Tensor:
        """A term's weight, a 0-d tensor with a graph, of the dtype and on the device of `like`."""
        return torch.exp(-self._number(name, like)) * self._factor(name)

    def regularizer(self, name: str, like: Tensor) -> Tensor:
        """What the total gets beside the weighted term, a 0-d tensor as `weight`'s."""
        return self._number(name, like) * self._factor(name)

    def _number(self, name: str, like: Tensor) -> Tensor:
        return self._parameter(name).to(like.device, like.dtype).reshape(())

    def _factor(self, name: str) -> float:
        return self._learned[name].share

    @torch.no_grad()
    def now(self) -> dict[str, float]:
        """Each term's current weight, by name; waits for the device."""
        exact = torch.empty((), dtype=torch.float64)
        return {name: self.weight(name, exact).item() for name in self._learned}

    # torch's `train` would fail to set the attribute `training` if a term has that name.
    def train(self, mode: bool = True) -> Self:
        """Set training mode."""
        self.__dict__["training"] = mode
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        def moved(tensor: Tensor) -> Tensor:
            result = fn(tensor)
            # Half precision would lose the small steps in which an optimizer moves it.
            return result if result.dtype.itemsize >= _SINGLE else tensor.to(result.device)

        self.watch.restart()
        super()._apply(moved, recurse)  # type: ignore[no-untyped-call]
        return self

    def step(self) -> None:
        """Count a step of training."""
        self.watch.step([self._parameter(name).detach() for name in self._learned])

    def extra_repr(self) -> str:
        """How each weight is learned."""
        return ", ".join(f"{name}={learned}" for name, learned in self._learned.items())


class _Watch:
    """Warns, once each, of parameters that never change, and of those that ranks do not share.

    Args:
        names: The parameters' names.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._steps = 0
        self._first: list[Tensor] = []
        self._same: Tensor | None = None
        self._delayed = DelayedFlags()
        self._is_done = False
        self._outside = OutsideDDP(f"the learned weight of {_listed(names)} is")

    def restart(self) -> None:
        """Count again from 0, because the parameters were replaced."""
        self._steps, self._first, self._same = 0, [], None

    def step(self, parameters: list[Tensor]) -> None:
        """Count a step of training; warn of what has stayed as it was for many."""
        if self._is_done:
            return
        self._steps += 1
        if not self._first:
            self._first = [parameter.clone() for parameter in parameters]
        if self._steps <= _PATIENCE:
            return
        if self._same is None:
            pairs = zip(parameters, self._first, strict=True)
            self._same = torch.cat([now == before for now, before in pairs])
        flags = self._delayed.read(self._same)
        if not flags:
            return  # on an accelerator they arrive some steps later
        self._is_done = True
        self.restart()
        still = [name for name, is_same in zip(self._names, flags, strict=True) if is_same]
        if still:
            warn(
                f"the learned weight of {_listed(still)} has not changed in {_PATIENCE} calls of "
                "loss.step(): give the optimizer loss.parameters() as well; the weight of a term "
                "that is absent from every batch does not change either"
            )

    def averaged(self) -> None:
        """Say that an adapter averages the gradients over the ranks."""
        self._outside.dismiss()

    def look(self) -> None:
        """Warn of a forward pass after which nothing averages the gradients over ranks."""
        self._outside.look()


def _listed(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(f"'{name}'" for name in names)
