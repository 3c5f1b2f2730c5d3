from __future__ import annotations

import pytest
import torch
from sklearn.datasets import load_digits

from lossreg.experiments.digits.task import DigitsModel, task

TASK = task()
ACCURACY, REBUILD = TASK.measures


def test_every_image_is_either_learned_from_or_held_out() -> None:
    together = torch.cat([TASK.train.tensors["image"], TASK.held_out.tensors["image"]])
    images = torch.as_tensor(load_digits().data, dtype=torch.float32) / 16
    assert sorted(map(tuple, together.flatten(1).tolist())) == sorted(map(tuple, images.tolist()))
    assert len(TASK.held_out) == 450


def test_the_split_holds_every_digit_in_its_share() -> None:
    held_out = torch.bincount(TASK.held_out.tensors["labels"])
    everything = held_out + torch.bincount(TASK.train.tensors["labels"])
    assert (held_out - everything / 4).abs().max() <= 1


def test_the_split_does_not_depend_on_the_seed() -> None:
    torch.manual_seed(123)
    assert torch.equal(task().held_out.tensors["labels"], TASK.held_out.tensors["labels"])


def test_the_outputs_are_where_a_config_looks_for_them() -> None:
    out = DigitsModel()(TASK.train.__getitems__(range(3)))
    assert out["logits"].shape == (3, 10)
    assert out["decoder"]["pixels"].shape == (3, 1, 8, 8)


def test_accuracy_is_the_share_of_largest_logits_at_the_label() -> None:
    logits = torch.tensor([[0.0, 2.0], [3.0, 1.0], [0.0, 1.0]])
    values = {"logits": logits, "labels": torch.tensor([1, 1, 1])}
    assert ACCURACY.per_sample(values).tolist() == [1.0, 0.0, 1.0]


def test_rebuild_error_is_the_mean_squared_pixel_error() -> None:
    image = torch.zeros(2, 1, 8, 8)
    pixels = image.clone()
    pixels[1, 0, 0, 0] = 4.0  # 16 / 64 pixels
    values = {"decoder": {"pixels": pixels}, "image": image}
    assert REBUILD.per_sample(values).tolist() == [0.0, 0.25]


def test_the_mean_image_baseline_is_measured_as_the_network_is() -> None:
    image = TASK.held_out.tensors["image"]
    mean = TASK.train.tensors["image"].mean(dim=0, keepdim=True).expand_as(image)
    error = REBUILD.per_sample({"decoder": {"pixels": mean}, "image": image}).mean().item()
    assert pytest.approx(error, rel=1e-5) == REBUILD.baseline


def test_the_accuracy_baseline_is_worth_beating() -> None:
    assert 0.95 < ACCURACY.baseline < 0.985
