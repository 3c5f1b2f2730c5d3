"""What is looked at before a loss sees its tensors, when, and what is let through."""

from __future__ import annotations

import math
import warnings
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

import lossreg
from lossreg.errors import ConfigWarning, InputError
from lossreg.plugin import Domain, LossInput
from lossreg.registry import Registry
from lossreg.runtime.checks import _outside, check_inputs, check_sample_weight, is_changed
from lossreg.runtime.reduction import Misfit

# kl_div warns of its mean.
pytestmark = pytest.mark.filterwarnings(
    "ignore::lossreg.errors.ConfigWarning",
    "ignore:reduction. 'mean' divides:UserWarning:torch",
)


def build(name: str, checks: str = "always", **term: Any) -> lossreg.CompositeLoss:
    return lossreg.build({"checks": checks, "terms": {"fit": {"type": name, **term}}})


def arguments(name: str, *tensors: Tensor) -> dict[str, Tensor]:
    inputs = Registry.installed()[name].inputs
    return {each.name: tensor for each, tensor in zip(inputs, tensors, strict=True)}


def refusal(name: str, *tensors: Tensor, **term: Any) -> InputError:
    with pytest.raises(InputError) as raised:
        build(name, **term)(arguments(name, *tensors))
    assert raised.value.term == "fit"
    return raised.value


def signs(*shape: int) -> Tensor:
    return torch.ones(shape).where(torch.rand(shape) < 0.5, -1.0)


def zeros(*shape: int) -> Tensor:
    return torch.zeros(shape)


def longs(*shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.int64)


BROADCASTING = [
    ("l1", zeros(4, 1), zeros(4)),
    ("mse", zeros(4, 1), zeros(4)),
    ("mse", zeros(4), zeros(4, 1)),
    ("mse", zeros(4), zeros()),
    ("mse", zeros(4, 3), zeros(4, 1)),
    ("mse", zeros(4, 3), zeros(1, 3)),
    ("mse", zeros(2, 4, 3), zeros(4, 3)),
    ("smooth_l1", zeros(4, 1), zeros(4)),
    ("bce", zeros(4, 1), zeros(4)),
    ("bce_with_logits", zeros(4, 1), zeros(4)),
    ("kl_div", zeros(4, 1), zeros(4)),
    ("kl_div", zeros(4, 3), zeros(3)),
    ("poisson_nll", zeros(4, 1), zeros(4)),
    ("soft_margin", zeros(4, 1), signs(4)),
    ("hinge_embedding", zeros(4, 1), signs(4)),
    ("margin_ranking", zeros(4, 1), zeros(4), signs(4)),
    ("margin_ranking", zeros(4), zeros(4), signs(1)),
    ("cosine_embedding", zeros(4, 3), zeros(1, 3), signs(4)),
    ("cosine_embedding", zeros(4, 3), zeros(4, 3), signs(1)),
    ("triplet_margin", zeros(4, 3), zeros(4, 3), zeros(1, 3)),
    ("triplet_margin", zeros(4, 3), zeros(4, 1), zeros(4, 3)),
    ("multilabel_soft_margin", zeros(4, 3), zeros(3)),
    ("multilabel_soft_margin", zeros(4, 3), zeros(4, 1)),
    ("multilabel_margin", zeros(4, 3), longs(4, 1)),
    ("multi_margin", zeros(4, 3), longs(1)),
    ("cross_entropy", zeros(4, 3), longs(4, 1)),
    ("cross_entropy", zeros(4, 3), longs(5)),
    ("cross_entropy", zeros(2, 3), longs(3)),
    ("cross_entropy", zeros(2, 3, 4, 5), longs(2, 5, 4)),
    ("cross_entropy", zeros(4, 3), zeros(4, 2)),
    ("cross_entropy", zeros(2, 3, 4), zeros(2, 4, 3)),
    ("nll", zeros(4, 3), longs(4, 1)),
    ("nll2d", zeros(2, 3, 4, 4), longs(2, 4, 5)),
    ("nll2d", zeros(4, 4, 4), longs(4, 4)),
    ("nll2d", zeros(4, 3), longs(4)),
    ("ctc", zeros(7, 2, 3), longs(3, 4), longs(2), longs(2)),
    ("ctc", zeros(7, 2, 3), longs(2, 4), longs(2), longs(1)),
]


