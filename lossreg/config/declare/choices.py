"""Parameters that are one of several components, each with parameters of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossreg.config.declare.parameters import names_of, validated
from lossreg.config.faults.faults import clipped, describe
from lossreg.config.read.nodes import Node
from lossreg.names import closest
from lossreg.plugin.choice import Chosen, selections

if TYPE_CHECKING:
    from pydantic import BaseModel

    from lossreg.config.faults.faults import ConfigPath, Faults
    from lossreg.config.read.nodes import Span
    from lossreg.plugin.choice import Component, Selection

__all__ = ["belongs_to_component", "with_chosen"]

_TYPE = "type"
# Keys that name a component in other systems.
_FOREIGN = ("_target_", "class", "class_name", "class_path", "kind", "name")
_LONGEST = 40  # characters of a value in an example
_NULLS = ("none", "None", "nil")


def with_chosen(
    model: type[BaseModel],
    params: Node,
    path: ConfigPath,
    faults: Faults,
    *,
    owner: str,
    loss: str,
) -> tuple[Node, list[str]]:
    """A mapping of parameters with a `Chosen` in place of each component's name and parameters.

    Args:
        model: The class that describes the parameters.
        params: The mapping.
        path: Its place.
        faults: Takes the faults.
        owner: The name of what has the parameters.
        loss: The loss that `lossreg show` shows them with.

    Returns:
        The parameters, without those that have a fault; and the names of the latter.
    """
    faulty: list[str] = []
    read = params
    for name, selection in selections(model).items():
        node = params.value.get(name)
        if node is None or not _chooses(node, selection):
            continue
        if read is params:
            read = params.copy()
        reader = _Reader(selection, model, faults, owner, loss)
        chosen = _chosen(node, selection, reader, (path, name), params.keys[name])
        if chosen is None:
            faulty.append(name)
            del read.value[name], read.keys[name]
        else:
            read.value[name] = chosen
    return read, faulty


def _chooses(node: Node, selection: Selection) -> bool:
    """Whether a value chooses; one of another type is pydantic's to refuse."""
    if selection.is_list and isinstance(node.value, list):
        return all(isinstance(element.value, str | dict) for element in node.value)
    return isinstance(node.value, str | dict)


def _chosen(
    node: Node, selection: Selection, reader: _Reader, path: ConfigPath, key: Span | None
) -> Node | None:
    """The chosen component, or the list of them; None after noting a fault."""
    if not selection.is_list:
        return reader.chosen(node, path, key)
    if not isinstance(node.value, list):
        written = f"; write [{_shown(node)}]" if isinstance(node.value, str) else ""
        message = f"expected a list, found {describe(node.value)}{written}"
        reader.faults.add("LR201", path, message, node)
        return None
    chosen = [reader.chosen(child, (path, i), None) for i, child in enumerate(node.value)]
    return None if None in chosen else Node(chosen, *node.span)


def belongs_to_component(model: type[BaseModel], params: Node, name: str) -> str | None:
    """What to do with an unknown parameter that a chosen component has.

    Args:
        model: The class that describes the parameters.
        params: The parameters, with a `Chosen` for each component.
        name: The unknown parameter.
    """
    for parameter in selections(model):
        node = params.value.get(parameter)
        chosen = node.value if node is not None else None
        if not isinstance(chosen, Chosen) or name not in names_of(chosen.component.config):
            continue
        if chosen.params.model_fields_set:
            return f"it is a parameter of '{chosen.name}': move it into '{parameter}'"
        written = f"{{type: {chosen.name}, {name}: {_shown(params.value[name])}}}"
        return f"it is a parameter of '{chosen.name}': write {parameter}: {written}"
    return None


