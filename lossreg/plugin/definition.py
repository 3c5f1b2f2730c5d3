"""The record of one loss: its name, parameters and inputs, and the function that builds it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from lossreg.plugin.calls import check_call, shape_of_mask
from lossreg.plugin.fields import LossConfig
from lossreg.plugin.inputs import LossInput
from lossreg.plugin.shapes import ANY_SHAPE, Shape

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import nn

    from lossreg.plugin.problems import Problem
    from lossreg.plugin.task import TaskDefinition

__all__ = [
    "Denominator",
    "LossDefinition",
    "WorkedExample",
    "checked_name",
    "not_ignored",
    "target_weights",
]

# A name must work as a YAML key, as an entry point and in `distribution:name`.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Denominator:
    """What a loss's mean divides by: the mean is Σ `scale` · loss / Σ `count`.

    Both functions are called with the built module and the forward arguments by name, and return
    a tensor that broadcasts to the unreduced loss. Where one is None, its values are 1.

    Attributes:
        count: How much each entry of the unreduced loss counts in the denominator.
        scale: The factor of each entry in the numerator.
        meaning: What the mean divides by, in words that follow "the mean divides by"; needed with
            `count` or `scale`, because otherwise it is the number of entries.
        kept: Which entries the loss does not leave out itself, by an `ignore_index` for example:
            bools. Needed where `count` is not 1 for some entries that are not left out.
        averaged: Whether micro-batches' means are averaged, because nothing that is known before
            the model runs shows how many entries there are.
    """

    meaning: str = ""
    count: Callable[[Any, Mapping[str, torch.Tensor]], torch.Tensor] | None = None
    scale: Callable[[Any, Mapping[str, torch.Tensor]], torch.Tensor] | None = None
    kept: Callable[[Any, Mapping[str, torch.Tensor]], torch.Tensor] | None = None
    averaged: bool = False


class WorkedExample(NamedTuple):
    """A small batch and its value, as numbers; shown to users, and computed by `LossContract`.

    With two entries or more, and with weights if the loss has any, it shows what the mean divides
    by. Numbers may be rounded to four digits.

    Attributes:
        inputs: The forward arguments by name, as numbers or nested lists of them.
        params: The parameters, if not the defaults.
        value: The loss, reduced as the parameters say.
        entries: The unreduced loss, in nested lists; None for a loss without reduction `none`.
        divisor: What the value was divided by; None if by nothing.
    """

    inputs: Mapping[str, Any]
    value: float
    params: Mapping[str, Any] = {}
    entries: Any = None
    divisor: float | None = None


def target_weights(module: Any, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """How much each target counts in the mean of a class-weighted loss with `ignore_index`.

    The weight of its class, or 0 if it is ignored; with class probabilities, 1.

    Args:
        module: Has `weight`, of shape C or None, and `ignore_index`.
        inputs: Has `target`: class indices of shape N *, or probabilities of shape N C *.
    """
    target = inputs["target"]
    if target.is_floating_point():
        return target.new_ones(()) if target.dim() == 1 else target.new_ones(target[:, 0].shape)
    kept: torch.Tensor = target != module.ignore_index
    weight: torch.Tensor | None = module.weight
    # Long, because uint8 would index as a mask.
    return kept if weight is None else weight[target.where(kept, 0).long()] * kept


def not_ignored(module: Any, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Which targets a loss with `ignore_index` does not leave out; as `target_weights`."""
    target = inputs["target"]
    if target.is_floating_point():
        return target_weights(module, inputs).bool()
    kept: torch.Tensor = target != module.ignore_index
    return kept


def checked_name(definition: LossDefinition | TaskDefinition) -> None:
    """Refuse a definition whose name cannot be a YAML key or an entry point.

    Raises:
        ValueError: The name has other characters than letters, digits, `_` and `-`, or none.
    """
    name: object = definition.name
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        kind = type(definition).__name__
        raise ValueError(f"{kind}.name must be letters, digits, '_' or '-', not {name!r}")


@cache
def _reductions(config: type[LossConfig]) -> tuple[str, ...]:
    field = config.model_fields.get("reduction")
    return tuple(map(str, get_args(field.annotation))) if field is not None else ()


