"""What was logged in a training, and its picture."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor

__all__ = ["History"]

TOTAL = "loss/total"
"""The key of the total, after the prefix."""

_REGULARIZER = "regularizer/"
_KINDS = ("loss/", "weighted/", "weight/")

_SUBJECTS = ("weight times term", "each term before its weight", "each term's weight")
_Row: TypeAlias = "tuple[float, dict[str, Tensor | float]]"


class History:
    """What `log_dict` gave, step by step.

    Tensors are kept as they are and read at the end, so adding them waits for no device. Steps that
    were logged under another prefix, such as `train/` and `val/`, have a row of panels each.

    >>> import lossreg
    >>> loss = lossreg.build({"terms": {"fit": {"type": "mse", "inputs": ["x", "y"]}}})
    >>> history = History()
    >>> for step in range(3):
    ...     out = loss(x=torch.tensor([2.0 - step]), y=torch.zeros(1))
    ...     history.add(out.log_dict("train/"), step)
    >>> history.curves("train/")["loss/fit"]
    [(0, 4.0), (1, 1.0), (2, 0.0)]
    """

    def __init__(self) -> None:
        self._rows: dict[str, list[_Row]] = {}

    @classmethod
    def read_csv(cls, file: str | os.PathLike[str]) -> History:
        """The history in a CSV file whose columns are the keys, such as Lightning's CSVLogger's.

        Rows without a total are left out. The column `step`, if there is one, has the steps.

        Args:
            file: The file.
        """
        history = cls()
        with Path(file).open(encoding="utf-8", newline="") as text:
            for row in csv.DictReader(text):
                step = float(row["step"]) if row.get("step") else None
                cells = {key: cell for key, cell in row.items() if key != "step" and cell}
                numbers = {key: float(cell) for key, cell in cells.items() if _kind(key)}
                if any(key.endswith(TOTAL) for key in numbers):
                    history.add(numbers, step)
        return history

    def __bool__(self) -> bool:
        return bool(self._rows)

    def add(
        self,
        logged: Mapping[str, Tensor | float],
        step: float | None = None,
        *,
        prefix: str | None = None,
    ) -> None:
        """Keep what was logged in a step.

        Args:
            logged: From `log_dict`, of an output or of a step; other keys are not drawn.
            step: The number of the step; by default the next one under the same prefix, from 1.
            prefix: The one that was given to `log_dict`; by default every one that has a total.

        Raises:
            ValueError: There is no total among the keys.
        """
        found = [key.removesuffix(TOTAL) for key in logged if key.endswith(TOTAL)]
        wanted = found if prefix is None else [each for each in found if each == prefix]
        if not wanted:
            raise ValueError(f"expected what log_dict gives, found no key that ends with {TOTAL}")
        for start in wanted:
            rows = self._rows.setdefault(start, [])
            own = {key.removeprefix(start): key for key in logged if key.startswith(start)}
            kinds = (*_KINDS, _REGULARIZER)  # not those of another prefix
            values = {
                name: _detached(logged[key]) for name, key in own.items() if name.startswith(kinds)
            }
            rows.append((len(rows) + 1 if step is None else step, values))

    def curves(self, prefix: str = "") -> dict[str, list[tuple[float, float]]]:
        """Each key's steps and values, without the prefix. Waits for the device.

        Args:
            prefix: The one that was given to `log_dict`.

        Raises:
            ValueError: Nothing was added under this prefix.
        """
        if prefix not in self._rows:
            known = ", ".join(map(repr, self._rows)) or "nothing"
            raise ValueError(f"nothing was added under the prefix {prefix!r}, but under {known}")
        curves: dict[str, list[tuple[float, float]]] = {}
        for step, values in self._rows[prefix]:
            for key, value in values.items():
                curves.setdefault(key, []).append((step, float(value)))
        return curves

    def draw(self, file: str | os.PathLike[str], title: str = "") -> None:
        """Draw what each term adds to the total, its raw value, and its weight, as a PNG.

        Args:
            file: The PNG to write.
            title: The title above the panels.

        Raises:
            MissingExtraError: Matplotlib is not installed.
            ValueError: Nothing was added.
        """
        from lossreg.integrations.curves import (
            draw_contributions,
            draw_raw,
            draw_weights,
            make_panels,
            save,
        )

        if not self._rows:
            raise ValueError("there is nothing to draw: call history.add(out.log_dict(), step)")
        columns = len(_KINDS)
        figure, panels = make_panels(columns * len(self._rows), columns, title)
        last = 0.0
        for line, prefix in enumerate(self._rows):
            curves = self.curves(prefix)
            total = curves.pop(TOTAL)
            raw, weighted, weights = (
                {
                    key.removeprefix(kind): points
                    for key, points in curves.items()
                    if key.startswith(kind)
                }
                for kind in _KINDS
            )
            # What learned weights add is part of the total as well.
            weighted.update({k: v for k, v in curves.items() if k.startswith(_REGULARIZER)})
            first, second, third = panels[line * columns : (line + 1) * columns]
            draw_contributions(first, weighted, total)
            draw_raw(second, raw)
            draw_weights(third, weights)
            for panel, subject in zip((first, second, third), _SUBJECTS, strict=True):
                if prefix:
                    panel.set_title(f"{prefix.rstrip('/')}: {subject}")
            last = max(last, total[-1][0])
        save(figure, Path(file), last)


def _kind(key: str) -> bool:
    return any(f"/{kind}" in f"/{key}" for kind in (*_KINDS, _REGULARIZER))


def _detached(value: Tensor | float) -> Tensor | float:
    return value.detach() if isinstance(value, torch.Tensor) else value
