"""Checks of what a plugin says about its loss: the definition, the config, the example."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError
from torch import Tensor

from lossreg.config import examine
from lossreg.runtime.arguments import of_inputs
from lossreg.runtime.checks import check_inputs, check_values, suspicions
from lossreg.runtime.reduction import Misfit
from lossreg.testing.loading import fault_without_torch
from lossreg.testing.subject import Subject, listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lossreg.config import CompositeConfig
    from lossreg.plugin import LossConfig

__all__ = ["DefinitionChecks"]


class DefinitionChecks(Subject):
    """Checks that do not compute the loss."""

    def test_loads_under_its_name(self) -> None:
        """The entry point and its definition have the same name."""
        name = self._definition.name
        self._require(
            name == self.loss.rpartition(":")[2],
            f"the definition is named {name!r}",
            "Give the LossDefinition, the entry point and the test the same name",
        )

    def test_says_what_it_is(self) -> None:
        """The definition has a summary of one line, and describes each input."""
        summary = self._definition.summary
        self._require(
            bool(summary.strip()) and "\n" not in summary.strip(),
            "the definition's summary is not one line",
            "Say in one line what the loss is: lossreg list prints it",
        )
        inputs = self._definition.inputs
        silent = listed(argument.name for argument in inputs if not argument.meaning.strip())
        self._require(
            not silent,
            f"the definition does not say what the inputs {silent} hold",
            "Give each LossInput its meaning in a few words: lossreg show prints it",
        )

    def test_every_parameter_is_described(self) -> None:
        """Each field of the config has a description."""
        fields = self._definition.config.model_fields
        silent = listed(name for name, field in fields.items() if not field.description)
        self._require(
            not silent,
            f"the parameters {silent} have no description",
            "Give each Field a description of one plain sentence: lossreg show prints it",
        )

    def test_bounds_hold_on_both_sides(self) -> None:
        """A value on a numeric bound is accepted (refused, if exclusive); one beyond is refused."""
        for name, at_bound, beyond, accepted in _bounds(self._definition.config):
            if accepted:
                with self._explaining(
                    f"{name}={at_bound!r} is on its bound, but is refused",
                    "Make the bound exclusive (gt, lt), or accept it in the validator as well",
                ):
                    self._definition.config(**{**self.params, name: at_bound})
            for outside in (beyond,) if accepted else (at_bound, beyond):
                self._require(
                    self._refuses(name, outside),
                    f"{name}={outside!r} is out of bounds, but was accepted",
                    "Do not change a number in a validator before its bounds are checked",
                )

    def test_unknown_parameters_are_refused(self) -> None:
        """A misspelt parameter is an error."""
        self._require(
            self._refuses("no_such_parameter", 1),
            "a parameter that the config does not have was accepted",
            'Keep extra="forbid" of LossConfig: without it a typo in a YAML file is not reported',
        )

    def _refuses(self, name: str, value: float) -> bool:
        try:
            self._definition.config(**{**self.params, name: value})
        except ValidationError:
            return True
        return False

    def test_schema_is_json(self) -> None:
        """The config has a JSON schema that names every parameter."""
        config = self._definition.config
        with self._explaining(
            "the config has no JSON schema",
            "Give its fields types that have a JSON schema, or WithJsonSchema",
        ):
            schema = json.loads(json.dumps(config.model_json_schema()))
        missing = listed(set(config.model_fields) - set(schema.get("properties", {})))
        self._require(
            not missing,
            f"the JSON schema has no {missing}",
            "Keep the names and the schema of LossConfig's fields as pydantic makes them",
        )

    def test_config_round_trips(self) -> None:
        """A config written as JSON is read as an equal config, in Python and as a term in YAML."""
        config = self._config()
        with self._explaining(
            "its config cannot be written as JSON",
            "Give a field of another type a serializer that turns it into plain values",
        ):
            written = json.dumps(config.model_dump(mode="json"), ensure_ascii=False)
        with self._explaining(
            f"its config does not accept what it has written itself, {written}",
            "Give each field a type that accepts what YAML has: numbers, words, lists and "
            "mappings, but not objects",
        ):
            again = type(config)(**json.loads(written))
        self._require_equal(config, again, f"written and read again as {written}")
        params = json.loads(written)
        if params.get("reduction") == "none":
            # A term of a composite must be one number.
            del params["reduction"]
            config = self._definition.config(**params)
        term = {"type": self.loss, "params": params}
        document = yaml.safe_dump({"terms": {"term": term}}, sort_keys=False, allow_unicode=True)
        loaded = self._loaded(document, f"a term with the params {written} is refused")
        self._require_equal(config, loaded.terms[0].params, f"read as a term of {params}")

    def _require_equal(self, config: LossConfig, again: LossConfig, how: str) -> None:
        changed = listed(
            name
            for name in type(config).model_fields
            if _plain(getattr(config, name)) != _plain(getattr(again, name))
        )
        self._require(
            not changed,
            f"the parameters {changed} differ after the config was {how}",
            "Keep the whole value of a field in serializers, and do not change it in validators",
        )

    def test_example_loads(self) -> None:
        """The definition's example, if there is one, is a term of this loss."""
        example = self._definition.example
        if not example:
            return
        document = "terms:\n" + textwrap.indent(example, "  ")
        loaded = self._loaded(document, "the definition's example is refused under terms:")
        self._require(
            any(term.definition.name == self.loss.rpartition(":")[2] for term in loaded.terms),
            "the definition's example shows only other losses",
            f"Write a term with type: {self.loss}",
        )

    def _loaded(self, document: str, problem: str) -> CompositeConfig:
        examined = examine(document.encode(), registry=self.registry(), name="the example")
        faults = "; ".join(
            f"{diagnostic.path}: {diagnostic.message}"
            for diagnostic in examined.diagnostics
            if diagnostic.severity == "error"
        )
        self._require(
            not faults,
            f"{problem}: {faults}",
            "Fix what is named: users copy the example that they are shown",
        )
        assert examined.loss is not None  # noqa: S101 - set when there are no errors
        return examined.loss

    def test_loads_without_torch(self) -> None:
        """Where `torch_free` is declared, loading the plugin does not import torch."""
        if not self.torch_free:
            return
        definition = self._definition
        fault = fault_without_torch(definition.name, self.registry().entry(self.loss))
        self._require(
            fault is None,
            f"it is declared torch_free, but loading it fails without torch: {fault}",
            "Import torch inside build and other functions, or leave torch_free out of the test",
        )

    def test_batch_names_the_inputs(self) -> None:
        """The batch holds the declared inputs and nothing else."""
        self._batch()
        extra = listed(
            set(self._first_batch) - {argument.name for argument in self._definition.inputs}
        )
        self._require(
            not extra,
            f"the batch has {extra}, which the definition does not",
            "Name the batch's tensors as the definition's inputs",
        )

    def test_the_batch_fits_what_the_definition_says(self) -> None:
        """The batch passes a composite's checks."""
        batch, module = self._batch(), self.module()
        definition = of_inputs(self._definition, batch)
        try:
            sizes = check_inputs(definition, batch)
            problems = suspicions(definition, module, batch, values=False)
            check_values(definition, module, batch, sizes, masked=False)
            problems += suspicions(definition, module, batch, values=True)
        except (RuntimeError, TypeError) as error:
            remedy = "Fix check_shapes or check_values of the definition"
            raise AssertionError(self._explained(str(error), remedy)) from error
        except Misfit as misfit:
            message = self._explained(
                f"a composite would refuse {misfit.argument!r} of the batch: {misfit.message}",
                "Fix the batch, or the dtype, shape and domain of the LossInput",
            )
            raise AssertionError(message) from None
        suspected = "; ".join(f"{problem.argument!r}: {problem.message}" for problem in problems)
        self._require(
            not suspected,
            f"a composite would warn of the batch: {suspected}",
            "Give a batch like those of users, or report less in check_shapes and check_values",
        )


def _plain(value: Any) -> object:
    """A parameter to compare: class weights may be a tensor before, and a tuple after."""
    if isinstance(value, Tensor):
        return value.tolist()
    return list(map(_plain, value)) if isinstance(value, list | tuple) else value


def _bounds(config: type[LossConfig]) -> Iterator[tuple[str, float, float, bool]]:
    """Each numeric bound: field, the bound, a value beyond it, and whether the bound is allowed."""
    for name, field in config.model_fields.items():
        for constraint in field.metadata:
            for kind, sign in (("ge", -1), ("gt", -1), ("le", 1), ("lt", 1)):
                bound = getattr(constraint, kind, None)
                if bound is not None:
                    yield name, bound, bound + sign, kind in {"ge", "le"}