@pytest.mark.parametrize(
    ("name", "tensors"),
    [(name, tensors) for name, *tensors in BROADCASTING],
    ids=lambda each: each if isinstance(each, str) else " ".join(str(list(t.shape)) for t in each),
)
@pytest.mark.parametrize("checks", ["first", "always"])
def test_shapes_that_do_not_fit_are_refused(name: str, tensors: list[Tensor], checks: str) -> None:
    error = refusal(name, *tensors, checks=checks)
    assert "expected" in str(error)
    assert error.argument in {each.name for each in Registry.installed()[name].inputs}


def test_what_does_not_fit_is_told_with_what_it_does_not_fit() -> None:
    error = refusal("mse", zeros(4, 1), zeros(4), inputs={"input": "input", "target": "target"})
    assert (error.argument, error.path) == ("target", "target")
    assert str(error) == (
        "term 'fit', 'target' (path 'target'): expected a shape that fits (4, 1) of 'input', found "
        "(4,); torch would broadcast or refuse it"
    )


def probabilities(*shape: int) -> Tensor:
    return torch.rand(shape).mul(0.8).add(0.1)


ANY = [(), (3,), (2, 3)]
VECTORS = [(3,), (2, 3), (2, 4, 3)]
REGRESSIONS = ("l1", "mse", "smooth_l1", "poisson_nll")
GOOD: list[tuple[Any, ...]] = [
    *(
        (name, probabilities(*shape), probabilities(*shape))
        for shape in [*ANY, (2, 3, 4)]
        for name in (*REGRESSIONS, "bce", "bce_with_logits")
    ),
    *((name, zeros(3), longs(3)) for name in REGRESSIONS),
    *(("kl_div", zeros(*shape) - 1, probabilities(*shape)) for shape in [*ANY, (2, 3, 4)]),
    *(("soft_margin", zeros(*shape), signs(*shape)) for shape in ANY),
    *(("hinge_embedding", zeros(*shape), signs(*shape)) for shape in ANY),
    *(("margin_ranking", zeros(*shape), zeros(*shape), signs(*shape).long()) for shape in ANY),
    ("cosine_embedding", zeros(2, 3), zeros(2, 3), signs(2)),
    ("cosine_embedding", zeros(3), zeros(3), signs()),
    *(("triplet_margin", zeros(*s), zeros(*s) + 1, zeros(*s) - 1) for s in VECTORS),
    *(("multilabel_soft_margin", zeros(*shape), longs(*shape)) for shape in VECTORS),
    *(("multilabel_margin", zeros(*shape), longs(*shape) - 1) for shape in VECTORS[:2]),
    ("multi_margin", zeros(2, 3), longs(2)),
    ("multi_margin", zeros(3), longs()),
    *(
        (name, zeros(2, 3, *shape) - 1, longs(2, *shape))
        for shape in [(), (4,), (4, 5), (4, 5, 6)]
        for name in ("nll", "cross_entropy")
    ),
    ("nll", zeros(3) - 1, longs()),
    ("cross_entropy", zeros(3) - 1, longs()),
    ("cross_entropy", zeros(3), zeros(3).softmax(0)),
    ("cross_entropy", zeros(2, 3), zeros(2, 3).softmax(1)),
    ("cross_entropy", zeros(2, 3, 4), zeros(2, 3, 4).softmax(1)),
    ("nll2d", zeros(2, 3, 4, 5) - 1, longs(2, 4, 5)),
    ("ctc", zeros(7, 2, 3) - 1, longs(2, 4) + 1, longs(2) + 7, longs(2) + 2),
    ("ctc", zeros(7, 2, 3) - 1, longs(4) + 1, longs(2) + 7, longs(2) + 2),
    ("ctc", zeros(7, 3) - 1, longs(2) + 1, longs() + 7, longs() + 2),
]


@pytest.mark.parametrize(
    ("name", "tensors"),
    [(name, tensors) for name, *tensors in GOOD],
    ids=lambda each: each if isinstance(each, str) else " ".join(str(list(t.shape)) for t in each),
)
def test_what_torch_takes_is_taken(name: str, tensors: list[Tensor]) -> None:
    expected = lossreg.create(name)(*tensors)
    assert torch.equal(build(name)(arguments(name, *tensors)).terms["fit"], expected)


def test_every_loss_is_among_the_good_ones() -> None:
    assert {name for name, *_ in GOOD} == set(Registry.installed()) - {"value"}


COUNTED = [7, -1]
LOG = torch.tensor([[-1.0, -2.0, -0.5]])


