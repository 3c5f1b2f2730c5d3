"""One term of a composite: a mapping to a `TermConfig`."""

from __future__ import annotations

from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple

from lossreg.config.declare.fields import check_keys, is_mapping, read_bool
from lossreg.config.declare.parameters import validated
from lossreg.config.declare.routes import read_route
from lossreg.config.declare.selection import read_extras
from lossreg.config.declare.weights import read_weight
from lossreg.config.faults.faults import clipped, describe
from lossreg.config.faults.guesses import Guesses, missing_space
from lossreg.config.models import TermConfig, Weight
from lossreg.config.read.nodes import MOST_FAULTS, Node, Span
from lossreg.errors import DuplicateLossError, PluginLoadError, UnknownLossError, described
from lossreg.names import closest, closest_loss
from lossreg.vocabulary.paths import Path
from lossreg.vocabulary.routes import Route

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    from lossreg.config.faults.faults import ConfigPath, Faults
    from lossreg.plugin import LossConfig, LossDefinition
    from lossreg.registry import Registry
    from lossreg.registry.plugins import Origin

    # An argument's name, the node of its path, where among the inputs that is, and its key.
    _Bound: TypeAlias = tuple[str, Node, str | int, Span | None]

__all__ = ["TermReader"]

TERM_KEYS = (
    "type",
    "weight",
    "inputs",
    "mask",
    "sample_weight",
    "ignore",
    "denominator",
    "optional",
    "enabled",
    "params",
)

# What other systems call a term's keys.
FOREIGN_TERM_KEYS = {
    "_target_": "type",
    "alpha": "weight",
    "args": "params",
    "avg_factor": "denominator",
    "class_name": "type",
    "class_path": "type",
    "coef": "weight",
    "coefficient": "weight",
    "condition": "mask",
    "config": "params",
    "ignore_value": "ignore",
    "init_args": "params",
    "kwargs": "params",
    "lambda": "weight",
    "loss": "type",
    "loss_weight": "weight",
    "mask_key": "mask",
    "mask_path": "mask",
    "name": "type",
    "normalizer": "denominator",
    "num_boxes": "denominator",
    "options": "params",
    "parameters": "params",
    "scale": "weight",
    "schedule": "weight",
    "valid": "mask",
    "where": "mask",
}
_PARAMS = "parameters, each 'name: value'"
_SWITCHES = ("optional", "enabled")
_ONE = Weight()
_ELSEWHERE = {
    "apply": "transforms stand with their tensor: {from: path, apply: [...]} under 'inputs'",
    "from": "it belongs to a group of 'terms', or to one of the 'inputs'",
}
# Of a loss that is not known, they are more likely parameters than the term's weight.
_OF_SOME_LOSSES = dict.fromkeys(
    ("alpha", "scale"),
    "a parameter of the loss belongs under 'params'; what multiplies the term is its 'weight'",
)


class _Loss(NamedTuple):
    """What a term needs to know of its loss."""

    definition: LossDefinition
    origin: Origin
    arguments: list[str]


