"""An objective's state in a checkpoint's folder."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from lossreg.errors import StateError
from lossreg.runtime.composite import CompositeLoss

__all__ = ["load", "save"]

_FILE = "objective.pt"


def save(objective: CompositeLoss, folder: str | os.PathLike[str]) -> None:
    """Write the state."""
    file = Path(folder, _FILE)
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(objective.state_dict(), file)


def load(objective: CompositeLoss, folder: str | os.PathLike[str]) -> None:
    """Take over the state.

    Raises:
        StateError: It is not there although the objective has one, or is another objective's.
    """
    file = Path(folder, _FILE)
    if file.is_file():
        state = torch.load(file, map_location="cpu", weights_only=True)
        objective.load_state_dict(state)
    elif objective.state_dict():
        raise StateError(
            f"the checkpoint has no {file}, with the progress of the objective's schedules and "
            "its learned weights: it was saved without this objective's Trainer. To go on from "
            f"there, write objective.progress_to(steps={_steps(file.parent)}) and "
            f"torch.save(objective.state_dict(), {str(file)!r})"
        )


def _steps(folder: Path) -> str:
    """The step that a checkpoint was saved at, as its name has it."""
    last = folder.name.rpartition("-")[2]
    return last if last.isdigit() else "..."
