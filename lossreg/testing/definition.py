"""Checks of what a plugin says of its loss: the definition, the config, the example."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError
from torch import Tensor

from lossreg.config import examine
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
    """What holds before anything is computed."""

    def test_loads_under_its_name(self) -> None:
        """The entry point of this name gives a definition of this name."""
        found = self._definition.name
        self._require(
            found == self.loss.rpartition(":")[2],
            f"the definition is named {found!r}",
            "Give LossDefinition, entry point and test one name",
        )

    def test_says_what_it_is(self) -> None:
        """The definition has a summary of one line, and describes each input."""
        summary = self._definition.summary
        self._require(
            bool(summary.strip()) and "\n" not in summary.strip(),
            "the definition's summary is not one line",
            "Say in one line what the loss is: lossreg list prints it",
        )
        silent = listed(each.name for each in self._definition.inputs if not each.meaning.strip())
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
                    "Make the bound exclusive (gt, lt), or take it in the validator as well",
                ):
                    self._definition.config(**{**self.params, name: at_bound})
            for outside in (beyond,) if accepted else (at_bound, beyond):
                self._require(
                    self._refuses(name, outside),
                    f"{name}={outside!r} is out of bounds, but was accepted",
                    "Let no validator change a number before its bounds are looked at",
                )

    def test_unknown_parameters_are_refused(self) -> None:
        """A misspelt parameter is an error."""
        self._require(
            self._refuses("no_such_parameter", 1),
            "a parameter that the config does not have was accepted",
            'Leave extra="forbid" of LossConfig as it is: a typo in a YAML would pass unseen',
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
            "Give its fields types that JSON can tell, or WithJsonSchema",
        ):
            schema = json.loads(json.dumps(config.model_json_schema()))
        missing = listed(set(config.model_fields) - set(schema.get("properties", {})))
        self._require(
            not missing,
            f"the JSON schema has no {missing}",
            "Leave the names and the schema of LossConfig's fields as pydantic makes them",
        )

    def test_config_round_trips(self) -> None:
        """What a config writes as JSON gives an equal config, in Python and as a term in YAML."""
        given = self._config()
        with self._explaining(
            "its config cannot be written as JSON",
            "Give a field of another type a serializer that makes plain values of it",
        ):
            written = json.dumps(given.model_dump(mode="json"), ensure_ascii=False)
        with self._explaining(
            f"its config does not take what it has written itself, {written}",
            "Give each field a type that takes what YAML has: numbers, words, lists and mappings, "
            "and no objects",
        ):
            again = type(given)(**json.loads(written))
        self._require_equal(given, again, f"written and read again as {written}")
        params = json.loads(written)
        if params.get("reduction") == "none":
            # A term of a composite is a number.
            del params["reduction"]
            given = self._definition.config(**params)
        term = {"type": self.loss, "params": params}
        document = yaml.safe_dump({"terms": {"term": term}}, sort_keys=False, allow_unicode=True)
        loaded = self._loaded(document, f"a term with the params {written} is refused")
        self._require_equal(given, loaded.terms[0].params, f"read as a term of {params}")

    def _require_equal(self, given: LossConfig, found: LossConfig, how: str) -> None:
        changed = listed(
            name
            for name in type(given).model_fields
            if _plain(getattr(given, name)) != _plain(getattr(found, name))
        )
        self._require(
            not changed,
            f"the parameters {changed} are others after the config was {how}",
            "Let serializers keep all that a field holds, and validators take it as it is",
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
            "the definition's example shows other losses alone",
            f"Write a term with type: {self.loss}",
        )

    def _loaded(self, document: str, problem: str) -> CompositeConfig:
        examined = examine(document.encode(), registry=self.registry(), name="the example")
        faults = "; ".join(
            f"{each.path}: {each.message}"
            for each in examined.diagnostics
            if each.severity == "error"
        )
        self._require(
            not faults,
            f"{problem}: {faults}",
            "Mend what is named: users begin with what they are shown",
        )
        assert examined.loss is not None  # noqa: S101 - it is where nothing is wrong
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
        extra = listed(set(self._given) - {each.name for each in self._definition.inputs})
        self._require(
            not extra,
            f"the batch has {extra}, which the definition does not",
            "Name the batch's tensors as the definition's inputs",
        )

    def test_the_batch_fits_what_the_definition_says(self) -> None:
        """A composite's checks let the batch through."""
        definition, batch, module = self._definition, self._batch(), self.module()
        try:
            sizes = check_inputs(definition, batch)
            found = suspicions(definition, module, batch, values=False)
            check_values(definition, module, batch, sizes, masked=False)
            found += suspicions(definition, module, batch, values=True)
        except (RuntimeError, TypeError) as error:
            told = self._told(str(error), "Mend what the definition looks at a batch with")
            raise AssertionError(told) from error
        except Misfit as misfit:
            told = self._told(
                f"a composite would refuse {misfit.argument!r} of the batch: {misfit.message}",
                "Mend the batch, or the dtype, shape and domain of the LossInput",
            )
            raise AssertionError(told) from None
        suspected = "; ".join(f"{each.argument!r}: {each.message}" for each in found)
        self._require(
            not suspected,
            f"a composite would warn of the batch: {suspected}",
            "Give a batch as users have it, or suspect less in check_shapes and check_values",
        )


def _plain(value: Any) -> object:
    """A parameter to compare: class weights may be a tensor before, and a tuple after."""
    if isinstance(value, Tensor):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value


def _bounds(config: type[LossConfig]) -> Iterator[tuple[str, float, float, bool]]:
    """Each numeric bound: field, the bound, a value beyond it, and whether the bound is allowed."""
    for name, field in config.model_fields.items():
        for constraint in field.metadata:
            for kind, sign in (("ge", -1), ("gt", -1), ("le", 1), ("lt", 1)):
                bound = getattr(constraint, kind, None)
                if bound is not None:
                    yield name, bound, bound + sign, kind in {"ge", "le"}
