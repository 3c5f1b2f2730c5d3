from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

import lossreg
from lossreg.errors import ConfigWarning, InputError

if TYPE_CHECKING:
    from lossreg.runtime.gradients import Diagnosis

VALUE = {"type": "value", "params": {"reduction": "sum"}}


def build(**weights: Any) -> lossreg.CompositeLoss:
    """A composite of terms that are the sums of `a`, `b`, ..."""
    return lossreg.build(
        {
            "terms": {
                name: {**VALUE, "weight": weight, "inputs": [name]}
                for name, weight in weights.items()
            }
        }
    )


def along(**directions: tuple[float, float]) -> tuple[Tensor, dict[str, Tensor]]:
    """A parameter of two entries, and values whose sums have these gradients in it."""
    parameter = torch.ones(2, requires_grad=True)
    values = {name: parameter * torch.tensor(each) for name, each in directions.items()}
    return parameter, values


def numbers(found: Diagnosis) -> tuple[dict[str, float], dict[str, float], list[list[float]]]:
    norms = {name: each.item() for name, each in found.norms.items()}
    shares = {name: each.item() for name, each in found.shares.items()}
    return norms, shares, found.cosines.tolist()


def test_norms_shares_and_cosines_by_hand() -> None:
    parameter, values = along(a=(3.0, 4.0), b=(-4.0, 3.0), c=(-3.0, -4.0))
    found = lossreg.compare_gradients(build(a=1.0, b=0.2, c=0.4), values, [parameter])
    norms, shares, cosines = numbers(found)
    # |(3, 4)| = 5, times 1, 0.2 and 0.4; of 8 in all
    assert norms == pytest.approx({"a": 5.0, "b": 1.0, "c": 2.0})
    assert shares == pytest.approx({"a": 5 / 8, "b": 1 / 8, "c": 2 / 8})
    # a and b are at right angles, a and c opposite
    expected = [[1.0, 0.0, -1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 1.0]]
    assert cosines == [pytest.approx(row, abs=1e-6) for row in expected]


def test_a_negative_weight_turns_the_gradient_round() -> None:
    parameter, values = along(a=(1.0, 0.0), b=(1.0, 1.0))
    with pytest.warns(ConfigWarning, match="negative"):
        loss = build(a=1.0, b=-1.0)
    norms, _, cosines = numbers(lossreg.compare_gradients(loss, values, [parameter]))
    assert norms["b"] == pytest.approx(math.sqrt(2))
    assert cosines[0][1] == cosines[1][0] == pytest.approx(-math.sqrt(0.5))


def test_the_norm_is_over_all_parameters_whatever_their_shapes() -> None:
    one = torch.ones(2, 2, requires_grad=True)
    two = torch.ones((), requires_grad=True)
    none = torch.ones(0, requires_grad=True)
    values = {"a": one * 2 + two, "b": two * 3}
    found = lossreg.compare_gradients(build(a=1.0, b=1.0), values, iter([one, two, none]))
    # a: four entries of 2 and, summed over four, one of 4: sqrt(4 * 4 + 16); b: 0 and 3
    norms, _, cosines = numbers(found)
    assert norms == pytest.approx({"a": math.sqrt(32), "b": 3.0})
    assert cosines[0][1] == pytest.approx(4 * 3 / (math.sqrt(32) * 3))


def test_the_gradients_are_those_of_the_weighted_terms() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    image, labels = torch.randn(6, 4).double(), torch.tensor([0, 1, 2, 0, 1, 2])
    terms = {
        "classify": {"type": "cross_entropy", "weight": 0.7, "inputs": ["logits", "labels"]},
        "small": {"type": "mse", "weight": 0.1, "inputs": ["logits", "zeros"]},
    }
    logits = model(image)
    values = {"logits": logits, "labels": labels, "zeros": torch.zeros_like(logits)}
    found = lossreg.compare_gradients(lossreg.build({"terms": terms}), values, model.parameters())

    by_hand = []
    for value in (
        0.7 * nn.functional.cross_entropy(logits, labels),
        0.1 * logits.square().mean(),
    ):
        gradients = torch.autograd.grad(value, list(model.parameters()), retain_graph=True)
        by_hand.append(torch.cat([each.flatten() for each in gradients]))
    for norm, gradient in zip(found.norms.values(), by_hand, strict=True):
        torch.testing.assert_close(norm, gradient.norm())
    cosine = nn.functional.cosine_similarity(*by_hand, dim=0)
    torch.testing.assert_close(found.cosines[0, 1], cosine)
    assert found.norms["classify"].dtype == torch.float64


