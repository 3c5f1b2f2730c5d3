"""Terms that are part of the objective only for a time: absent otherwise, as optional ones are."""

from __future__ import annotations

import copy
import io
import pickle
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

import lossreg
from lossreg.errors import ConfigWarning, InputError, NonFiniteError

SINCE_3 = {"from_step": 3}
TERMS: dict[str, dict[str, Any]] = {
    "fit": {"type": "mse", "inputs": ["p", "y"]},
    "late": {"type": "l1", "weight": 0.5, "inputs": ["p", "z"], "active": SINCE_3},
    "early": {"type": "mse", "inputs": ["q", "z"], "active": {"until_step": 4}},
    "lazy": {
        "type": "value",
        "weight": 0.1,
        "inputs": [{"from": "r", "apply": ["square", "mean"]}],
        "active": {"from_step": 1, "until_step": 9, "every_steps": 4, "times_every": True},
    },
    "epochs": {
        "type": "smooth_l1",
        "inputs": ["q", "y"],
        "active": {"from_epoch": 1, "every_epochs": 2},
    },
}


def build(**terms: Any) -> lossreg.CompositeLoss:
    return lossreg.build({"terms": terms})


def step(seed: int = 0, rows: int = 4) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    tensors = torch.randn(5, rows, 3, generator=generator, dtype=torch.float64)
    values = dict(zip("pqryz", tensors, strict=True))
    return {key: values[key].requires_grad_(key in "pqr") for key in values}


def by_hand(values: dict[str, Tensor], t: int, epoch: int, *, training: bool = True) -> Tensor:
    p, q, r, y, z = (values[key] for key in "pqryz")
    total = (p - y).square().mean()
    if t >= 3:
        total = total + 0.5 * (p - z).abs().mean()
    if t < 4:
        total = total + (q - z).square().mean()
    if training and t in (1, 5):
        total = total + 0.1 * 4 * r.square().mean()
    if not training and 1 <= t < 9:
        total = total + 0.1 * r.square().mean()
    if epoch in (1, 3) or (not training and epoch >= 1):
        total = total + torch.nn.functional.smooth_l1_loss(q, y)
    result: Tensor = total
    return result


def gradients(total: Tensor, values: dict[str, Tensor]) -> list[Tensor | None]:
    return list(torch.autograd.grad(total, [values[key] for key in "pqr"], allow_unused=True))


@pytest.mark.parametrize("training", [True, False])
def test_over_steps_and_epochs_it_is_torchs_with_every_gradient(training: bool) -> None:
    loss = build(**TERMS).train(training)
    for t in range(12):
        epoch = t // 3
        values, twins = step(t), step(t)
        total, expected = loss(values).total, by_hand(twins, t, epoch, training=training)
        torch.testing.assert_close(total, expected)
        for found, right in zip(gradients(total, values), gradients(expected, twins), strict=True):
            assert (found is None) == (right is None)
            if right is not None:
                torch.testing.assert_close(found, right)
        loss.step()
        if t % 3 == 2:
            loss.step_epoch()


def test_what_is_not_active_is_not_looked_up_computed_or_checked() -> None:
    loss = build(fit=TERMS["fit"], late=TERMS["late"])
    values = step()
    missing = {key: values[key] for key in "py"}
    wrong = {**missing, "z": torch.full((7,), torch.nan)}
    for _ in range(3):
        for batch in (missing, wrong):
            out = loss(batch)
            assert out.terms["late"] == out.weights["late"] == 0
            assert loss.weights == {"fit": 1.0, "late": 0.0}
        loss.step()
    assert loss.weights == {"fit": 1.0, "late": 0.5}
    with pytest.raises(InputError, match=r"term 'late', input 'target'.*no 'z'"):
        loss(missing)
    with pytest.raises(InputError, match="'late', 'target'"):
        loss(wrong)
    with pytest.raises(NonFiniteError, match="'late'"):
        loss({**missing, "z": torch.full_like(values["y"], torch.nan)})


def test_its_first_batch_is_checked_when_it_comes() -> None:
    loss = build(
        fit=TERMS["fit"],
        late={
            "type": "cross_entropy",
            "inputs": ["p", "labels"],
            "active": {"from_step": 1, "every_steps": 2},
        },
    )
    labels = torch.tensor([0, 1, 2, 7])
    loss({**step(), "labels": labels})
    loss.step()
    with pytest.raises(InputError, match="'late', 'target'"):
        loss({**step(), "labels": labels})


