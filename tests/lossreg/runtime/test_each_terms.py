"""What stands in a repeated group: gradients, transforms, other groups, elements to be logged."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - everyone's name for it
from torch import Tensor

import lossreg
from lossreg.errors import InputError
from repeated import L1, PAIR, assert_equal, build, errors, maps, random


def test_gradients_stop_where_detach_and_frozen_say_so() -> None:
    def values() -> dict[str, Any]:
        found = maps()
        for real in found["r"]:
            real.requires_grad_()
        return found

    frozen = {
        "frozen": ["r"],
        "terms": {"f": {"each": {"over": PAIR, "combine": "sum"}, "terms": {"l1": L1}}},
    }
    detached = build({"over": PAIR, "combine": "sum"}, {"l1": {**L1, "detach": ["target"]}})
    for loss in (lossreg.build(frozen), detached):
        own = values()
        loss(own).total.backward()
        assert all(fake.grad is not None and fake.grad.any() for fake in own["g"])
        assert all(real.grad is None for real in own["r"])


def test_a_frozen_tensor_of_which_a_list_is_made() -> None:
    each = {"over": {"h": {"from": "hs", "apply": ["unbind"]}, "y": "ys"}, "combine": "sum"}
    terms = {"f": {"each": each, "terms": {"fit": {"type": "mse", "inputs": ["y", "h"]}}}}
    hs, ys = random(3, 2, 4, grad=True), [random(2, 4, seed=n, grad=True) for n in (1, 2, 3)]
    lossreg.build({"frozen": ["hs"], "terms": terms})(hs=hs, ys=ys).total.backward()
    assert hs.grad is None
    assert all(y.grad is not None for y in ys)


def test_a_target_that_requires_a_gradient_is_warned_of_once() -> None:
    values = maps()
    for real in values["r"]:
        real.requires_grad_()
    loss = build({"over": PAIR, "combine": "sum"})
    with pytest.warns(lossreg.ConfigWarning, match=r"term 'f/l1\[0\]', 'target'") as found:
        loss(values)
    assert len(found) == 1
    loss(values)


def test_a_transform_makes_the_list_and_others_change_its_elements() -> None:
    each = {"over": {"h": {"from": "hs", "apply": [{"unbind": 1}]}}, "combine": "sum"}
    route = {"from": "h", "apply": [{"sub": "base"}, {"mul": {"from": "h", "apply": ["sigmoid"]}}]}
    loss = build(each, {"fit": {"type": "mse", "inputs": [route, {"constant": 0.5}]}})

    def values() -> dict[str, Any]:
        return {"hs": random(4, 3, 2, grad=True), "base": random(4, 2, seed=7, grad=True)}

    def by_hand(values: dict[str, Any]) -> Tensor:
        elements = values["hs"].unbind(1)
        return sum((((h - values["base"]) * h.sigmoid() - 0.5) ** 2).mean() for h in elements)

    assert_equal(loss, values, by_hand)


def test_paths_of_elements_one_by_one() -> None:
    each = {
        "over": {"head": ["a.logits", {"from": "b", "apply": [{"mul": 2.0}]}]},
        "combine": "sum",
    }
    loss = build(each, {"fit": {"type": "mse", "inputs": ["head", "y"]}})
    a, b, y = random(3, 2), random(3, 2, seed=1), random(3, 2, seed=2)
    expected = F.mse_loss(a, y) + F.mse_loss(2 * b, y)
    torch.testing.assert_close(loss(a={"logits": a}, b=b, y=y).total, expected)


def test_groups_around_and_inside() -> None:
    inner = {
        "from": "layer",
        "weight": 0.5,
        "terms": {"fit": {"type": "mse", "inputs": ["p", "y"]}},
    }
    each = {"over": {"layer": "layers"}, "combine": "sum"}
    group = {
        "from": "model",
        "each": each,
        "terms": {"inner": inner, "far": {"type": "mse", "inputs": ["layer.p", "y"]}},
    }
    loss = lossreg.build({"terms": {"outer": {"weight": 3.0, "terms": {"g": group}}}})
    layers = [{"p": random(2, 3, seed=n), "y": random(2, 3, seed=n + 5)} for n in range(2)]
    y = random(2, 3, seed=9)
    out = loss(model={"layers": layers, "y": y})
    near = sum(F.mse_loss(layer["p"], layer["y"]) for layer in layers)
    far = sum(F.mse_loss(layer["p"], y) for layer in layers)
    assert list(out.terms) == ["outer/g/inner/fit", "outer/g/far"]
    torch.testing.assert_close(out.total, 1.5 * near + 3 * far)


def test_what_is_the_same_for_every_element_is_computed_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []
    softmax = torch.Tensor.softmax

    def counted(*args: Any, **kwargs: Any) -> Tensor:
        calls.append(args[0].shape)
        return softmax(*args, **kwargs)

    monkeypatch.setattr(torch.Tensor, "softmax", counted)
    monkeypatch.setattr(torch, "softmax", counted)
    target = {"from": "y", "apply": [{"softmax": -1}]}
    route = {"from": "h", "apply": [{"softmax": -1}]}
    terms = {name: {"type": name, "inputs": [route, target]} for name in ("mse", "l1")}
    loss = build({"over": {"h": "hs"}, "combine": "sum"}, terms)
    hs = [random(2, 3, seed=n) for n in range(4)]
    loss(hs=hs, y=random(2, 3, seed=9))
    assert len(calls) == len(hs) + 1


def test_each_elements_value_is_there_to_be_logged() -> None:
    values = maps()
    loss = build({"over": PAIR, "combine": "sum", "weights": [1, 0, 2]})
    found = loss.terms(values, elements=True)
    one, two, three = errors(values)
    torch.testing.assert_close(
        found, {"f/l1": one + 2 * three, "f/l1[0]": one, "f/l1[1]": two, "f/l1[2]": three}
    )
    assert list(loss.terms(values)) == ["f/l1"]
    with pytest.raises(ValueError, match="ask for one of the two"):
        loss.terms(values, elements=True, weighted=True)


def test_the_elements_of_a_pooled_term_are_their_own_means() -> None:
    values = maps()
    found = build({"over": PAIR, "combine": "pooled"}).terms(values, elements=True)
    for place, error in enumerate(errors(values)):
        torch.testing.assert_close(found[f"f/l1[{place}]"], error)


def test_half_precision_is_added_up_in_single_precision() -> None:
    fakes = [torch.full((4,), 1.0, dtype=torch.bfloat16) for _ in range(300)]
    reals = [torch.zeros(4, dtype=torch.bfloat16) for _ in range(300)]
    out = build({"over": PAIR, "combine": "sum"})(g=fakes, r=reals)
    assert out.total.dtype == torch.float32
    assert out.total == 300


def test_a_copy_and_a_pickle_give_the_same() -> None:
    values, loss = maps(), build({"over": PAIR, "combine": "pooled"})
    expected = loss(values).total
    for other in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert other(values).total == expected
    with pytest.raises(InputError):
        copy.deepcopy(loss)(g=values["g"], r=values["r"][:1])
