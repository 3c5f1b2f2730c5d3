"""Configs: YAML text to frozen models, every fault located. Imports no torch."""

from __future__ import annotations

from lossreg.config.loading import (
    Examined,
    examine,
    load_config,
    load_experiment,
    load_kept_experiment,
    load_objectives,
)
from lossreg.config.models import CompositeConfig, ExperimentConfig, TermConfig

__all__ = [
    "CompositeConfig",
    "Examined",
    "ExperimentConfig",
    "TermConfig",
    "examine",
    "load_config",
    "load_experiment",
    "load_kept_experiment",
    "load_objectives",
]
