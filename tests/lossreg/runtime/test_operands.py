"""Paths in transforms' arguments: what they reach, and what is said where they do not."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import lossreg
from lossreg.errors import ConfigWarning, InputError


def value(frm: Any, *apply: Any) -> dict[str, Any]:
    return {"type": "value", "inputs": [{"from": frm, "apply": [*apply, "mean"]}]}


def build(**terms: Any) -> lossreg.CompositeLoss:
    return lossreg.build({"terms": terms})


def leaf(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=generator, dtype=dtype).requires_grad_()


def assert_same(found: Tensor, expected: Tensor, leaves: list[Tensor]) -> None:
    torch.testing.assert_close(found, expected)
    wanted = torch.autograd.grad(expected, leaves, allow_unused=True)
    got = torch.autograd.grad(found, leaves, allow_unused=True)
    for one, other in zip(got, wanted, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other)


def test_a_dpo_margin_is_the_one_written_in_torch() -> None:
    names = ("chosen", "rejected", "ref_chosen", "ref_rejected")
    values = dict(zip(names, (leaf(5), leaf(6)[:5], leaf(7)[:5], leaf(8)[:5]), strict=True))
    margin = {
        "from": "chosen",
        "apply": [
            {"sub": "rejected"},
            {"sub": {"from": "ref_chosen", "apply": ["detach"]}},
            {"add": {"from": "ref_rejected", "apply": ["detach"]}},
            {"mul": -0.1},
            "softplus",
            "mean",
        ],
    }
    loss = build(dpo={"type": "value", "inputs": [margin]})
    chosen, rejected, first, second = values.values()
    logits = 0.1 * (chosen - rejected - first.detach() + second.detach())
    expected = -functional.logsigmoid(logits).mean()
    assert_same(loss(values).total, expected, [chosen, rejected])


def test_a_clipped_ratio_is_the_one_written_in_torch() -> None:
    logp, old, advantage = leaf(9), leaf(10)[:9].detach(), leaf(11)[:9].detach()
    ratio = [{"sub": "old"}, "exp"]
    clipped = {"from": "logp", "apply": [*ratio, {"clamp": {"min": 0.8, "max": 1.2}}, {"mul": "a"}]}
    loss = build(pi=value("logp", *ratio, {"mul": "a"}, {"minimum": clipped}, {"mul": -1}))
    r = (logp - old).exp()
    expected = -torch.minimum(r * advantage, r.clamp(0.8, 1.2) * advantage).mean()
    assert_same(loss(logp=logp, old=old, a=advantage).total, expected, [logp])


def test_paths_in_arguments_begin_where_the_group_does() -> None:
    term = value("x", {"sub": {"from": "y", "apply": [{"mul": "z"}]}})
    loss = lossreg.build({"terms": {"g": {"from": "inner", "terms": {"t": term}}}})
    inner = {"x": leaf(3), "y": leaf(4)[:3], "z": leaf(5)[:3]}
    expected = (inner["x"] - inner["y"] * inner["z"]).mean()
    assert_same(loss(inner=inner).total, expected, list(inner.values()))


def test_what_an_argument_needs_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from lossreg.vocabulary.transforms import TRANSFORMS

    seen: list[str] = []
    run = TRANSFORMS["exp"].run

    def counted(tensor: Tensor) -> Any:
        seen.append("exp")
        return run(tensor)

    monkeypatch.setitem(TRANSFORMS, "exp", TRANSFORMS["exp"]._replace(run=counted))
    power = {"from": "y", "apply": ["exp"]}
    loss = build(a=value("x", {"sub": power}), b=value("x", {"mul": power}), c=value("y", "exp"))
    loss(x=leaf(3), y=leaf(4)[:3])
    assert seen == ["exp"]


def test_a_missing_one_is_an_error_that_names_its_path() -> None:
    loss = build(fit=value("x", {"sub": "old_logp"}))
    with pytest.raises(InputError) as raised:
        loss(x=leaf(3), old_logq=leaf(3))
    error = raised.value
    assert (error.term, error.argument, error.path) == ("fit", "input", "old_logp")
    assert "Did you mean 'old_logq'?" in str(error)


@pytest.mark.parametrize("missing", [{}, {"y": None}])
def test_an_optional_term_without_one_is_left_out(missing: dict[str, Any]) -> None:
    loss = build(a=value("x"), b={**value("x", {"sub": "y"}), "optional": True})
    x = leaf(3)
    out = loss({"x": x, **missing})
    torch.testing.assert_close(out.total, x.mean())
    assert out.weights["b"] == 0
    torch.testing.assert_close(loss(x=x, y=x).total, x.mean() + 0)


def test_an_optional_term_that_always_lacks_one_is_warned_of_by_its_path() -> None:
    loss = build(a=value("x"), b={**value("x", {"sub": "typo"}), "optional": True})
    for _ in range(99):
        loss(x=leaf(3))
    with pytest.warns(ConfigWarning, match=r"path 'typo'\): there is no 'typo'"):
        loss(x=leaf(3))


def test_a_compiled_one_is_warned_of_as_well() -> None:
    loss = build(a=value("x"), b={**value("x", {"sub": "typo"}), "optional": True})
    loss.compile(backend="aot_eager")
    for _ in range(99):
        loss(x=leaf(3))
    with pytest.warns(ConfigWarning, match=r"path 'typo'\): there is no 'typo'"):
        loss(x=leaf(3))


def test_a_batch_without_one_changes_nothing_for_later_batches_of_a_graph() -> None:
    loss = build(a=value("x"), b={**value("x", {"mul": "y"}), "optional": True})
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    x, y = leaf(3), (leaf(3) + 1).detach().requires_grad_()
    torch.testing.assert_close(compiled(x=x).total, x.mean())
    assert_same(compiled(x=x, y=y).total, x.mean() + (x * y).mean(), [x, y])
    torch.testing.assert_close(compiled(x=x).total, x.mean())


def test_a_graph_says_which_shapes_do_not_fit() -> None:
    loss = build(fit=value("x", {"sub": "y"}))
    loss.compile(backend="aot_eager")
    with pytest.raises(Exception, match=r"found \(3,\) in 'by'; expected \(2, 3\)"):
        loss(x=leaf(2, 3), y=leaf(3))


def test_a_mask_is_made_of_two_tensors() -> None:
    mask = {"from": "depth", "apply": [{"gt": 0}, {"logical_and": "valid"}]}
    term = {"type": "l1", "inputs": ["x", "depth"], "mask": mask}
    x, depth = leaf(4, 5), leaf(5, 4).detach().T
    valid = leaf(4, 6)[:, :5] > 0
    keep = (depth > 0) & valid
    expected = (x - depth).abs()[keep].mean()
    assert_same(build(fit=term)(x=x, depth=depth, valid=valid).total, expected, [x])


def test_a_list_of_tensors_is_joined() -> None:
    layers = [leaf(2, 3), leaf(4, 3), leaf(1, 3)]
    loss = build(all=value("layers", "cat", "square"))
    for values in (layers, tuple(layers)):
        expected = torch.cat(layers).square().mean()
        assert_same(loss(layers=values).total, expected, layers)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (torch.ones(2, 3), "found (2, 3)"),
        ([], "found a list of 0"),
        ([torch.ones(2), 3], "found a list of 2 with a int in it"),
        ({"a": torch.ones(2)}, "found a mapping of 1"),
    ],
    ids=["a tensor", "an empty list", "a number", "a mapping"],
)
def test_what_is_no_list_of_tensors_is_refused(found: Any, words: str) -> None:
    with pytest.raises(InputError, match=r"expected a list of tensors at 'layers'") as raised:
        build(all=value("layers", "cat"))(layers=found)
    assert words in str(raised.value)


def test_a_path_is_a_list_for_one_term_and_a_tensor_for_another() -> None:
    loss = build(a=value("x", "stack"), b=value("x[0]"))
    x = [torch.ones(2), torch.ones(2)]
    assert loss(x=x).total == 2
    with pytest.raises(InputError, match="expected a tensor at 'x', found a list of 2"):
        build(a=value("x", "stack"), b=value("x"))(x=x)


def test_values_may_be_a_tuple() -> None:
    loss = build(fit={"type": "mse", "inputs": ["[0]", "[1].y"]})
    x, y = leaf(3), leaf(4)[:3].detach()
    for values in ((x, {"y": y}), [x, {"y": y}]):
        assert_same(loss(values).total, functional.mse_loss(x, y), [x])
    with pytest.raises(InputError, match=r"there is no \[1\] among the values; it is a tuple of 1"):
        loss((x,))


def test_whole_numbers_are_keys_of_mappings() -> None:
    x = leaf(3)
    loss = build(fit=value("levels[3]"))
    torch.testing.assert_close(loss(levels={3: x}).total, x.mean())
    with pytest.raises(InputError, match=r"there is no \[3\] under 'levels'; there is: \[4\] \(3,"):
        loss(levels={4: x})
    with pytest.raises(InputError, match=r"Write 'levels\[3\]'"):
        build(fit=value("levels.3"))(levels={3: x})


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("mixed", [False, True])
def test_one_hot_has_the_dtype_of_what_it_meets(dtype: torch.dtype, mixed: bool) -> None:
    apply = [{"one_hot": 3}, {"mul": 0.9}] if mixed else [{"one_hot": 3}]
    term = {"type": "mse", "inputs": ["x", {"from": "labels", "apply": apply}]}
    x, labels = leaf(4, 3, dtype=dtype), torch.tensor([0, 2, 1, 1])
    target = functional.one_hot(labels, 3).to(dtype) * (0.9 if mixed else 1)
    found = build(fit=term)(x=x, labels=labels).terms["fit"]
    assert found == functional.mse_loss(x, target)


def test_one_hot_in_an_argument_has_the_dtype_of_the_tensor_before() -> None:
    x, labels = leaf(4, 3), torch.tensor([0, 2, 1, 1])
    hot = {"from": "labels", "apply": [{"one_hot": 3}, {"mul": 0.1}]}
    found = build(fit=value("x", {"sub": hot}))(x=x, labels=labels).total
    expected = (x - 0.1 * functional.one_hot(labels, 3).double()).mean()
    assert_same(found, expected, [x])


def test_two_terms_of_two_dtypes_each_have_their_own_one_hot() -> None:
    hot = {"from": "labels", "apply": [{"one_hot": 3}, {"mul": 0.1}]}
    loss = build(a={"type": "mse", "inputs": ["x", hot]}, b={"type": "mse", "inputs": ["y", hot]})
    x, y = leaf(4, 3), leaf(4, 3, dtype=torch.float32)
    labels = torch.tensor([0, 2, 1, 1])
    out = loss(x=x, y=y, labels=labels)
    target = functional.one_hot(labels, 3)
    torch.testing.assert_close(out.terms["a"], functional.mse_loss(x, target.double() * 0.1))
    expected = functional.mse_loss(y, target.float() * 0.1)
    assert out.terms["b"].float() == expected


def test_targets_of_one_hot_are_counted_before_the_model_runs() -> None:
    hot = {"from": "labels", "apply": [{"one_hot": 3}]}
    loss = build(fit={"type": "mse", "inputs": ["x", hot]})
    batches = [{"labels": torch.tensor([0, 2])}, {"labels": torch.tensor([1, 1, 0])}]
    denominators = loss.denominators(batches)
    x = [leaf(2, 3), leaf(3, 3)]
    found = sum(
        loss(x=part, **batch, denominators=denominators).total
        for part, batch in zip(x, batches, strict=True)
    )
    labels = torch.cat([batch["labels"] for batch in batches])
    expected = functional.mse_loss(torch.cat(x), functional.one_hot(labels, 3).double())
    assert isinstance(found, Tensor)
    assert_same(found, expected, x)


def test_rows_that_are_mixed_are_warned_of_once_where_a_batch_is_split() -> None:
    operand = {"from": "y", "apply": [{"mean": {"dim": 0, "keepdim": True}}]}
    target = {"from": "y", "apply": [{"sub": operand}]}
    loss = build(fit={"type": "mse", "inputs": ["x", target]})
    batches = [{"y": leaf(2, 3).detach()}, {"y": leaf(3, 3).detach()}]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss.denominators(batches[:1])
    with pytest.warns(ConfigWarning, match=r"term 'fit', 'target'.*'mean' mixes rows"):
        loss.denominators(batches)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss.denominators(batches)
