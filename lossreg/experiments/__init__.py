"""The bundled task and the runner of all tasks: a thin layer over Lightning's Trainer.

Importing this package needs nothing beyond lossreg; `run` needs the extra `experiments`.
"""

from __future__ import annotations

import importlib.util
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from lossreg.errors import MissingExtraError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from lossreg.config import ExperimentConfig
    from lossreg.experiments.runner import Result

__all__ = ["rank", "run"]

_NEEDED = {"lightning": "lightning", "matplotlib": "matplotlib"}


def run(
    experiment: ExperimentConfig,
    *,
    name: str,
    document: str = "",
    root: Path = Path("runs"),
    progress: bool = False,
    interruptible: AbstractContextManager[None] | None = None,
) -> Result | None:
    """Train a task with an objective and write the results to a new folder.

    Args:
        experiment: What to train, from `lossreg.config.load_experiment`.
        name: The folder's name; if the folder exists, a number is added.
        document: The text to keep in it as `config.yaml`.
        root: The folder in which it is made.
        progress: Whether Lightning shows its progress bar.
        interruptible: A context that is entered while there are results that an interrupt must
            keep; not while modules are imported.

    Returns:
        The measurements; None on every rank but the first.

    Raises:
        MissingExtraError: The extra `experiments` is not installed.
        PluginError: The task cannot be built.
        InputError: The task does not provide a tensor that a term needs.
        LossregError: Lightning refuses an option, or the folder cannot be written.
        KeyboardInterrupt: The run was interrupted; what was written so far is kept.
    """
    for module, distribution in _NEEDED.items():
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError("`lossreg run`", extra="experiments", missing=distribution)
    from lossreg.experiments import runner

    return runner.run(
        experiment,
        name=name,
        document=document,
        root=root,
        progress=progress,
        interruptible=nullcontext() if interruptible is None else interruptible,
    )


def rank() -> int:
    """The rank of this process among those that train together."""
    # This is also called after an interrupt, when Lightning or torch may be half imported: another
    # import would crash.
    utilities = sys.modules.get("lightning.pytorch.utilities")
    number: int = getattr(getattr(utilities, "rank_zero_only", None), "rank", 0)
    return number