@pytest.mark.parametrize(
    ("name", "tensors", "argument", "message", "params"),
    [
        ("cross_entropy", (zeros(1, 3), longs(1) + 3), "target", "from 0 to 2, found 3", {}),
        ("cross_entropy", (zeros(1, 3), longs(1) - 1), "target", "from 0 to 2, found -1", {}),
        ("cross_entropy", (zeros(1, 3), longs(1) - 100), "target", "-100", {"ignore_index": 0}),
        ("cross_entropy", (zeros(1, 2), torch.tensor([[1.5, -0.5]])), "target", "found 1.5", {}),
        ("cross_entropy", (zeros(3), longs() + 3), "target", "from 0 to 2, found 3", {}),
        ("nll", (LOG, longs(1) + 3), "target", "class indices from 0 to 2, found 3", {}),
        ("nll", (LOG + 3, longs(1)), "input", "is a log_softmax missing?, found 2", {}),
        ("nll2d", (zeros(1, 2, 1, 1), longs(1, 1, 1) + 255), "target", "0 to 1, found 255", {}),
        ("multi_margin", (zeros(1, 3), longs(1) + 3), "target", "from 0 to 2, found 3", {}),
        ("multilabel_margin", (zeros(1, 3), longs(1, 3) - 2), "target", "by -1, found -2", {}),
        ("multilabel_margin", (zeros(1, 3), longs(1, 3) + 3), "target", "0 to 2, ended", {}),
        ("kl_div", (LOG + 1, zeros(1, 3)), "input", "log-probabilities, at most 0", {}),
        ("kl_div", (LOG, LOG), "target", "probabilities from 0 to 1, found -1", {}),
        ("kl_div", (LOG, zeros(1, 3) + 0.5), "target", "found 0.5", {"log_target": True}),
        ("bce", (zeros(2) + 1.5, zeros(2)), "input", "probabilities from 0 to 1, found 1.5", {}),
        ("bce", (zeros(2), signs(2) * 2), "target", "probabilities from 0 to 1", {}),
        ("bce_with_logits", (zeros(2), zeros(2) - 1), "target", "from 0 to 1, found -1", {}),
        ("multilabel_soft_margin", (zeros(1, 3), longs(1, 3) - 1), "target", "found -1", {}),
        ("soft_margin", (zeros(2), zeros(2)), "target", "labels of 1 and -1, found 0", {}),
        ("hinge_embedding", (zeros(2), zeros(2)), "target", "labels of 1 and -1, found 0", {}),
        ("margin_ranking", (zeros(2), zeros(2), zeros(2)), "target", "of 1 and -1, found 0", {}),
        ("cosine_embedding", (zeros(2, 3), zeros(2, 3), longs(2)), "target", "found 0", {}),
        ("poisson_nll", (zeros(2), torch.tensor(COUNTED)), "target", "value, found -1", {}),
        ("hinge_embedding", (zeros(2) - 5, signs(2)), "input", "negative value, found -5", {}),
        ("poisson_nll", (zeros(2) - 5, longs(2)), "input", "found -5", {"log_input": False}),
        ("cross_entropy", (zeros(2, 1), longs(2)), "input", "at least two classes", {}),
        ("nll", (zeros(2, 1, 8), longs(2, 8)), "input", "at least two classes", {}),
        ("ctc", (LOG[None] + 5, longs(1, 1), longs(1), longs(1)), "log_probs", "log_softmax", {}),
        ("ctc", (LOG[None], longs(1, 1), longs(1) - 1, longs(1)), "input_lengths", "found -1", {}),
    ],
)
def test_a_value_outside_the_domain_is_refused(
    name: str, tensors: Any, argument: str, message: str, params: dict[str, Any]
) -> None:
    error = refusal(name, *tensors, params=params)
    assert error.argument == argument
    assert message in str(error)


def test_the_first_value_outside_is_shown() -> None:
    target = torch.tensor([0, 2, 17, 99])
    assert str(refusal("nll", zeros(4, 3) - 1, target)).endswith("from 0 to 2, found 17")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_rounding_is_no_fault(dtype: torch.dtype) -> None:
    log_probs = torch.tensor([[0.0039, -6.0]]).to(dtype)
    assert build("nll")(input=log_probs, target=longs(1)).total < 0
    mixed = torch.tensor([[1.0000001, -1e-7]])
    build("cross_entropy")(input=zeros(1, 2), target=mixed)
    refusal("nll", torch.tensor([[0.02, -6.0]]), longs(1))


