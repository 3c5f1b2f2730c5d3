"""Checks of what users are shown of a loss's value: its formula's symbols, its worked example."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lossreg.plugin.fields import with_tensors
from lossreg.runtime.reduction import reduced
from lossreg.testing.subject import Subject, in_double, is_close, listed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from lossreg.plugin import WorkedExample

__all__ = ["DocumentedChecks"]

# Shown numbers may be rounded to four digits.
_ROUNDED = 5e-4


class DocumentedChecks(Subject):
    """Checks of what a definition shows; they pass where it shows nothing."""

    def test_the_formula_has_its_symbols(self) -> None:
        """Each of the declared `symbols` stands in the formula."""
        definition = self._definition
        absent = listed(latex for latex in definition.symbols if latex not in definition.formula)
        self._require(
            not absent,
            f"symbols explains {absent}, which the formula does not have",
            "Write each symbol as the formula does",
        )

    def test_the_worked_example_is_true(self) -> None:
        """The worked example, if there is one, has the value, entries and divisor of the loss."""
        worked = self._definition.worked
        if worked is None:
            return
        names = [
            argument.name
            for argument in self._definition.inputs
            if not argument.optional or argument.name in worked.inputs
        ]
        self._require(
            set(worked.inputs) == set(names),
            f"the worked example has the inputs {listed(worked.inputs)}",
            f"Give it those of the definition: {listed(names)}",
        )
        with self._explaining(
            "its worked example is not made of numbers", "Give each input as nested lists"
        ):
            batch = in_double({name: torch.tensor(worked.inputs[name]) for name in names})
        module = self._of_the_example(worked)
        value = self.value(module, batch)
        self._compare("value", worked.value, value)
        if worked.entries is not None:
            self._compare("entries", worked.entries, self._entries(worked, batch))
        divisor = self._divisor(worked, batch, value)
        if divisor is None:
            self._require(
                worked.divisor is None,
                f"the worked example divides by {worked.divisor}, the loss by nothing",
                "Leave the divisor out",
            )
        elif worked.divisor is not None:
            self._compare("divisor", worked.divisor, divisor)

    def _of_the_example(self, worked: WorkedExample, **params: object) -> nn.Module:
        with self._explaining(
            "its worked example cannot be built", "Give the worked example valid params"
        ):
            config = self._definition.config(**{**worked.params, **params})
            return self._definition.build(with_tensors(config)).double()

    def _entries(self, worked: WorkedExample, batch: Mapping[str, Tensor]) -> Tensor:
        self._require(
            self._offers("none"),
            "the worked example has entries, but there is no reduction 'none'",
            "Leave the entries out",
        )
        return self.value(self._of_the_example(worked, reduction="none"), batch)

    def _divisor(
        self, worked: WorkedExample, batch: Mapping[str, Tensor], value: Tensor
    ) -> Tensor | None:
        """What the value was divided by, as far as it can be known."""
        reduction = getattr(self._definition.config(**worked.params), "reduction", None)
        if reduction not in ("mean", "batchmean"):
            return None
        if self._offers("none"):
            module = self._of_the_example(worked, reduction="none")
            return reduced(
                self._definition,
                module,
                self.value(module, batch),
                batch,
                reduction=reduction,
                keep=None,
                sample_weight=None,
            )[1]
        if self._offers("sum"):
            return self.value(self._of_the_example(worked, reduction="sum"), batch) / value
        return None

    def _compare(self, part: str, shown: object, actual: Tensor) -> None:
        expected = torch.tensor(shown, dtype=torch.float64)
        self._require(
            expected.shape == actual.shape
            and is_close(actual.double(), expected, rtol=_ROUNDED, atol=_ROUNDED),
            f"the worked example shows the {part} {expected.tolist()}, the loss has "
            f"{actual.tolist()}",
            "Correct the example, with four digits or more",
        )
