"""The check against a reference that the author gives: a function, or another library's class."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import torch

from lossreg.plugin.calls import by_position_and_name, called
from lossreg.testing.batches import another_batch
from lossreg.testing.subject import Subject

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

__all__ = ["ReferenceChecks"]

_RTOL, _ATOL = 1e-4, 1e-6


class ReferenceChecks(Subject):
    """Checks against what somebody else computes."""

    def test_the_value_is_that_of_the_reference(self) -> None:
        """The test's `reference` or `original` gives the same value and gradients.

        On the batch, and on one of more rows with other numbers.
        """
        first = self._batch()
        second = another_batch(self._definition, first, self._rows(first))
        for batch, which in ((first, "the batch"), (second, "a batch of other numbers")):
            expected = self._expected(leaves := self._leaves(batch))
            if expected is None:
                return
            actual, gradients = self._once(self.module(), batch)
            wanted = self._gradients(expected, leaves)
            pairs = {"its value": (actual, expected)}
            for name, gradient in gradients.items():
                zero, other = torch.zeros_like(batch[name]), wanted[name]
                pairs[f"its gradient of {name!r}"] = (
                    zero if gradient is None else gradient,
                    zero if other is None else other,
                )
            for what, (one, other) in pairs.items():
                self._require(
                    one.shape == other.shape
                    and torch.allclose(
                        one, other.to(one.dtype), rtol=_RTOL, atol=_ATOL, equal_nan=True
                    ),
                    f"on {which}, {what} is {one.tolist()}, the reference's is {other.tolist()}",
                    "Fix the formula, the order of the arguments or the parameters that build "
                    "passes on; or correct the test's reference",
                )

    def _expected(self, batch: Mapping[str, Tensor]) -> Tensor | None:
        with self._explaining(
            "the test's reference fails", "Fix reference, so that it takes any batch like this one"
        ):
            expected = self.reference(**batch)
        if expected is not None or self.original is None:
            return expected
        module = self._built_original()
        how = by_position_and_name(self._definition, batch)
        with self._explaining(
            f"{self.original} fails on the batch", "Give a batch that it accepts too"
        ):
            result: Tensor = called(module, batch, *how)
        return result

    def _built_original(self) -> Any:
        """The other library's module, in the mode and with the seed of the one under test."""
        assert self.original is not None  # noqa: S101 - just looked at
        place, _, name = self.original.rpartition(".")
        with self._explaining(
            f"{self.original} cannot be built",
            "Install the library, and give its constructor's arguments in original_params",
        ):
            kind = getattr(importlib.import_module(place), name)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                return kind(
                    **(self.params if self.original_params is None else self.original_params)
                )
