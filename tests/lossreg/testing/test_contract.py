"""Each check of the contract bites: it fails on losses that are wrong, and on no others."""

from __future__ import annotations

import dataclasses
import random
import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lossreg.plugin import Denominator, LossDefinition, Problem, WorkedExample
from lossreg.registry import Registry
from lossreg.testing import LossContract
from wrong_losses import WRONG
from wrong_losses.definitions import WORKED
from wrong_losses.fair import (
    BATCH,
    CHECKS,
    INPUT,
    TARGET,
    Fair,
    FairConfig,
    Wrong,
    contract,
    fair,
    whole,
)
from wrong_losses.remembering import Bank
from wrong_losses.values import (
    Detaching,
    Neighbours,
    OneElement,
    Reading,
    as_it_should_be,
)


def failures(suite: LossContract) -> dict[str, str]:
    """What the checks that fail say, by their names; each starts on its own, as pytest does it."""
    found = {}
    for check in sorted(CHECKS):
        test = getattr(type(suite)(), f"test_{check}")
        if test is None:
            continue
        try:
            test()
        except AssertionError as error:
            found[check] = str(error)
    return found


def assert_says_what_to_do(message: str, loss: str) -> None:
    """The loss, what is wrong with it, and what to do."""
    assert re.fullmatch(rf"{loss}: .+\. [A-Z][^.]+ .+\.", message, re.DOTALL), message


def test_a_right_loss_passes() -> None:
    assert failures(contract(fair())) == {}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_wrong_loss_is_found(wrong: Wrong) -> None:
    found = failures(wrong.suite)
    assert set(found) == set(wrong.fails), found
    assert wrong.says in found[wrong.fails[0]]
    for message in found.values():
        assert_says_what_to_do(message, wrong.suite.loss)


def test_every_check_has_a_loss_that_it_alone_finds() -> None:
    assert {wrong.fails[0] for wrong in WRONG.values() if len(wrong.fails) == 1} == CHECKS


def test_the_table_of_the_documentation_has_every_check() -> None:
    rows = re.findall(r"^    \| `(\w+)` \|", LossContract.__doc__ or "", re.MULTILINE)
    assert sorted(rows) == sorted(CHECKS)


class Broken(Fair):
    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002, ARG002
        raise AssertionError("too many cooks")


class Number(Fair):
    def forward(self, input: Tensor, target: Tensor) -> Any:  # type: ignore[override]  # noqa: A002
        return super().forward(input, target).item()


def unbuildable(_: FairConfig) -> nn.Module:
    raise ValueError("no such link")


class InPlace(Fair):
    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        value = (apart := (input - target).abs().exp()).sum()
        apart += 1
        return value


@pytest.mark.parametrize(
    ("suite", "problem"),
    [
        (contract(fair(Broken)), "forward fails on the batch: AssertionError: too many cooks"),
        (contract(fair(Number)), "forward returns a float"),
        (contract(fair(unbuildable)), "it cannot be built: ValueError: no such link"),
        (contract(fair(InPlace)), "the backward pass fails: RuntimeError: one of the variables"),
        (contract(fair(), batch={"input": BATCH["input"]}), "the batch has no tensor 'target'"),
        (contract(fair(), batch={**BATCH, "target": 1.0}), "the batch has no tensor 'target'"),
        (contract(fair(), params={"gamma": 1}), "its config refuses the parameters of the test"),
    ],
)
def test_what_stops_a_check_is_explained(suite: LossContract, problem: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(f"fair: {problem}")) as raised:
        suite.test_gradient_reaches_each_declared_input()
    assert_says_what_to_do(str(raised.value), "fair")


@pytest.mark.parametrize("name", ["check_shapes", "check_values"])
@pytest.mark.parametrize(
    ("look", "problem"),
    [
        (lambda *_: Problem("input", "no"), "a composite would refuse 'input' of the batch: no"),
        (
            lambda *_: Problem("input", "no", certain=False),
            "a composite would warn of the batch: 'input': no",
        ),
        (lambda *_: "no", "gave a str, not a Problem or None"),
        (lambda *_: 1 / 0, "failed: ZeroDivisionError"),
    ],
)
def test_a_batch_that_its_own_definition_finds_fault_with(
    name: str, look: Any, problem: str
) -> None:
    found = failures(contract(fair(**{name: look})))
    (check,) = found
    assert check == "the_batch_fits_what_the_definition_says"
    assert problem in found[check]
    assert_says_what_to_do(found[check], "fair")


