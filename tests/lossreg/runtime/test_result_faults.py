"""Whatever a plugin's forward does: the step says whose it is."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import lossreg
from fake_distributions import Site, plugin
from lossreg.errors import InputError, NonFiniteError

OWNER = "acme-losses 2.1"


# What forward returns for inputs p and y, and what is said of it.
RESULTS = {
    "a float": ("1.0", "expected one number, found float"),
    "None": ("None", "expected one number, found NoneType"),
    "a tuple": ("(p.sum(), y.sum())", "expected one number, found tuple"),
    "numpy": ("p.detach().numpy().sum()", "expected one number, found float32"),
    "a vector": ("p - y", r"expected one number, found (2,)"),
    "an integer": ("p.sum().long()", "expected a floating-point number, found torch.int64"),
    "a bool": ("(p > y).any()", "expected a floating-point number, found torch.bool"),
    "complex": ("p.sum() * 1j", "expected a floating-point number, found torch.complex64"),
    "detached": (
        "p.detach().sum()",
        "expected a value with a gradient for 'input', found one detached from it",
    ),
    "a fresh tensor": (
        "torch.tensor(p.sum().item())",
        "expected a value with a gradient for 'input', found one detached from it",
    ),
    "an input changed": (
        "y.mul_(2).sum() + p.sum()",
        "expected inputs left as they are, found 'target' from 'y' changed in place",
    ),
}


def step_fault(
    site: Site, forward: str, checks: str = "first", **term: Any
) -> lossreg.CompositeLoss:
    """A composite of a good loss and one whose forward is this expression."""
    head = f"""
        import torch
        class Odd(torch.nn.Module):
            def forward(self, p, y):
                return {forward}
    """
    source = plugin("odd", build="Odd()", head=head).replace(
        '"predictions")', '"predictions", gradient=True)'
    )
    site.add("acme-losses", {"odd": "acme_odd"}, {"acme_odd": source}, version="2.1")
    fit = {"type": "l1", "inputs": ["p", "y"]}
    odd = {"type": "odd", "inputs": ["p", "y"], **term}
    return lossreg.build({"checks": checks, "terms": {"fine": fit, "bad": odd}})


def odd_alone(checks: str) -> lossreg.CompositeLoss:
    """A composite of the loss that is installed already."""
    term = {"type": "odd", "inputs": ["p", "y"]}
    return lossreg.build({"checks": checks, "terms": {"bad": term}})


def values() -> dict[str, torch.Tensor]:
    return {"p": torch.ones(2, requires_grad=True), "y": torch.zeros(2)}


@pytest.mark.parametrize("checks", ["first", "always"])
@pytest.mark.parametrize(("forward", "problem"), RESULTS.values(), ids=RESULTS)
def test_a_result_that_cannot_be_trained_with(
    site: Site, forward: str, problem: str, checks: str
) -> None:
    loss = step_fault(site, forward, checks)
    with pytest.raises(InputError) as raised:
        loss(values())
    assert raised.value.term == "bad"
    assert str(raised.value) == f"term 'bad': {problem}; the loss is odd ({OWNER}, acme_odd)"


def test_a_change_that_torch_refuses(site: Site) -> None:
    loss = step_fault(site, "p.mul_(2).sum()")
    with pytest.raises(InputError, match="in-place operation") as raised:
        loss(values())
    assert str(raised.value).startswith(f"term 'bad': odd ({OWNER}, acme_odd) refused its inputs: ")


def test_a_result_that_is_nan(site: Site) -> None:
    loss = step_fault(site, "p.sum() * torch.nan")
    with pytest.raises(NonFiniteError) as raised:
        loss(values())
    assert str(raised.value).startswith("term 'bad' is nan: ")
    assert str(raised.value).endswith(f"; the loss is odd ({OWNER}, acme_odd)")


@pytest.mark.parametrize("term", [{"mask": "m"}, {"divide_by": {"number": "d"}}], ids=str)
def test_a_result_that_cannot_be_reduced(site: Site, term: dict[str, str]) -> None:
    source = plugin(
        "odd",
        build="Odd()",
        head="import torch\nclass Odd(torch.nn.Module):\n    def forward(self, p, y): return 1.0\n",
    )
    source = source.replace("config=LossConfig", "config=Config")
    source += "\nfrom lossreg.plugin import Reduction\nclass Config(LossConfig):\n"
    source += "    reduction: Reduction = 'mean'\n"
    site.add("acme-losses", {"odd": "acme_odd"}, {"acme_odd": source}, version="2.1")
    loss = lossreg.build({"terms": {"bad": {"type": "odd", "inputs": ["p", "y"], **term}}})
    with pytest.raises(InputError, match=r"found (a )?float") as raised:
        loss({**values(), "m": torch.ones(2), "d": 2})
    assert f"odd ({OWNER}, acme_odd)" in str(raised.value)


def test_what_is_detached_on_purpose_is_fine(site: Site) -> None:
    loss = step_fault(site, "p.detach().sum()", "always")
    with torch.no_grad():
        assert loss(values()).terms["bad"] == 2
    frozen = {name: each.detach() for name, each in values().items()}
    assert loss(frozen).terms["bad"] == 2
    with torch.inference_mode():
        assert loss({name: each.clone() for name, each in frozen.items()}).terms["bad"] == 2


def test_a_validation_step_first_hides_nothing(site: Site) -> None:
    loss = step_fault(site, "p.detach().sum()")
    with torch.no_grad():
        loss(values())
    with pytest.raises(InputError, match="found one detached from it"):
        loss(values())


def test_only_the_first_step_is_looked_at_and_none_without_checks(site: Site) -> None:
    forward = "(p.sum() if torch.is_grad_enabled() and y[0] == 0 else p.detach().sum())"
    loss = step_fault(site, forward)
    later = {**values(), "y": torch.ones(2)}
    loss(values())
    assert loss(later).terms["bad"] == 2
    assert (
        lossreg.build({"checks": "never", "terms": {"bad": {"type": "odd", "inputs": ["p", "y"]}}})(
            later
        ).terms["bad"]
        == 2
    )


# How a forward may write past what torch counts.
WRITES = {
    "data": ("y.data.add_(2)", "target", "y"),
    "data of the prediction": ("p.data.add_(1)", "input", "p"),
    "detached data": ("p.detach().data.zero_()", "input", "p"),
    "numpy": ("y.numpy().fill(7)", "target", "y"),
    "a view as numpy": ("p.detach()[:1].numpy().fill(7)", "input", "p"),
    "other data": ("setattr(y, 'data', y + 1)", "target", "y"),
    "data of another shape": ("setattr(y, 'data', y.repeat(2))", "target", "y"),
    "data of another dtype": ("setattr(y, 'data', y.double())", "target", "y"),
    "nan": ("y.data.fill_(torch.nan)", "target", "y"),
    "one entry": ("y.data[-1:].fill_(1e-30)", "target", "y"),
    "a shape": ("y.data.unsqueeze_(0), y.unsqueeze_(0)", "target", "y"),
}


@pytest.mark.parametrize("checks", ["first", "always"])
@pytest.mark.parametrize(("write", "argument", "path"), WRITES.values(), ids=WRITES)
def test_an_input_written_to_without_being_counted(
    site: Site, write: str, argument: str, path: str, checks: str
) -> None:
    loss = step_fault(site, f"({write}, p.sum())[-1]", checks)
    for _ in range(2):  # a first batch that failed was not the first
        with pytest.raises(InputError) as raised:
            loss(values())
        assert raised.value.term == "bad"
        assert str(raised.value) == (
            f"term 'bad': expected inputs left as they are, found '{argument}' from '{path}' "
            f"changed in place; the loss is odd ({OWNER}, acme_odd)"
        )


def test_a_mask_or_a_weight_written_to_is_told_as_well(site: Site) -> None:
    # The target is a view of both, as columns of one table are.
    head = """
        import torch
        class Odd(torch.nn.Module):
            def forward(self, p, y):
                TABLE.data.fill_(1)
                return (p - y).abs()
        TABLE = torch.zeros(2, 3)
    """
    source = plugin("odd", build="Odd()", head=head).replace("config=LossConfig", "config=Config")
    source += "\nfrom lossreg.plugin import Reduction\nclass Config(LossConfig):\n"
    source += "    reduction: Reduction = 'mean'\n"
    site.add("acme-losses", {"odd": "acme_odd"}, {"acme_odd": source}, version="2.1")
    term = {"type": "odd", "inputs": ["p", "y"]}
    for name in ("mask", "sample_weight"):
        loss = lossreg.build({"terms": {"bad": {**term, name: "m", "divide_by": "kept"}}})
        import acme_odd  # type: ignore[import-not-found]

        acme_odd.TABLE.zero_()
        with pytest.raises(InputError, match=f"found '{name}' from 'm' changed in place"):
            loss(**values(), m=acme_odd.TABLE[:, 0])


@pytest.mark.parametrize("checks", ["first", "always"])
def test_nan_inputs_are_as_they_were(site: Site, checks: str) -> None:
    step_fault(site, "p.nansum() + 0 * y.nansum()", checks)
    nan = {"p": torch.tensor([torch.nan, 1.0], requires_grad=True), "y": torch.zeros(2)}
    loss = odd_alone(checks)
    for _ in range(2):
        assert loss(nan).terms["bad"] == 1


def test_inference_tensors_are_compared_with_their_copies(site: Site) -> None:
    loss = step_fault(site, "(y.mul_(2), y.add_(1), p.sum())[-1]")
    with torch.inference_mode(), pytest.raises(InputError, match="'target' from 'y' changed"):
        loss({name: each.clone() for name, each in values().items()})


def test_only_the_first_batch_is_copied(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []
    clone = torch.Tensor.clone

    def counted(tensor: torch.Tensor, **options: Any) -> torch.Tensor:
        seen.append(tensor)
        return clone(tensor, **options)

    step_fault(site, "p.sum()")
    loss, off, always = odd_alone("first"), odd_alone("never"), odd_alone("always")
    batch = values()
    monkeypatch.setattr(torch.Tensor, "clone", counted)
    with torch.no_grad():  # what is left to be judged later is not copied again
        for _ in range(3):
            loss(batch)
            assert len(seen) == 2
    loss(batch)
    off(batch)
    assert len(seen) == 2
    for _ in range(2):
        always(batch)
        assert len(seen) == 4
