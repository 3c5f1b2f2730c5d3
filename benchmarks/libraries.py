"""How many losses of the libraries that are installed `from_module` takes, and whether rightly.

Every exported class of a loss is tried, first with no options, then with the types of parameters
that have neither an annotation nor a default. Of those that are taken, each default is compared
with the signature; and what is built with `mean` is compared with what the class itself builds,
attribute by attribute.

    python benchmarks/libraries.py [--refused] [LIBRARY ...]
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import inspect
import pkgutil
import random
import re
import warnings
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn

from lossreg.plugin import LossDefinition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

# Each library, and the module that exports its losses.
LIBRARIES = {
    "monai": "monai.losses",
    "pytorch-metric-learning": "pytorch_metric_learning.losses",
    "kornia": "kornia.losses",
    "auraloss": "auraloss",
    "entmax": "entmax",
    "geomloss": "geomloss",
    "segmentation-models-pytorch": "segmentation_models_pytorch.losses",
    "timm": "timm.loss",
    "piq": "piq",
    "lightly": "lightly.loss",
    "transformers": "transformers.loss",
}
# Values for what must be given; where a signature does not say their types, these are.
_VALUES: dict[str, object] = {
    "Tn": 1.0,
    "alpha": 0.5,
    "beta": 0.5,
    "classes": 4,
    "descriptors_dim": 8,
    "dim": 2,
    "embedding_size": 8,
    "fft_sizes": [256, 512],
    "focal_alpha": 0.5,
    "hop_sizes": [64, 128],
    "l": 2,
    "margin": 1.0,
    "max_val": 1.0,
    "mode": "multiclass",
    "num_classes": 4,
    "num_features": 8,
    "sample_rate": 16000,
    "spatial_dims": 2,
    "win_lengths": [256, 512],
    "window_size": 5,
}
_PLAIN = (bool, int, float, str, list, tuple)


class Verdict(NamedTuple):
    """What became of a class.

    Attributes:
        module: The class.
        definition: Its definition, if it was taken.
        typed: Whether types had to be given.
        reason: Why it was not taken.
        wrong: What is wrong with the definition.
        unbuilt: Why the class cannot be built here.
    """

    module: type[nn.Module]
    definition: LossDefinition | None = None
    typed: bool = False
    reason: str = ""
    wrong: tuple[str, ...] = ()
    unbuilt: str = ""


def loss_classes(name: str) -> dict[str, type[nn.Module]]:
    """The classes of losses that a module exports, or else its submodules, by name.

    Raises:
        ImportError: It is not installed.
    """
    module = importlib.import_module(name)
    if own := _exported(module):
        return own
    found: dict[str, type[nn.Module]] = {}
    for info in pkgutil.walk_packages(getattr(module, "__path__", ()), f"{name}."):
        with contextlib.suppress(Exception):  # one that needs what is not installed
            found |= _exported(importlib.import_module(info.name))
    return found


def _exported(module: ModuleType) -> dict[str, type[nn.Module]]:
    top = module.__name__.partition(".")[0]
    return {
        value.__name__: value
        for key, value in vars(module).items()
        if not key.startswith("_") and isinstance(value, type) and issubclass(value, nn.Module)
        if value.__module__.partition(".")[0] == top and _is_loss(value)
    }


def _is_loss(value: type[nn.Module]) -> bool:
    path = f"{value.__module__}.{value.__name__}".lower()
    has_name = "loss" in path or issubclass(value, nn.modules.loss._Loss)  # noqa: SLF001
    return has_name and value.forward is not nn.Module.forward


def verdict(module: type[nn.Module]) -> Verdict:
    """Whether a class is taken, and what is wrong with what is made of it."""
    definition, reason = _described(module, {})
    typed = False
    if definition is None:
        unknown = re.findall(r"'(\w+)' has neither an annotation nor a default", reason)
        types = {name: type(_VALUES[name]) for name in unknown if name in _VALUES}
        definition, reason = _described(module, types)
        typed = definition is not None
    if definition is None:
        return Verdict(module, reason=reason)
    wrong = [*_wrong_defaults(module, definition), *_wrong_promises(definition)]
    own, unbuilt = _built(lambda required: _own(module, definition, required), definition)
    if own is not None:
        config = definition.config
        made, fault = _built(lambda required: definition.build(config(**required)), definition)
        wrong += [f"lossreg cannot build it: {fault}"] if made is None else _differences(own, made)
    return Verdict(module, definition, typed, "", tuple(wrong), unbuilt)


def _described(
    module: type[nn.Module], types: dict[str, type]
) -> tuple[LossDefinition | None, str]:
    try:
        return LossDefinition.from_module(module, types=types), ""
    except TypeError as error:
        return None, str(error)


def _wrong_defaults(module: type[nn.Module], definition: LossDefinition) -> Iterator[str]:
    fields = definition.config.model_fields
    for name, parameter in list(inspect.signature(module.__init__).parameters.items())[1:]:
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        own = parameter.default
        if name not in fields:
            if name not in definition.not_offered and name not in ("size_average", "reduce"):
                yield f"{name} is neither offered nor listed"
            continue
        expected = own.value if isinstance(own, Enum) else own
        default = parameter.empty if fields[name].is_required() else fields[name].default
        if isinstance(expected, list | tuple):
            expected, default = tuple(expected), tuple(default)
        if name == "reduction" and (default, expected) == ("mean", "none"):
            continue
        widened = isinstance(default, float) and type(expected) is int
        if default != expected or not (widened or type(default) is type(expected)):
            yield f"{name} is {default!r} by default, and {expected!r} in the class"


def _wrong_promises(definition: LossDefinition) -> Iterator[str]:
    if not set(definition.reductions) <= {"mean", "sum"} or len(definition.reductions) > 1:
        yield f"it offers the reductions {definition.reductions}"
    if definition.compiles is not None or definition.additive:
        yield "it promises what was not tried"


def _own(
    module: type[nn.Module], definition: LossDefinition, required: dict[str, object]
) -> nn.Module:
    reduction = {"reduction": "mean"} if "mean" in definition.reductions else {}
    return module(**required, **reduction)


def _built(
    build: Callable[[dict[str, object]], nn.Module], definition: LossDefinition
) -> tuple[nn.Module | None, str]:
    """What is built with the required parameters, or why it cannot be."""
    fields = definition.config.model_fields.items()
    required = [name for name, field in fields if field.is_required()]
    if missing := [name for name in required if name not in _VALUES]:
        return None, f"no value for {', '.join(missing)}"
    random.seed(0)
    torch.manual_seed(0)
    with contextlib.suppress(ImportError):
        import numpy as np

        np.random.seed(0)  # noqa: NPY002 - what the libraries use
    try:
        return build({name: _VALUES[name] for name in required}), ""
    except Exception as error:  # noqa: BLE001 - whatever a library raises
        return None, f"{type(error).__name__}: {str(error).partition(chr(10))[0][:100]}"


def _differences(own: nn.Module, made: nn.Module) -> Iterator[str]:
    """Where two modules of a class have other numbers, words or state."""
    for path, child in own.named_modules():
        twin = made.get_submodule(path)
        for name, value in vars(child).items():
            if isinstance(value, _PLAIN) and not name.startswith("_"):
                other = getattr(twin, name)
                if other != value and repr(other) != repr(value):
                    yield f"{path}.{name} is {other!r}, and {value!r} in the class"
    states = zip(own.state_dict().items(), made.state_dict().items(), strict=True)
    for (name, tensor), (twin_name, twin_tensor) in states:
        if name != twin_name or not torch.equal(tensor, twin_tensor):
            yield f"the state {name} differs"


def main() -> None:
    """Print a table: a row for each library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("libraries", nargs="*", metavar="LIBRARY", help="by default, all of them")
    parser.add_argument("--refused", action="store_true", help="say of each class why not")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| library | classes | taken | with types | of them wrong | not built here |")
    print("| --- | --- | --- | --- | --- | --- |")
    total, remarks = [0] * 5, []
    for library in arguments.libraries or LIBRARIES:
        try:
            classes = loss_classes(LIBRARIES[library])
        except (ImportError, RuntimeError) as error:  # a library's own import may fail
            remarks.append(f"{library}: not installed ({error})")
            continue
        verdicts = [verdict(module) for module in classes.values()]
        taken = [result for result in verdicts if result.definition is not None]
        counts = [
            len(verdicts),
            sum(not result.typed for result in taken),
            sum(result.typed for result in taken),
            sum(bool(result.wrong) for result in taken),
            sum(bool(result.unbuilt) for result in taken),
        ]
        total = [sum(pair) for pair in zip(total, counts, strict=True)]
        print(f"| {library} | {' | '.join(map(str, counts))} |")
        for result in verdicts:
            name = f"{library} {result.module.__name__}"
            remarks += [f"{name} is wrong: {fault}" for fault in result.wrong]
            if arguments.refused and (result.reason or result.unbuilt):
                remarks.append(f"{name}: {result.reason or result.unbuilt}")
    print(f"| **all** | {' | '.join(map(str, total))} |")
    print("\n".join(["", *remarks]))


if __name__ == "__main__":
    main()
