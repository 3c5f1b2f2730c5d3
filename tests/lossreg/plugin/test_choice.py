from __future__ import annotations

import copy
import pickle
from typing import Annotated, Any

import pytest
from pydantic import ValidationError

from chosen_components import DISTANCE, REDUCER, CosineDistance, Lp, LpDistance, PairConfig
from lossreg.plugin import Choice, Chosen, ClassWeights, Component, Field, LossConfig
from lossreg.plugin.choice import selections


def test_a_word_and_a_mapping_choose() -> None:
    assert PairConfig.model_validate({"distance": "lp"}).distance == DISTANCE.chosen("lp")
    mapping = {"distance": {"type": "lp", "p": 1}}
    assert PairConfig.model_validate(mapping).distance == DISTANCE.chosen("lp", p=1)
    assert DISTANCE.chosen("lp") != DISTANCE.chosen("lp", p=1)
    assert DISTANCE.chosen("lp") != "lp"
    assert PairConfig().distance.params == Lp(p=1)


@pytest.mark.parametrize(
    "written",
    [
        {},
        {"distance": "cosine"},
        {"distance": {"type": "lp", "p": 3.5}, "more": ["cosine", {"type": "lp"}]},
        {"reducer": {"type": "above", "low": 1, "distance": {"type": "lp", "normalize": False}}},
    ],
)
def test_what_it_writes_it_reads(written: dict[str, Any]) -> None:
    config = PairConfig.model_validate(written)
    assert PairConfig.model_validate(config.model_dump()) == config
    assert PairConfig.model_validate_json(config.model_dump_json()) == config
    assert pickle.loads(pickle.dumps(config)) == config
    assert copy.deepcopy(config) == config
    assert hash(config.distance) == hash(copy.deepcopy(config).distance)


@pytest.mark.parametrize(
    ("written", "places"),
    [
        ({"distance": "manhattan"}, [("distance",)]),
        ({"distance": {"p": 1}}, [("distance",)]),
        ({"distance": {"type": "lp", "p": 0, "q": 1}}, [("distance", "p"), ("distance", "q")]),
        ({"distance": REDUCER.chosen("all")}, [("distance",)]),
        ({"more": [{"type": "lp", "p": "x"}]}, [("more", 0, "p")]),
        ({"reducer": {"type": "above"}}, [("reducer", "low")]),
    ],
)
def test_an_error_has_its_place(written: dict[str, Any], places: list[tuple[Any, ...]]) -> None:
    with pytest.raises(ValidationError) as raised:
        PairConfig.model_validate(written)
    assert [error["loc"] for error in raised.value.errors()] == places


def test_the_factory_is_called_with_the_parameters_inner_components_first() -> None:
    built = DISTANCE.chosen("lp", p=3, normalize=False).build()
    assert isinstance(built, LpDistance)
    assert (built.p, built.normalize) == (3.0, False)
    assert DISTANCE.chosen("lp").build(p=5).p == 5
    reducer = REDUCER.chosen("above", low=0.5, distance="cosine").build()
    assert isinstance(reducer.distance, CosineDistance)
    with pytest.raises(TypeError, match="'bare' has no factory"):
        Choice(Component("bare")).chosen("bare").build()


def test_lists_of_components_are_built() -> None:
    class Several(LossConfig):
        parts: tuple[Annotated[Chosen, DISTANCE], ...] = Field(description="parts")

    several = Choice(Component("several", Several, factory="builtins:dict"))
    built = several.chosen("several", parts=["cosine", "lp"]).build()
    assert [type(part) for part in built["parts"]] == [CosineDistance, LpDistance]


def test_a_chosen_component_cannot_be_changed() -> None:
    chosen = DISTANCE.chosen("lp")
    with pytest.raises(AttributeError, match="immutable"):
        chosen.params = Lp(p=1)
    with pytest.raises(AttributeError, match="immutable"):
        del chosen.params
    assert repr(chosen) == "lp(p=2.0, normalize=True)"


class Typed(LossConfig):
    """A parameter that would hide the component's name."""

    type: str = Field("x", description="a type")


class Weighted(LossConfig):
    """Class weights."""

    weight: ClassWeights | None = Field(None, description="class weights")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Component("l p"), ValueError, "letters, digits"),
        (lambda: Component("lp", int), TypeError, "must be a subclass of LossConfig"),
        (lambda: Component("lp", factory="torch.nn.L1Loss"), ValueError, "'module:name'"),
        (lambda: Component("lp", Typed), ValueError, "cannot have a parameter 'type'"),
        (lambda: Component("lp", Weighted), ValueError, r"class weights \('weight'\)"),
        (Choice, TypeError, "at least one Component"),
        (lambda: Choice("lp"), TypeError, "at least one Component"),
        (lambda: Choice(Component("lp"), Component("lp")), ValueError, "names a component twice"),
    ],
)
def test_a_wrong_record_is_refused(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_the_fields_that_choose_are_found() -> None:
    found = selections(PairConfig)
    assert list(found) == ["distance", "reducer", "more"]
    assert [(entry.is_list, entry.is_optional) for entry in found.values()] == [
        (False, False),
        (False, True),
        (True, False),
    ]
    assert found["distance"].choice.words == "'cosine' or 'lp'"