def test_a_tensor_is_missed_by_the_term_that_is_active_and_as_it_needs_it() -> None:
    shared = {"type": "mse", "inputs": ["p", "z"]}
    loss = build(
        fit=TERMS["fit"],
        until={**shared, "active": {"until_step": 1}},
        after={**shared, "active": {"from_step": 1, "until_step": 2}},
        optional={**shared, "optional": True},
    )
    values = {key: step()[key] for key in "py"}
    for name in ("until", "after"):
        with pytest.raises(InputError, match=f"term '{name}', input 'target'"):
            loss(values)
        loss.step()
    assert loss(values).terms["optional"] == 0


def test_a_total_of_nothing_is_a_zero_without_a_graph() -> None:
    loss = build(late=TERMS["late"], lazy=TERMS["lazy"])
    for values in ({}, step()):
        out = loss(values)
        assert out.total == 0
        assert out.total.dtype == torch.float32
        assert not out.total.requires_grad
        assert list(out.terms) == list(out.weights) == ["late", "lazy"]
        assert loss.terms(values) == {"late": 0, "lazy": 0}
        assert loss.terms(values, weighted=True) == {"late": 0, "lazy": 0}
    denominators = loss.denominators([{}, {}])
    assert loss({}, denominators=denominators).total == 0


def test_an_optional_term_that_is_active_is_still_missed() -> None:
    optional = {**TERMS["fit"], "optional": True}
    loss = build(optional=optional, late=TERMS["late"])
    with pytest.raises(InputError, match="every active term is optional, and no term found"):
        loss(z=torch.ones(3))
    loss = build(optional={**optional, "active": {"from_step": 1}}, late=TERMS["late"])
    assert loss(z=torch.ones(3)).total == 0


def test_absences_of_optional_terms_are_counted_while_they_are_active() -> None:
    term = {**TERMS["late"], "optional": True, "active": {"from_step": 150, "every_steps": 2}}
    loss = build(fit=TERMS["fit"], late=term)
    values = {key: step()[key] for key in "py"}
    for _ in range(150 + 2 * 99):
        loss(values)
        loss.step()
    with pytest.warns(ConfigWarning, match="left out of all 100 training forwards"):
        loss(values)


def test_times_every_multiplies_in_training_and_not_in_eval() -> None:
    loss = build(fit=TERMS["fit"], lazy=TERMS["lazy"])
    loss.step()
    values = step()
    value = values["r"].square().mean()
    assert loss.weights["lazy"] == pytest.approx(0.4)
    weighted = loss.terms(values, weighted=True)["lazy"]
    torch.testing.assert_close(weighted, 0.4 * value)
    loss.eval()
    assert loss.weights["lazy"] == 0.1
    torch.testing.assert_close(loss.terms(values, weighted=True)["lazy"], 0.1 * value)
    loss.step()  # 2 is not a fourth step, which eval ignores
    assert loss(values).weights["lazy"].item() == pytest.approx(0.1)
    loss.train()
    assert loss(values).weights["lazy"] == 0


def test_it_multiplies_with_schedules_and_the_times_of_groups() -> None:
    ramp = {"schedule": "linear", "start": 1.0, "end": 3.0, "steps": 10}
    every = {"every_steps": 2, "times_every": True}
    term = {
        "type": "mse",
        "inputs": ["p", "y"],
        "weight": ramp,
        "active": {**every, "from_step": 4},
    }
    group = {"active": {**every, "every_steps": 3}, "weight": 0.5, "terms": {"fit": term}}
    loss, seen = build(group=group), {}
    for t in range(13):
        seen[t] = loss.weights["group/fit"]
        loss.step()
    present = {t: weight for t, weight in seen.items() if weight}
    assert present == pytest.approx({6: 0.5 * 6 * 2.2, 12: 0.5 * 6 * 3.0})


def test_a_backward_pass_has_the_weights_of_its_forward_pass() -> None:
    loss = build(fit=TERMS["fit"], lazy=TERMS["lazy"])
    loss.step()
    values, twins = step(), step()
    total = loss(values).total
    loss.step()
    loss.eval()
    for found, right in zip(gradients(total, values), gradients(_lazy(twins), twins), strict=True):
        assert (found is None) == (right is None)
        if right is not None:
            torch.testing.assert_close(found, right)


def _lazy(values: dict[str, Tensor]) -> Tensor:
    total: Tensor = (values["p"] - values["y"]).square().mean() + 0.4 * values["r"].square().mean()
    return total