def test_terms_that_reach_nothing_count_zeros() -> None:
    parameter, values = along(a=(3.0, 4.0), off=(1.0, 1.0))
    values["apart"] = torch.ones(2, requires_grad=True)
    found = lossreg.compare_gradients(build(a=1.0, off=0.0, apart=2.0), values, [parameter])
    norms, shares, cosines = numbers(found)
    assert norms == {"a": 5.0, "off": 0.0, "apart": 0.0}
    assert shares == {"a": 1.0, "off": 0.0, "apart": 0.0}
    assert cosines == [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]


def test_an_optional_term_without_its_tensors_counts_zeros() -> None:
    terms = {"a": {**VALUE, "inputs": ["a"]}, "b": {**VALUE, "inputs": ["b"], "optional": True}}
    parameter, values = along(a=(3.0, 4.0))
    found = lossreg.compare_gradients(lossreg.build({"terms": terms}), values, [parameter])
    assert numbers(found)[0] == {"a": 5.0, "b": 0.0}


def test_where_no_term_reaches_anything_nothing_is_divided_by_0() -> None:
    _, values = along(a=(3.0, 4.0))
    found = lossreg.compare_gradients(build(a=1.0), values, [torch.ones(1, requires_grad=True)])
    assert numbers(found) == ({"a": 0.0}, {"a": 0.0}, [[0.0]])


def test_parameters_that_are_frozen_are_left_out() -> None:
    parameter, values = along(a=(3.0, 4.0))
    found = lossreg.compare_gradients(build(a=1.0), values, [torch.ones(3), parameter])
    assert numbers(found)[0] == {"a": 5.0}


def test_a_schedule_counts_as_it_is_now() -> None:
    loss = build(a={"schedule": "linear", "start": 1.0, "end": 0.0, "steps": 4})
    parameter, values = along(a=(3.0, 4.0))
    for expected in (5.0, 3.75):
        assert numbers(lossreg.compare_gradients(loss, values, [parameter]))[0]["a"] == expected
        loss.step()


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_gradients_whose_squares_leave_float32_are_compared(size: float) -> None:
    parameter, values = along(a=(3 * size, 4 * size), b=(4 * size, 3 * size))
    norms, shares, cosines = numbers(
        lossreg.compare_gradients(build(a=1.0, b=1.0), values, [parameter])
    )
    assert norms["a"] == pytest.approx(5 * size)
    assert shares["a"] == pytest.approx(0.5)
    assert cosines[0][1] == pytest.approx(24 / 25)


def test_half_precision_gradients_are_measured_in_float32() -> None:
    parameter = torch.ones(3, dtype=torch.float16, requires_grad=True)
    found = lossreg.compare_gradients(build(a=1.0), {"a": parameter * 60000}, [parameter])
    assert found.norms["a"].dtype == torch.float32
    assert found.norms["a"].item() == pytest.approx(60000 * math.sqrt(3), rel=1e-3)


def test_sparse_gradients_are_measured() -> None:
    embedding = nn.Embedding(5, 2, sparse=True)
    found = lossreg.compare_gradients(
        build(a=1.0), {"a": embedding(torch.tensor([1, 1, 3]))}, embedding.parameters()
    )
    # Row 1 is read twice: entries 2 2, and 1 1.
    assert found.norms["a"].item() == pytest.approx(math.sqrt(10))


def test_nothing_is_touched() -> None:
    loss = lossreg.build(
        {
            "terms": {
                "a": {
                    **VALUE,
                    "inputs": ["a"],
                    "weight": {"schedule": "linear", "start": 1.0, "end": 0.0, "steps": 4},
                }
            }
        }
    )
    parameter, values = along(a=(3.0, 4.0))
    (before,) = loss.state_dict().values()
    found = lossreg.compare_gradients(loss, values, [parameter])
    assert parameter.grad is None
    (after,) = loss.state_dict().values()
    assert torch.equal(after, before)
    assert not any(each.requires_grad for each in (*found.norms.values(), found.cosines))
    loss(values).total.backward()  # the graph of the values is still there
    assert parameter.grad is not None


def test_parameters_without_a_gradient_are_an_error() -> None:
    with pytest.raises(InputError, match="parameters that require a gradient, found none"):
        lossreg.compare_gradients(build(a=1.0), along(a=(1.0, 1.0))[1], [torch.ones(2)])


def test_values_without_a_graph_are_an_error() -> None:
    with torch.no_grad():
        parameter, values = along(a=(1.0, 1.0))
    with pytest.raises(InputError, match="no term requires a gradient"):
        lossreg.compare_gradients(build(a=1.0), values, [parameter])


def test_it_shows_a_table() -> None:
    parameter, values = along(a=(3.0, 4.0), longer=(-4.0, 3.0))
    found = lossreg.compare_gradients(build(a=1.0, longer=0.2), values, [parameter])
    assert str(found).splitlines() == [
        "term    norm  share     a  longer",
        "a          5  83.3%  1.00    0.00",
        "longer     1  16.7%  0.00    1.00",
    ]
