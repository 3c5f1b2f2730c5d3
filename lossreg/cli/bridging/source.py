"""A generated definition as source that does not import the library, with its guesses marked."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from lossreg.plugin.fields import holds_weights, marks
from lossreg.plugin.from_module.annotations import Members

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic.fields import FieldInfo
    from torch import nn

    from lossreg.cli.bridging.trying import Trial
    from lossreg.plugin import LossDefinition, LossInput

__all__ = ["Bridged", "plugin_source", "test_source"]

_LINE = 88  # ruff's
_UNIONS = (Union, types.UnionType)


class Bridged(NamedTuple):
    """A loss that is written.

    Attributes:
        name: Its name, with the bridge's prefix.
        file: The name of the module that holds it.
        module: The class.
        definition: Its generated definition.
        trial: A batch that it takes.
        typed: The parameters whose types were guessed from their names.
    """

    name: str
    file: str
    module: type[nn.Module]
    definition: LossDefinition
    trial: Trial
    typed: tuple[str, ...]


def plugin_source(loss: Bridged, library: str) -> str:
    """The module that holds a loss's definition.

    Args:
        loss: The loss.
        library: The module that exports its class.
    """
    fields = loss.definition.config.model_fields
    config = f"{_title(loss.name)}Config"
    body = [
        line for name, field in fields.items() for line in _field(name, field, name in loss.typed)
    ]
    source = f"{library}.{loss.module.__name__}"
    names = ["Field", "LossConfig", "LossDefinition", "LossInput", "hookimpl"]
    if not fields:
        names.remove("Field")
    if any(map(holds_weights, fields.values())):
        names.append("ClassWeights")
    typing = ", ".join(
        ["TYPE_CHECKING", "Literal"] if "Literal[" in "".join(body) else ["TYPE_CHECKING"]
    )
    return "\n".join(
        [
            _docstring(f"{source}, for lossreg."),
            "",
            "from __future__ import annotations",
            "",
            f"from typing import {typing}",
            "",
            "from lossreg.plugin import (",
            *(f"    {name}," for name in sorted(names, key=_as_sorted)),
            ")",
            "",
            "if TYPE_CHECKING:",
            "    from torch import nn",
            "",
            "",
            f"class {config}(LossConfig):",
            *_indented(_docstring(f"The parameters of {source}.").splitlines()),
            *_indented(_not_offered(loss.definition)),
            *[""] * bool(body),
            *_indented(body),
            "",
            "",
            *_build(loss, library, config),
            "",
            "",
            "@hookimpl",
            "def lossreg_losses() -> list[LossDefinition]:",
            '    """The loss of this module."""',
            "    return [",
            "        LossDefinition(",
            *_indented(_definition(loss, config), 3),
            "        )",
            "    ]",
            "",
        ]
    )


def test_source(loss: Bridged) -> str:
    """The module that holds a loss's contract."""
    lines = [f"    loss = {_text(loss.name)}", "    torch_free = True"]
    if loss.trial.params:
        params = ", ".join(
            f"{_text(name)}: {_value(value)}" for name, value in loss.trial.params.items()
        )
        lines += [
            "    # guessed: the first values that the class took",
            f"    params: ClassVar[dict[str, object]] = {{{params}}}",
        ]
    uses = any("generator" in tensor for tensor in loss.trial.batch.values())
    lines += ["", "    def batch(self) -> dict[str, Tensor]:"]
    lines += ["        # guessed: the first of some batches that the class took"]
    lines += ["        generator = torch.Generator().manual_seed(0)"] * uses
    lines += ["        return {"]
    lines += [f"            {_text(name)}: {tensor}," for name, tensor in loss.trial.batch.items()]
    lines += ["        }", ""]
    typing = ["from typing import ClassVar", ""] * bool(loss.trial.params)
    return "\n".join(
        [
            *typing,
            "import torch",
            "from lossreg.testing import LossContract",
            "from torch import Tensor",
            "",
            "",
            f"class Test{_title(loss.name)}(LossContract):",
            *lines,
        ]
    )


def _as_sorted(name: str) -> tuple[bool, str]:
    return name[0].islower(), name.lower()


def _title(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def _indented(lines: Iterable[str], by: int = 1) -> list[str]:
    return [f"{'    ' * by}{line}" if line else "" for line in lines]


def _text(text: str) -> str:
    """A string as ruff writes it: in double quotes, unless single ones need fewer escapes."""
    plain = " ".join(text.split()).replace("\\", "\\\\")
    quote = "'" if plain.count('"') > plain.count("'") else '"'
    return quote + plain.replace(quote, f"\\{quote}") + quote


def _docstring(text: str) -> str:
    return f'"""{text}"""'


def _value(value: object) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list | tuple):
        values = ", ".join(map(_value, value))
        return f"[{values}]" if isinstance(value, list) else f"({values}{',' * (len(value) == 1)})"
    # As ruff writes it: 1e-5, not 1e-05.
    return repr(value)


