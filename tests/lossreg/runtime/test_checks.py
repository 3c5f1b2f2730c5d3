"""What does not fit a loss is refused with its place; what torch takes is taken."""

from __future__ import annotations

import math
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

import lossreg
from checked import arguments, build, longs, probabilities, zeros
from lossreg.errors import InputError
from lossreg.plugin import Domain, LossInput
from lossreg.registry import Registry
from lossreg.runtime.checks import _outside, check_inputs
from lossreg.runtime.reduction import Misfit

# kl_div warns of its mean.
pytestmark = pytest.mark.filterwarnings(
    "ignore::lossreg.errors.ConfigWarning",
    "ignore:reduction. 'mean' divides:UserWarning:torch",
)


def refusal(name: str, *tensors: Tensor, **term: Any) -> InputError:
    with pytest.raises(InputError) as raised:
        build(name, **term)(arguments(name, *tensors))
    assert raised.value.term == "fit"
    return raised.value


def signs(*shape: int) -> Tensor:
    return torch.ones(shape).where(torch.rand(shape) < 0.5, -1.0)


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
        ("kl_div", (LOG, LOG), "target", "from 0 to 1 (log_target: true takes", {}),
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
    assert build("mse", checks="never")(ODD).total == 3.5


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
