"""Checks of what a loss remembers: where it keeps it, when it changes, how it is saved."""

from __future__ import annotations

import copy
import io
from collections import deque
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lossreg.testing.subject import Subject, count_of, listed

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["StateChecks"]

_STEPS = 3
_OF_ALL_MODULES = frozenset(vars(nn.Module()))


class StateChecks(Subject):
    """Checks of parameters, buffers and attributes over several steps of training."""

    def test_state_is_not_modified(self) -> None:
        """Forward leaves parameters and buffers as they were; with `stateful`, in `eval()`."""
        module = self._built(0)
        if self._definition.stateful:
            self._train(module, _STEPS)
            module.eval()
        before = {name: tensor.detach().clone() for name, tensor in _state(module).items()}
        self.value(module, self._batch())
        after = _state(module)
        changed = listed(
            name
            for name in sorted({*before, *after})
            if name not in before or name not in after or not _same(before[name], after[name])
        )
        if self._definition.stateful:
            self._require(
                not changed,
                f"in eval() forward changes {changed} of the module",
                "Change buffers only if self.training: validation and logging call forward too",
            )
        self._require(
            not changed,
            f"forward changes {changed} of the module",
            "Register all buffers when it is built, and change them in a method that the training "
            "loop calls, because forward is called again by checkpointing, validation and logging; "
            "or write stateful=True in the LossDefinition, if it is to remember what it sees",
        )

    def test_state_is_kept_in_buffers(self) -> None:
        """Steps of training change no attribute that the state_dict does not have.

        With `stateful`, they change a buffer.
        """
        module = self._built(0)
        state = {name: tensor.detach().clone() for name, tensor in _state(module).items()}
        # What the first call keeps for later calls is no state.
        self._train(module, 1)
        before = _attributes(module)
        self._train(module, _STEPS)
        after = _attributes(module)
        changed = listed(
            name for name in after if name not in before or not _same(before[name], after[name])
        )
        self._require(
            not changed,
            f"{_STEPS} steps change the attributes {changed}, which are not saved",
            "Keep state in buffers, numbers as well: self.register_buffer('index', "
            "torch.zeros((), dtype=torch.long)), and change them in place",
        )
        if self._definition.stateful:
            self._require(
                any(not _same(tensor, state.get(name)) for name, tensor in _state(module).items()),
                f"it is declared stateful, but {_STEPS} steps change no buffer",
                "Leave stateful out of the LossDefinition, or say in the test's after_step what "
                "the training loop calls",
            )

    def test_state_dict_round_trips(self) -> None:
        """A state saved after some steps gives a new module the same next values.

        It is saved and loaded with `weights_only=True`.
        """
        module, twin = self._built(0), self._built(1)
        self._train(module, _STEPS)
        file = io.BytesIO()
        with self._explaining(
            "its state_dict cannot be saved and loaded into a new module",
            "Keep only tensors in it, under the same names each time it is built",
        ):
            torch.save(module.state_dict(), file)
            file.seek(0)
            twin.load_state_dict(torch.load(file, weights_only=True), strict=True)
        remedy = "Keep what the value depends on in a persistent buffer or a parameter"
        for step in range(2):
            actual, expected = self._train(twin, 1, step), self._train(module, 1, step)
            self._require(
                torch.equal(actual, expected),
                f"with its state_dict loaded, a new module gives {actual} and not {expected}",
                remedy,
            )
            state, other = _state(module), _state(twin)
            apart = listed(name for name in state if not _same(state[name], other.get(name)))
            self._require(
                not apart,
                f"with its state_dict loaded, a step of a new module moves {apart} elsewhere",
                remedy,
            )

    def _train(self, module: nn.Module, steps: int, first: int = 0) -> Tensor:
        """Steps of training on rows in other orders; gives the last value."""
        module.train()
        value = torch.zeros(())
        for step in range(first, first + steps):
            value = self.value(module, self._turned(step)).detach()
            with self._explaining("after_step fails", "Fix after_step of the test, or the loss"):
                self.after_step(module)
        return value

    def _turned(self, step: int) -> dict[str, Tensor]:
        batch = self._batch()
        count = count_of(batch, self._rows(batch))
        return self._selected(batch, torch.arange(count).roll(step)) if count else batch


def _state(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers, including buffers that are not saved."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _attributes(module: nn.Module) -> dict[str, Any]:
    """What a module and its children keep as plain attributes, copied."""
    kept: Mapping[str, Any] = {
        f"{path}.{name}".removeprefix("."): value
        for path, child in module.named_modules()
        for name, value in vars(child).items()
        if name not in _OF_ALL_MODULES
    }
    return {name: copy.deepcopy(value) for name, value in kept.items() if _is_plain(value)}


def _is_plain(value: object) -> bool:
    if isinstance(value, list | tuple | deque | set):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    return value is None or isinstance(value, bool | int | float | str | Tensor)


def _same(one: object, other: object) -> bool:
    """Whether two plain values are equal, tensors to the last bit; nan equals nan."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        if one.dtype != other.dtype or one.shape != other.shape:
            return False
        return torch.equal(one.isnan(), other.isnan()) and torch.equal(
            one.nan_to_num(), other.nan_to_num()
        )
    if isinstance(one, list | tuple | deque) and isinstance(other, list | tuple | deque):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return one is other or repr(one) == repr(other)
