"""Reads one term of a composite as a `Declared` with its loss."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from lossreg.config.declare.fields import is_mapping
from lossreg.config.declare.gradients import check_detached
from lossreg.config.declare.inputs import check_inputs, read_inputs
from lossreg.config.declare.keys import as_meant
from lossreg.config.declare.parameters import validated
from lossreg.config.declare.selection import check_selection
from lossreg.config.declare.tree import Declared, Loss
from lossreg.config.declare.values import read_values
from lossreg.config.declare.weights import check_weight
from lossreg.config.faults.faults import clipped, describe, is_interpolation
from lossreg.config.faults.guesses import Guesses
from lossreg.config.grammar import TERM
from lossreg.config.read.nodes import Node
from lossreg.errors import (
    DuplicateLossError,
    LossregError,
    PluginLoadError,
    UnknownLossError,
    described,
)
from lossreg.names import closest_loss

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lossreg.config.faults.faults import ConfigPath, Faults
    from lossreg.config.read.nodes import Span
    from lossreg.plugin import LossConfig, LossDefinition
    from lossreg.registry import Registry

__all__ = ["TermReader"]

_COLON = r"\s*:"
_PARAMS = "parameters, each 'name: value'"


class TermReader:
    """Reads the terms of an objective, and notes their faults."""

    def __init__(self, registry: Registry, faults: Faults) -> None:
        self._registry = registry
        self._faults = faults
        self._losses: dict[str, Loss] = {}

    def term(
        self, name: str, node: Node, path: ConfigPath, key: Span, *, divided: bool
    ) -> Declared | None:
        """The term in a mapping; None after noting that the value is not a mapping.

        Args:
            name: The term's name.
            node: The mapping.
            path: Its place.
            key: Where the term's name is written.
            divided: Whether a group around it says what its mean divides by.
        """
        faults = self._faults
        if not isinstance(node.value, dict):
            written = node.value if isinstance(node.value, str) and node.value else "mse"
            named = closest_loss(written, self._registry) or clipped(written)
            is_mapping(node, path, faults, wanted=f"a mapping such as {{type: {named}}}")
            return None
        loss = self._loss(node, path)
        inputs = node.value.get("inputs")
        if inputs is not None and isinstance(inputs.value, str):
            node = self._with_listed_inputs(node, inputs, path)
        node = as_meant(TERM, node, path, faults, loss)
        term = Declared(TERM, name, node, path, key, loss)
        if "type" not in node.value:
            faults.add("LR102", path, "the key 'type', the loss's name, is missing", key)
        if loss is None:
            term.is_complete = False
            read_values(term, faults)
            check_weight(term, faults)
            self._check_rest(term)
            return term
        term.put("type", node.value["type"].value)
        weight = node.value.get("weight")
        if weight is not None and isinstance(weight.value, list):
            self._refuse_class_weights(term, weight, loss)
        read_values(term, faults)
        check_weight(term, faults)
        inputs = node.value.get("inputs")
        if inputs is not None:
            where = (path, "inputs")
            term.put("inputs", read_inputs(inputs, where, node.keys["inputs"], loss, faults))
        self._read_params(term, loss, divided=divided or "divide_by" in term.values)
        check_selection(term, loss.definition, faults)
        check_detached(term, loss, faults)
        if loss.is_guess:
            term.is_complete = False
        return term

    def _with_listed_inputs(self, node: Node, inputs: Node, path: ConfigPath) -> Node:
        """The term with a list of inputs, where `{inputs: p, y}` made keys of all but the first."""
        names = [
            name
            for name, value in node.value.items()
            if value.value is None and name not in TERM.keys and not _has_colon(name, node)
        ]
        if not names:
            return node
        listed = ", ".join(map(clipped, (inputs.value, *names)))
        message = f"expected a list or a mapping of paths; write inputs: [{listed}]"
        self._faults.add("LR101", (path, "inputs"), message, inputs)
        meant = node.copy()
        meant.value["inputs"] = Node([inputs], *inputs.span)
        for name in names:
            del meant.value[name]
            meant.value["inputs"].value.append(Node(name, *meant.keys.pop(name)))
        return meant

    def _refuse_class_weights(self, term: Declared, weight: Node, loss: Loss) -> None:
        """Note class weights in the place of the term's own weight."""
        if "weight" in loss.definition.config.model_fields:
            message = "expected a number, found a list; class weights go under 'params'"
            place = (term.path, "weight")
            self._faults.add("LR201", place, message, weight)
            term.put("weight", None)

    def _loss(self, node: Node, path: ConfigPath) -> Loss | None:
        name, where = node.value.get("type"), (path, "type")
        if name is None:
            # `as_meant` notes a misspelt `type`; here its value lets one run find other faults.
            guesses = Guesses.of(TERM, node)
            written = guesses.written.get("type")
            if written is None:
                return None
            name, where = guesses.value(written), (path, written)
        if not isinstance(name.value, str):
            message = f"expected the name of a loss, found {describe(name.value)}"
            self._faults.add("LR201", where, message, name)
            return None
        try:
            return self._installed(name.value)
        except UnknownLossError as error:
            if is_interpolation(name.value):
                message = f"expected the name of a loss, found {describe(name.value)}"
                self._faults.add("LR201", where, message, name)
                return None
            hint = error.hint("`lossreg list` shows what is installed")
            message = f"there is no loss '{clipped(name.value)}'; {hint}"
            self._faults.add("LR105", where, message, name)
            return self._guessed(error.suggestion)
        except DuplicateLossError as error:
            self._faults.add("LR302", where, str(error), name)
        except PluginLoadError as error:
            self._faults.add("LR301", where, str(error), name)
        return None

    def _installed(self, name: str) -> Loss:
        loss = self._losses.get(name)
        if loss is not None:
            return loss
        definition = self._registry[name]
        arguments = [argument.name for argument in definition.inputs]
        loss = Loss(definition, self._registry.origin(name), arguments)
        return self._losses.setdefault(name, loss)

    def _guessed(self, suggestion: str | None) -> Loss | None:
        """The loss that was probably meant: by it, one run finds what else is wrong."""
        if suggestion is None:
            return None
        try:
            return self._installed(suggestion)._replace(is_guess=True)
        except LossregError:
            return None

    def _check_rest(self, term: Declared) -> None:
        """Note the faults of `params` and `inputs` that can be seen without knowing the loss."""
        values, path = term.node.value, term.path
        if "params" in values:
            is_mapping(values["params"], (path, "params"), self._faults, wanted=_PARAMS)
        if "inputs" in values:
            check_inputs(values["inputs"], (path, "inputs"), self._faults)

    def _read_params(self, term: Declared, loss: Loss, *, divided: bool) -> None:
        place = (term.path, "params")
        params = term.node.value.get("params")
        config = _defaults(loss.definition.config) if params is None else None
        if config is None:
            key = term.node.keys.get("params", term.key)
            options = Node({}, *term.node.span) if params is None else params
            config = self._validated(options, place, key, loss.definition)
        if config is not None and not loss.is_guess:
            written = {} if params is None else params.value
            self._warn(config, written, place, term.key, divided=divided)
        term.put("params", config)

    def _validated(
        self, params: Node, path: ConfigPath, key: Span | None, definition: LossDefinition
    ) -> LossConfig | None:
        if not is_mapping(params, path, self._faults, wanted=_PARAMS):
            return None
        config = validated(
            definition.config,
            params,
            owner=definition.name,
            path=path,
            faults=self._faults,
            key=key,
            elsewhere=partial(_one_level_up, definition),
        )
        written = params.value.get("reduction")
        is_none = written is not None and written.value == "none" in definition.reductions
        if is_none or (config is not None and getattr(config, "reduction", None) == "none"):
            reduction = params if written is None else written
            message = "a term must be one number: 'none' works with lossreg.create only"
            self._faults.add("LR207", (path, "reduction"), message, reduction)
            return None
        return config

    def _warn(
        self,
        config: LossConfig,
        params: Mapping[str, Node],
        path: ConfigPath,
        key: Span | None,
        *,
        divided: bool,
    ) -> None:
        """Note the warnings of a loss's config about its own values."""
        try:
            suspicions = list(config.suspicions())
        except Exception as error:  # noqa: BLE001 - a third party's method may raise anything
            message = f"{type(config).__name__}.suspicions raised {described(error)}"
            self._faults.add("LR301", path, message, key)
            return
        for name, message in suspicions:
            if name == "reduction" and divided:
                continue  # `divide_by` says what is meant
            place = params.get(name, key)
            self._faults.add("LR901", (path, name), message, place, severity="warning")


def _defaults(model: type[LossConfig]) -> LossConfig | None:
    """The parameters of a term without `params`; None if a fault in them is yet to be noted."""
    try:
        config = model()
    except Exception:  # noqa: BLE001 - a third party's validator may raise anything
        return None
    return None if getattr(config, "reduction", None) == "none" else config


def _has_colon(name: str, node: Node) -> bool:
    """Whether a key is written as one: in braces, a comma makes a key of a word without a colon."""
    document, _, end = node.keys[name]
    return (
        ":" in name or document is None or re.compile(_COLON).match(document.text, end) is not None
    )


def _one_level_up(definition: LossDefinition, name: str) -> str | None:
    """What to do with an unknown parameter that belongs elsewhere in the term."""
    if any(argument.name == name for argument in definition.inputs):
        return "it is an input: move it under 'inputs'"
    return "it is a key of the term: move it one level up" if name in TERM.keys else None