class _Reader:
    """Reads the values of one parameter that choose a component."""

    def __init__(
        self,
        selection: Selection,
        model: type[BaseModel],
        faults: Faults,
        owner: str,
        loss: str,
    ) -> None:
        self.choice = selection.choice
        self.is_optional = selection.is_optional
        self.model = model
        self.faults = faults
        self.owner = owner
        self.loss = loss

    def chosen(self, node: Node, path: ConfigPath, key: Span | None) -> Node | None:
        """The chosen component; None after noting a fault."""
        word, params = node, Node({}, *node.span)
        place = path
        if isinstance(node.value, dict):
            if _TYPE not in node.value:
                self._note_no_type(node, path, key)
                return None
            word, place = node.value[_TYPE], (path, _TYPE)
            params = node.copy()
            del params.value[_TYPE], params.keys[_TYPE]
        component, is_guess = self._component(word, place)
        if component is None:
            return None
        if not isinstance(node.value, dict) and self._lacks_parameters(component, node, path):
            return None
        config = validated(
            component.config,
            params,
            owner=component.name,
            path=path,
            faults=self.faults,
            key=key or node.span,
            elsewhere=self._elsewhere,
            loss=self.loss,
        )
        if config is None or is_guess:
            return None
        return Node(Chosen(component, config), *node.span)

    def _lacks_parameters(self, component: Component, node: Node, path: ConfigPath) -> bool:
        """Note a single word that chooses a component with required parameters."""
        fields = component.config.model_fields.items()
        needed = [field.alias or name for name, field in fields if field.is_required()]
        if needed:
            written = ", ".join(f"{name}: ..." for name in needed)
            message = (
                f"the parameter '{needed[0]}' of '{component.name}' is missing; write "
                f"{{type: {component.name}, {written}}}"
            )
            self.faults.add("LR102", path, message, node)
        return bool(needed)

    def _component(self, word: Node, path: ConfigPath) -> tuple[Component | None, bool]:
        """The component of a name, or the one that was probably meant after noting a fault."""
        name = word.value
        if isinstance(name, str) and name in self.choice.components:
            return self.choice.components[name], False
        meant = self._meant(name)
        hint = f"; did you mean '{meant}'?" if meant else ""
        if not meant and self.is_optional and name in _NULLS:
            hint = "; for nothing, write null"
        message = f"expected {self.choice.words}, found {describe(name)}{hint}"
        self.faults.add("LR203", path, message, word)
        return (self.choice.components[meant], True) if meant else (None, True)

    def _meant(self, name: object) -> str | None:
        """The word that was probably meant by another one."""
        if not isinstance(name, str):
            return None
        aliases = {
            alias: component.name
            for component in self.choice.components.values()
            for alias in component.aliases
        }
        last = name.rpartition(".")[2]
        if name in aliases or last in aliases:
            return aliases.get(name) or aliases[last]
        known = {name: name for name in self.choice.components}
        near = closest(last, [*known, *aliases])
        return None if near is None else {**aliases, **known}[near]

    def _note_no_type(self, node: Node, path: ConfigPath, key: Span | None) -> None:
        """Note a mapping that does not say which component it means."""
        keys = list(node.value)
        other = next((name for name in keys if name in _FOREIGN), None)
        other = other or next((name for name in keys if closest(name, [_TYPE])), None)
        if other is not None:
            message = f"unknown key; did you mean '{_TYPE}', which is one of {self.choice.words}?"
            self.faults.add("LR104", (path, other), message, node.keys[other])
            return
        meant = self._meant(keys[0]) if len(keys) == 1 else None
        if meant is not None:
            inner = node.value[keys[0]].value
            params = inner if isinstance(inner, dict) else {}
            listed = [f"{name}: {_shown(value)}" for name, value in params.items()]
            written = ", ".join([f"type: {meant}", *listed])
            message = f"expected the name of a component as '{_TYPE}'; write {{{written}}}"
            self.faults.add("LR104", (path, keys[0]), message, node.keys[keys[0]])
            return
        message = f"the key '{_TYPE}' is missing: it is one of {self.choice.words}"
        self.faults.add("LR102", path, message, key or node)

    def _elsewhere(self, name: str) -> str | None:
        """What to do with an unknown parameter of a component that belongs beside it."""
        if name not in names_of(self.model):
            return None
        return f"it is a parameter of '{self.owner}': move it one level up"


def _shown(node: Node) -> str:
    """A value as an example writes it, short."""
    value = node.value
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = "..." if isinstance(value, dict | list) else clipped(str(value))
    return text if len(text) <= _LONGEST else "..."
