"""Declare what a PyTorch model optimises: losses as plugins, composites from YAML.

`import lossreg` does not import torch: each name is loaded on first use.
"""

from __future__ import annotations

# Nothing else is imported here: the command line handles Ctrl-C only after this import.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from lossreg.config import load_config
    from lossreg.errors import (
        ConfigError,
        ConfigWarning,
        Diagnostic,
        DuplicateLossError,
        InputError,
        LossregError,
        MissingExtraError,
        NonFiniteError,
        PluginError,
        PluginLoadError,
        StateError,
        UnknownLossError,
    )
    from lossreg.registry import Registry
    from lossreg.runtime.building import build, build_objectives, create
    from lossreg.runtime.composite import CompositeLoss
    from lossreg.runtime.gradients import compare_gradients, diagnose
    from lossreg.runtime.output import LossOutput

    __version__: str

__all__ = [
    "CompositeLoss",
    "ConfigError",
    "ConfigWarning",
    "Diagnostic",
    "DuplicateLossError",
    "InputError",
    "LossOutput",
    "LossregError",
    "MissingExtraError",
    "NonFiniteError",
    "PluginError",
    "PluginLoadError",
    "Registry",
    "StateError",
    "UnknownLossError",
    "__version__",
    "build",
    "build_objectives",
    "compare_gradients",
    "create",
    "diagnose",
    "load_config",
]

_ELSEWHERE = {
    "Registry": "lossreg.registry",
    "CompositeLoss": "lossreg.runtime.composite",
    "LossOutput": "lossreg.runtime.output",
    "build": "lossreg.runtime.building",
    "build_objectives": "lossreg.runtime.building",
    "create": "lossreg.runtime.building",
    "compare_gradients": "lossreg.runtime.gradients",
    "diagnose": "lossreg.runtime.gradients",
    "load_config": "lossreg.config",
}


def __getattr__(name: str) -> object:
    if name not in __all__ and name != "errors":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value: object
    if name == "__version__":
        from importlib.metadata import version

        value = version("lossreg")
    else:
        module = importlib.import_module(_ELSEWHERE.get(name, "lossreg.errors"))
        value = module if name == "errors" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
