"""Handwritten digits: say which one it is, and draw it again from 16 numbers.

The data are the 1,797 images of 8 by 8 pixels that scikit-learn ships (Alpaydin and Kaynak,
Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

from lossreg.experiments.task import Measure, Rows, Task

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DigitsModel", "task"]

_CLASSES = 10
_BRIGHTEST = 16.0
# The same images are held out whatever the experiment's seed, so that runs can be compared.
_SPLIT_SEED = 0
_HELD_OUT_SHARE = 0.25


class DigitsModel(nn.Module):
    """A small convolutional encoder with two heads on its code.

    Takes `image` (N, 1, 8, 8) in 0 to 1; gives `logits` (N, 10) and `decoder.pixels`
    (N, 1, 8, 8).

    Args:
        code: Width of the code that both heads read.
    """

    def __init__(self, code: int = 16) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * 4 * 4, code),
        )
        self.classifier = nn.Sequential(nn.ReLU(), nn.Linear(code, _CLASSES))
        self.decoder = nn.Sequential(
            nn.Linear(code, 128), nn.ReLU(), nn.Linear(128, 64), nn.Unflatten(1, (1, 8, 8))
        )

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Any]:
        """Both heads' outputs."""
        code = self.encoder(batch["image"])
        return {"logits": self.classifier(code), "decoder": {"pixels": self.decoder(code)}}


def task() -> Task:
    """The task, with baselines fitted on its training images."""
    pixels, labels = load_digits(return_X_y=True)
    pixels = pixels / _BRIGHTEST
    train_pixels, test_pixels, train_labels, test_labels = train_test_split(
        pixels, labels, test_size=_HELD_OUT_SHARE, random_state=_SPLIT_SEED, stratify=labels
    )
    logistic = LogisticRegression(max_iter=1000).fit(train_pixels, train_labels)
    mean_image_error = ((test_pixels - train_pixels.mean(axis=0)) ** 2).mean()
    return Task(
        model=DigitsModel(),
        train=_rows(train_pixels, train_labels),
        held_out=_rows(test_pixels, test_labels),
        measures=(
            Measure(
                name="accuracy",
                label="accuracy",
                per_sample=_is_right,
                baseline=float(logistic.score(test_pixels, test_labels)),
                baseline_name="logistic regression on the pixels",
                higher_is_better=True,
            ),
            Measure(
                name="rebuild_error",
                label="rebuild error (mse)",
                per_sample=_rebuild_error,
                baseline=float(mean_image_error),
                baseline_name="the mean training image",
                higher_is_better=False,
            ),
        ),
        batch_size=64,
        learning_rate=3e-3,
    )


def _rows(pixels: Any, labels: Any) -> Rows:
    image = torch.as_tensor(pixels, dtype=torch.float32).reshape(-1, 1, 8, 8)
    return Rows({"image": image, "labels": torch.as_tensor(labels, dtype=torch.int64)})


def _is_right(values: Mapping[str, Any]) -> Tensor:
    right: Tensor = values["logits"].argmax(dim=1) == values["labels"]
    return right.float()


def _rebuild_error(values: Mapping[str, Any]) -> Tensor:
    error: Tensor = values["decoder"]["pixels"].float() - values["image"].float()
    return error.square().flatten(1).mean(dim=1)
