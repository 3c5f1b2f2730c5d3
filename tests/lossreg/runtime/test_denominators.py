"""What a step's micro-batches are divided by: groups, paths, optional terms, and refusals."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - everyone's name for it

import lossreg
from lossreg.errors import ConfigWarning, InputError
from micro_batches import (
    CASES,
    ROWS,
    SPLITS,
    WEIGHTED,
    Case,
    accumulate,
    assert_same_gradients,
    build,
    leaves_of,
    micro_batches,
    random,
)
from properties import assert_bit_identical

if TYPE_CHECKING:
    pass

# lossreg and torch warn of kl_div's mean.
pytestmark = [
    pytest.mark.filterwarnings("ignore::lossreg.errors.ConfigWarning"),
    pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning"),
]


@pytest.mark.parametrize("name", ["cross_entropy", "l1", "ctc", "cosine_embedding"])
def test_a_group_and_several_terms(name: str) -> None:
    case = CASES[name]
    term = {"type": name, "inputs": {each: each for each in case.inputs}, "params": case.params}
    document = {
        "terms": {
            "heads": {"from": "heads[1]", "weight": 0.5, "terms": {"a": term, "b/c": term}},
            "plain": {**term, "weight": 2.0, "params": {**case.params, "reduction": "sum"}},
            "never": {**term, "weight": 0.0},
        }
    }
    document["terms"]["heads"]["terms"] = {"a": term, "b": {**term, "weight": 3.0}}
    loss = lossreg.build(document).double()
    whole, split = leaves_of(case), leaves_of(case)
    expected = loss({**whole, "heads": [None, whole]})
    expected.total.backward()
    batches = [{**each, "heads": [None, each]} for each in micro_batches(split, SPLITS[4])]
    denominators = loss.denominators(batches)
    assert denominators.names == ("heads/a", "heads/b", "plain", "never")
    assert denominators.values[2] == 1.0  # a sum is divided by nothing
    total, terms = accumulate(loss, batches, denominators)
    torch.testing.assert_close(total, expected.total.detach(), rtol=1e-14, atol=0)
    for each, value in expected.terms.items():
        torch.testing.assert_close(terms[each], value, rtol=1e-14, atol=0)
    assert_same_gradients(split, whole)


@pytest.mark.parametrize("as_tensor", [True, False])
def test_given_denominators_add_up(*, as_tensor: bool) -> None:
    case = CASES["l1"]
    loss = build(case, divide_by={"number": "n"})
    split, whole = leaves_of(case), leaves_of(case)
    numbers = [3, 0, 2.5, 1]
    (case.value(whole, "sum") / 6.5).backward()
    batches = [
        {**batch, "n": torch.tensor([number]) if as_tensor else number}
        for batch, number in zip(micro_batches(split, SPLITS[4]), numbers, strict=True)
    ]
    before = [{"n": batch["n"]} for batch in batches]
    denominators = loss.denominators(before)
    assert denominators.values.tolist() == [6.5]
    accumulate(loss, batches, denominators)
    assert_same_gradients(split, whole)


def test_a_group_may_give_the_denominator() -> None:
    boxes = {"type": "l1", "inputs": ["boxes", "target"]}
    document = {
        "terms": {"g": {"from": "aux", "divide_by": {"number": "n"}, "terms": {"boxes": boxes}}}
    }
    loss = lossreg.build(document)
    assert loss.denominators([{"n": 2}, {"n": torch.tensor(3)}]).values.tolist() == [5.0]


def test_a_transformed_target_is_counted_as_the_loss_sees_it() -> None:
    inputs = {
        "input": "p",
        "target": {"from": "y", "apply": [{"shift": {"by": -1, "dim": 0, "fill": -100}}]},
    }
    loss = lossreg.build({"terms": {"t": {"type": "cross_entropy", "inputs": inputs}}})
    assert loss.denominators([{"y": torch.arange(5)}]).values.tolist() == [4.0]


def test_an_optional_term_counts_where_it_is() -> None:
    term = {"type": "l1", "optional": True}
    loss = lossreg.build(
        {
            "terms": {
                "a": {**term, "mask": "m", "sample_weight": "w", "divide_by": "weights"},
                "b": term,
            }
        }
    )
    whole = {"target": torch.zeros(3), "m": torch.tensor([1, 1, 0]), "w": torch.ones(3)}
    batches: list[dict[str, Any]] = [
        whole,
        {"target": torch.zeros(4)},  # a mask, or weights, that are missing leave the term out
        {**whole, "m": None},
        {**whole, "w": None},
        {"target": None},
        {},
    ]
    denominators = loss.denominators(batches)
    assert denominators.values.tolist() == [2.0, 3 + 4 + 3 + 3]
    ones = torch.ones(3, requires_grad=True)
    out = loss({**whole, "input": ones}, denominators=denominators)
    assert out.terms == {"a": 1.0, "b": torch.tensor(3 / 13)}
    late = loss({"input": torch.ones(4), "target": torch.zeros(4)}, denominators=denominators)
    assert list(late.terms) == list(late.weights) == ["a", "b"]
    assert (late.terms["a"], late.weights["a"]) == (0.0, 0.0)


def test_an_optional_term_that_is_nowhere_is_zero() -> None:
    loss = lossreg.build({"terms": {"a": {"type": "l1", "optional": True}, "b": {"type": "value"}}})
    denominators = loss.denominators([{}, {}])
    assert denominators.values.tolist() == [0.0, 2.0]
    out = loss({"input": torch.tensor(6.0), "target": None}, denominators=denominators)
    assert (out.total, out.terms["a"]) == (3.0, 0.0)


def test_no_micro_batches_at_all_divide_by_1() -> None:
    loss = build(CASES["l1"])
    denominators = loss.denominators(iter(()))
    assert denominators.values.tolist() == [0.0]
    values = {"input": torch.ones(3), "target": torch.zeros(3)}
    assert loss(values, denominators=denominators).total == 3.0


def test_values_are_averaged_over_micro_batches() -> None:
    document = {
        "terms": {
            "mean": {"type": "value", "inputs": ["x"]},
            "rows": {"type": "value", "inputs": ["x"], "params": {"reduction": "batchmean"}},
            "sum": {"type": "value", "inputs": ["x"], "params": {"reduction": "sum"}},
            "given": {"type": "value", "inputs": ["x"], "divide_by": {"number": "n"}},
        }
    }
    loss = lossreg.build(document)
    twos, fives = torch.full((2, 3), 2.0), torch.full((1, 3), 5.0)
    batches = [
        {"x": twos.requires_grad_(), "n": 6},
        {"x": fives.requires_grad_(), "n": 3},
    ]
    denominators = loss.denominators([{"n": 6}, {"n": 3}])
    assert denominators.values.tolist() == [2.0, 2.0, 1.0, 9.0]
    _, terms = accumulate(loss, batches, denominators)
    # Means 2 and 5; a row's sum 6 and 15; in all 12 + 15 over 9 entries.
    assert {name: each.item() for name, each in terms.items()} == {
        "mean": 3.5,
        "rows": 10.5,
        "sum": 27.0,
        "given": 3.0,
    }


def test_what_cannot_be_counted_says_what_to_do() -> None:
    loss = lossreg.build({"terms": {"metric": {"type": "triplet_margin"}}})
    with pytest.raises(InputError) as raised:
        loss.denominators([{"anchor": random(ROWS, 3, 5)}])
    assert str(raised.value) == (
        "term 'metric': what 'triplet_margin' divides by cannot be read from its targets; write "
        "divide_by: {rows: path}, {entries: path} or {number: path}"
    )
    assert raised.value.term == "metric"


def test_where_dims_cannot_be_counted_it_says_what_to_do() -> None:
    term = {"type": "value", "inputs": ["x"], "mask": {"from": "m", "dims": [0, 2]}}
    batch = {"x": random(ROWS, 3, 5), "m": random(ROWS, 5) > 0}
    with pytest.raises(InputError, match=r"write divide_by: \{rows: path\}, \{entries: path\} or"):
        lossreg.build({"terms": {"t": term}}).denominators([{"m": batch["m"]}])
    loss = lossreg.build({"terms": {"t": {**term, "divide_by": {"entries": "m"}}}})
    expected = torch.where(batch["m"][:, None], batch["x"], 0.0).sum() / batch["m"].numel()
    total = loss(batch, denominators=loss.denominators([{"m": batch["m"]}])).total
    torch.testing.assert_close(total, expected)


@pytest.mark.parametrize("count", SPLITS)
def test_with_a_denominator_it_can_be_counted(count: int) -> None:
    names = ("anchor", "positive", "negative")
    vectors = {name: random(ROWS, 3, 5, seed=seed) for seed, name in enumerate(names)}
    case = Case("triplet_margin", vectors, F.triplet_margin_loss, read=())
    whole, split = leaves_of(case), leaves_of(case)
    case.value(whole, "mean").backward()
    loss = build(case, divide_by={"number": "pairs"})
    batches = [
        {**batch, "pairs": batch["anchor"].shape[0] * 3}
        for batch in micro_batches(split, SPLITS[count])
    ]
    accumulate(loss, batches, loss.denominators([{"pairs": each["pairs"]} for each in batches]))
    assert_same_gradients(split, whole)


def test_a_target_that_the_model_computes_is_told_of() -> None:
    target = {"from": "score", "apply": ["ones_like"]}
    term = {"type": "bce_with_logits", "inputs": {"input": "score", "target": target}}
    loss = lossreg.build({"terms": {"real": term}})
    with pytest.raises(InputError, match=r"there is no 'score'.*write divide_by: ") as raised:
        loss.denominators([{"image": torch.ones(2)}])
    error = raised.value
    assert (error.term, error.argument, error.path) == ("real", "input", "score")
    given = lossreg.build({"terms": {"real": {**term, "divide_by": {"number": "n"}}}})
    assert given.denominators([{"n": 4}]).values.tolist() == [4.0]


@pytest.mark.parametrize(
    ("term", "values", "message"),
    [
        ({"mask": "m"}, {"m": torch.ones(3)}, r"'mask' \(path 'm'\): expected the leading dim"),
        (
            {"sample_weight": "m", "divide_by": "weights"},
            {"m": torch.ones(2, 1)},
            r"'sample_weight' \(path 'm'\)",
        ),
        (
            {"divide_by": {"number": "m"}},
            {"m": "4"},
            r"'divide_by' \(path 'm'\): expected a number",
        ),
        ({}, {"target": torch.tensor([7, 1])}, r"'t': counting what 'nll' divides by failed: Ind"),
        ({}, {"target": "label"}, r"expected a tensor at 'target', found a str"),
    ],
)
def test_what_does_not_fit_is_an_error_of_the_term(
    term: dict[str, Any], values: dict[str, Any], message: str
) -> None:
    loss = lossreg.build({"terms": {"t": {"type": "nll", "params": WEIGHTED, **term}}})
    with pytest.raises(InputError, match=message) as raised:
        loss.denominators([{"target": torch.tensor([0, 1]), **values}])
    assert raised.value.term == "t"


def test_one_micro_batch_is_not_a_list_of_them() -> None:
    with pytest.raises(TypeError, match="give the micro-batches as a list"):
        build(CASES["l1"]).denominators({"target": torch.ones(2)})


def test_denominators_of_another_composite_are_refused() -> None:
    other = lossreg.build({"terms": {"other": {"type": "l1"}}})
    denominators = other.denominators([{"target": torch.ones(2)}])
    with pytest.raises(InputError, match=r"denominators of the terms t, found those of other"):
        build(CASES["l1"])(CASES["l1"].inputs, denominators=denominators)


def test_micro_batches_may_be_objects_and_come_from_a_generator() -> None:
    batches = (SimpleNamespace(target=torch.zeros(rows)) for rows in (2, 5))
    assert build(CASES["l1"]).denominators(batches).values.tolist() == [7.0]


@pytest.mark.parametrize(("world_size", "factor"), [(None, 1), (1, 1), (4, 4)])
def test_the_total_is_multiplied_by_the_world_size(world_size: int | None, factor: int) -> None:
    case = CASES["l1"]
    loss = build(case)
    denominators = loss.denominators([case.inputs], world_size=world_size)
    assert denominators.world_size == factor
    out = loss(case.inputs, denominators=denominators)
    mean = case.value(case.inputs, "mean")
    assert_bit_identical(out.total, mean * factor)
    assert_bit_identical(out.terms["t"], mean)  # as it is, to be added up


UNBATCHED = {
    "cross_entropy": ({"input": random(4), "target": torch.tensor(2)}, WEIGHTED, 0.0),
    "cross_entropy of class 1": ({"input": random(4), "target": torch.tensor(1)}, WEIGHTED, 2.0),
    "cross_entropy of probabilities": (
        {"input": random(4), "target": random(4).softmax(0)},
        WEIGHTED,
        1.0,
    ),
    "nll": ({"input": random(4).log_softmax(0), "target": torch.tensor(3)}, {}, 1.0),
    "kl_div": ({"input": -random(4).exp(), "target": random(4).softmax(0)}, {}, 4.0),
    "multi_margin": ({"input": random(4), "target": torch.tensor(3)}, {}, 1.0),
    "multilabel_margin": ({"input": random(4), "target": torch.tensor([1, 0, -1, 0])}, {}, 1.0),
    "cosine_embedding": (
        {"input1": random(4), "input2": random(4, seed=1), "target": torch.tensor(1)},
        {},
        1.0,
    ),
    "ctc": (
        {
            "log_probs": random(7, 5).log_softmax(-1),
            "targets": torch.tensor([1, 2, 2]),
            "input_lengths": torch.tensor(7),
            "target_lengths": torch.tensor(3),
        },
        {},
        1.0,
    ),
}


@pytest.mark.parametrize("name", UNBATCHED)
def test_an_example_without_a_batch_is_counted(name: str) -> None:
    inputs, params, expected = UNBATCHED[name]
    case = Case(name.partition(" ")[0], inputs, F.l1_loss, params=params)
    loss = build(case)
    denominators = loss.denominators([inputs])
    assert denominators.values.tolist() == [expected]
    found = loss(inputs, denominators=denominators).total
    if expected:
        torch.testing.assert_close(found, loss(inputs).total)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["value", "l1"])
def test_half_precision_has_room_for_the_denominator(kind: str, dtype: torch.dtype) -> None:
    # 100,003 is infinite in float16, and 99,840 in bfloat16.
    values = {"input": torch.ones(3, dtype=dtype), "target": torch.zeros(3, dtype=dtype)}
    loss = lossreg.build({"terms": {"t": {"type": kind, "divide_by": {"number": "n"}}}})
    expected = torch.tensor(3.0) / 100_003
    assert_bit_identical(loss({**values, "n": 100_003}).total, expected)
    denominators = loss.denominators([{"n": 100_000}, {"n": 3}])
    assert_bit_identical(loss(values, denominators=denominators).total, expected)


def test_no_graph_is_kept() -> None:
    loss = build(CASES["cross_entropy of probabilities"], sample_weight="w", divide_by="weights")
    target = random(3, 4).softmax(1).requires_grad_()
    weight = torch.ones(3, requires_grad=True)
    assert not loss.denominators([{"target": target, "w": weight}]).values.requires_grad


def test_a_loss_that_compares_rows_is_warned_of_once_where_a_batch_is_split() -> None:
    loss = lossreg.build({"terms": {"t": {"type": "info_nce", "inputs": ["a", "b"]}}})
    loss.denominators([{}])
    with pytest.warns(ConfigWarning, match="'info_nce' gives one value for all rows of a batch"):
        loss.denominators([{}, {}])
    loss.denominators([{}, {}])
