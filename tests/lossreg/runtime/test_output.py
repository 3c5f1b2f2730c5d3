"""What a composite returns: read by name, mapped over, and clear where it is read otherwise."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
import torch
from torch.utils import _pytree

import lossreg
from lossreg.runtime.output import LossOutput, Named

NAMES = ("fit", "other", "third")


def output(count: int, **last: Any) -> LossOutput:
    terms = {name: {"type": "mse", "inputs": ["p", "y"]} for name in NAMES[:count]}
    terms[NAMES[count - 1]].update(last)
    p = torch.tensor([1.0, 3.0], requires_grad=True)
    result: LossOutput = lossreg.build({"terms": terms})(p=p, y=torch.zeros(2))
    return result


# Few and many terms are combined differently, and so is a term outside of the graph.
OUTPUTS = {"one": (1, {}), "three": (3, {}), "one is 0": (3, {"weight": 0})}


@pytest.mark.parametrize("kind", OUTPUTS)
def test_a_term_is_read_by_its_name(kind: str) -> None:
    count, last = OUTPUTS[kind]
    out = output(count, **last)
    assert list(out.terms) == list(out.weights) == list(NAMES[:count])
    assert out.terms["fit"] == 5
    assert out.weights["fit"] == 1
    with pytest.raises(AttributeError, match=r"no attribute 'fit'; write \['fit'\]"):
        out.terms.fit  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(AttributeError, match=r"no attribute 'fit'; write \['fit'\]"):
        out.weights.fit  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(AttributeError, match=r"no attribute 'fir'$"):
        out.terms.fir  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize(
    ("read", "message"),
    [
        ("out['total']", r"not a mapping; write out\.total"),
        ("out['fit']", r"not a mapping; write out\.terms\['fit'\]"),
        ("out.backward()", r"no 'backward'; write out\.total\.backward\(\)"),
        ("out.item()", r"no 'item'; write out\.total\.item\(\)"),
        ("out + out", r"not a number; write out\.total, as in out\.total \+ \.\.\."),
        ("sum([out, out])", r"not a number; write out\.total, as in out\.total \+"),
        ("out * 2", r"not a number; write out\.total, as in out\.total \*"),
        ("0.5 * out", r"not a number; write out\.total, as in out\.total \*"),
        ("out / 4", r"not a number; write out\.total, as in out\.total /"),
    ],
)
def test_an_output_taken_for_its_total_says_what_to_write(read: str, message: str) -> None:
    with pytest.raises((TypeError, AttributeError), match=message):
        eval(read, {"out": output(1)})


@pytest.mark.parametrize("kind", OUTPUTS)
def test_a_log_may_be_of_pythons_numbers(kind: str) -> None:
    count, last = OUTPUTS[kind]
    out = output(count, **last)
    numbers = out.log_dict("train/", numbers=True)
    assert json.loads(json.dumps(numbers)) == numbers
    assert numbers == {name: value.item() for name, value in out.log_dict("train/").items()}


@pytest.mark.parametrize("kind", OUTPUTS)
def test_a_map_over_an_output_reaches_every_tensor(kind: str) -> None:
    count, last = OUTPUTS[kind]
    out = output(count, **last)
    doubled = _pytree.tree_map(lambda leaf: 2 * leaf, out)
    assert isinstance(doubled, LossOutput)
    assert isinstance(doubled.terms, Named)
    assert doubled.total == 2 * out.total
    for name in NAMES[:count]:
        assert doubled.terms[name] == 2 * out.terms[name]
        assert doubled.weights[name] == 2 * out.weights[name]


def test_an_output_is_pickled_with_plain_tensors() -> None:
    out = output(3)._replace(total=torch.tensor(15.0))
    again = pickle.loads(pickle.dumps(out))
    assert dict(again.terms) == dict(out.terms)
    assert dict(again.weights) == dict(out.weights)


def test_a_lookup_gives_a_copy_of_a_shared_vector() -> None:
    out = output(3)
    out.weights["fit"].fill_(7)
    assert out.weights["fit"] == 1


def test_torch_func_takes_an_output_as_auxiliary() -> None:
    loss = lossreg.build({"terms": {name: {"type": "mse", "inputs": ["p", "y"]} for name in NAMES}})

    def total(p: torch.Tensor) -> tuple[torch.Tensor, LossOutput]:
        out = loss(p=p, y=torch.zeros(2))
        return out.total, out

    gradient, out = torch.func.grad(total, has_aux=True)(torch.tensor([1.0, 3.0]))
    assert gradient.tolist() == [3, 9]
    assert out.terms["fit"] == 5
