"""Checks of what a loss computes: its value and its gradient, eager, compiled and in autocast."""

from __future__ import annotations

import logging
import random
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError, gradcheck

from lossreg.plugin.calls import by_position_and_name, called
from lossreg.testing.subject import Subject, count_of, in_double, is_close, listed, place_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["ValueChecks"]

# bfloat16 keeps eight bits, so results computed in it differ by about a percent.
_HALF_RTOL, _HALF_ATOL = 2e-2, 2e-3


class ValueChecks(Subject):
    """Checks of the value and the gradient of one call."""

    def test_value_is_a_finite_scalar(self) -> None:
        """A good batch gives one finite floating-point number, with any reduction except `none`."""
        offered = [reduction for reduction in ("mean", "sum") if self._offers(reduction)]
        chosen = getattr(self._config(), "reduction", None)
        modules = [] if chosen == "none" else [self.module()]
        modules += [
            self.module(reduction=reduction) for reduction in offered if reduction != chosen
        ]
        for module in modules:
            value = self.value(module, self._batch())
            self._require(
                value.dim() == 0,
                f"the value has the shape {tuple(value.shape)}",
                "Reduce it to one number without dimensions",
            )
            self._require(
                value.is_floating_point(),
                f"the value is of {value.dtype}",
                "Compute it in the dtype of the model's output, which is a floating-point one",
            )
            self._require(
                bool(torch.isfinite(value)),
                f"the value of the batch is {value}",
                "Guard logarithms, roots and divisions, or give a batch for which it is finite",
            )

    def test_gradient_reaches_each_declared_input(self) -> None:
        """Inputs declared with `gradient=True` get a finite gradient that is not all zero."""
        batch = self._leaves(self._batch())
        gradients = self._gradients(self.value(self.module(), batch), batch)
        self._require(
            bool(gradients),
            "no floating-point input is declared with gradient=True",
            "Mark the LossInput that the model computes",
        )
        for name, gradient in gradients.items():
            self._require(
                gradient is not None,
                f"no gradient reaches {name!r}",
                "Remove detach, item and no_grad on its way, or declare it without gradient=True",
            )
            assert gradient is not None  # noqa: S101 - just looked at
            self._require(
                bool(torch.isfinite(gradient).all()),
                f"the gradient of {name!r} is nan or infinite",
                "Keep roots, logarithms and norms away from 0, before the value and not after it",
            )
            self._require(
                bool(gradient.any()),
                f"the gradient of {name!r} is zero everywhere",
                "Give a batch for which it is not zero, or declare the input without gradient=True",
            )

    def test_gradient_is_the_slope_of_the_value(self) -> None:
        """In float64 the gradient agrees with finite differences (torch's gradcheck).

        Log-probabilities of an input with a letter `C` are normalised again after each difference,
        because a loss may rely on probabilities that add up to 1, as ctc does.
        """
        batch = self._leaves(in_double(self._batch()))
        module = self.module().to(torch.float64)
        value = self.value(module, batch)
        gradients = self._gradients(value, batch)
        reached = [name for name, gradient in gradients.items() if gradient is not None]
        if not reached or value.dtype != torch.float64:
            return  # other checks report it

        def compute(*moved: Tensor) -> Tensor:
            arguments = zip(reached, moved, strict=True)
            normalised = {name: self._normalised(name, tensor) for name, tensor in arguments}
            return self.value(module, {**batch, **normalised})

        try:
            gradcheck(compute, [batch[name] for name in reached], fast_mode=True)
        except GradcheckError as error:
            message = self._explained(
                f"the gradient of {listed(reached)} is not the slope of the value: "
                + str(error).partition("\n\n")[0].replace("\n", " "),
                "Fix the backward of your own autograd.Function, remove detach from what the value "
                "depends on, or give a batch that is not at a kink of the loss",
            )
            raise AssertionError(message) from None

    def _normalised(self, name: str, tensor: Tensor) -> Tensor:
        (argument,) = (entry for entry in self._definition.inputs if entry.name == name)
        if argument.domain != "log-probability":
            return tensor
        letters = argument.letters_of(tensor, self._definition.inputs[0])
        place = place_of("C", letters, tensor.shape)
        return tensor if place is None else tensor.log_softmax(place)

    def test_order_of_rows_does_not_matter(self) -> None:
        """Rows in another order give the same value; the unreduced loss is reordered with them.

        Checked unless the test says `any_order = False`: a loss that depends on the order by
        accident gives other values when the data are shuffled.
        """
        batch = self._batch()
        rows = self._rows(batch)
        count = count_of(batch, rows)
        if not self.any_order or count < 2:  # noqa: PLR2004 - one row has no order
            return
        straight = torch.arange(count)
        # Every order is a sequence of these two.
        for order in (straight.roll(1), torch.cat([straight[:2].flip(0), straight[2:]])):
            moved = self._selected(batch, order)
            for reduction in self._definition.reductions or (None,):
                params = {} if reduction is None else {"reduction": reduction}
                module = self.module(**params)
                before, after = self.value(module, batch), self.value(module, moved)
                if reduction == "none" and before.shape[:1] == (count,):
                    before = before[order]
                how = f" with reduction {reduction!r}" if reduction else ""
                self._require(
                    is_close(after, before),
                    f"rows in the order {order.tolist()} change the value{how} from {before} to "
                    f"{after}",
                    "Treat all rows alike, or say any_order = False in the test if their order "
                    "means something",
                )

    def test_it_is_deterministic(self) -> None:
        """The same inputs twice give the same value and gradient to the last bit.

        And the call does not change the random states of torch and Python.
        """
        module, batch = self.module(), self._batch()
        numbers = random.getstate()
        try:
            with torch.random.fork_rng(devices=[]):
                # Not at the start of the sequences, so that a call which sets a seed is seen.
                torch.rand(1)
                random.random()  # noqa: S311 - no secret
                before = _random_states()
                (value, gradients), (again, others) = (self._once(module, batch) for _ in range(2))
                after = _random_states()
        finally:
            random.setstate(numbers)
        changed = listed(
            name
            for name, pair in {"the value": (value, again), **_pairs(gradients, others)}.items()
            if not torch.equal(*pair)
        )
        self._require(
            not changed,
            f"called twice with the same inputs, it differs in {changed}",
            "Draw no random numbers in forward, and keep no state between calls: otherwise a run "
            "cannot be repeated",
        )
        self._require(
            before == after,
            "forward moves or seeds the random numbers of torch or Python",
            "Draw random numbers when the loss is built, and neither draw nor seed in forward",
        )

    def test_compiles(self) -> None:
        """`torch.compile` gives the value and the gradient of eager mode, from one graph.

        With `compiles=False` in the definition, or None, the graph may break, but the results must
        be equal.
        The backend is aot_eager, which traces forward and backward without a C++ compiler.
        """
        module, whole = self.module(), self._definition.compiles is True

        def step(*arguments: Tensor) -> Tensor:
            result: Tensor = module(*arguments)  # torch does not trace a frame of its own modules
            return result

        value, gradients = self._once(module, self._batch())
        remedy = "Write forward in operations that torch can trace"
        if whole:
            remedy = (
                "Remove what breaks the graph from forward (item, a branch on a value, print), or "
                "write compiles=False in the LossDefinition, so that users know"
            )
        with _compiling():
            batch = self._leaves(self._batch())
            problem = "torch.compile cannot make one graph of it" if whole else "compiled, it fails"
            compiled = torch.compile(step, backend="aot_eager", fullgraph=whole)
            actual = self._called(compiled, batch, problem, remedy)
            others = self._gradients(actual, batch)
        for name, (one, other) in {"value": (value, actual), **_pairs(gradients, others)}.items():
            self._require(
                is_close(other, one),
                f"compiled, its {name} is {other} and not {one}",
                "Compute the same when torch.compiler.is_compiling() is true, and avoid operations "
                "that torch compiles wrongly",
            )

    def test_autocast_keeps_the_value(self) -> None:
        """Under autocast to bfloat16 the value is near that of float32, and the gradient is finite.

        Or the loss raises a RuntimeError that says `autocast`, and `avoid_when` says what to use
        instead, which a composite's error quotes.
        """
        batch, module = self._batch(), self.module()
        every = [name for name, tensor in batch.items() if tensor.is_floating_point()]
        for names in (self._differentiable(batch), every):
            half = {
                name: tensor.bfloat16() if name in names else tensor
                for name, tensor in batch.items()
            }
            whole = {name: tensor.to(batch[name].dtype) for name, tensor in half.items()}
            expected = self.value(module, whole)
            half = self._leaves(half)
            split = by_position_and_name(self._definition, half)
            try:
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    actual = called(module, half, *split)
            except Exception as error:  # noqa: BLE001 - all but one are failures of this check
                # A composite quotes only the first line.
                reason = str(error).strip().partition("\n")[0]
                refused = isinstance(error, RuntimeError) and "autocast" in reason
                self._require(
                    refused and bool(self._definition.avoid_when),
                    f"under autocast it fails: {reason}",
                    "Compute in float32 there (input.float()); or raise a RuntimeError that says "
                    "autocast, and what to use instead in the definition's avoid_when",
                )
                return
            gradients = self._gradients(actual, half).values()
            finite = all(tensor.isfinite().all() for tensor in gradients if tensor is not None)
            self._require(
                finite and is_close(actual, expected, rtol=_HALF_RTOL, atol=_HALF_ATOL),
                f"under autocast, with bfloat16 in {listed(names)}, it is {actual} and not "
                f"{expected}" + ("" if finite else ", and its gradient is not finite"),
                "Compute what loses too many digits in float32: sums of squares, matrix products "
                "and differences of large numbers",
            )


@contextmanager
def _compiling() -> Iterator[None]:
    """Compile from a clean start, clean up afterwards, and hide torch's warnings and traces."""
    trace = logging.getLogger("torch.__trace")
    disabled, trace.disabled = (
        trace.disabled,
        True,
    )  # pytest would show all of it when a check fails
    torch.compiler.reset()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.compiler.reset()
        trace.disabled = disabled


def _random_states() -> tuple[object, object]:
    return torch.get_rng_state().tolist(), random.getstate()


def _pairs(
    gradients: Mapping[str, Tensor | None], others: Mapping[str, Tensor | None]
) -> dict[str, tuple[Tensor, Tensor]]:
    """Two gradients of each input, 0 where there is none."""
    zero = torch.zeros(())
    return {
        f"gradient of {name!r}": (
            zero if gradient is None else gradient,
            zero if (other := others[name]) is None else other,
        )
        for name, gradient in gradients.items()
    }
