"""A test suite for a loss plugin: subclass `LossContract`, name the loss, give a batch.

    class TestFocal(LossContract):
        loss = "focal"

        def batch(self):
            return {"input": torch.randn(4, 3), "target": torch.tensor([0, 2, 1, 1])}

pytest runs every check below on it.
"""

from __future__ import annotations

import copy
import io
import json
import pickle
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from pydantic import ValidationError

from lossreg.checks import check_inputs, check_values
from lossreg.plugin.inputs import ANY_SHAPE
from lossreg.reduction import (
    Misfit,
    denominator,
    entry_shape,
    filled,
    numerator,
    reduced,
    unreduced_shape,
)
from lossreg.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor, nn

    from lossreg.plugin import LossConfig, LossDefinition

__all__ = ["LossContract"]


class LossContract:
    """What every loss plugin must hold.

    Attributes:
        loss: The name under which the loss is installed.
        params: Parameters to build it with, where the defaults do not do.
    """

    loss: ClassVar[str]
    params: ClassVar[Mapping[str, Any]] = {}

    def batch(self) -> dict[str, Tensor]:
        """One small batch of good inputs, by argument name, on the CPU."""
        raise NotImplementedError(f"{type(self).__name__}.batch must return a batch")

    def registry(self) -> Registry:
        """Where the loss is looked up: what is installed, unless a subclass says otherwise."""
        return Registry.installed()

    def definition(self) -> LossDefinition:
        """The loss definition under test."""
        return self.registry()[self.loss]

    def module(self, **params: Any) -> nn.Module:
        """The loss, built with `params` over those of the class."""
        definition = self.definition()
        return definition.build(definition.config(**{**self.params, **params}))

    def value(self, module: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """The module's value on a batch."""
        result = module(*(batch[each.name] for each in self.definition().inputs))
        assert isinstance(result, torch.Tensor), (
            f"{self.loss}: forward must return a tensor, not {type(result).__name__}"
        )
        return result

    def test_loads_under_its_name(self) -> None:
        """The entry point of this name gives a definition of this name."""
        assert self.definition().name == self.loss

    def test_says_what_it_is(self) -> None:
        """The definition has a summary of one line, and describes each input."""
        definition = self.definition()
        assert definition.summary, f"{self.loss}: give the LossDefinition a summary"
        assert "\n" not in definition.summary, f"{self.loss}: the summary is one line"
        for each in definition.inputs:
            assert each.meaning, f"{self.loss}: say what the input {each.name!r} means"

    def test_batch_names_the_inputs(self) -> None:
        """The batch holds the declared inputs and nothing else."""
        assert set(self.batch()) == {each.name for each in self.definition().inputs}

    def test_every_parameter_is_described(self) -> None:
        """Each field of the config has a description."""
        for name, field in self.definition().config.model_fields.items():
            assert field.description, f"{self.loss}: the parameter {name!r} has no description"

    def test_bounds_hold_on_both_sides(self) -> None:
        """A value on a numeric bound is accepted (refused, if exclusive); one beyond is refused."""
        config = self.definition().config
        for name, at_bound, beyond, accepted in _bounds(config):
            if accepted:
                self._config_with(name, at_bound)
            else:
                self._assert_refused(name, at_bound)
            self._assert_refused(name, beyond)

    def _config_with(self, name: str, value: float) -> LossConfig:
        return self.definition().config(**{**self.params, name: value})

    def _assert_refused(self, name: str, value: float) -> None:
        try:
            self._config_with(name, value)
        except ValidationError:
            return
        raise AssertionError(f"{self.loss}: {name}={value!r} is out of bounds, but was accepted")

    def test_unknown_parameters_are_refused(self) -> None:
        """A misspelt parameter is an error."""
        try:
            self.definition().config(**{**self.params, "no_such_parameter": 1})
        except ValidationError:
            return
        raise AssertionError(f"{self.loss}: an unknown parameter was accepted")

    def test_schema_is_json(self) -> None:
        """The config has a JSON schema that names every parameter."""
        config = self.definition().config
        schema = json.loads(json.dumps(config.model_json_schema()))
        assert set(schema.get("properties", {})) == set(config.model_fields)

    def test_value_is_a_finite_scalar(self) -> None:
        """A good batch gives one finite floating-point number."""
        value = self.value(self.module(), self.batch())
        assert value.shape == (), f"{self.loss}: expected a scalar, got {tuple(value.shape)}"
        assert value.is_floating_point(), f"{self.loss}: expected a float, got {value.dtype}"
        assert torch.isfinite(value), f"{self.loss}: the value is {value.item()}"

    def test_gradient_reaches_each_declared_input(self) -> None:
        """Inputs declared with `gradient=True` get a finite gradient that is not all zero."""
        batch = {name: tensor.detach().clone() for name, tensor in self.batch().items()}
        wanted = [
            each.name
            for each in self.definition().inputs
            if each.gradient and batch[each.name].is_floating_point()
        ]
        for name in wanted:
            batch[name].requires_grad_()
        self.value(self.module(), batch).backward()  # type: ignore[no-untyped-call]
        for name in wanted:
            gradient = batch[name].grad
            assert gradient is not None, f"{self.loss}: no gradient reaches {name!r}"
            assert torch.isfinite(gradient).all(), f"{self.loss}: the gradient of {name!r}"
            assert gradient.any(), f"{self.loss}: the gradient of {name!r} is zero everywhere"

    def test_inputs_are_not_modified(self) -> None:
        """Forward leaves its arguments as they were."""
        batch = self.batch()
        before = {name: tensor.clone() for name, tensor in batch.items()}
        self.value(self.module(), batch)
        for name, tensor in batch.items():
            assert torch.equal(tensor, before[name]), f"{self.loss}: forward changed {name!r}"

    def test_state_dict_round_trips(self) -> None:
        """A state saved and loaded with `weights_only=True` fits a new module and its value."""
        module, twin, batch = self.module(), self.module(), self.batch()
        file = io.BytesIO()
        torch.save(module.state_dict(), file)
        file.seek(0)
        twin.load_state_dict(torch.load(file, weights_only=True), strict=True)
        assert torch.equal(self.value(twin, batch), self.value(module, batch))

    def test_pickles_and_copies(self) -> None:
        """A pickled and a deep-copied module give the same value."""
        module, batch = self.module(), self.batch()
        expected = self.value(module, batch)
        for twin in (pickle.loads(pickle.dumps(module)), copy.deepcopy(module)):  # noqa: S301
            assert torch.equal(self.value(twin, batch), expected)

    def test_moves_to_a_dtype(self) -> None:
        """After `.to(float64)` the module takes float64 inputs and gives a float64 value."""
        batch = {
            name: tensor.double() if tensor.is_floating_point() else tensor
            for name, tensor in self.batch().items()
        }
        value = self.value(self.module().to(torch.float64), batch)
        assert value.dtype == torch.float64, f"{self.loss}: float64 inputs gave {value.dtype}"

    def test_the_batch_fits_what_the_definition_says(self) -> None:
        """A composite's checks let the batch through."""
        definition, batch = self.definition(), self.batch()
        try:
            sizes = check_inputs(definition, batch)
            check_values(definition, self.module(), batch, sizes, masked=False)
        except Misfit as misfit:
            raise AssertionError(f"{self.loss}: {misfit.argument!r}: {misfit.message}") from None

    def test_without_reduction_it_has_the_declared_shape(self) -> None:
        """Where reduction `none` is offered, the loss has the shape that `unreduced` says."""
        if not self._offers("none"):
            return
        definition, batch = self.definition(), self.batch()
        found = self.value(self.module(reduction="none"), batch).shape
        if definition.unreduced == ANY_SHAPE:
            return
        expected = unreduced_shape(definition, batch)
        assert found == expected, (
            f"{self.loss}: unreduced={definition.unreduced!r} means the shape {expected}, "
            f"but with reduction 'none' the loss has {tuple(found)}"
        )

    def test_the_mean_is_its_numerator_over_its_denominator(self) -> None:
        """Sum of `scale` times unreduced loss over sum of `count` is the mean."""
        for reduction in ("mean", "sum", "batchmean"):
            if self._offers("none", reduction):
                found = self._reduced_by_lossreg(self.batch(), reduction, None)
                expected = self.value(self.module(reduction=reduction), self.batch())
                assert _is_close(found, expected), (
                    f"{self.loss}: `denominator` (and `scale`) give {found} with reduction "
                    f"{reduction!r}, the module gives {expected}"
                )

    def test_the_denominator_is_read_from_what_counts(self) -> None:
        """Inputs marked `counted` tell the loss's shape and its denominator, without the others.

        So it is known before the model runs; and it adds up over micro-batches.
        """
        definition, batch = self.definition(), self.batch()
        counted = {each.name: batch[each.name] for each in definition.inputs if each.counted}
        if not (self._offers("none") and counted):
            return
        shape = self.value(self.module(reduction="none"), batch).shape
        for name, tensor in counted.items():
            told = entry_shape(definition, {name: tensor})
            assert told == shape, (
                f"{self.loss}: {name!r} is `counted`, but the letters of its shape tell of a loss "
                f"of the shape {None if told is None else tuple(told)}, not {tuple(shape)}"
            )
        for reduction in ("mean", "batchmean"):
            if self._offers(reduction):
                halves = [self._halves(row, reduction) for row in self._single_rows(batch)]
                found = sum(above for above, _ in halves) / sum(below for _, below in halves)
                expected = self.value(self.module(reduction=reduction), batch)
                assert isinstance(found, torch.Tensor)
                assert _is_close(found, expected), (
                    f"{self.loss}: with reduction {reduction!r}, numerators and denominators of "
                    f"single rows add up to {found}, the module gives {expected}"
                )

    def test_safe_values_are_safe(self) -> None:
        """What is filled in under a mask gives a finite loss, with a finite gradient."""
        rows = self._rows(self.batch())
        if not (self._offers("none") and rows):
            return
        keep = torch.zeros(max(self.batch()[name].shape[dim] for name, dim in rows.items()))
        batch = filled(self.definition(), self.batch(), keep.bool())
        leaves = [batch[each.name] for each in self.definition().inputs if each.gradient]
        leaves = [leaf.requires_grad_() for leaf in leaves if leaf.is_floating_point()]
        loss = self.value(self.module(reduction="none"), batch)
        loss.sum().backward()  # type: ignore[no-untyped-call]
        gradients = [leaf.grad for leaf in leaves if leaf.grad is not None]
        assert all(torch.isfinite(each).all() for each in (loss, *gradients)), (
            f"{self.loss}: what stands in for masked entries gives nan or infinity; give the "
            "inputs a `fill` where loss and gradient are finite"
        )

    def test_masked_entries_do_not_count(self) -> None:
        """With nan and wrong indices in masked rows, value and gradient are those of the others.

        So each entry's loss depends on that entry alone.
        """
        if not self._offers("none", "mean"):
            return
        definition, batch = self.definition(), self.batch()
        rows = self._rows(batch)
        count = max((batch[name].shape[dim] for name, dim in rows.items()), default=0)
        if count < 2:  # noqa: PLR2004 - one row to mask, and one to keep
            return
        keep = torch.arange(count) > 0
        clean = {
            name: tensor.index_select(rows[name], torch.arange(1, count))
            if name in rows
            else tensor
            for name, tensor in batch.items()
        }
        soiled = {
            name: self._soiled(tensor, rows[name]) if name in rows else tensor
            for name, tensor in batch.items()
        }
        wanted = [
            each.name
            for each in definition.inputs
            if each.gradient and each.name in rows and batch[each.name].is_floating_point()
        ]
        for name in wanted:
            clean[name], soiled[name] = (
                each[name].detach().clone().requires_grad_() for each in (clean, soiled)
            )
        found = self._reduced_by_lossreg(soiled, "mean", keep)
        expected = self.value(self.module(reduction="mean"), clean)
        message = f"{self.loss}: under a mask the value is {found}, not {expected}"
        assert _is_close(found, expected), message
        for each in (found, expected):
            each.backward()  # type: ignore[no-untyped-call]
        for name in wanted:
            masked, kept = soiled[name].grad, clean[name].grad
            assert masked is not None
            assert kept is not None
            first = masked.narrow(rows[name], 0, 1)
            others = masked.narrow(rows[name], 1, count - 1)
            assert not first.any(), f"{self.loss}: a masked entry of {name!r} has a gradient"
            assert _is_close(others, kept), (
                f"{self.loss}: a mask changes the gradient of {name!r} where it masks nothing"
            )

    def _offers(self, *reductions: str) -> bool:
        return set(reductions) <= set(self.definition().reductions)

    def _rows(self, batch: Mapping[str, Tensor]) -> dict[str, int]:
        """For each input that has it, the place of the unreduced loss's first dimension."""
        definition = self.definition()
        if definition.unreduced == ANY_SHAPE:
            return {}
        first = definition.unreduced.partition(" ")[0]
        found = {}
        for each in definition.inputs:
            letters = each.letters(batch[each.name], definition.inputs[0]).split()
            if first in letters and batch[each.name].dim():
                found[each.name] = letters.index(first)
        return found

    def _single_rows(self, batch: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        """The batch as micro-batches of one row each."""
        rows = self._rows(batch)
        count = max((batch[name].shape[dim] for name, dim in rows.items()), default=0)
        return [
            {
                name: tensor.narrow(rows[name], row, 1) if name in rows else tensor
                for name, tensor in batch.items()
            }
            for row in range(count)
        ] or [dict(batch)]

    def _halves(self, batch: Mapping[str, Tensor], reduction: str) -> tuple[Tensor, Tensor]:
        """Numerator and denominator, the latter from the counted inputs alone."""
        definition, module = self.definition(), self.module(reduction="none")
        how: dict[str, Any] = {"reduction": reduction, "keep": None, "sample_weight": None}
        total, shape = numerator(definition, module, batch, **how)
        counted = {each.name: batch[each.name] for each in definition.inputs if each.counted}
        try:
            count = denominator(definition, module, counted, shape, dtype=total.dtype, **how)
        except KeyError as error:
            raise AssertionError(
                f"{self.loss}: the denominator's `count` reads {error}, which is not `counted`"
            ) from None
        return total, count

    @staticmethod
    def _soiled(tensor: Tensor, dim: int) -> Tensor:
        """A copy whose first row is anything at all."""
        copied = tensor.clone()
        dirt = torch.nan if tensor.is_floating_point() else torch.iinfo(tensor.dtype).max
        copied.narrow(dim, 0, 1).fill_(dirt)
        return copied

    def _reduced_by_lossreg(
        self, batch: Mapping[str, Tensor], reduction: str, keep: Tensor | None
    ) -> Tensor:
        definition = self.definition()
        if keep is not None:
            batch = filled(definition, batch, keep)
        numerator, denominator = reduced(
            definition,
            self.module(reduction="none"),
            batch,
            reduction=reduction,
            keep=keep,
            sample_weight=None,
        )
        return numerator if denominator is None else numerator / denominator


def _is_close(found: Tensor, expected: Tensor) -> bool:
    return torch.allclose(found.to(expected.dtype), expected, rtol=1e-4, atol=1e-6)


def _bounds(config: type[LossConfig]) -> Iterator[tuple[str, float, float, bool]]:
    """Each numeric bound: field, the bound, a value beyond it, and whether the bound is allowed."""
    for name, field in config.model_fields.items():
        for constraint in field.metadata:
            for kind, sign in (("ge", -1), ("gt", -1), ("le", 1), ("lt", 1)):
                bound = getattr(constraint, kind, None)
                if bound is not None:
                    yield name, bound, bound + sign, kind in {"ge", "le"}