def test_an_ignored_index_is_in_the_domain() -> None:
    target = torch.tensor([1, 255])
    build("cross_entropy", params={"ignore_index": 255})(input=zeros(2, 3), target=target)


def test_nan_is_no_fault_of_the_domain() -> None:
    loss = lossreg.build(
        {
            "on_nonfinite": "ignore",
            "checks": "always",
            "terms": {"fit": {"type": "bce_with_logits"}},
        }
    )
    assert loss(input=zeros(2), target=zeros(2) + math.nan).total.isnan()


@pytest.mark.parametrize(
    ("name", "tensors", "argument", "message"),
    [
        ("mse", (longs(2), zeros(2)), "input", "a floating-point tensor, found torch.int64"),
        ("mse", (zeros(2), zeros(2).to(torch.complex64)), "target", "found torch.complex64"),
        ("bce_with_logits", (zeros(2), longs(2)), "target", "a floating-point tensor"),
        ("nll", (zeros(2, 3), zeros(2)), "target", "an integer tensor, found torch.float32"),
        ("multi_margin", (zeros(2, 3), zeros(2)), "target", "an integer tensor"),
        ("ctc", (zeros(7, 1, 3), zeros(1, 2), longs(1), longs(1)), "targets", "an integer tensor"),
    ],
)
def test_a_dtype_of_another_kind_is_refused(
    name: str, tensors: Any, argument: str, message: str
) -> None:
    error = refusal(name, *tensors)
    assert error.argument == argument
    assert message in str(error)


def test_tensors_on_two_devices_are_refused() -> None:
    error = refusal("mse", zeros(2), zeros(2).to("meta"))
    assert "'target' (path 'target'): expected a tensor on cpu, found one on meta" in str(error)


def test_a_number_and_a_sequences_labels_and_lengths_may_be_on_another_device() -> None:
    # torch multiplies by a 0-d tensor of the CPU, and brings lengths where it wants them.
    check_inputs(Registry.installed()["mse"], arguments("mse", zeros().to("meta"), zeros()))
    ctc = [zeros(7, 2, 3).to("meta"), longs(2, 4), longs(2), longs(2)]
    check_inputs(Registry.installed()["ctc"], arguments("ctc", *ctc))
    with pytest.raises(Misfit, match="expected a tensor on meta, found one on cpu"):
        check_inputs(
            Registry.installed()["nll"], arguments("nll", zeros(2, 3).to("meta"), longs(2))
        )


# torch computes something from it.
ODD = {"input": zeros(4, 1), "target": torch.arange(4.0)}
EVEN = {"input": zeros(4), "target": torch.arange(4.0)}
quiet = pytest.mark.filterwarnings("ignore:Using a target size:UserWarning")


@quiet
def test_checks_off_look_at_nothing() -> None:
    assert build("mse", checks="off")(ODD).total == 3.5


@quiet
def test_checks_first_look_at_each_terms_first_batch() -> None:
    loss = build("mse", checks="first")
    loss(EVEN)
    assert loss(ODD).total == 3.5


def test_checks_always_look_at_every_batch() -> None:
    loss = build("mse", checks="always")
    for _ in range(3):
        loss(EVEN)
    with pytest.raises(InputError):
        loss(ODD)
    assert loss(EVEN).total == 3.5


@quiet
def test_a_first_batch_that_failed_was_not_the_first() -> None:
    loss = build("mse", checks="first")
    for _ in range(2):
        with pytest.raises(InputError):
            loss(ODD)
    loss(EVEN)
    assert loss(ODD).total == 3.5


@quiet
def test_the_first_batch_is_one_a_term() -> None:
    fit = {"type": "mse", "inputs": ["a", "b"]}
    late = {"type": "mse", "inputs": ["c", "d"], "optional": True}
    loss = lossreg.build({"checks": "first", "terms": {"fit": fit, "late": late}})
    good = {"a": zeros(4), "b": zeros(4)}
    loss(good)
    with pytest.raises(InputError) as raised:
        loss({**good, "c": ODD["input"], "d": ODD["target"]})
    assert raised.value.term == "late"
    loss({"a": ODD["input"], "b": ODD["target"]})


