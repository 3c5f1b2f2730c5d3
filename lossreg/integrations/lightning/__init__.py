"""Objectives under Lightning. Needs the extra `lightning`.

`ObjectiveModule` is a LightningModule that is trained by objectives: its gradients equal those of
one big batch, however many micro-batches and ranks share it. `ObjectiveCallback` moves the
schedules in a LightningModule of one's own. `CurvesCallback` draws terms and weights at the end.
"""

from __future__ import annotations

import importlib.util
import warnings
from typing import TYPE_CHECKING

from lossreg.errors import MissingExtraError

if importlib.util.find_spec("lightning") is None:
    raise MissingExtraError(__name__, extra="lightning", missing="lightning")

from lossreg.integrations.lightning.callback import ObjectiveCallback
from lossreg.integrations.lightning.curves import CurvesCallback
from lossreg.integrations.lightning.module import ObjectiveModule

if TYPE_CHECKING:
    CompositeModule = ObjectiveModule

__all__ = ["CompositeModule", "CurvesCallback", "ObjectiveCallback", "ObjectiveModule"]


def __getattr__(name: str) -> object:
    if name != "CompositeModule":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(
        "CompositeModule is now called ObjectiveModule; import that name from the same module",
        DeprecationWarning,
        stacklevel=2,
    )
    return ObjectiveModule
