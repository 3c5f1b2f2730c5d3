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


def _bounds(config: type[LossConfig]) -> Iterator[tuple[str, float, float, bool]]:
    """Each numeric bound: field, the bound, a value beyond it, and whether the bound is allowed."""
    for name, field in config.model_fields.items():
        for constraint in field.metadata:
            for kind, sign in (("ge", -1), ("gt", -1), ("le", 1), ("lt", 1)):
                bound = getattr(constraint, kind, None)
                if bound is not None:
                    yield name, bound, bound + sign, kind in {"ge", "le"}