class TermReader:
    """Makes terms from nodes; what is wrong goes to `faults`, and the term to None."""

    def __init__(self, registry: Registry, faults: Faults) -> None:
        self._registry = registry
        self._faults = faults
        self._found: dict[str, _Loss] = {}

    def term(self, name: str, node: Node, path: ConfigPath, key: Span) -> TermConfig | None:
        """The term that a mapping declares.

        Args:
            name: The term's name.
            node: The mapping.
            path: Its place.
            key: Where its name is written.
        """
        if not isinstance(node.value, dict):
            written = node.value if isinstance(node.value, str) and node.value else "mse"
            named = closest_loss(written, self._registry) or clipped(written)
            wanted = f"a mapping such as {{type: {named}}}"
            is_mapping(node, path, self._faults, wanted=wanted)
            return None
        loss = self._loss(node, path)
        definition = None if loss is None else loss.definition
        elsewhere = _ELSEWHERE if loss is not None else {**_ELSEWHERE, **_OF_SOME_LOSSES}
        node = check_keys(
            node, path, TERM_KEYS, FOREIGN_TERM_KEYS, self._faults, definition, elsewhere
        )
        if "type" not in node.value:
            message = "the key 'type', the loss's name, is missing"
            self._faults.add("LR102", path, message, key)
        weight = self._weight(node, path, definition)
        switches: dict[str, Any] = {}
        for switch in _SWITCHES:
            if switch in node.value:
                switches[switch] = read_bool(node.value[switch], (path, switch), self._faults)
        if loss is None:
            self._check_rest(node, path)
            return None
        inputs = self._inputs(node, path, loss)
        params = self._params(node, path, key, loss.definition)
        extras = read_extras(node, path, loss.definition, self._faults)
        if weight is None or inputs is None or params is None or extras is None:
            return None
        if None in switches.values():
            return None
        return TermConfig(
            name,
            node.value["type"].value,
            loss.definition,
            params,
            weight,
            inputs,
            origin=loss.origin,
            **switches,
            **extras,
        )

    def _weight(
        self, node: Node, path: ConfigPath, definition: LossDefinition | None
    ) -> Weight | None:
        if "weight" not in node.value:
            return _ONE
        where = (path, "weight")
        is_list = isinstance(node.value["weight"].value, list)
        if is_list and definition is not None and "weight" in definition.config.model_fields:
            message = "expected a number, found a list; class weights stand under 'params'"
            self._faults.add("LR201", where, message, node.value["weight"])
            return None
        return read_weight(node.value["weight"], where, self._faults, node.keys["weight"])

    def _loss(self, node: Node, path: ConfigPath) -> _Loss | None:
        name, where = node.value.get("type"), (path, "type")
        if name is None:
            # A misspelt `type` is noted elsewhere; one run finds what else is wrong.
            guesses = Guesses(node, TERM_KEYS, FOREIGN_TERM_KEYS)
            written = guesses.written.get("type")
            if written is None:
                return None
            name, where = guesses.value(written), (path, written)
        if not isinstance(name.value, str):
            message = f"expected the name of a loss, found {describe(name.value)}"
            self._faults.add("LR201", where, message, name)
            return None
        found = self._found.get(name.value)
        if found is not None:
            return found
        try:
            definition = self._registry[name.value]
            found = _Loss(
                definition,
                self._registry.origin(name.value),
                [each.name for each in definition.inputs],
            )
            return self._found.setdefault(name.value, found)
        except UnknownLossError as error:
            hint = error.hint("`lossreg list` shows what is installed")
            message = f"there is no loss '{clipped(name.value)}'; {hint}"
            self._faults.add("LR105", where, message, name)
        except DuplicateLossError as error:
            self._faults.add("LR302", where, str(error), name)
        except PluginLoadError as error:
            self._faults.add("LR301", where, str(error), name)
        return None

    def _check_rest(self, node: Node, path: ConfigPath) -> None:
        """Note what is wrong with the rest of a term, whatever its loss."""
        read_extras(node, path, None, self._faults)
        if "params" in node.value:
            is_mapping(node.value["params"], (path, "params"), self._faults, wanted=_PARAMS)
        inputs, where = node.value.get("inputs", Node({})), (path, "inputs")
        if isinstance(inputs.value, list):
            for index, each in enumerate(inputs.value):
                read_route(each, (where, index), self._faults)
        elif is_mapping(inputs, where, self._faults, wanted="a list or a mapping of paths"):
            for name, each in inputs.value.items():
                if each.value is not None or ":" not in name:  # a key that lacks its space
                    read_route(each, (where, name), self._faults, inputs.keys[name])

    def _inputs(self, node: Node, path: ConfigPath, loss: _Loss) -> dict[str, Route] | None:
        definition, arguments = loss.definition, loss.arguments
        inputs: Node | None = node.value.get("inputs")
        if inputs is None:
            return {name: Route(Path((name,))) for name in arguments}
        where = (path, "inputs")
        if isinstance(inputs.value, list):
            bound = self._positional(inputs, where, arguments, definition)
        elif isinstance(inputs.value, dict):
            bound = self._by_name(inputs, where, arguments, definition, node.keys["inputs"])
        else:
            message = (
                f"expected a list or a mapping of paths for {', '.join(arguments)}, "
                f"found {describe(inputs.value)}"
            )
            self._faults.add("LR101", where, message, inputs)
            return None
        found: dict[str, Route] = {}
        for name, each, step, key in bound:
            route = read_route(each, (where, step), self._faults, key)
            if route is not None:
                found[name] = route
        if len(found) < len(arguments):
            return None
        if len(set(found.values())) < len(found):
            self._warn_of_twins(found, bound, where)
        return found

    def _warn_of_twins(
        self, found: dict[str, Route], bound: list[_Bound], where: ConfigPath
    ) -> None:
        readers: dict[Route, str] = {}
        for name, each, step, _ in bound:
            route = found[name]
            first = readers.setdefault(route, name)
            if first != name:
                message = f"'{first}' and '{name}' read the same tensor, '{clipped(str(route))}'"
                self._faults.add("LR902", (where, step), message, each, severity="warning")

    def _positional(
        self, inputs: Node, where: ConfigPath, arguments: list[str], definition: LossDefinition
    ) -> list[_Bound]:
        if len(inputs.value) != len(arguments):
            message = (
                f"expected {_counted(len(arguments), 'path')} for {', '.join(arguments)} of "
                f"'{definition.name}', found {len(inputs.value)}"
            )
            self._faults.add("LR106", where, message, inputs)
        return list(zip(arguments, inputs.value, range(len(arguments)), repeat(None)))

    def _by_name(
        self,
        inputs: Node,
        where: ConfigPath,
        arguments: list[str],
        definition: LossDefinition,
        key: Span,
    ) -> list[_Bound]:
        unknown = [name for name in inputs.value if name not in arguments][: MOST_FAULTS + 1]
        missing = [name for name in arguments if name not in inputs.value]
        if unknown:
            inputs, missing = self._meant_inputs(inputs, where, arguments, definition, unknown)
        for name in missing:
            message = f"the input '{name}' of '{definition.name}' is missing"
            self._faults.add("LR102", where, message, key)
        values, keys = inputs.value, inputs.keys
        return [(name, values[name], name, keys[name]) for name in arguments if name in values]

    def _meant_inputs(
        self,
        inputs: Node,
        where: ConfigPath,
        arguments: list[str],
        definition: LossDefinition,
        unknown: list[str],
    ) -> tuple[Node, list[str]]:
        """The inputs as they were probably meant, after noting unknown ones; what is missing."""
        astray = {}
        for name in unknown:
            stem, _ = missing_space(name)
            if stem in definition.config.model_fields:
                astray[name] = "it is a parameter: move it under 'params'"
            elif stem in TERM_KEYS and closest(stem, arguments) is None:
                astray[name] = "it is a key of the term: move it one level up"
        guesses = Guesses(inputs, arguments, astray=astray)
        guessed = guesses.written
        missing = [name for name in arguments if name not in inputs.value and name not in guessed]
        strange = [name for name in unknown if name not in astray and name not in guessed.values()]
        if len(missing) == len(strange) == 1:
            guessed[missing.pop()] = strange[0]
        what, otherwise = f"unknown input of '{definition.name}'", f"it has {', '.join(arguments)}"
        guesses.note(unknown, where, self._faults, code="LR106", what=what, otherwise=otherwise)
        return guesses.applied(where, self._faults), missing

    def _params(
        self, node: Node, path: ConfigPath, key: Span, definition: LossDefinition
    ) -> LossConfig | None:
        given = node.value.get("params")
        config = _defaults(definition.config) if given is None else None
        where = (path, "params")
        if config is None:
            params = Node({}, *node.span) if given is None else given
            config = self._validated(params, where, node.keys.get("params", key), definition)
            if config is None:
                return None
        self._warn(config, {} if given is None else given.value, where, key)
        return config

    def _validated(
        self, params: Node, where: ConfigPath, key: Span, definition: LossDefinition
    ) -> LossConfig | None:
        if not is_mapping(params, where, self._faults, wanted=_PARAMS):
            return None
        config = validated(
            definition.config,
            params,
            owner=definition.name,
            path=where,
            faults=self._faults,
            key=key,
            elsewhere=partial(_one_level_up, definition),
        )
        if config is not None and getattr(config, "reduction", None) == "none":
            at = params.value.get("reduction", params)
            message = "a term must be one number: 'none' works with lossreg.create alone"
            self._faults.add("LR207", (where, "reduction"), message, at)
            return None
        return config

    def _warn(
        self, config: LossConfig, given: Mapping[str, Node], where: ConfigPath, key: Span
    ) -> None:
        """Note what a config suspects of its own values."""
        try:
            suspicions = list(config.suspicions())
        except Exception as error:  # noqa: BLE001 - a third party's method may raise anything
            message = f"{type(config).__name__}.suspicions raised {described(error)}"
            self._faults.add("LR301", where, message, key)
            return
        for name, message in suspicions:
            at = given.get(name, key)
            self._faults.add("LR901", (where, name), message, at, severity="warning")


def _defaults(model: type[LossConfig]) -> LossConfig | None:
    """The parameters of a term that gives none; None where that is a fault yet to be told."""
    try:
        config = model()
    except Exception:  # noqa: BLE001 - a third party's validator may raise anything
        return None
    return None if getattr(config, "reduction", None) == "none" else config


def _one_level_up(definition: LossDefinition, name: str) -> str | None:
    """What to do with a parameter that is none, but has a place elsewhere in the term."""
    if any(each.name == name for each in definition.inputs):
        return "it is an input: move it under 'inputs'"
    return "it is a key of the term: move it one level up" if name in TERM_KEYS else None


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
