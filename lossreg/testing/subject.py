"""The loss under test: what an author declares, and what the checks use."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from lossreg.errors import described
from lossreg.plugin.calls import by_position_and_name, called
from lossreg.plugin.fields import with_tensors
from lossreg.plugin.inputs import ANY_SHAPE
from lossreg.registry import LOSSES, Registry
from lossreg.runtime.parts import added, as_vector, fault_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from torch import nn

    from lossreg.plugin import LossConfig, LossDefinition
    from lossreg.plugin.shapes import Shape

__all__ = ["Subject", "count_of", "in_double", "is_close", "listed", "place_of"]


class Subject:
    """The base of every group of checks; `LossContract` documents it for authors."""

    loss: ClassVar[str]
    params: ClassVar[Mapping[str, Any]] = {}
    torch_free: ClassVar[bool] = False
    any_order: ClassVar[bool] = True
    inert: ClassVar[Mapping[str, str]] = {}
    original: ClassVar[str | None] = None
    original_params: ClassVar[Mapping[str, Any] | None] = None

    def batch(self) -> dict[str, Tensor]:
        """One small batch of good inputs, by argument name, on the CPU."""
        raise NotImplementedError(f"{type(self).__name__}.batch must return a batch")

    def reference(self, **inputs: Tensor) -> Tensor | None:  # noqa: ARG002 - for authors to use
        """The right value of a batch, computed in another way; None if there is none."""
        return None

    def after_step(self, module: nn.Module) -> None:
        """Call what the training loop calls of the loss after each step; by default, nothing."""

    def registry(self) -> Registry:
        """The registry that has the loss; by default, all installed plugins."""
        return Registry.installed()

    def definition(self) -> LossDefinition:
        """The loss definition under test."""
        remedy = (
            "Install the distribution (pip install -e .) whose pyproject.toml names the loss's "
            f'module under [project.entry-points."{LOSSES.group}"]'
        )
        with self._explaining("it cannot be loaded", remedy):
            return self.registry()[self.loss]

    def module(self, **params: Any) -> nn.Module:
        """The loss, built with `params` over those of the class, always from the same seed.

        One that is stateful is in `eval()`, where each call gives the same.
        """
        module = self._built(0, **params)
        return module.eval() if self._definition.stateful else module

    def value(self, module: Callable[..., Any], batch: Mapping[str, Tensor]) -> Tensor:
        """The module's value on a batch."""
        return self._called(
            module, batch, "forward fails on the batch", "Give a batch that it accepts, or fix it"
        )

    def _built(self, seed: int, **params: Any) -> nn.Module:
        config = self._config(**params)
        with (
            torch.random.fork_rng(devices=[]),
            self._explaining("it cannot be built", "Fix the definition's build"),
        ):
            torch.manual_seed(seed)
            return self._definition.build(with_tensors(config))

    @cached_property
    def _definition(self) -> LossDefinition:
        """The definition, looked up once per check: a lookup reads all installed plugins."""
        return self.definition()

    @cached_property
    def _first_batch(self) -> dict[str, Tensor]:
        """The batch, made once per check: it may be random."""
        return self.batch()

    def _batch(self) -> dict[str, Tensor]:
        """The loss's inputs from the batch, copied and without a graph."""
        copied = {}
        for argument in self._definition.inputs:
            tensor = self._first_batch.get(argument.name)
            if tensor is None and argument.optional:
                continue
            self._require(
                isinstance(tensor, Tensor),
                f"the batch has no tensor {argument.name!r}",
                "Give a tensor for each input of the definition",
            )
            assert tensor is not None  # noqa: S101 - just looked at
            copied[argument.name] = tensor.detach().clone()
        return copied

    def _differentiable(self, batch: Mapping[str, Tensor]) -> list[str]:
        """The floating-point inputs that the definition marks with `gradient`."""
        return [
            argument.name
            for argument in self._definition.inputs
            if argument.gradient
            and argument.name in batch
            and batch[argument.name].is_floating_point()
        ]

    def _leaves(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A copy of the batch; its differentiable tensors require a gradient."""
        wanted = self._differentiable(batch)
        return {
            name: tensor.detach().clone().requires_grad_(name in wanted)
            for name, tensor in batch.items()
        }

    def _gradients(self, value: Tensor, batch: Mapping[str, Tensor]) -> dict[str, Tensor | None]:
        """The value's gradient in each leaf of the batch; None where none arrives."""
        leaves = {name: tensor for name, tensor in batch.items() if tensor.requires_grad}
        if not (leaves and value.requires_grad):
            return dict.fromkeys(leaves)
        remedy = "Do not use in-place operations in forward, and fix a backward of your own"
        with self._explaining("the backward pass fails", remedy):
            gradients = torch.autograd.grad(value.sum(), list(leaves.values()), allow_unused=True)
        return dict(zip(leaves, gradients, strict=True))

    def _once(
        self, module: nn.Module, batch: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor | None]]:
        """The value, and its gradients in copies of the batch."""
        batch = self._leaves(batch)
        value = self.value(module, batch)
        return value, self._gradients(value, batch)

    def _called(
        self,
        module: Callable[..., Any],
        batch: Mapping[str, Tensor],
        problem: str,
        remedy: str,
    ) -> Tensor:
        with self._explaining(problem, remedy):
            result = called(module, batch, *by_position_and_name(self._definition, batch))
        parts = self._definition.parts
        if parts:
            fault = fault_of(result, parts)
            self._require(not fault, fault, "Return what the definition's parts say")
            result = added(as_vector(result, parts))
        self._require(
            isinstance(result, Tensor),
            f"forward returns a {type(result).__name__}",
            "Return the loss as one tensor, and keep other results elsewhere",
        )
        assert isinstance(result, Tensor)  # noqa: S101 - just looked at
        return result

    def _config(self, **params: Any) -> LossConfig:
        """The loss's parameters: `params` over those of the class."""
        with self._explaining(
            "its config refuses the parameters of the test",
            "Give valid ones in the class's params, or fix the config",
        ):
            return self._definition.config(**{**self.params, **params})

    def _offers(self, *reductions: str) -> bool:
        return set(reductions) <= set(self._definition.reductions)

    def _rows(self, batch: Mapping[str, Tensor]) -> dict[str, int]:
        """For each input that has rows, their dimension.

        Rows are the first dimension of the unreduced loss, or `N` if no input has that or there is
        no unreduced loss. Empty if an input holds them in another form, such as concatenated label
        sequences, or if the shape of one is not known.
        """
        if any(argument.shape == ANY_SHAPE for argument in self._definition.inputs):
            return {}
        first = self._definition.inputs[0]
        shapes = {
            argument.name: argument.letters_of(batch[argument.name], first)
            for argument in self._definition.inputs
            if argument.name in batch
        }
        entries = self._definition.unreduced_letters
        row = "N"
        if self._offers("none"):
            row = next((letter for form in entries.forms for letter in form), "N")
        if not any(_has_letter(shape, row) for shape in shapes.values()):
            row = "N"
        rows = {}
        for name, shape in shapes.items():
            if _has_letter(shape, row):
                place = place_of(row, shape, batch[name].shape)
                if place is None:
                    return {}
                rows[name] = place
        sizes = {batch[name].shape[place] for name, place in rows.items()}
        return rows if len(sizes) == 1 else {}

    def _selected(self, batch: Mapping[str, Tensor], numbers: Tensor) -> dict[str, Tensor]:
        """The batch with only the rows of these numbers, in this order."""
        rows = self._rows(batch)
        return {
            name: tensor.index_select(rows[name], numbers) if name in rows else tensor
            for name, tensor in batch.items()
        }

    def _require(self, holds: bool, problem: str, remedy: str) -> None:
        """Fail unless `holds`; say what is wrong with the loss and what its author should do."""
        __tracebackhide__ = True
        if not holds:
            raise AssertionError(self._explained(problem, remedy))

    @contextmanager
    def _explaining(self, problem: str, remedy: str) -> Iterator[None]:
        """Turn any exception of the loss into a failure with a remedy."""
        __tracebackhide__ = True
        try:
            yield
        except Exception as error:
            raise AssertionError(
                self._explained(f"{problem}: {described(error)}", remedy)
            ) from error

    def _explained(self, problem: str, remedy: str) -> str:
        return f"{self.loss}: {problem}. {remedy}."


