"""The built-in losses, each with what its own test file says of it for the tests of all losses.

A test file has, beside its tests:

- `TORCH`: torch's module of the loss, or None.
- `example`: a random batch with torch's value of it (`oracles.Example`).
- a subclass of `LossContract`, the first of which gives a batch of which nothing is left out.

And if it has to:

- `REFUSED_BY_LOSSREG_ALONE`: by parameter, which values lossreg refuses although torch computes
  something, and the words of the parameter's description that say why. Nan and infinity are
  refused for every parameter, as LossConfig says.
- `INFINITE`: parameters that may be infinite all the same.
- `SYMBOLS_IN_WORDS`: for each symbol of the formula that is explained in words, a function that
  computes it.
- `BEYOND_THE_BATCH`: by parameter, for which values it is the batch that torch finds too small.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

from lossreg.registry import Registry
from lossreg.testing import LossContract

if TYPE_CHECKING:
    from torch import Tensor, nn

    from oracles import Draw, Example

RefusedAlone: TypeAlias = Mapping[str, tuple[Callable[[Any], bool], str]]

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests" / "plugins" / "lossreg_losses"
_REGISTRY = Registry.installed()
BUILT_INS = sorted(name for name in _REGISTRY if _REGISTRY.origin(name).distribution == "lossreg")


def without_built_in(name: str) -> Registry:
    """What is installed, as if one loss did not come with lossreg."""
    return Registry(
        entry_point
        for entry_point in entry_points(group="lossreg.losses")
        if (entry_point.name, entry_point.dist and entry_point.dist.name) != (name, "lossreg")
    )


def is_no_weighting(weights: Any) -> bool:
    """Whether class weights reward mistakes, or leave nothing to learn."""
    numbers = weights if isinstance(weights, list) else [weights]
    while any(isinstance(number, list) for number in numbers):
        numbers = [number for inner in numbers for number in inner]
    return min(numbers) < 0 or not any(numbers)


@dataclass(frozen=True)
class BuiltIn:
    """What a loss's own test file says of it."""

    name: str
    torch: type[nn.Module] | None
    example: Callable[[Draw], Example]
    contract: type[LossContract]
    refused_by_lossreg_alone: RefusedAlone
    infinite: frozenset[str]
    beyond_the_batch: Mapping[str, Callable[[Any], bool]]
    symbols_in_words: Mapping[str, Callable[..., Any]]

    def batch(self) -> list[Tensor]:
        """The arguments of the loss's own test, without targets to ignore."""
        batch = self.contract().batch()
        return [
            batch[argument.name].clamp(min=0)
            if argument.domain.startswith("class index")
            else batch[argument.name]
            for argument in _REGISTRY[self.name].inputs
        ]


@cache
def built_in(name: str) -> BuiltIn:
    """What the test file of a loss says of it."""
    module = _loaded(TESTS / f"test_{name}.py")
    contracts = (
        member
        for member in vars(module).values()
        if isinstance(member, type)
        and issubclass(member, LossContract)
        and member is not LossContract
    )
    return BuiltIn(
        name,
        torch=module.TORCH,
        example=module.example,
        contract=next(contracts),
        refused_by_lossreg_alone=getattr(module, "REFUSED_BY_LOSSREG_ALONE", {}),
        infinite=frozenset(getattr(module, "INFINITE", ())),
        beyond_the_batch=getattr(module, "BEYOND_THE_BATCH", {}),
        symbols_in_words=getattr(module, "SYMBOLS_IN_WORDS", {}),
    )


def _loaded(file: Path) -> ModuleType:
    # Not under the name by which pytest collects it, for that one's asserts are rewritten.
    spec = importlib.util.spec_from_file_location(f"of_built_in_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