def test_a_worked_example_may_leave_out_what_the_loss_does_not_have() -> None:
    assert failures(contract(fair(worked=WORKED))) == {}
    shorter = WorkedExample(inputs=WORKED.inputs, value=WORKED.value)
    assert failures(contract(whole(Fair, worked=shorter))) == {}
    added = WORKED._replace(params={"reduction": "sum"}, value=24.0, divisor=None)
    assert failures(contract(fair(worked=added))) == {}


@pytest.mark.parametrize(
    ("worked", "problem"),
    [
        (WORKED._replace(value=3.425), "shows the value 3.425, the loss has 3.428"),
        (WORKED._replace(divisor=4), "shows the divisor 4.0, the loss has 7.0"),
        (WORKED._replace(entries=[2.0, 9.0]), "shows the entries [2.0, 9.0], the loss has [["),
        (WORKED._replace(inputs={"input": [[1.0]]}), "has the inputs 'input'"),
        (WORKED._replace(inputs={"input": "a", "target": [1.0]}), "is not made of numbers"),
        (WORKED._replace(params={"gamma": 1}), "cannot be built"),
        (WORKED._replace(params={"reduction": "sum"}, value=24.0), "divides by 7, the loss by"),
    ],
)
def test_a_worked_example_is_computed(worked: WorkedExample, problem: str) -> None:
    found = failures(contract(fair(worked=worked)))
    assert found.keys() == {"the_worked_example_is_true"}
    (message,) = found.values()
    assert problem in message
    assert_says_what_to_do(message, "fair")


def test_a_suite_without_a_batch_is_not_done() -> None:
    class TestUnfinished(LossContract):
        loss = "l1"

    with pytest.raises(NotImplementedError, match=r"TestUnfinished\.batch must return a batch"):
        TestUnfinished().test_value_is_a_finite_scalar()


def test_a_batch_may_be_another_each_time() -> None:
    def batch(_: LossContract) -> dict[str, Tensor]:
        random.random()
        return {"input": torch.randn(4, 2), "target": torch.randn(4, 2)}

    suite = contract(fair())
    type(suite).batch = batch  # type: ignore[method-assign]
    assert failures(suite) == {}


def test_the_suite_leaves_the_random_numbers_alone() -> None:
    states = torch.get_rng_state(), random.getstate()
    assert failures(contract(fair())) == {}
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]


def test_a_loss_without_rows_or_reductions_is_asked_for_less() -> None:
    inputs = tuple(dataclasses.replace(each, shape="") for each in (INPUT, TARGET))
    batch = {"input": torch.tensor(2.0), "target": torch.tensor(0.5)}
    assert failures(contract(whole(Fair, inputs=inputs), batch=batch)) == {}


def test_a_loss_whose_denominator_nobody_counts_passes() -> None:
    # A composite says that it needs a `denominator` of its own.
    inputs = (INPUT, dataclasses.replace(TARGET, counted=False))
    assert failures(contract(fair(inputs=inputs))) == {}


