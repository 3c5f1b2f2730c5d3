"""What an author adds to a signature: bounds, words, types, what is left out, reductions."""

from __future__ import annotations

import pickle
from enum import Enum
from typing import Any, Literal

import pytest
import torch
from annotated_types import Ge, Interval
from pydantic import ValidationError
from torch import Tensor, nn

from lossreg.plugin import Field, LossDefinition


class Loss(nn.Module):
    def __init__(  # type: ignore[no-untyped-def]  # noqa: ANN204
        self,
        num_classes,  # noqa: ANN001
        gamma: float = 2.0,
        scale=1,  # noqa: ANN001
        ratios: list[float] | None = None,
        padding: str = "same",
        reduction: str = "none",
    ):
        super().__init__()
        self.values = (num_classes, gamma, scale, ratios, padding, reduction)

    def forward(self, teacher_out: Tensor, student_out: Tensor) -> Tensor:
        loss = (teacher_out - student_out) ** 2
        return loss if self.values[-1] == "none" else loss.mean()


def definition(**options: Any) -> LossDefinition:
    return LossDefinition.from_module(Loss, **{"types": {"num_classes": int}, **options})


def test_a_type_takes_the_place_of_an_annotation() -> None:
    config: Any = definition().config
    assert config(num_classes=3).num_classes == 3
    with pytest.raises(ValidationError, match="num_classes"):
        config(num_classes=3.5)
    with pytest.raises(TypeError, match="'num_classes' has neither an annotation nor a default"):
        LossDefinition.from_module(Loss)


@pytest.mark.parametrize("bound", [Ge(0), Field(ge=0), Interval(ge=0, le=9)], ids=str)
def test_bounds_hold_wherever_there_is_a_number(bound: Any) -> None:
    names = ("num_classes", "gamma", "scale", "ratios")
    config: Any = definition(bounds=dict.fromkeys(names, bound)).config
    assert config(num_classes=0, gamma=0.0, scale=0, ratios=[0.0]).scale == 0
    assert config(num_classes=0, ratios=None).ratios is None
    for name in names:
        wrong = {"num_classes": 1, name: [-1.0] if name == "ratios" else -1}
        with pytest.raises(ValidationError, match="greater than or equal to 0"):
            config(**wrong)
    schema = config.model_json_schema()["properties"]
    assert schema["gamma"]["minimum"] == schema["scale"]["minimum"] == 0


def test_words_are_the_only_ones() -> None:
    config: Any = definition(words={"padding": ("same", "valid")}).config
    assert config(num_classes=1, padding="valid").padding == "valid"
    with pytest.raises(ValidationError, match="'same' or 'valid'"):
        config(num_classes=1, padding="sme")


def test_what_is_left_out_keeps_its_default() -> None:
    made = definition(leave_out=("gamma", "padding"))
    assert "gamma" not in made.config.model_fields
    assert made.not_offered["gamma"] == made.not_offered["padding"] == "is left out"
    built: Any = made.build(made.config(num_classes=3))  # type: ignore[call-arg]
    assert built.values == (3, 2.0, 1, None, "same", "mean")


def test_of_the_reductions_mean_alone_is_promised() -> None:
    made = definition()
    assert made.reductions == ("mean",)
    assert made.config.model_fields["reduction"].default == "mean"
    assert made.not_offered["reduction"] == "is not offered as sum or none, which was not tried"
    assert (made.compiles, made.additive) == (None, False)
    both = definition(reductions=("none", "mean"), compiles=True)
    assert both.reductions == ("none", "mean")
    assert both.config.model_fields["reduction"].default == "mean"
    assert both.compiles is True
    assert "reduction" not in definition(reductions=("mean", "sum", "none")).not_offered


class Reduction(Enum):
    MEAN = "mean"
    SUM = "sum"
    NONE = "none"


class OfEnumeration(nn.Module):
    def __init__(self, reduction: Reduction | str = Reduction.MEAN) -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return input.sum()


class Summed(nn.Module):
    def __init__(self, reduction: str = "sum") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return input.sum()


class OfOwnWord(Summed):
    def __init__(self, reduction: str = "elementwise_mean") -> None:
        super().__init__(reduction)


class WithoutMean(Summed):
    def __init__(self, reduction: Literal["sum", "none"] = "none") -> None:
        super().__init__(reduction)


def test_reductions_of_other_kinds() -> None:
    for module, reductions, value in (
        (OfEnumeration, ("mean",), Reduction.MEAN),
        (Summed, ("sum",), "sum"),
        (OfOwnWord, (), "elementwise_mean"),
    ):
        made = LossDefinition.from_module(module)
        assert made.reductions == reductions
        built: Any = made.build(made.config())
        assert built.reduction == value
    own = LossDefinition.from_module(OfOwnWord).not_offered["reduction"]
    assert own == "has a default of its own, 'elementwise_mean'"
    with pytest.raises(TypeError, match=r"has no 'mean', but \('sum', 'none'\): say which"):
        LossDefinition.from_module(WithoutMean)
    assert LossDefinition.from_module(WithoutMean, reductions=("sum",)).reductions == ("sum",)
    with pytest.raises(TypeError, match="reductions: 'avg' is not one of"):
        LossDefinition.from_module(Summed, reductions=("avg",))


def test_a_teacher_and_a_target_are_not_differentiated() -> None:
    assert [entry.gradient for entry in definition().inputs] == [False, True]
    chosen = definition(gradient=("teacher_out", "student_out"))
    assert [entry.gradient for entry in chosen.inputs] == [True, True]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"bounds": {"gama": Ge(0)}},
            "bounds: Loss has no parameter 'gama'; it has 'num_classes',",
        ),
        ({"words": {"x1": ("a",)}}, "words: Loss has no parameter 'x1'; it has 'num_classes', 'ga"),
        ({"types": {"classes_": int}}, "types: Loss has no parameter 'classes_'"),
        ({"leave_out": ("pading",)}, "leave_out: Loss has no parameter 'pading'; it has"),
        ({"leave_out": ("num_classes",)}, "'num_classes' has no default, so it must be given"),
        ({"leave_out": "gamma"}, r"leave_out must be a tuple of names, as in \('gamma',\)"),
        ({"words": {"padding": "same"}}, "words of 'padding' must be a tuple of words"),
        (
            {"gradient": ("student",)},
            "gradient: Loss has no input 'student'; it has 'te",
        ),
        ({"bounds": {"padding": Ge(0)}}, "bounds: 'padding': bounds are for numbers, and its"),
    ],
    ids=str,
)
def test_an_option_that_does_not_fit_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        definition(**options)


def test_reductions_need_a_reduction() -> None:
    with pytest.raises(TypeError, match="reductions: Identity has no parameter 'reduction'"):
        LossDefinition.from_module(nn.Identity, reductions=("mean",))


def test_a_config_pickles_with_its_options() -> None:
    made = definition(bounds={"gamma": Ge(0)}, words={"padding": ("same", "valid")})
    assert pickle.loads(pickle.dumps(made.config)) is made.config
    assert made.config is not definition().config
    assert definition().config is definition().config
    loss: Any = pickle.loads(pickle.dumps(made.build(made.config(num_classes=2))))  # type: ignore[call-arg]
    assert loss(torch.ones(2), torch.zeros(2)) == 1
