"""Checks of a loss as a module: its state, moves and copies, and what it must not change."""

from __future__ import annotations

import copy
import io
import pickle
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lossreg.testing.subject import Subject, in_double, listed

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ModuleChecks"]


class ModuleChecks(Subject):
    """Checks of the built module before and after a call."""

    def test_inputs_are_not_modified(self) -> None:
        """Forward leaves its arguments as they were, and writes nothing into them."""
        batch, before = self._batch(), self._batch()
        versions = {name: tensor._version for name, tensor in batch.items()}  # noqa: SLF001
        self.value(self.module(), batch)
        changed = listed(
            name
            for name, tensor in batch.items()
            if not torch.equal(tensor, before[name]) or tensor._version != versions[name]  # noqa: SLF001 - torch has no other name for it
        )
        self._require(
            not changed,
            f"forward writes into {changed}",
            "Work on copies, without in-place operations: other terms read the same tensors",
        )

    def test_state_is_not_modified(self) -> None:
        """Forward leaves the module's parameters and buffers as they were."""
        module = self.module()
        before = {name: tensor.detach().clone() for name, tensor in _state(module).items()}
        self.value(module, self._batch())
        after = _state(module)
        changed = listed(
            name
            for name in sorted({*before, *after})
            if name not in before or name not in after or not torch.equal(before[name], after[name])
        )
        self._require(
            not changed,
            f"forward changes {changed} of the module",
            "Register all buffers when it is built, and change them in a method that the training "
            "loop calls: forward is called again by checkpointing, validation and logging",
        )

    def test_state_dict_round_trips(self) -> None:
        """A state saved and loaded with `weights_only=True` fits a new module and its value."""
        module, twin, batch = self._built(0), self._built(1), self._batch()
        file = io.BytesIO()
        with self._explaining(
            "its state_dict cannot be saved and loaded into a new module",
            "Keep only tensors in it, under the same names each time it is built",
        ):
            torch.save(module.state_dict(), file)
            file.seek(0)
            twin.load_state_dict(torch.load(file, weights_only=True), strict=True)
        actual, expected = self.value(twin, batch), self.value(module, batch)
        self._require(
            torch.equal(actual, expected),
            f"with its state_dict loaded, a new module gives {actual} and not {expected}",
            "Keep what the value depends on in a persistent buffer or a parameter",
        )

    def test_pickles_and_copies(self) -> None:
        """A pickled and a deep-copied module give the same value."""
        module, batch = self.module(), self._batch()
        expected = self.value(module, batch)
        with self._explaining(
            "it cannot be pickled and copied",
            "Keep no lambdas, local functions or open files as attributes: workers and checkpoints "
            "pickle it",
        ):
            twins = pickle.loads(pickle.dumps(module)), copy.deepcopy(module)  # noqa: S301
        for twin, how in zip(twins, ("pickled", "copied"), strict=True):
            actual = self.value(twin, batch)
            self._require(
                torch.equal(actual, expected),
                f"{how}, it gives {actual} and not {expected}",
                "Keep everything that the value depends on in __getstate__ and __deepcopy__",
            )

    def test_moves_to_a_dtype(self) -> None:
        """After `.to(float64)` the module takes float64 inputs and gives a float64 value."""
        value = self._called(
            self.module().to(torch.float64),
            in_double(self._batch()),
            "after .to(float64) it fails on float64 inputs",
            "Create tensors in forward in the dtype of its inputs (new_ones, zeros_like)",
        )
        self._require(
            value.dtype == torch.float64,
            f"after .to(float64), float64 inputs give {value.dtype}",
            "Cast only to the dtype of the inputs, not to another (float, torch.tensor)",
        )

    def test_moves_to_a_device(self) -> None:
        """The tensors that a module holds are parameters and buffers, which `.to(device)` moves."""
        module = self.module()
        self.value(module, self._batch())
        left = listed(
            f"{path}.{name}".removeprefix(".")
            for path, child in module.named_modules()
            for name, attribute in vars(child).items()
            if isinstance(attribute, Tensor)
        )
        self._require(
            not left,
            f"the attributes {left} are tensors that .to(device) leaves behind",
            "Give each to register_buffer(name, tensor) where the module is built",
        )


def _state(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers, including buffers that are not saved."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}
