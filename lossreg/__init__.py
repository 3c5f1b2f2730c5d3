"""Declare what a PyTorch model optimises: losses as plugins, composites from YAML.

`import lossreg` brings no torch: what needs it is loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from lossreg.errors import (
    ConfigError,
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

if TYPE_CHECKING:
    from lossreg.building import build, create
    from lossreg.composite import CompositeLoss
    from lossreg.config import load_config
    from lossreg.gradients import diagnose
    from lossreg.output import LossOutput
    from lossreg.registry import Registry

__all__ = [
    "CompositeLoss",
    "ConfigError",
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
    "build",
    "create",
    "diagnose",
    "load_config",
]

_LAZY = {
    "Registry": "lossreg.registry",
    "CompositeLoss": "lossreg.composite",
    "LossOutput": "lossreg.output",
    "build": "lossreg.building",
    "create": "lossreg.building",
    "diagnose": "lossreg.gradients",
    "load_config": "lossreg.config",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