class Learning(Fair):
    """Has a parameter that starts at random."""

    def __init__(self, config: FairConfig) -> None:
        super().__init__(config)
        self.centre = nn.Parameter(torch.rand(2))

    def entries(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        return super().entries(input - self.centre, target)


def test_a_loss_may_have_parameters() -> None:
    assert failures(contract(fair(Learning))) == {}


def test_one_row_has_no_order_and_no_mask() -> None:
    batch = {name: tensor[:1] for name, tensor in BATCH.items()}
    assert failures(contract(fair(), batch=batch)) == {}


def test_built_without_reduction_its_mean_is_still_looked_at() -> None:
    assert failures(contract(fair(), params={"reduction": "none"})) == {}
    found = failures(contract(fair(OneElement), params={"reduction": "none"}))
    assert found.keys() == {"value_is_a_finite_scalar"}


# What is declared.


def test_order_is_asked_for_unless_it_is_declared_to_matter() -> None:
    assert failures(contract(whole(Neighbours), any_order=False)) == {}


def test_a_break_of_the_graph_can_be_declared() -> None:
    assert failures(contract(fair(Reading, compiles=False))) == {}


class OtherBroken(Reading):
    """Breaks the graph, and computes something else where it is compiled."""

    def entries(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        each = super().entries(input, target)
        return 2 * each if torch.compiler.is_compiling() else each


def test_a_loss_that_breaks_the_graph_has_its_value_still() -> None:
    found = failures(contract(fair(OtherBroken, compiles=False)))
    assert found.keys() == {"compiles"}
    assert found["compiles"].startswith("fair: compiled, its value is")


class Refusing(Fair):
    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        if torch.is_autocast_enabled("cpu"):
            raise RuntimeError("fair is unsafe to autocast")
        return super().forward(input, target)


def test_autocast_can_be_refused_if_another_loss_is_named() -> None:
    assert failures(contract(fair(Refusing, avoid_when="Under autocast (mse)."))) == {}
    found = failures(contract(fair(Refusing)))
    assert found.keys() == {"autocast_keeps_the_value"}
    assert_says_what_to_do(found["autocast_keeps_the_value"], "fair")


def test_a_loss_may_remember_in_buffers() -> None:
    assert failures(contract(whole(Bank, stateful=True))) == {}


def test_a_reference_that_agrees_passes() -> None:
    assert failures(contract(fair(), reference=as_it_should_be)) == {}
    squares = {"original": "torch.nn.MSELoss", "original_params": {"reduction": "mean"}}
    batch = {"input": BATCH["input"], "target": BATCH["target"]}
    assert failures(contract(Registry.installed()["mse"], batch=batch, **squares)) == {}


def test_shapes_that_are_not_known_are_not_moved_or_masked() -> None:
    unknown = (
        dataclasses.replace(INPUT, shape="..."),
        dataclasses.replace(TARGET, shape="...", counted=False),
    )
    assert failures(contract(fair(inputs=unknown, unreduced="..."))) == {}
    half = (INPUT, dataclasses.replace(TARGET, shape="...", counted=False))
    for message in failures(contract(fair(inputs=half))).values():
        assert_says_what_to_do(message, "fair")


def test_a_gradient_need_not_reach_what_is_not_declared() -> None:
    assert failures(contract(fair(Detaching))) == {}


def test_a_check_can_be_left_out_by_name() -> None:
    suite = contract(fair(Reading), test_compiles=None)
    assert failures(suite) == {}


# Of losses that are installed, with something of their definition changed.


def failing(definition: LossDefinition, batch: dict[str, Tensor], **params: Any) -> set[str]:
    return set(failures(contract(definition, batch=batch, params=params)))


LABELS = {
    "input": torch.tensor([[0.5, -1.0], [2.0, 0.25], [-0.5, 1.5]]),
    "target": torch.tensor([0, 1, 1]),
}


def test_class_weights_belong_in_the_denominator() -> None:
    definition = Registry.installed()["cross_entropy"]
    unsaid = dataclasses.replace(definition, denominator=Denominator(), worked=None)
    assert failing(definition, LABELS, weight=[1.0, 3.0]) == set()
    assert failing(unsaid, LABELS, weight=[1.0, 3.0]) == {
        "the_mean_is_its_numerator_over_its_denominator",
        "the_denominator_is_read_from_what_counts",
        "masked_entries_do_not_count",
    }
    # Without weights all entries count alike, and the batch shows nothing.
    assert failing(unsaid, LABELS) == set()


def test_the_builder_is_given_class_weights_as_a_tensor() -> None:
    def build(config: Any) -> nn.Module:
        parameters = dict(config)
        assert isinstance(parameters["weight"], Tensor | None)
        return nn.CrossEntropyLoss(**parameters)

    definition = dataclasses.replace(Registry.installed()["cross_entropy"], build=build)
    assert failing(definition, LABELS, weight=[1.0, 3.0]) == set()


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")
def test_batchmean_is_looked_at_as_well() -> None:
    definition = Registry.installed()["kl_div"]
    batch = {name: tensor.log_softmax(1) for name, tensor in BATCH.items()}
    batch["target"] = batch["target"].exp()
    assert failing(definition, batch, reduction="batchmean") == set()


def test_label_sequences_one_after_another_have_no_rows() -> None:
    generator = torch.Generator().manual_seed(0)
    batch = {
        "log_probs": torch.randn(5, 2, 3, generator=generator).log_softmax(2),
        "targets": torch.tensor([1, 2, 1]),
        "input_lengths": torch.tensor([5, 4]),
        "target_lengths": torch.tensor([2, 1]),
    }
    inert = {"zero_infinity": "all targets fit"}
    assert failures(contract(Registry.installed()["ctc"], batch=batch, inert=inert)) == {}