@pytest.mark.parametrize("checks", ["first", "always"])
def test_no_value_is_looked_at_while_a_graph_is_traced(
    checks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    signs = {"input": zeros(2), "target": torch.tensor([0.0, 1.0])}
    assert build("soft_margin", checks=checks)(signs).total.isfinite()
    with pytest.raises(Misfit, match="torch would broadcast"):
        build("mse", checks=checks)(ODD)


def test_what_stands_in_for_a_masked_entry_may_be_outside_the_domain_a_parameter_chose() -> None:
    # 0.5 is a probability, but no logarithm of one.
    loss = build("kl_div", mask="m", params={"log_target": True, "reduction": "batchmean"})
    values = {"input": zeros(2, 3) - 1, "target": zeros(2, 3) - 1}
    loss({**values, "m": torch.tensor([True, False])})
    with pytest.raises(InputError, match="log-probabilities, at most 0"):
        loss({**values, "target": zeros(2, 3) + 0.75, "m": torch.tensor([True, True])})


def test_what_is_masked_may_be_anything_and_the_rest_may_not() -> None:
    values = {"input": zeros(3), "target": torch.tensor([1.0, 0.0, -1.0])}
    loss = build("soft_margin", mask="m")
    loss({**values, "m": torch.tensor([1, 0, 1])})
    with pytest.raises(InputError, match="labels of 1 and -1, found 0"):
        loss({**values, "m": torch.tensor([1, 1, 1])})
    loss = build("nll", ignore=255)
    loss(input=zeros(2, 3) - 1, target=torch.tensor([0, 255]))
    with pytest.raises(InputError, match="from 0 to 2, found 7"):
        loss(input=zeros(2, 3) - 1, target=torch.tensor([7, 255]))


def weighed(checks: str = "always", **term: Any) -> lossreg.CompositeLoss:
    return lossreg.build({"checks": checks, "terms": {"fit": {"type": "l1", **term}}})


# Absolute errors 1, 2 and 3.
ERRORS = {"input": torch.tensor([1.0, 2.0, 3.0]), "target": zeros(3)}
DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]


@pytest.mark.parametrize("checks", ["first", "always"])
@pytest.mark.parametrize(
    ("mask", "shown"),
    [
        *((torch.tensor([1.0, math.nan, 0.0], dtype=dtype), "nan") for dtype in DTYPES),
        *((torch.tensor([1.0, 0.5, 0.0], dtype=dtype), "0.5") for dtype in DTYPES),
        (torch.tensor([1.0, math.inf, 0.0]), "inf"),
        (torch.tensor([1.0, -math.inf, 0.0]), "-inf"),
        (torch.tensor([1.0, -1.0, 0.0]), "-1"),
        (torch.tensor([1, -1, 0]), "-1"),
        (torch.tensor([1, 2, -1]), "-1"),  # what is wrong, and not what is suspicious
        (torch.tensor([1.0, 1e-8, 0.0]), "1e-08"),
        (torch.tensor([1.0, 0.0, 0.0], dtype=torch.complex64), "torch.complex64"),
    ],
)
def test_a_mask_that_is_none_is_refused(mask: Tensor, shown: str, checks: str) -> None:
    loss = weighed(checks, mask="m")
    for _ in range(2):
        with pytest.raises(InputError) as raised:
            loss({**ERRORS, "m": mask})
        assert (raised.value.argument, raised.value.path) == ("mask", "m")
        assert f"expected a mask of bool, or of 0 and 1, found {shown}" in str(raised.value)
    assert loss({**ERRORS, "m": torch.tensor([1, 0, 1])}).total == 2


