"""The parameters of a class's constructor and forward, or of a function, with their annotations."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
import types
import typing
from typing import TYPE_CHECKING, Any, NamedTuple

from lossreg.plugin.from_module.annotations import Refusal
from lossreg.plugin.from_module.docstrings import described_parameters

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from lossreg.plugin.from_module.docstrings import Described

__all__ = [
    "Argument",
    "constructor_arguments",
    "documented_arguments",
    "forward_arguments",
    "function_arguments",
]


class Argument(NamedTuple):
    """A parameter of a signature.

    Attributes:
        parameter: As `inspect` has it.
        hint: Its annotation, resolved; a Refusal if it cannot be.
    """

    parameter: inspect.Parameter
    hint: Any

    @property
    def gathers(self) -> bool:
        """Whether it is `*args` or `**kwargs`."""
        return self.parameter.kind in (
            inspect.Parameter.VAR_POSITIONAL,
            inspect.Parameter.VAR_KEYWORD,
        )


def function_arguments(function: Callable[..., Any]) -> list[Argument]:
    """The parameters of a function."""
    function = inspect.unwrap(function)
    return [
        Argument(parameter, _resolved(parameter, function))
        for parameter in inspect.signature(function).parameters.values()
    ]


def forward_arguments(module: type[nn.Module]) -> list[Argument]:
    """The parameters of a class's forward; none if it has no forward of its own."""
    if module.forward is sys.modules["torch"].nn.Module.forward:
        return []
    return function_arguments(module.forward)[1:]


def constructor_arguments(module: type[nn.Module]) -> list[Argument]:
    """The parameters of a class's constructor.

    Where a constructor hands its `**kwargs` on to that of its base class, and does nothing else
    with them, the base's parameters take their place.
    """
    arguments: dict[str, Argument] = {}
    handed: set[str] = set()  # what a constructor gives to its base by keyword
    by_position = 0
    for owner in module.__mro__:
        if owner in (sys.modules["torch"].nn.Module, object):
            break  # torch's own takes any argument, and passes it on
        if "__init__" not in vars(owner):
            continue
        function = inspect.unwrap(vars(owner)["__init__"])
        own = function_arguments(function)[1:][by_position:]
        gathering = {argument.parameter.name for argument in own if argument.gathers}
        rest = next((argument for argument in own if _is_keywords(argument)), None)
        passing = _passing(function, rest.parameter.name, gathering) if rest else None
        call = passing.call if passing else None
        own += passing.demanded if passing else []
        for argument in own:
            name = argument.parameter.name
            if name in handed or (call and argument.gathers):
                continue
            arguments.setdefault(name, argument)
        if not call:
            break
        handed |= call.keywords
        by_position = call.positions
    return list(arguments.values())


def _is_keywords(argument: Argument) -> bool:
    return argument.parameter.kind is inspect.Parameter.VAR_KEYWORD


class _Call(NamedTuple):
    """What a constructor gives to its base's, beside its `**kwargs`."""

    positions: int
    keywords: set[str]


class _Passing(NamedTuple):
    """What a constructor does with its `**kwargs`.

    Attributes:
        call: How it hands them on; None if it does not, or does more with them.
        demanded: The arguments that it takes out of them and cannot do without.
    """

    call: _Call | None
    demanded: list[Argument]


def _passing(function: Callable[..., Any], keywords: str, gathering: set[str]) -> _Passing:
    """What a constructor does with `**keywords`.

    A base's default is right only if the constructor neither takes a value out of its `**kwargs`
    nor puts one in, so they must stand nowhere but in the call to `super().__init__`.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return _Passing(None, [])
    uses = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == keywords]
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _is_super(node.func)]
    if len(uses) != 1 or len(calls) != 1:
        return _Passing(None, _demanded(tree, keywords))
    call = calls[0]
    passed = [word.value for word in call.keywords if word.arg is None]
    unpacked = [value.value for value in call.args if isinstance(value, ast.Starred)]
    own = all(isinstance(value, ast.Name) and value.id in gathering for value in unpacked)
    if passed != uses or not own:
        return _Passing(None, _demanded(tree, keywords))
    words = {word.arg for word in call.keywords if word.arg is not None}
    return _Passing(_Call(len(call.args) - len(unpacked), words), [])


def _demanded(tree: ast.AST, keywords: str) -> list[Argument]:
    """The arguments that are read as `kwargs["name"]`."""
    names = [
        node.slice.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript)
        and isinstance(node.ctx, ast.Load)
        and isinstance(node.value, ast.Name)
        and node.value.id == keywords
        and isinstance(node.slice, ast.Constant)
    ]
    kind, empty = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.empty
    return [Argument(inspect.Parameter(name, kind), empty) for name in names if type(name) is str]


def _is_super(called: ast.expr) -> bool:
    return (
        isinstance(called, ast.Attribute)
        and called.attr == "__init__"
        and isinstance(called.value, ast.Call)
        and isinstance(called.value.func, ast.Name)
        and called.value.func.id == "super"
    )


def _resolved(parameter: inspect.Parameter, function: Callable[..., Any]) -> Any:
    hint = parameter.annotation
    if hint is parameter.empty:
        return parameter.empty
    # One at a time: if one is unknown, Python resolves none of them.
    single = types.SimpleNamespace(__annotations__={parameter.name: hint})
    scope = {**vars(typing), **_torch_names(), **getattr(function, "__globals__", {})}
    try:
        return typing.get_type_hints(single, scope, include_extras=True)[parameter.name]
    except Exception as error:  # noqa: BLE001 - an annotation may be any expression
        return Refusal(f"is annotated {hint!r}, which cannot be resolved ({error})")


def _torch_names() -> dict[str, Any]:
    """Names that modules often import only for type checking, so that they lack them."""
    torch = sys.modules["torch"]
    return {"torch": torch, "nn": torch.nn, "Tensor": torch.Tensor}


def documented_arguments(owner: type[nn.Module] | Callable[..., Any]) -> dict[str, Described]:
    """The parameters that docstrings describe: a function's, or a class's and its bases'."""
    if not isinstance(owner, type):
        return described_parameters(owner.__doc__)
    documented: dict[str, Described] = {}
    for base in owner.__mro__:
        for text in (base.__doc__, getattr(vars(base).get("__init__"), "__doc__", None)):
            documented = {**described_parameters(text), **documented}
    return documented
