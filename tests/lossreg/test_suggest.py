from __future__ import annotations

import pytest

from lossreg.suggest import closest, closest_loss

BUILT_INS = [
    "bce",
    "bce_with_logits",
    "cosine_embedding",
    "cross_entropy",
    "ctc",
    "hinge_embedding",
    "kl_div",
    "l1",
    "mse",
    "nll",
    "nll2d",
    "smooth_l1",
    "triplet_margin",
]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("beta", "beta"),
        ("bet", "beta"),
        ("BETA", "beta"),
        ("label-smoothing", "label_smoothing"),
        ("labelSmoothing", "label_smoothing"),
        ("labl_smoothing", "label_smoothing"),
        ("loss", None),
        ("gamma_ray", None),
        ("", None),
        ("___", None),
        ("b" * 101, None),
        (3, None),
        (None, None),
        (["beta"], None),
    ],
)
def test_a_near_miss_is_recognised_and_nothing_else(name: object, meant: str | None) -> None:
    assert closest(name, ["beta", "label_smoothing"]) == meant


def test_there_is_nothing_to_suggest_among_nothing() -> None:
    assert closest("beta", []) is None


def test_of_two_that_differ_in_spelling_only_the_first_is_suggested() -> None:
    assert closest("Beta", ["be_ta", "beta"]) == "be_ta"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CrossEntropyLoss", "cross_entropy"),
        ("torch.nn.CrossEntropyLoss", "cross_entropy"),
        ("cross_entropy_loss", "cross_entropy"),
        ("BCEWithLogitsLoss", "bce_with_logits"),
        ("binary_cross_entropy", "bce"),
        ("binary_cross_entropy_with_logits", "bce_with_logits"),
        ("NLLLoss2d", "nll2d"),
        ("KLDivLoss", "kl_div"),
        ("tf.keras.losses.MeanSquaredError", "mse"),
        ("MAE", "l1"),
        ("huber", "smooth_l1"),
        ("SmoothL1Loss", "smooth_l1"),
        ("CTCLoss", "ctc"),
        ("TripletMarginLoss", "triplet_margin"),
        ("hinge", "hinge_embedding"),
        ("perceptual", None),
        ("loss", None),
        (None, None),
    ],
)
def test_a_loss_is_recognised_under_the_names_of_others(name: object, meant: str | None) -> None:
    assert closest_loss(name, BUILT_INS) == meant


def test_a_loss_that_is_not_installed_is_not_suggested() -> None:
    assert closest_loss("mean_squared_error", ["bce"]) is None
