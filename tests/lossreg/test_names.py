from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from lossreg.names import closest, closest_loss, closest_spelling, guessed_loss

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
    "poisson_nll",
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
        ("SmoothL1Loss", "smooth_l1"),
        ("CTCLoss", "ctc"),
        ("TripletMarginLoss", "triplet_margin"),
        ("perceptual", None),
        ("loss", None),
        (None, None),
    ],
)
def test_a_loss_is_recognised_under_the_names_of_others(name: object, meant: str | None) -> None:
    assert closest_loss(name, BUILT_INS) == meant


def test_a_loss_that_is_not_installed_is_not_suggested() -> None:
    assert closest_loss("mean_squared_error", ["bce"]) is None


# Names whose loss is a function that is not installed: none of these may be suggested.
OTHERS = [
    *("huberr", "mmdet.models.losses.HuberLoss", "pseudo_huber"),
    *("rmse", "RMSELoss", "msle", "mean_squared_logarithmic_error", "nmse", "soft_l1"),
    *("ohem_cross_entropy", "poly_cross_entropy", "JsdCrossEntropy", "generalized_cross_entropy"),
    *("entropy", "soft_triplet_margin", "nll3d", "hinge", "squared_hinge", "categorical_hinge"),
    *("cosine_similarity", "CosineSimilarity", "kl", "kld", "KLDivergence", "js_div", "log_loss"),
    *("categorical_crossentropy", "sparse_categorical_crossentropy", "multilabel_cross_entropy"),
    *("dssim", "gaussian_nll", "log_cosh", "embedding", "margin"),
    "pytorch_metric_learning.losses.TripletMarginLoss",
    "mmdet.models.losses.CrossEntropyLoss",
    "mmdet.models.losses.SmoothL1Loss",
    "monai.losses.DiceCELoss",
    "segmentation_models_pytorch.losses.SoftCrossEntropyLoss",
    "sklearn.metrics.log_loss",
    "timm.loss.BinaryCrossEntropy",
    "timm.loss.JsdCrossEntropy",
    "torchmetrics.MeanSquaredError",
    "torchvision.ops.sigmoid_focal_loss",
    "paddle.nn.functional.smooth_l1_loss",
    "keras.losses.CTC",
    "keras.losses.CategoricalCrossentropy",
    "keras.losses.CosineSimilarity",
    "keras.losses.Hinge",
    "keras.losses.KLDivergence",
    "optax.ctc_loss",
    "optax.l2_loss",
    "optax.cosine_similarity",
    "tf.nn.l2_loss",
    "my_code.losses.MSELoss",
]


@pytest.mark.parametrize("name", OTHERS)
def test_another_function_is_not_suggested(name: str) -> None:
    suggestion, remark = guessed_loss(name, dict.fromkeys(BUILT_INS, "lossreg_losses"))
    assert suggestion is None
    assert "did you mean" not in remark


@pytest.mark.parametrize(
    ("name", "remark"),
    [
        ("RMSE", "'mse' is its square"),
        ("ohem_cross_entropy", "losses with near names, which may differ: 'cross_entropy'"),
        ("embedding", "losses with near names, which may differ: 'cosine_embedding', 'hinge_emb"),
        ("optax.l2_loss", "'mse' is twice optax's l2_loss"),
        (
            "paddle.nn.functional.smooth_l1_loss",
            "'smooth_l1' is paddle's smooth_l1_loss divided by",
        ),
        ("\x1b[31m.L1Loss", "'l1' may differ from another library's; see"),
        ("mmdet.L1Loss", "'l1' may differ from mmdet's; see `lossreg show l1`"),
        ("perceptual", ""),
    ],
)
def test_what_differs_is_said(name: str, remark: str) -> None:
    said = guessed_loss(name, dict.fromkeys(BUILT_INS, "lossreg_losses"))[1]
    assert said.startswith(remark)
    assert bool(said) == bool(remark)


