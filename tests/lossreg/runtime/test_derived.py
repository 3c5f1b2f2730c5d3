"""Derived names in a step: computed once, never a key of the step, shown in messages."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

import lossreg
from compiled import counter
from lossreg.errors import InputError
from lossreg.vocabulary import transforms

RATIO = {"from": "logp", "apply": [{"sub": "old_logp"}, "exp"]}
CLIPPED = {"from": "ratio", "apply": [{"clamp": {"min": 0.8, "max": 1.2}}, {"mul": "advantage"}]}
SURROGATE = {"from": "ratio", "apply": [{"mul": "advantage"}, {"minimum": CLIPPED}, {"mul": -1}]}
PPO = {
    "derive": {"ratio": RATIO},
    "terms": {
        "policy": {"type": "value", "inputs": [SURROGATE], "mask": "valid", "divide_by": "kept"},
        "ratio_near_1": {"type": "mse", "weight": 0.1, "inputs": ["ratio", {"constant": 1.0}]},
        "monitored": {"type": "value", "weight": 0, "inputs": ["ratio"]},
    },
}


def step(rows: int = 6) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    logp, old_logp, advantage = torch.randn(3, rows, generator=generator, dtype=torch.float64)
    valid = torch.arange(rows) % 3 != 1
    return {
        "logp": logp.requires_grad_(),
        "old_logp": old_logp,
        "advantage": advantage,
        "valid": valid,
    }


def by_hand(values: dict[str, Any]) -> Tensor:
    ratio = (values["logp"] - values["old_logp"]).exp()
    advantage, valid = values["advantage"], values["valid"]
    surrogate = torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
    total: Tensor = -surrogate[valid].mean() + 0.1 * (ratio - 1).square().mean()
    return total


def test_a_policy_loss_is_torchs_with_its_gradient() -> None:
    values, twins = step(), step()
    total, expected = lossreg.build(PPO)(values).total, by_hand(twins)
    torch.testing.assert_close(total, expected)
    total.backward()
    expected.backward()
    torch.testing.assert_close(values["logp"].grad, twins["logp"].grad)


def test_over_micro_batches_the_gradients_are_those_of_the_whole() -> None:
    values, whole = step(), step()
    loss = lossreg.build({**PPO, "terms": {"policy": PPO["terms"]["policy"]}})  # type: ignore[index]
    parts = [{key: value[rows] for key, value in values.items()} for rows in ([0, 1], [2, 3, 4, 5])]
    known = [{key: part[key] for key in ("valid",)} for part in parts]
    denominators = loss.denominators(known)
    for part in parts:
        loss(part, denominators=denominators).total.backward()
    loss(whole).total.backward()
    torch.testing.assert_close(values["logp"].grad, whole["logp"].grad)


def test_a_derived_route_is_computed_once_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    exp, calls = transforms.TRANSFORMS["exp"], []

    def counted(tensor: Tensor) -> Tensor:
        calls.append(tensor)
        return tensor.exp()

    monkeypatch.setitem(transforms.TRANSFORMS, "exp", exp._replace(run=counted))
    loss = lossreg.build(PPO)
    loss(step())
    assert len(calls) == 1


class Step(NamedTuple):
    count: Any
    y: Tensor


def test_a_step_that_has_the_name_as_well_is_refused() -> None:
    for checks in ("never", "first"):
        loss = lossreg.build({**PPO, "checks": checks})
        values = {**step(), "ratio": torch.ones(6)}
        with pytest.raises(InputError, match="have 'ratio', which is also a name under 'derive'"):
            loss(values)
        with pytest.raises(InputError, match="could mean either; rename one of them"):
            loss.denominators([values])
        loss(step())
    attributes = type("Values", (), {**step(), "ratio": torch.ones(6)})()
    with pytest.raises(InputError, match="also a name under 'derive'"):
        loss(attributes)


def test_a_method_of_the_steps_values_is_not_a_tensor_of_that_name() -> None:
    derive = {"count": {"from": "y", "apply": ["square"]}}
    loss = lossreg.build({"derive": derive, "terms": {"a": {"type": "value", "inputs": ["count"]}}})
    y = torch.tensor([1.0, 3.0])

    class Plain(NamedTuple):
        y: Tensor

    assert loss(Plain(y)).total == 5
    with pytest.raises(InputError, match="have 'count'"):
        loss(Step(count=y, y=y))


def test_messages_show_the_name_as_it_is_written() -> None:
    loss = lossreg.build(PPO)
    with pytest.raises(InputError) as caught:
        loss({**step(), "advantage": torch.ones(5, dtype=torch.float64)})
    assert "path 'ratio | mul(by=advantage)'" in str(caught.value)
    assert caught.value.path == "ratio | mul(by=advantage)"
    with pytest.raises(InputError, match=r"path 'old_logp'.: there is no 'old_logp'"):
        loss({key: value for key, value in step().items() if key != "old_logp"})
    inside = {"from": "x", "apply": [{"minimum": {"from": "ratio", "apply": ["log"]}}]}
    fit = {"type": "mse", "inputs": [inside, "ratio"], "detach": []}
    loss = lossreg.build({"derive": {"ratio": RATIO}, "terms": {"fit": fit}})
    with pytest.raises(InputError) as caught:
        loss(x=torch.zeros(6, 1).double(), **step())
    assert "minimum(other=ratio | log)" in str(caught.value)


def test_it_is_one_graph() -> None:
    torch._dynamo.reset()
    graphs = counter()
    loss = lossreg.build(PPO)
    compiled = torch.compile(loss, backend=graphs, fullgraph=True)
    for _ in range(3):
        values = step()
        torch.testing.assert_close(compiled(values).total, by_hand(values))
    assert graphs.frame_count == 1
    own = lossreg.build(PPO)
    own.compile(backend="aot_eager")
    torch.testing.assert_close(own(step()).total, by_hand(step()))
    with pytest.raises(InputError, match="also a name under 'derive'"):
        own({**step(), "ratio": torch.ones(6)})
