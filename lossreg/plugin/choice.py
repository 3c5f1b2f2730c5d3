"""A parameter that is one of several components, each with parameters of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Union, get_args, get_origin

from pydantic_core import PydanticCustomError, core_schema

from lossreg.plugin.fields import LossConfig, holds_weights

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler

__all__ = ["Choice", "Chosen", "Component", "Selection", "selections"]

# Compiled on first use: every command imports this module, and few configs have a choice.
_WORD = r"[A-Za-z_][A-Za-z0-9_-]*"
_FACTORY = r"[A-Za-z_]\w*(\.\w+)*:[A-Za-z_]\w*(\.\w+)*"
_TYPE = "type"


@dataclass(frozen=True, slots=True)
class Component:
    """One of the components that a `Choice` offers.

    Attributes:
        name: The word that chooses it.
        config: The model of its parameters; by default, it has none.
        summary: What it is, in one sentence.
        factory: What `Chosen.build` calls with the parameters, as text, so that nothing is
            imported before: `pytorch_metric_learning.distances:LpDistance`.
        aliases: Other names that a word is guessed from, such as the name of the class.

    Raises:
        TypeError: The config is not a `LossConfig`.
        ValueError: The name is not a word, the factory is not `module:name`, or the config has a
            parameter `type` or class weights.
    """

    name: str
    config: type[LossConfig] = LossConfig
    summary: str = ""
    factory: str = ""
    aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not re.fullmatch(_WORD, self.name):
            raise ValueError(
                f"Component.name must be letters, digits, '_' or '-', not {self.name!r}"
            )
        if not (isinstance(self.config, type) and issubclass(self.config, LossConfig)):
            raise TypeError(
                f"Component.config of {self.name!r} must be a subclass of LossConfig, not "
                f"{self.config!r}"
            )
        if self.factory and not re.fullmatch(_FACTORY, self.factory):
            raise ValueError(
                f"Component.factory of {self.name!r} must be 'module:name', not {self.factory!r}"
            )
        for name, field in self.config.model_fields.items():
            if (field.alias or name) == _TYPE:
                raise ValueError(
                    f"the component {self.name!r} cannot have a parameter 'type': that key chooses "
                    "the component"
                )
            if holds_weights(field):  # the composite would not keep the numbers exact
                raise ValueError(
                    f"the component {self.name!r} cannot have class weights ({name!r}): make them "
                    "a parameter of the loss"
                )


class Chosen:
    """The component that was chosen, and its validated parameters. Immutable.

    Attributes:
        component: The component.
        params: Its parameters.
    """

    __slots__ = ("component", "params")

    component: Component
    params: LossConfig

    def __init__(self, component: Component, params: LossConfig) -> None:
        object.__setattr__(self, "component", component)
        object.__setattr__(self, "params", params)

    @property
    def name(self) -> str:
        """The word that chooses the component."""
        return self.component.name

    def build(self, **arguments: Any) -> Any:
        """What the component's factory makes of the parameters; imports the factory's module.

        Components among the parameters are built first.

        Args:
            arguments: Arguments of the factory that are not parameters; they replace parameters
                of the same name.

        Raises:
            TypeError: The component has no factory.
        """
        if not self.component.factory:
            raise TypeError(f"the component {self.name!r} has no factory to build it with")
        module, _, names = self.component.factory.partition(":")
        factory: Any = import_module(module)
        for name in names.split("."):
            factory = getattr(factory, name)
        own = {name: _built(getattr(self.params, name)) for name in type(self.params).model_fields}
        return factory(**{**own, **arguments})

    def written(self) -> Any:
        """As it is written in YAML: its name, or a mapping with every parameter."""
        params = self.params.model_dump()
        return {_TYPE: self.name, **params} if params else self.name

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"cannot set {name!r}: a Chosen is immutable")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"cannot delete {name!r}: a Chosen is immutable")

    def __copy__(self) -> Chosen:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Chosen:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return Chosen, (self.component, self.params)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Chosen):
            return NotImplemented
        return (self.component, self.params) == (other.component, other.params)

    def __hash__(self) -> int:
        return hash((self.component, self.params))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.params)
        return f"{self.name}({fields})"

    # pydantic writes the default of a JSON schema by the type of the value.
    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: object, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.is_instance_schema(cls, serialization=_SERIALIZATION)


def _written(value: Any) -> Any:
    return value.written() if isinstance(value, Chosen) else value


_SERIALIZATION = core_schema.plain_serializer_function_ser_schema(_written)


def _built(value: Any) -> Any:
    if isinstance(value, Chosen):
        return value.build()
    if isinstance(value, tuple) and any(isinstance(member, Chosen) for member in value):
        return list(map(_built, value))
    return value


class Choice:
    """The components that a parameter is one of: the metadata of a field of a `LossConfig`.

    A config writes the component's name, or a mapping with its name as `type` and its parameters:
    `distance: cosine`, `distance: {type: lp, p: 1}`. The builder gets a `Chosen`.

    Args:
        components: The components.

    Raises:
        TypeError: There is no component, or one is not a `Component`.
        ValueError: Two components have one name.

    >>> from lossreg.plugin import Field
    >>> class Lp(LossConfig):
    ...     p: float = Field(default=2.0, gt=0, description="The power.")
    >>> DISTANCE = Choice(Component("cosine"), Component("lp", Lp, "The distance of a p-norm."))
    >>> class Contrastive(LossConfig):
    ...     distance: Annotated[Chosen, DISTANCE] = Field(
    ...         default=DISTANCE.chosen("lp"), description="How far apart two embeddings are."
    ...     )
    >>> Contrastive(distance={"type": "lp", "p": 1}).distance
    lp(p=1.0)
    >>> Contrastive(distance="cosine").distance.name
    'cosine'
    """

    def __init__(self, *components: Component) -> None:
        if not components or not all(isinstance(entry, Component) for entry in components):
            raise TypeError("a Choice must hold at least one Component, and nothing else")
        self.components = {component.name: component for component in components}
        if len(self.components) != len(components):
            raise ValueError("a Choice names a component twice")

    def chosen(self, name: str, **params: Any) -> Chosen:
        """One of the components, for the default of a field.

        Args:
            name: The component's name.
            params: Its parameters, if not the defaults.

        Raises:
            KeyError: There is no such component.
            pydantic.ValidationError: The parameters are wrong.
        """
        component = self.components[name]
        return Chosen(component, component.config(**params))

    @property
    def words(self) -> str:
        """The names of the components in words: `'cosine', 'lp' or 'snr'`."""
        *most, last = map(repr, self.components)
        return f"{', '.join(most)} or {last}" if most else last

    def _validated(self, value: Any) -> Chosen:
        if isinstance(value, Chosen) and self.components.get(value.name) == value.component:
            return value
        word, params = value, {}
        if isinstance(value, Mapping):
            params = dict(value)
            word = params.pop(_TYPE, None)
        component = self.components.get(word) if isinstance(word, str) else None
        if component is None:
            expected = f"expected {self.words}, or a mapping with one of them as 'type'"
            raise PydanticCustomError("choice", "{expected}", {"expected": expected})
        # The errors of its parameters become errors of this field, each with its place.
        return Chosen(component, component.config.model_validate(params))

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self._validated, serialization=_SERIALIZATION
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        forms = [_form(component, handler) for component in self.components.values()]
        words = [form["properties"][_TYPE]["const"] for form in forms if len(form["required"]) == 1]
        return {"anyOf": [*([{"enum": words}] if words else []), *forms]}


def _form(component: Component, handler: GetJsonSchemaHandler) -> dict[str, Any]:
    """The JSON schema of a mapping that chooses a component."""
    own = handler.resolve_ref_schema(handler(component.config.__pydantic_core_schema__))
    return {
        "type": "object",
        "description": component.summary,
        "properties": {_TYPE: {"const": component.name}, **own.get("properties", {})},
        "required": [_TYPE, *own.get("required", ())],
        "additionalProperties": False,
    }


class Selection(NamedTuple):
    """What a field that holds chosen components offers.

    Attributes:
        choice: The components.
        is_list: Whether the field holds a list of them.
        is_optional: Whether it may be null.
    """

    choice: Choice
    is_list: bool
    is_optional: bool


@cache
def selections(model: type[BaseModel]) -> dict[str, Selection]:
    """The parameters of a config that are chosen among components, as a config writes them."""
    return {
        field.alias or name: Selection(*offered, type(None) in get_args(field.annotation))
        for name, field in model.model_fields.items()
        if (offered := next(_offered(field.annotation, field.metadata), None)) is not None
    }


def _offered(
    hint: Any, metadata: Iterable[object], *, is_list: bool = False
) -> Iterator[tuple[Choice, bool]]:
    """Each choice in a type, and whether the type holds a list of them."""
    for mark in (*metadata, *getattr(hint, "__metadata__", ())):
        if isinstance(mark, Choice):
            yield mark, is_list
    kind = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if get_origin(kind) in (Union, UnionType):
        for arm in get_args(kind):
            yield from _offered(arm, (), is_list=is_list)
    elif get_origin(kind) is tuple:
        yield from _offered(get_args(kind)[0], (), is_list=True)