def _checked_page(definition: LossDefinition) -> None:
    """Refuse what is shown of a loss's value if it is of the wrong type."""
    symbols: object = definition.symbols
    if not isinstance(symbols, Mapping) or not all(
        isinstance(text, str) for pair in symbols.items() for text in pair
    ):
        raise TypeError(f"LossDefinition.symbols must map LaTeX to words, not be {symbols!r}")
    worked: object = definition.worked
    if not (worked is None or isinstance(worked, WorkedExample)):
        raise TypeError(f"LossDefinition.worked must be a WorkedExample or None, not {worked!r}")


def _checked_flags(definition: LossDefinition) -> None:
    stateful: object = definition.stateful
    if not isinstance(stateful, bool):
        raise TypeError(f"LossDefinition.stateful must be True or False, not {stateful!r}")
    compiles: object = definition.compiles
    if not (compiles is None or isinstance(compiles, bool)):
        raise TypeError(f"LossDefinition.compiles must be True, False or None, not {compiles!r}")


def _checked_names(definition: LossDefinition) -> None:
    """Refuse requirements and aliases that are not tuples of them."""
    for name in ("requires", "aliases"):
        entries: object = getattr(definition, name)
        if not isinstance(entries, tuple) or not all(isinstance(text, str) for text in entries):
            raise TypeError(f"LossDefinition.{name} must be a tuple of strings, not {entries!r}")
    if definition.requires:
        # Imported late: few losses need more than torch.
        from lossreg.plugin.requirements import parsed

        for text in definition.requires:
            parsed(text)


