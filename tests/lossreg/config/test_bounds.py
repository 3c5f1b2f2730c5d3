"""Both sides of every bound of every built-in, beside torch."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import torch
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from torch import Tensor, nn

from lossreg import Registry
from lossreg.plugin import LossConfig
from lossreg.testing import LossContract

REGISTRY = Registry.installed()
BOUNDS = ("ge", "gt", "le", "lt")

MODULES: dict[str, type[nn.Module]] = {
    "bce": nn.BCELoss,
    "bce_with_logits": nn.BCEWithLogitsLoss,
    "cosine_embedding": nn.CosineEmbeddingLoss,
    "cross_entropy": nn.CrossEntropyLoss,
    "ctc": nn.CTCLoss,
    "hinge_embedding": nn.HingeEmbeddingLoss,
    "kl_div": nn.KLDivLoss,
    "l1": nn.L1Loss,
    "margin_ranking": nn.MarginRankingLoss,
    "mse": nn.MSELoss,
    "multi_margin": nn.MultiMarginLoss,
    "multilabel_margin": nn.MultiLabelMarginLoss,
    "multilabel_soft_margin": nn.MultiLabelSoftMarginLoss,
    "nll": nn.NLLLoss,
    "nll2d": nn.NLLLoss,
    "poisson_nll": nn.PoissonNLLLoss,
    "smooth_l1": nn.SmoothL1Loss,
    "soft_margin": nn.SoftMarginLoss,
    "triplet_margin": nn.TripletMarginLoss,
}


# What lossreg refuses although torch computes something: the values, and the words of the
# parameter's description that say why. Nan and infinity are refused for every parameter, as
# LossConfig says.
REFUSED_BY_LOSSREG_ALONE: dict[tuple[str, str], tuple[Callable[[Any], bool], str]] = {
    **{
        (loss, name): (lambda weights: min(weights) < 0 or not any(weights), "Negative numbers")
        for loss, name in [
            ("bce", "weight"),
            ("bce_with_logits", "weight"),
            ("bce_with_logits", "pos_weight"),
            ("cross_entropy", "weight"),
            ("multi_margin", "weight"),
            ("multilabel_soft_margin", "weight"),
            ("nll", "weight"),
            ("nll2d", "weight"),
        ]
    },
    ("cosine_embedding", "margin"): (lambda margin: abs(margin) > 1, "where no cosine lies"),
    ("cross_entropy", "label_smoothing"): (lambda part: part < 0, "A negative number"),
    ("poisson_nll", "eps"): (lambda eps: eps < 0, "A negative number, which makes small rates nan"),
    ("triplet_margin", "eps"): (lambda eps: eps < 0, "A negative number is refused"),
    ("triplet_margin", "p"): (lambda p: p <= 0, "0 and below, which are no norm's order"),
}


def good_batch(loss: str) -> list[Tensor]:
    """The batch of the loss's own test, without targets to ignore."""
    path = Path(__file__).parents[2] / "plugins" / "lossreg_losses" / f"test_{loss}.py"
    spec = importlib.util.spec_from_file_location(f"batch_of_{loss}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    contract = next(
        each
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, LossContract) and each is not LossContract
    )
    batch = contract().batch()
    return [
        batch[each.name].clamp(min=0) if each.domain.startswith("class index") else batch[each.name]
        for each in REGISTRY[loss].inputs
    ]


BATCHES = {loss: good_batch(loss) for loss in MODULES}
PARAMETERS = [(loss, name) for loss in MODULES for name in REGISTRY[loss].config.model_fields]