@pytest.mark.parametrize(
    ("name", "meant", "remark"),
    [
        ("l2", "mse", "it has no factor of 1/2"),
        ("poisson", "poisson_nll", "its input is the logarithm of a rate"),
        ("keras.losses.Poisson", "poisson_nll", "with log_input: false"),
        ("keras.losses.BinaryCrossentropy", "bce", "with from_logits=True it is"),
        ("tf.keras.losses.mae", "l1", ""),
        ("tf.nn.sigmoid_cross_entropy_with_logits", "bce_with_logits", ""),
        ("optax.softmax_cross_entropy_with_integer_labels", "cross_entropy", ""),
        ("timm.loss.LabelSmoothingCrossEntropy", "cross_entropy", "with label_smoothing: 0.1"),
        ("triplet", "triplet_margin", "of anchor, positive and negative"),
        ("binary_crossentrpy", "bce", ""),
        ("mes", "mse", ""),
        ("cros_entropy", "cross_entropy", ""),
        ("cross_entropy_2d", "cross_entropy", ""),
    ],
)
def test_the_same_loss_is_suggested_with_what_to_look_at(
    name: str, meant: str, remark: str
) -> None:
    found = guessed_loss(name, dict.fromkeys(BUILT_INS, "lossreg_losses"))
    assert found[0] == meant
    assert found[1].startswith(remark)
    assert bool(found[1]) == bool(remark)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("HuberLoss", "huber"),
        ("tf.keras.losses.Huber", "huber"),
        ("Hubre", "huber"),
        ("rmse", "rmse"),
        ("mae", "mae"),
        ("L2Loss", "l2"),
        ("hinge", "hinge"),
        ("hinges", "hinge"),
        ("monai.losses.DiceLoss", "dice"),
        ("mona.losses.DiceLoss", None),
        ("Torch.nn.HuberLoss", "huber"),
        ("segmentation_models_pytorch.losses.DiceLoss", "smp_dice"),
        ("smp.losses.DiceLoss", "smp_dice"),
        ("fvcore.nn.DiceLoss", None),
        ("pytorch_metric_learning.losses.TripletMarginLoss", "pml_triplet_margin"),
        ("ohem_cross_entropy", "ohem_cross_entropy"),
    ],
)
def test_a_plugin_wins_for_its_names(name: str, meant: str | None) -> None:
    installed = {
        **dict.fromkeys(BUILT_INS, "lossreg_losses"),
        **dict.fromkeys(["huber", "rmse", "mae", "l2", "hinge", "ohem_cross_entropy"], "acme"),
        **dict.fromkeys(["smp_dice", "pml_triplet_margin"], "bridge"),
        "dice": "monai_bridge.losses",
    }
    assert guessed_loss(name, installed)[0] == meant


def test_a_near_spelling_of_an_installed_name_goes_before_a_foreign_name() -> None:
    installed = {"triplets": "acme", "triplet_margin": "", "rmses": "acme", "mse": ""}
    assert guessed_loss("triplet", installed) == (
        "triplets",
        "in other libraries it is 'triplet_margin'",
    )
    assert guessed_loss("rmse", installed) == ("rmses", "'mse' is its square")


def test_what_is_not_installed_is_not_spoken_of() -> None:
    for name in ("rmse", "optax.l2_loss", "ohem_cross_entropy", "l2"):
        assert guessed_loss(name, {"nll": ""}) == (None, "")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("sigmiod", "sigmoid"),
        ("Sigmoid", "sigmoid"),
        ("log-softmax", "log_softmax"),
        ("softmaxx", "softmax"),
        ("ad", "add"),
        ("dad", "add"),
        ("adda", None),
        ("dda", None),
        ("addd", "add"),
        ("logsigmoid", None),
        ("softmin", None),
        ("hardsigmoid", None),
        ("gumbel_softmax", None),
        ("unflatten", None),
        ("cat", None),
        ("kl_div", None),
        ("atan2", None),
        (7, None),
        ("", None),
        ("x" * 101, None),
    ],
)
def test_another_function_is_not_a_misspelt_one(name: object, meant: str | None) -> None:
    candidates = ["add", "cast", "div", "flatten", "log_softmax", "sigmoid", "softmax", "atan1"]
    assert closest_spelling(name, candidates) == meant


# What is said of losses that differ, in numbers.


@pytest.mark.parametrize("delta", [0.5, 1.0, 3.0])
def test_smooth_l1_is_huber_divided_by_delta(delta: float) -> None:
    x, y = torch.linspace(-5, 5, 21), torch.zeros(21)
    huber = functional.huber_loss(x, y, delta=delta)
    torch.testing.assert_close(functional.smooth_l1_loss(x, y, beta=delta) * delta, huber)


def test_mse_is_twice_half_the_squares_and_the_square_of_its_root() -> None:
    x, y = torch.linspace(-5, 5, 21), torch.ones(21)
    squares = (x - y).square()
    assert functional.mse_loss(x, y) == 2 * (squares / 2).mean()
    torch.testing.assert_close(functional.mse_loss(x, y), squares.mean().sqrt().square())


def test_kl_div_is_the_divergence_with_batchmean_only() -> None:
    p, q = torch.tensor([[0.5, 0.5], [0.9, 0.1]]), torch.tensor([[0.25, 0.75], [0.5, 0.5]])
    divergence = (p * (p / q).log()).sum(1).mean()
    torch.testing.assert_close(functional.kl_div(q.log(), p, reduction="batchmean"), divergence)
    torch.testing.assert_close(functional.kl_div(q.log(), p, reduction="sum") / 4, divergence / 2)


def test_poisson_nll_without_log_input_is_of_a_rate() -> None:
    rate, count = torch.tensor([0.5, 2.0]), torch.tensor([1.0, 3.0])
    keras = (rate - count * (rate + 1e-7).log()).mean()
    torch.testing.assert_close(functional.poisson_nll_loss(rate, count, log_input=False), keras)


def test_cosine_embedding_is_one_minus_the_cosine_for_a_target_of_one() -> None:
    x, y = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, -1.0]])
    loss = functional.cosine_embedding_loss(x, y, torch.ones(1))
    torch.testing.assert_close(loss, 1 - functional.cosine_similarity(x, y).mean())


def test_label_smoothing_of_timm_is_that_of_torch() -> None:
    x, y = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 1])
    logs = x.log_softmax(1)
    timm = (0.9 * -logs.gather(1, y[:, None])[:, 0] + 0.1 * -logs.mean(1)).mean()
    torch.testing.assert_close(functional.cross_entropy(x, y, label_smoothing=0.1), timm)
