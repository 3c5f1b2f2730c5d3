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
    """Train a task with an objective and write what happened to a folder of its own.

    Args:
        experiment: What to train, from `lossreg.config.load_experiment`.
        name: What to call the folder; if it exists, a number is added.
        document: The text to keep in it as `config.yaml`.
        root: Where the folder is made.
        progress: Whether Lightning shows its progress bar.
        interruptible: Entered for as long as there is something that an interrupt should keep;
            while modules are imported, it is not.

    Returns:
        What was measured; None on every rank but the first.

    Raises:
        MissingExtraError: The extra `experiments` is not installed.
        PluginError: The task cannot be built.
        InputError: The task does not give what a term asks for.
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
    """Which of the processes that train together this is."""
    # It is asked after an interrupt too, when Lightning, or torch, may be half imported: to import
    # them once more would crash.
    utilities = sys.modules.get("lightning.pytorch.utilities")
    number: int = getattr(getattr(utilities, "rank_zero_only", None), "rank", 0)
    return number