def values(loss: str, name: str) -> Iterator[Any]:
    """Good and bad values of a parameter: those at and beside each bound among them."""
    field = REGISTRY[loss].config.model_fields[name]
    if get_origin(field.annotation) is Literal:
        yield from {*get_args(field.annotation), "none", "mean", "sum", "batchmean"}
        yield from ("avg", "Mean", "", "elementwise_mean ")
    elif field.annotation is bool:
        yield from (True, False)
    elif field.annotation in (int, float):
        yield from (0, 1, -1, 2, -2, 3)
        for bound in bounds(field):
            yield from (bound - 1, bound, bound + 1)
            if field.annotation is float:
                yield from (math.nextafter(bound, -math.inf), math.nextafter(bound, math.inf))
        if field.annotation is float:
            yield from (0.5, -0.5, 1e-3, 1e30, -1e30, math.nan, math.inf, -math.inf)
    else:
        assert "weight" in name
        rest = [1.0] * (BATCHES[loss][0].shape[1] - 1)
        yield from ([first, *rest] for first in (1.0, 0.0, -1.0, -0.0, math.nan, math.inf))
        yield from ([0.0, *[0.0 for _ in rest]], [-1.0, *[-1.0 for _ in rest]])


def bounds(field: FieldInfo) -> set[Any]:
    found = (getattr(each, kind, None) for each in field.metadata for kind in BOUNDS)
    return {each for each in found if each is not None}


def lossreg_accepts(loss: str, name: str, value: object) -> bool:
    try:
        REGISTRY[loss].config(**{name: value})
    except ValidationError:
        return False
    return True


def torch_accepts(loss: str, name: str, value: Any) -> bool:
    """Whether torch builds the module and computes something, be it nan."""
    if "weight" in name:
        value = torch.tensor(value)
    try:
        MODULES[loss](**{name: value})(*BATCHES[loss])
    except (RuntimeError, ValueError, TypeError, AssertionError, OverflowError):
        return False
    return True


def is_finite(value: Any) -> bool:
    numbers = value if isinstance(value, list) else [value]
    return all(isinstance(each, str) or math.isfinite(each) for each in numbers)


def is_beyond_the_batch(loss: str, name: str, value: object) -> bool:
    """Whether it is the batch that torch finds too small for the value."""
    return (loss, name) == ("ctc", "blank") and isinstance(value, int) and 5 <= value < 2**63


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")
@pytest.mark.parametrize(("loss", "name"), PARAMETERS)
def test_both_sides_of_each_bound(loss: str, name: str) -> None:
    refused_alone, _ = REFUSED_BY_LOSSREG_ALONE.get((loss, name), (lambda _: False, ""))
    for value in values(loss, name):
        if is_beyond_the_batch(loss, name, value):
            assert lossreg_accepts(loss, name, value)
            continue
        accepted, computed = lossreg_accepts(loss, name, value), torch_accepts(loss, name, value)
        if not computed or refused_alone(value):
            assert not accepted, f"{value} is accepted"
        elif is_finite(value):
            assert accepted, f"{value} is refused, torch takes it"
        if accepted:
            definition = REGISTRY[loss]
            definition.build(definition.config(**{name: value}))(*BATCHES[loss])


@pytest.mark.parametrize(("loss", "name"), PARAMETERS)
def test_what_is_not_finite_is_refused(loss: str, name: str) -> None:
    for value in values(loss, name):
        if not is_finite(value):
            # The one exception is the Chebyshev distance.
            expected = (loss, name, value) == ("triplet_margin", "p", math.inf)
            assert lossreg_accepts(loss, name, value) is expected


def test_that_nothing_infinite_is_taken_is_said() -> None:
    assert "nan and infinity are refused" in (LossConfig.__doc__ or "")


@pytest.mark.parametrize(("loss", "name"), REFUSED_BY_LOSSREG_ALONE)
def test_what_lossreg_alone_refuses_is_explained(loss: str, name: str) -> None:
    description = REGISTRY[loss].config.model_fields[name].description or ""
    refused_alone, words = REFUSED_BY_LOSSREG_ALONE[loss, name]
    assert words in description
    assert "refused" in description
    found = [each for each in values(loss, name) if is_finite(each) and refused_alone(each)]
    assert any(torch_accepts(loss, name, each) for each in found), "torch refuses it as well"


def test_every_built_in_is_compared() -> None:
    built_in = {
        each.name for each in REGISTRY.entries() if each.module.startswith("lossreg_losses.")
    }
    # torch has no module for a value that is there already.
    assert set(MODULES) == built_in - {"value"}