def _field(name: str, field: FieldInfo, typed: bool) -> list[str]:
    """A field's lines, with what was guessed above them."""
    kind = _kind(field.annotation, field.metadata)
    default = "..." if field.is_required() else _value(field.default)
    guesses = ["# guessed: a whole number, from its name"] * typed
    if any(isinstance(arm, type) and arm is str for arm in _arms(field.annotation)):
        guesses.append("# guessed: any text; list the words that the class takes")
    if any(arm in (int, float) for arm in _arms(field.annotation)):
        guesses.append("# guessed: no bounds")
    if holds_weights(field):
        guesses.append("# guessed: one number for each class")
    start = f"{name}: {kind} = Field("
    if len(start) + 4 > _LINE and kind.startswith("Literal["):
        words = kind.removeprefix("Literal[").partition("]")[0].split(", ")
        rest = kind.partition("]")[2]
        lines = [f"{name}: Literal[", *(f"    {word}," for word in words), f"]{rest} = Field("]
    else:
        lines = [start]
    return [
        *guesses,
        *lines,
        f"    {default},",
        f"    description={_text(field.description or name)},",
        ")",
    ]


def _arms(kind: Any) -> list[Any]:
    """The types that a field's type is made of."""
    if get_origin(kind) in (None, Literal):
        return [kind]
    arguments = get_args(kind)
    members = arguments[:1] if get_origin(kind) is Annotated else arguments
    return [arm for member in members for arm in _arms(member)]


def _kind(kind: Any, metadata: Iterable[object] = ()) -> str:
    """A field's type as source."""
    names = [type(mark).__name__ for mark in metadata]
    if "Weights" in names:
        return "ClassWeights"
    if "WrapValidator" in names:
        return "int | float"
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _kind(arguments[0], arguments[1:])
    if origin in _UNIONS:
        return " | ".join(dict.fromkeys(map(_kind, arguments)))
    if origin is Literal:
        return f"Literal[{', '.join(map(_value, arguments))}]"
    if origin in (list, tuple):
        members = ["..." if arm is ... else _kind(arm) for arm in arguments]
        return f"{origin.__name__}[{', '.join(members)}]"
    return "None" if kind is type(None) else str(kind.__name__)


def _not_offered(definition: LossDefinition) -> list[str]:
    if not definition.not_offered:
        return []
    lines = ["", "# Not offered:"]
    lines += [f"# {name} {reason}" for name, reason in definition.not_offered.items()]
    return lines


def _build(loss: Bridged, library: str, config: str) -> list[str]:
    fields = loss.definition.config.model_fields
    members = {
        name: mark.kind
        for name, field in fields.items()
        for mark in marks(field)
        if isinstance(mark, Members)
    }
    imports = {library: {loss.module.__name__}}
    for kind in members.values():
        imports.setdefault(kind.__module__, set()).add(kind.__qualname__)
    lines = [f"def build(config: {config}) -> nn.Module:", '    """The library\'s own module."""']
    lines += [
        f"    from {module} import {', '.join(sorted(names))}"
        for module, names in sorted(imports.items())
    ]
    lines += ["", "    parameters = dict(config)"]
    lines += [
        f"    parameters[{_text(name)}] = {kind.__qualname__}(parameters[{_text(name)}])"
        for name, kind in members.items()
    ]
    lines += [f"    module: nn.Module = {loss.module.__name__}(**parameters)", "    return module"]
    return lines


def _definition(loss: Bridged, config: str) -> list[str]:
    definition = loss.definition
    lines = [f"name={_text(loss.name)},", f"config={config},", "build=build,", "inputs=("]
    for argument in definition.inputs:
        lines += _indented(_input(argument, loss.trial))
    lines += ["),", f"summary={_text(definition.summary)},"]
    lines += ["# guessed: the entries' shape is not known, so nothing is masked"]
    lines += ['unreduced="...",', "compiles=None,  # not tried"]
    lines += ['call="keyword",'] * (definition.call == "keyword")
    if definition.not_offered:
        lines.append("not_offered={")
        lines += [
            f"    {_text(name)}: {_text(why)}," for name, why in definition.not_offered.items()
        ]
        lines.append("},")
    return lines


def _input(argument: LossInput, trial: Trial) -> list[str]:
    moving = argument.name in trial.gradient
    guess = "not tried" if argument.name not in trial.batch else "differentiated"
    if guess == "differentiated" and not argument.gradient:
        guess = "not differentiated" + ", though it can be" * moving
    lines = [f"# guessed: of any shape; {guess}", "LossInput("]
    lines += [f"    name={_text(argument.name)},", f"    meaning={_text(argument.meaning)},"]
    lines += [f"    dtype={_text(argument.dtype)},", f"    shape={_text(argument.letters.text)},"]
    lines += ["    gradient=True,"] * argument.gradient
    lines += ["    optional=True,"] * argument.optional
    return [*lines, "),"]