@dataclass(frozen=True, kw_only=True, slots=True)
class LossDefinition:
    r"""A plugin's description of one loss.

    Attributes:
        name: The loss's name, the same as its entry point's.
        config: The model of its parameters.
        build: Makes the module from a validated config. The module is called with the arguments of
            `inputs`, in their order, as `call` says.
        inputs: The arguments of the module's forward.
        summary: What the loss is, in one line.
        use_when: When to choose it.
        avoid_when: When to choose another one, and which.
        formula: The value in LaTeX, before reduction, with every parameter that changes it. A
            parameter may stand in it by its name, as `\text{margin}`.
        symbols: What each other symbol of the formula stands for: the name of an input or a
            parameter, which a comma and a remark may follow; or a phrase. Indices, and the sizes
            of the inputs' shapes, need no entry.
        worked: A small batch and its value.
        references: Papers and documentation, each with a link where there is one.
        example: A term in YAML, as it stands under `terms:`.
        unreduced: The shape of the loss with reduction `none`, in the letters of the inputs.
        unbatched: Whether it also takes a single example: inputs without `N` and `*`.
        denominator: What the mean divides by.
        check: Finds values with which torch would read out of bounds instead of raising. It is
            called before each forward on the CPU, with the module and the arguments by name, and
            returns what is wrong, or None.
        check_shapes: Checks the shapes of a batch: called with the module and the arguments by
            name, it returns a `Problem` or None. It must not read values. The arguments already
            fit the letters of the inputs.
        check_values: Checks the values in the same way. They are already in the inputs' domains,
            and masked entries are filled.
        explain: Says in a sentence why the loss of its inputs is nan or infinite, or returns None.
            It is called only for such a value.
        additive: Whether the sums of two parts of a batch add up to the sum of the whole, where a
            loss without an unreduced form has a `sum`: then a number can divide it.
        compiles: Whether `torch.compile` takes it as one graph; False for a loss at which torch
            breaks the graph, so that `fullgraph=True` refuses it; None if it was not tried.
        generated: Whether the parameters were inferred from a signature.
        not_offered: What the class takes and a config cannot give, by name, each with the reason;
            a parameter keeps the class's own default.
        call: How the module is called: by `position`, up to the first input that is left out, or
            by `keyword`.
        mask: The optional input that takes the term's `mask` and `ignore`, for a loss without
            reduction `none`, such as dice: in the input's shape, true where an entry counts, as
            bools, or as 0 and 1 if its dtype is `float`. Other inputs are filled where it is
            false. `unreduced` is then this shape.
        parts: The names of what the module returns instead of one number: a mapping with these
            keys, or a tuple in this order. The loss is their sum, and each is logged as
            `loss/TERM/PART`.
        requires: What must be installed to build it, with bounds of the version: `monai>=1.4`.
            It is read from metadata: nothing is imported to find out.
        aliases: What other libraries call it, such as `DiceCELoss` or, with its module,
            `monai.losses.DiceCELoss`. They serve guesses at a name, and are never accepted.
        stateful: Whether it remembers what it saw: a memory bank, a moving centre. Its forward
            changes buffers of it in training, and nothing in `eval()`.
        unreduced_letters: The unreduced loss's shape, parsed.

    Raises:
        TypeError: A field is of the wrong type.
        ValueError: The name is empty or has other characters than letters, digits, `_` and `-`;
            an input is named twice; the unreduced loss has several shapes; or a requirement has
            another form than a distribution and bounds.
    """

    name: str
    config: type[LossConfig]
    build: Callable[[Any], nn.Module]
    inputs: tuple[LossInput, ...]
    summary: str
    use_when: str = ""
    avoid_when: str = ""
    formula: str = ""
    symbols: Mapping[str, str] = field(default_factory=dict, hash=False)
    worked: WorkedExample | None = field(default=None, hash=False)
    references: tuple[str, ...] = ()
    example: str = ""
    unreduced: str = "*"
    unbatched: bool = False
    denominator: Denominator = Denominator()
    check: Callable[[Any, Mapping[str, torch.Tensor]], str | None] | None = None
    check_shapes: Callable[[Any, Mapping[str, torch.Tensor]], Problem | None] | None = None
    check_values: Callable[[Any, Mapping[str, torch.Tensor]], Problem | None] | None = None
    explain: Callable[[Any, Mapping[str, torch.Tensor]], str | None] | None = None
    additive: bool = False
    compiles: bool | None = True
    generated: bool = False
    not_offered: Mapping[str, str] = field(default_factory=dict, hash=False)
    call: Literal["position", "keyword"] = "position"
    mask: str | None = None
    parts: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    stateful: bool = False
    unreduced_letters: Shape = field(init=False, repr=False, compare=False)

    @classmethod
    def from_module(
        cls,
        module: type[nn.Module],
        *,
        name: str | None = None,
        config: type[LossConfig] | None = None,
        inputs: tuple[LossInput, ...] | None = None,
        bounds: Mapping[str, Any] = MappingProxyType({}),
        words: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
        leave_out: tuple[str, ...] = (),
        types: Mapping[str, Any] = MappingProxyType({}),
        reductions: tuple[str, ...] | None = None,
        gradient: tuple[str, ...] | None = None,
        **fields: Any,
    ) -> LossDefinition:
        """A definition of a module's class, from the signatures of its constructor and forward.

        Parameters are described by their annotations, defaults and docstrings: numbers, bools,
        strings, literals, enumerations, lists and tuples of them; an optional tensor becomes class
        weights. A `**kwargs` that a constructor only hands on is followed to the base class. What
        has a default and cannot be described keeps it, and is listed in `not_offered`.

        Inputs are the arguments of forward: tensors, lists of tensors, numbers. Those with a
        default are optional, and one by keyword only makes `call` `keyword`. Their shapes are not
        known, so they are not checked and nothing can be masked, unless `inputs` and `unreduced`
        declare them.

        Nothing is promised that was not tried: of the reductions only `mean` is offered, also
        where the class's own default is `none`, and `compiles` is None.

        Definitions written by hand win: `config` replaces the one from the signature (its fields
        must be the constructor's parameters, and the definition does not count as generated), and
        within a plugin a definition written by hand replaces a generated one of the same name.

        Args:
            module: The class.
            name: The loss's name; by default, the class's name in snake case without `Loss` or
                `Criterion`.
            config: The model of its parameters.
            inputs: The arguments of its forward.
            bounds: What a parameter's numbers must be: `{"gamma": Field(ge=0)}`.
            words: The words that a parameter takes: `{"padding": ("same", "valid")}`.
            leave_out: Parameters that keep their defaults.
            types: The types of parameters, in the place of annotations: `{"num_classes": int}`.
            reductions: The words of `reduction` that are offered, after the unreduced loss was
                compared with its mean and its sum.
            gradient: The inputs that it is differentiated by; by default, the first that is not
                called a target, a label or a teacher's.
            fields: Other fields of the definition.

        Raises:
            TypeError: Some parameters cannot be described (the error names all of them); an option
                names what there is not; the config's fields are not the constructor's parameters;
                or forward has no named argument.
        """
        from lossreg.plugin.from_module.generated import fields_of_module
        from lossreg.plugin.from_module.options import Options

        options = Options(bounds, words, leave_out, types, reductions, gradient)
        return cls(**{**fields_of_module(module, name, config, inputs, options), **fields})

    @classmethod
    def from_function(
        cls,
        function: Callable[..., torch.Tensor],
        *,
        name: str | None = None,
        config: type[LossConfig] | None = None,
        inputs: tuple[LossInput, ...] | None = None,
        bounds: Mapping[str, Any] = MappingProxyType({}),
        words: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
        leave_out: tuple[str, ...] = (),
        types: Mapping[str, Any] = MappingProxyType({}),
        reductions: tuple[str, ...] | None = None,
        gradient: tuple[str, ...] | None = None,
        **fields: Any,
    ) -> LossDefinition:
        """A definition of a function, as `from_module` makes one of a class.

        Arguments with a default, or by keyword only, are parameters; the others are inputs. The
        module that is built calls the function, and pickles where the function does.

        Args:
            function: The function, at the top level of a module.
            name: The loss's name; by default, the function's without `loss`.
            config: As for `from_module`, and so are the others.
            inputs: The arguments that are not parameters.
            bounds: What a parameter's numbers must be.
            words: The words that a parameter takes.
            leave_out: Parameters that keep their defaults.
            types: The types of parameters, in the place of annotations.
            reductions: The words of `reduction` that are offered.
            gradient: The inputs that it is differentiated by.
            fields: Other fields of the definition.

        Raises:
            TypeError: As `from_module`.
        """
        from lossreg.plugin.from_module.generated import fields_of_function
        from lossreg.plugin.from_module.options import Options

        options = Options(bounds, words, leave_out, types, reductions, gradient)
        return cls(**{**fields_of_function(function, name, config, inputs, options), **fields})

    @property
    def reductions(self) -> tuple[str, ...]:
        """The reductions that the config offers; empty if it has no `reduction`."""
        return _reductions(self.config)

    @property
    def target(self) -> str | None:
        """The input named `target`, if it has one entry for each entry of the unreduced loss."""
        for argument in self.inputs:
            if argument.name == "target" and argument.shape == self.unreduced != ANY_SHAPE:
                return argument.name
        return None

    def input(self, name: str) -> LossInput:
        """The input of a name that it has."""
        (argument,) = (argument for argument in self.inputs if argument.name == name)
        return argument

    @property
    def with_classes(self) -> tuple[str, ...]:
        """The inputs whose classes, the letter C, are at dimension 1."""
        return tuple(argument.name for argument in self.inputs if argument.has_classes)

    def __post_init__(self) -> None:
        checked_name(self)
        if not (isinstance(self.config, type) and issubclass(self.config, LossConfig)):
            raise TypeError(
                f"LossDefinition.config must be a subclass of LossConfig, not {self.config!r}"
            )
        if not callable(self.build):
            raise TypeError(f"LossDefinition.build must be callable, not {self.build!r}")
        if not self.inputs or not all(isinstance(entry, LossInput) for entry in self.inputs):
            raise TypeError("LossDefinition.inputs must hold at least one LossInput")
        if len({argument.name for argument in self.inputs}) != len(self.inputs):
            raise ValueError("LossDefinition.inputs names an argument twice")
        check_call(self)
        if self.mask is not None:
            object.__setattr__(self, "unreduced", shape_of_mask(self))
        letters = Shape(self.unreduced)
        if len(letters.forms) > 1:
            raise ValueError(f"LossDefinition.unreduced must be one shape, not {self.unreduced!r}")
        object.__setattr__(self, "unreduced_letters", letters)
        for name in ("check", "check_shapes", "check_values", "explain"):
            hook = getattr(self, name)
            if not (hook is None or callable(hook)):
                raise TypeError(f"LossDefinition.{name} must be callable or None, not {hook!r}")
        _checked_page(self)
        _checked_names(self)
        _checked_flags(self)