@pytest.mark.filterwarnings("default::lossreg.errors.ConfigWarning")
@pytest.mark.parametrize(
    ("mask", "shown"),
    [
        (torch.tensor([255, 0, 255], dtype=torch.uint8), "255"),
        (torch.tensor([2, 0, 1]), "2"),
        (torch.tensor([1.5, 0.0, 1.0]), "1.5"),
    ],
)
def test_a_mask_of_larger_numbers_is_warned_of_once(mask: Tensor, shown: str) -> None:
    loss = weighed(mask="m")
    with pytest.warns(ConfigWarning) as found:
        assert loss({**ERRORS, "m": mask}).total == 2
    (warning,) = found
    assert str(warning.message) == (
        f"term 'fit', 'mask' (path 'm'): expected a mask of bool, or of 0 and 1, found {shown}: "
        "every number but 0 keeps an entry, and none weighs it; apply: [{cast: bool}] says that "
        "this is meant"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss({**ERRORS, "m": mask})
        meant = {"from": "m", "apply": [{"cast": "bool"}]}
        assert weighed(mask=meant)({**ERRORS, "m": mask}).total == 2


@pytest.mark.filterwarnings("error::lossreg.errors.ConfigWarning")
@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.uint8, torch.int32, torch.int64, *DTYPES], ids=str
)
def test_a_mask_of_0_and_1_is_one(dtype: torch.dtype) -> None:
    for mask, expected in (([1, 0, 1], 2), ([0, 0, 0], 0), ([1, 1, 1], 2)):
        assert weighed(mask="m")({**ERRORS, "m": torch.tensor(mask).to(dtype)}).total == expected
    weighed(checks="always", params={"reduction": "sum"}, mask="m")(
        input=zeros(0), target=zeros(0), m=zeros(0).to(dtype)
    )


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "term",
    [{}, {"params": {"reduction": "sum"}}, {"denominator": "n"}, {"params": {"reduction": "mean"}}],
    ids=str,
)
def test_a_weight_that_is_not_finite_is_refused_where_it_counts(
    bad: float, term: dict[str, Any]
) -> None:
    values = {**ERRORS, "w": torch.tensor([1.0, bad, 1.0]), "n": 2}
    with pytest.raises(InputError, match=f"found {bad:g}") as raised:
        weighed(sample_weight="w", **term)(values)
    assert (raised.value.argument, raised.value.path) == ("sample_weight", "w")
    assert "expected finite weights where an entry counts" in str(raised.value)
    kept = torch.tensor([True, False, True])
    assert weighed(sample_weight="w", mask="m", **term)({**values, "m": kept}).total.isfinite()
    target = torch.tensor([0.0, 9.0, 0.0])
    ignoring = weighed(sample_weight="w", ignore=9, **term)
    assert ignoring({**values, "target": target}).total.isfinite()


def test_a_negative_weight_is_refused_where_the_mean_divides_by_weights() -> None:
    values = {**ERRORS, "w": torch.tensor([1.0, -1.0, 1.0]), "n": 2}
    with pytest.raises(InputError) as raised:
        weighed(sample_weight="w")(values)
    assert str(raised.value) == (
        "term 'fit', 'sample_weight' (path 'w'): expected weights of at least 0, for their sum is "
        "what the mean divides by, found -1; give the term a 'denominator', or params: {reduction: "
        "sum}"
    )
    with pytest.raises(InputError, match="expected weights of at least 0"):
        weighed(sample_weight="w")({**values, "w": torch.tensor([1, -1, 1])})
    loss = weighed(sample_weight="w")
    with pytest.raises(InputError, match="expected weights of at least 0"):
        loss(values, denominators=loss.denominators([values]))
    # 1 - 2 + 3
    assert weighed(sample_weight="w", denominator="n")(values).total == 1
    assert weighed(sample_weight="w", params={"reduction": "sum"})(values).total == 2
    kept = torch.tensor([True, False, True])
    assert weighed(sample_weight="w", mask="m")({**values, "m": kept}).total == 2


def test_batchmean_does_not_divide_by_weights() -> None:
    term = {"type": "kl_div", "params": {"reduction": "batchmean"}, "sample_weight": "w"}
    loss = lossreg.build({"terms": {"fit": term}})
    values = {"input": zeros(2, 3) - 1, "target": probabilities(2, 3)}
    loss({**values, "w": torch.tensor([1.0, -1.0])})


@pytest.mark.parametrize("weight", [[1, 0, 2], [0, 0, 0], [True, False, True]])
def test_weights_of_0_and_more_are_taken(weight: list[Any]) -> None:
    found = weighed(sample_weight="w")({**ERRORS, "w": torch.tensor(weight)}).total
    expected = sum(w * e for w, e in zip(weight, (1, 2, 3), strict=True)) / (sum(weight) or 1)
    assert found.item() == pytest.approx(expected)


def test_complex_weights_are_refused() -> None:
    weight = torch.ones(3, dtype=torch.complex64)
    with pytest.raises(InputError, match="expected real numbers, found torch"):
        weighed(sample_weight="w")({**ERRORS, "w": weight})


@pytest.mark.parametrize(
    ("keep", "weight", "fine"),
    [
        ((2,), (2, 3), [[1, 1, 1], [-1, 1, 1]]),
        ((2, 3), (2,), [1, -1]),
        ((), (2,), [1, -1]),
    ],
)
def test_masks_and_weights_of_other_dimensions_are_compared(
    keep: tuple[int, ...], weight: tuple[int, ...], fine: list[Any]
) -> None:
    mask = torch.ones(keep, dtype=torch.bool)
    weights = torch.tensor(fine, dtype=torch.float32)
    assert weights.shape == weight
    with pytest.raises(Misfit, match="found -1"):
        check_sample_weight(weights, mask, divides=True)
    check_sample_weight(weights, mask, divides=False)
    if keep:
        mask[1] = False  # where the negative one is
    else:
        mask = ~mask
    check_sample_weight(weights, mask, divides=True)