def test_a_resumed_run_goes_on_where_it_was() -> None:
    loss = build(**TERMS)
    for _ in range(5):
        loss.step()
    loss.step_epoch()
    file = io.BytesIO()
    torch.save(loss.state_dict(), file)
    file.seek(0)
    resumed = build(**TERMS)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    for twin in (resumed, copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert twin.weights == loss.weights
        torch.testing.assert_close(twin(step()).total, by_hand(step(), 5, 1))
    resumed.step()
    torch.testing.assert_close(resumed(step()).total, by_hand(step(), 6, 1))


def test_a_composite_without_times_has_no_progress() -> None:
    assert build(fit=TERMS["fit"]).state_dict() == {}
    assert list(build(late=TERMS["late"]).state_dict()) == ["progress._extra_state"]


def test_times_that_stand_still_are_warned_of() -> None:
    loss = build(late=TERMS["late"])
    for _ in range(99):
        loss({})
    with pytest.warns(ConfigWarning, match="the times under 'active' and schedules stand still"):
        loss({})
    loss = build(epochs={**TERMS["epochs"], "active": {"from_epoch": 3}})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(101):
            loss({})


def test_with_denominators_gradients_are_those_of_the_whole_batch() -> None:
    terms = {
        "fit": {**TERMS["fit"], "mask": "valid"},
        "late": {
            **TERMS["late"],
            "sample_weight": "w",
            "divide_by": "weights",
            "active": {"from_step": 1, "every_steps": 2, "times_every": True},
        },
    }
    loss = build(**terms)
    valid = torch.tensor([True, False, True, True])
    w = torch.tensor([1.0, 2.0, 0.5, 3.0], dtype=torch.float64)
    for t in range(4):
        values, twins = step(t), step(t)
        batch = {**values, "valid": valid, "w": w}
        rows = ([0], [1, 2, 3])
        parts = [{key: tensor[index] for key, tensor in batch.items()} for index in rows]
        targets = ("y", "valid", "z", "w") if t % 2 else ("y", "valid")
        known = [{key: part[key] for key in targets} for part in parts]
        denominators = loss.denominators(known)
        assert denominators.active == (("fit", "late") if t % 2 else ("fit",))
        assert denominators.moment is not None
        assert denominators.moment.steps == t
        for part in parts:
            loss(part, denominators=denominators).total.backward()
        p, y, z = (twins[key] for key in "pyz")
        expected = (p - y).square()[valid].mean()
        if t % 2:
            expected = expected + 0.5 * 2 * ((p - z).abs() * w[:, None]).sum() / (3 * w.sum())
        (right,) = torch.autograd.grad(expected, [p])
        torch.testing.assert_close(values["p"].grad, right)
        loss.step()


def test_denominators_of_another_step_or_set_are_refused() -> None:
    loss = build(fit=TERMS["fit"], lazy=TERMS["lazy"])
    values = step()
    denominators = loss.denominators([values])
    loss.step()
    for use in (loss, loss.terms):
        with pytest.raises(InputError, match="denominators of step 1, found those of step 0"):
            use(values, denominators=denominators)
    loss.step()
    denominators = loss.denominators([values])
    loss(values, denominators=denominators)
    loss.eval()
    with pytest.raises(InputError, match="active now, fit, lazy, found those of fit; call"):
        loss(values, denominators=denominators)


def test_inactive_weights_are_not_summed() -> None:
    """Sample weights of 0 are refused where they divide, but not outside the term's time."""
    weighted = {**TERMS["late"], "sample_weight": "w", "divide_by": "weights"}
    loss = build(fit=TERMS["fit"], late=weighted)
    loss.denominators([{**step(), "w": torch.zeros(4)}])
    for _ in range(3):
        loss.step()
    with pytest.raises(InputError, match="weights that add up to more than 0"):
        loss.denominators([{**step(), "w": torch.zeros(4)}])


def test_derived_routes_are_computed_only_where_a_term_is_active() -> None:
    loss = lossreg.build(
        {
            "derive": {"ratio": {"from": "p", "apply": [{"sub": "old"}, "exp"]}},
            "terms": {
                "fit": TERMS["fit"],
                "late": {"type": "value", "inputs": ["ratio"], "active": {"from_step": 1}},
            },
        }
    )
    values = step()
    assert loss(values).terms["late"] == 0
    loss.step()
    with pytest.raises(InputError, match="no 'old'"):
        loss(values)
    old = values["q"].detach()
    torch.testing.assert_close(
        loss({**values, "old": old}).terms["late"], (values["p"] - old).exp().mean().detach()
    )


def test_the_model_may_be_moved_and_cast_between_sets() -> None:
    loss = build(**TERMS).double().half().float()
    for t in range(6):
        torch.testing.assert_close(loss(step(t)).total, by_hand(step(t), t, 0))
        loss.step()
        loss.to("meta").to_empty(device="cpu")