def _has_letter(shape: Shape, letter: str) -> bool:
    """Whether a shape, in any of its forms, has this letter."""
    return any(letter in form for form in shape.forms)


def place_of(letter: str, shape: Shape, sizes: Sequence[int]) -> int | None:
    """The dimension of a letter in a tensor of this size, the first of `*`.

    None if there is none, or if the tensor does not fit the shape.
    """
    labels = shape.labels(sizes) or ()
    label = "*0" if letter == "*" else letter
    return labels.index(label) if label in labels else None


def is_close(actual: Tensor, expected: Tensor, *, rtol: float = 1e-4, atol: float = 1e-6) -> bool:
    """Whether two tensors are equal up to rounding."""
    return torch.allclose(actual.to(expected.dtype), expected, rtol=rtol, atol=atol)


def count_of(batch: Mapping[str, Tensor], rows: Mapping[str, int]) -> int:
    """How many rows a batch has."""
    return next((batch[name].shape[place] for name, place in rows.items()), 0)


def in_double(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The batch, its floating-point tensors in float64."""
    return {
        name: tensor.double() if tensor.is_floating_point() else tensor
        for name, tensor in batch.items()
    }


def listed(names: Iterable[str]) -> str:
    """Names in quotes."""
    return ", ".join(map(repr, names))