def test_a_mask_that_fits_no_weight_is_left_to_the_reduction() -> None:
    check_sample_weight(-torch.ones(2), torch.ones(3, dtype=torch.bool), divides=True)
    check_sample_weight(None, torch.ones(3, dtype=torch.bool), divides=True)


def test_nobody_looks_at_masks_and_weights_after_the_first_batch() -> None:
    loss = weighed("first", mask="m", sample_weight="w", params={"reduction": "sum"})
    loss({**ERRORS, "m": torch.ones(3), "w": torch.ones(3)})
    loss({**ERRORS, "m": torch.tensor([1.0, -1.0, 0.5]), "w": torch.tensor([1.0, -1.0, 1.0])})
    off = weighed("off", mask="m", sample_weight="w", params={"reduction": "sum"})
    off({**ERRORS, "m": torch.tensor([1.0, -1.0, 0.5]), "w": torch.tensor([1.0, -1.0, 1.0])})


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (torch.tensor([1.0, math.nan]), torch.tensor([1.0, math.nan]), False),
        (torch.tensor([1.0, math.nan]), torch.tensor([1.0, 2.0]), True),
        (torch.tensor([1.0, 2.0]), torch.tensor([1.0, math.nan]), True),
        (torch.tensor([1.0, math.inf]), torch.tensor([1.0, -math.inf]), True),
        (torch.tensor([1, 2]), torch.tensor([1, 2]), False),
        (torch.tensor([1, 2]), torch.tensor([1, 3]), True),
        (torch.tensor([True]), torch.tensor([False]), True),
        (torch.tensor([1j, complex(math.nan, 1)]), torch.tensor([1j, complex(math.nan, 1)]), False),
        (torch.tensor([1j]), torch.tensor([2j]), True),
        (torch.tensor([1.0]), torch.tensor([[1.0]]), True),
        (torch.tensor([1.0]), torch.tensor([1.0], dtype=torch.float64), True),
        (torch.tensor([1.0]), torch.tensor([1.0], device="meta"), True),
        (torch.tensor([1.0], device="meta"), torch.tensor([1.0], device="meta"), False),
        (zeros(0), zeros(0), False),
        (torch.tensor([1.0]).to_sparse(), torch.tensor([1.0]).to_sparse(), False),
        (torch.ones(1, requires_grad=True), torch.ones(1, requires_grad=True), False),
    ],
)
def test_what_is_changed(before: Tensor, after: Tensor, *, expected: bool) -> None:
    assert is_changed(before, after) is expected


def ctc(**changes: Any) -> dict[str, Any]:
    return {
        "log_probs": zeros(7, 2, 3).log_softmax(-1),
        "targets": torch.tensor([[1, 2, 1], [2, 99, -5]]),  # beyond its length is no label
        "input_lengths": torch.tensor([7, 6]),
        "target_lengths": torch.tensor([3, 1]),
        **{name: torch.as_tensor(each) for name, each in changes.items()},
    }


UNSAFE = [
    ({"targets": [[1, 2, 3], [2, 0, 0]]}, "targets from 0 to 2, found 3"),
    ({"targets": [[1, -1, 1], [2, 0, 0]]}, "targets from 0 to 2, found -1"),
    ({"targets": [[1, 2, 10**9], [2, 0, 0]]}, "found 1000000000"),
    ({"target_lengths": [4, 1]}, "target_lengths of at most 3, found 4"),
    ({"targets": [1, 2, 1]}, "target_lengths that add up to 3, found 4"),
    ({"targets": [1, 2, 5, 1]}, "targets from 0 to 2, found 5"),
]


@pytest.mark.parametrize("checks", ["off", "first", "always"])
@pytest.mark.parametrize(("changes", "message"), UNSAFE)
def test_ctc_never_reads_out_of_bounds(checks: str, changes: dict[str, Any], message: str) -> None:
    loss = build("ctc", checks=checks)
    for _ in range(2):
        with pytest.raises(InputError, match=message) as raised:
            loss(ctc(**changes))
        assert raised.value.term == "fit"
        assert loss(ctc()).total.isfinite()


