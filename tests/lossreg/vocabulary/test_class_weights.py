"""How class weights are computed from counts, against the sources of the formulas."""

from __future__ import annotations

from typing import Any

import pytest

from lossreg.config.grammar import CLASS_WEIGHTS
from lossreg.vocabulary.class_weights import METHODS


def weights(method: str, counts: list[int], **arguments: Any) -> list[float]:
    return METHODS[method].compute(counts, arguments)


def test_the_grammar_has_the_methods_and_their_arguments() -> None:
    assert CLASS_WEIGHTS.keys["method"].choices == tuple(METHODS)
    assert set(CLASS_WEIGHTS.keys["method"].other_words.values()) <= set(METHODS)
    for name, method in METHODS.items():
        assert method.name == name
        assert {method.counts, *(argument.name for argument in method.arguments)} <= set(
            CLASS_WEIGHTS.names
        )


def test_inverse_frequency_by_hand() -> None:
    # n = 1000 and C = 2: 1000 / (2 * 900) and 1000 / (2 * 100)
    assert weights("inverse_frequency", [900, 100]) == [1000 / 1800, 5.0]
    assert weights("inverse_frequency", [7, 7, 7]) == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("counts", [[900, 100], [1, 2, 3, 4], [5, 1, 1]], ids=str)
def test_inverse_frequency_is_that_of_scikit_learn(counts: list[int]) -> None:
    numpy = pytest.importorskip("numpy")
    utils = pytest.importorskip("sklearn.utils.class_weight")
    classes = numpy.arange(len(counts))
    labels = numpy.repeat(classes, counts)
    expected = utils.compute_class_weight("balanced", classes=classes, y=labels)
    assert weights("inverse_frequency", counts) == expected.tolist()


def test_effective_number_by_hand() -> None:
    # With beta = 0.5: 0.5 / (1 - 0.5) = 1 and 0.5 / (1 - 0.25) = 2/3, which add up to 5/3.
    assert weights("effective_number", [1, 2], beta=0.5) == pytest.approx([1.2, 0.8], rel=1e-15)


@pytest.mark.parametrize("beta", [0.9, 0.99, 0.999, 0.9999])
def test_effective_number_is_that_of_the_papers_code(beta: float) -> None:
    numpy = pytest.importorskip("numpy")
    samples_per_cls = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    effective_num = 1.0 - numpy.power(beta, samples_per_cls)
    expected = (1.0 - beta) / numpy.array(effective_num)
    expected = expected / numpy.sum(expected) * len(samples_per_cls)
    found = weights("effective_number", samples_per_cls, beta=beta)
    assert found == pytest.approx(expected.tolist(), rel=1e-12)
    assert sum(found) == pytest.approx(10)


def test_effective_number_goes_from_equal_weights_to_inverse_frequency() -> None:
    counts = [900, 90, 10]
    assert weights("effective_number", counts, beta=0) == [1.0, 1.0, 1.0]
    near = weights("effective_number", counts, beta=1 - 1e-9)
    inverse = weights("inverse_frequency", counts)
    scale = 3 / sum(inverse)
    assert near == pytest.approx([scale * weight for weight in inverse], rel=1e-5)


def test_neg_pos_ratio_is_that_of_torchs_docs() -> None:
    # "if a dataset contains 100 positive and 300 negative examples of a single class, then
    # pos_weight for the class should be equal to 300 / 100 = 3"
    assert weights("neg_pos_ratio", [100], total=400) == [3.0]
    assert weights("neg_pos_ratio", [100, 300], total=400) == [3.0, 1 / 3]


@pytest.mark.parametrize(
    ("method", "count", "arguments", "message"),
    [
        ("inverse_frequency", 0, {}, "infinite"),
        ("effective_number", 0, {"beta": 0.9}, "infinite"),
        ("neg_pos_ratio", 0, {"total": 9}, "without a positive example"),
        ("neg_pos_ratio", 9, {"total": 9}, "all examples are positive"),
        ("neg_pos_ratio", 10, {"total": 9}, "is only 9"),
        ("inverse_frequency", 1, {}, ""),
        ("effective_number", 2**53, {"beta": 0.9}, ""),
        ("neg_pos_ratio", 8, {"total": 9}, ""),
    ],
)
def test_a_count_without_a_weight_is_refused(
    method: str, count: int, arguments: dict[str, Any], message: str
) -> None:
    found = METHODS[method].refusal(count, arguments)
    assert message in found
    assert bool(found) == bool(message)


@pytest.mark.parametrize("counts", [[1, 2**53], [2**53, 2**53]], ids=str)
@pytest.mark.parametrize("beta", [0.0, 0.5, 1 - 2**-53])
def test_no_count_gives_a_weight_without_meaning(counts: list[int], beta: float) -> None:
    for found in (
        weights("inverse_frequency", counts),
        weights("effective_number", counts, beta=beta),
    ):
        assert all(0 < weight <= 2**53 for weight in found)
