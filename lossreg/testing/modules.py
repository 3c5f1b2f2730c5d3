"""Checks of a loss as a module: its state, moves and copies, and what it must not change."""

from __future__ import annotations

import copy
import pickle
import re
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lossreg.plugin.calls import by_position_and_name, called
from lossreg.testing.batches import another_batch
from lossreg.testing.subject import Subject, in_double, listed

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ModuleChecks"]

_FAR = 100.0  # the standard deviation of large numbers


class ModuleChecks(Subject):
    """Checks of the built module before and after a call."""

    def test_inputs_are_not_modified(self) -> None:
        """Forward leaves its arguments as they were, and writes nothing into them.

        Looked at with large numbers as well, which only then may be clipped in place.
        """
        batch = self._batch()
        self._require_unwritten(batch)
        far = another_batch(self._definition, batch, self._rows(batch), scale=_FAR)
        try:
            self.value(self.module(), {name: tensor.clone() for name, tensor in far.items()})
        except AssertionError:
            return  # numbers that it refuses
        self._require_unwritten(far)

    def _require_unwritten(self, batch: Mapping[str, Tensor]) -> None:
        before = {name: tensor.clone() for name, tensor in batch.items()}
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
        module = self._built(0)  # in training, where one that is stateful fills its memory
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

    def test_tensors_are_made_on_the_inputs_device(self) -> None:
        """Moved to the device `meta`, with inputs there, forward meets no tensor of the CPU.

        An operation that `meta` does not have proves nothing.
        """
        module = self.module().to("meta")
        batch = {name: tensor.to("meta") for name, tensor in self._batch().items()}
        try:
            called(module, batch, *by_position_and_name(self._definition, batch))
        except Exception as error:
            elsewhere = re.search(r"expected device|same device", str(error))
            reason = str(error).strip().partition("\n")[0]
            message = self._explained(
                f"with its inputs on another device it computes with a tensor of the CPU: {reason}",
                "Make tensors in forward on the device of the inputs (new_ones, zeros_like, "
                "device=input.device), and keep no tensors in lists: .to(device) moves only "
                "parameters and buffers",
            )
            if elsewhere:
                raise AssertionError(message) from error