@pytest.mark.parametrize("checks", ["off", "first", "always"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"targets": [1, 2, 1, 2]},
        {"target_lengths": [0, 0]},
        {"targets": [[1, 2, 1, 99], [2, 99, 99, 99]]},
    ],
)
def test_ctc_padding_is_free(checks: str, changes: dict[str, Any]) -> None:
    values = ctc(**changes)
    expected = nn.CTCLoss()(*values.values())
    assert torch.equal(build("ctc", checks=checks)(values).terms["fit"], expected)


@pytest.mark.parametrize("checks", ["off", "always"])
def test_what_ctc_masks_may_be_out_of_bounds(checks: str) -> None:
    loss = build("ctc", checks=checks, mask="m")
    values = ctc(targets=[[1, 2, 1], [77, 99, -5]], target_lengths=[3, 9], input_lengths=[7, 800])
    kept = loss({**values, "m": torch.tensor([1, 0])}).total
    log_probs, *others = ctc().values()
    expected = nn.CTCLoss()(log_probs[:, :1], *(each[:1] for each in others))
    torch.testing.assert_close(kept, expected)
    with pytest.raises(InputError, match="target_lengths of at most 3, found 9"):
        loss({**values, "m": torch.tensor([1, 1])})


def test_ctc_of_no_sequence_is_no_error_of_lossreg() -> None:
    module = lossreg.create("ctc")
    check = Registry.installed()["ctc"].check
    assert check is not None
    empty = arguments("ctc", zeros(7, 0, 3), longs(0, 4), longs(0), longs(0))
    assert check(module, empty) is None


@pytest.mark.parametrize(
    ("domain", "tensor", "wrong", "wanted"),
    [
        ("zero or one", [0.0, 1.0, 0.5, -1.0, 2.0], [2, 3, 4], "labels of 0 and 1"),
        ("zero or one", [0, 1, 2], [2], "labels of 0 and 1"),
        ("plus or minus one", [1.0, -1.0, 0.0, 2.0, 0.5], [2, 3, 4], "labels of 1 and -1"),
        ("probability", [0.0, 1.0, 1.009, -0.009, 1.02, -0.02], [4, 5], "from 0 to 1"),
        ("log-probability", [0.0, -9.0, 0.009, 0.02], [3], "log-probabilities, at most 0"),
        ("probability or log-probability", [0.0, 1.0, -0.02], [2], "from 0 to 1"),
        ("class index", [0, 2, 3, -1], [2, 3], "class indices from 0 to 2"),
        ("class index or probability", [0, 2, 3, -1], [2, 3], "class indices from 0 to 2"),
        ("class index or probability", [0.0, 1.0, 1.5, -1.0], [2, 3], "from 0 to 1"),
        ("class index list", [0, 2, -1, 3, -2], [3, 4], "from 0 to 2, ended by -1"),
        ("count", [0.0, 0.5, 9.0, -0.001], [3], "no negative value"),
        ("length", [0, 9, -1], [2], "no negative value"),
        ("non-negative", [0.0, 0.5, -0.009, -0.02], [3], "no negative value"),
        ("real", [0.0, -9.0], [], ""),
        ("label sequence", [0, -9], [], ""),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_each_domain_has_its_ends(
    domain: Any, tensor: list[float], wrong: list[int], wanted: str
) -> None:
    each = LossInput(name="input", meaning="anything", dtype="float or int", domain=domain)
    found = _outside(each, torch.tensor(tensor), {"C": 3}, nn.Identity())
    if not wrong:
        assert found is None
        return
    assert found is not None
    assert found[0].nonzero().flatten().tolist() == wrong
    assert wanted in found[1]


def test_every_domain_is_among_these() -> None:
    (mark,) = (
        each
        for each in test_each_domain_has_its_ends.pytestmark
        if each.name == "parametrize"  # type: ignore[attr-defined]
    )
    assert {case[0] for case in mark.args[1]} == set(get_args(Domain))


@pytest.mark.parametrize(
    "domain", sorted(set(get_args(Domain)) - {"probability or log-probability"})
)
def test_what_stands_in_for_a_masked_entry_is_in_its_domain(domain: Any) -> None:
    each = LossInput(name="input", meaning="anything", dtype="float or int", domain=domain)
    for dtype in (torch.float32, torch.int64):
        tensor = torch.tensor(each.safe).to(dtype)
        found = _outside(each, tensor, {"C": 1}, nn.Identity())
        assert found is None or not found[0].any()
