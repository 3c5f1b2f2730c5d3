"""Whatever a plugin's builder does: the message says whose it is."""

from __future__ import annotations

import pytest
import torch

import lossreg
from fake_distributions import Site, plugin
from lossreg.errors import ConfigError, InputError

OWNER = "acme-losses 2.1"


def values() -> dict[str, torch.Tensor]:
    return {"p": torch.ones(2, requires_grad=True), "y": torch.zeros(2)}


BUILDERS = {
    "raises": ("1 / 0", "raised ZeroDivisionError: division by zero"),
    "exits": ("__import__('sys').exit(5)", "raised SystemExit: 5"),
    "raises what cannot be shown": ("fail()", "raised Bad (whose message cannot be shown)"),
    "returns None": ("None", "gave a NoneType, not a module"),
    "returns a class": ("nn.L1Loss", "gave a type, not a module"),
    "returns a function": ("nn.functional.l1_loss", "gave a function, not a module"),
}
FAIL = """
class Bad(Exception):
    def __str__(self): raise RuntimeError
def fail(): raise Bad
"""


def assert_not_built(message: str) -> None:
    for action, path in (
        (lambda: lossreg.build({"terms": {"a": {"type": "odd"}}}), "terms.a"),
        (lambda: lossreg.create("odd"), "odd"),
    ):
        with pytest.raises(ConfigError) as raised:
            action()
        (diagnostic,) = raised.value.diagnostics
        assert (diagnostic.code, diagnostic.path) == ("LR303", path)
        assert diagnostic.message.startswith(f"building 'odd' ({OWNER}, acme_odd) {message}")


@pytest.mark.parametrize(("build", "message"), BUILDERS.values(), ids=BUILDERS)
def test_a_builder_that_does_not_build(site: Site, build: str, message: str) -> None:
    modules = {"acme_odd": plugin("odd", build=build, head=FAIL)}
    site.add("acme-losses", {"odd": "acme_odd"}, modules, version="2.1")
    assert_not_built(message)


@pytest.mark.parametrize("arguments", ["", "config, more", "*, config"])
def test_a_builder_that_wants_other_arguments(site: Site, arguments: str) -> None:
    source = plugin("odd").replace("def build(config)", f"def build({arguments})")
    site.add("acme-losses", {"odd": "acme_odd"}, {"acme_odd": source}, version="2.1")
    assert_not_built("raised TypeError: build() ")


def test_an_interrupt_while_building_interrupts(site: Site) -> None:
    head = "def fail(): raise KeyboardInterrupt\n"
    site.add("acme", {"odd": "acme_odd"}, {"acme_odd": plugin("odd", build="fail()", head=head)})
    with pytest.raises(KeyboardInterrupt):
        lossreg.create("odd")


ANOTHER = "a module that cannot share its state:"
# What a builder does for `none` and for no other reduction.
UNREDUCED = {
    "raises": ("raise RuntimeError('no such form')", "raised RuntimeError: no such form"),
    "refuses the value": ("raise ValueError('mean or sum')", "raised ValueError: mean or sum"),
    "looks up a form it lacks": ("return {}['none']", "raised KeyError: 'none'"),
    "exits": ("raise SystemExit(5)", "raised SystemExit: 5"),
    "raises what cannot be shown": ("fail()", "raised Bad (whose message cannot be shown)"),
    "raises an error of lossreg's": (
        "import lossreg; lossreg.create('zzz')",
        "raised UnknownLossError: unknown loss 'zzz'",
    ),
    "returns None": ("return None", "gave a NoneType, not a module"),
    "returns a function": ("return nn.functional.l1_loss", "gave a function, not a module"),
    "makes a module with another parameter": (
        "return nn.Linear(2, 2)",
        f"gave {ANOTHER} TypeError: it has 'weight', which the loss with its reduction",
    ),
    "makes a module with another buffer": (
        "return nn.CrossEntropyLoss()",
        f"gave {ANOTHER} TypeError: it has 'weight', which the loss with its reduction",
    ),
    "makes a module that cannot be changed": (
        "return Stiff()",
        f"gave {ANOTHER} RuntimeError: it is stiff",
    ),
}
UNREDUCED_HEAD = (
    FAIL
    + """
import torch
from torch import nn
from lossreg.plugin import Reduction

class Stiff(nn.Module):
    @property
    def inner(self):
        raise RuntimeError("it is stiff")

class Odd(nn.Module):
    def __init__(self, reduction):
        super().__init__()
        self.reduction = reduction
        self.inner = nn.L1Loss(reduction=reduction)

    def forward(self, p, y):
        return self.inner(p, y)
"""
)


def unreduced_fault(site: Site, statement: str) -> lossreg.CompositeLoss:
    """A composite of a loss whose builder does this for the reduction `none`."""
    source = plugin("odd", build="Odd(config.reduction)", head=UNREDUCED_HEAD)
    source = source.replace("config=LossConfig", "config=Config").replace(
        "    from torch import nn\n",
        f"    if config.reduction == 'none':\n        {statement}\n",
    )
    source = source.replace('"values to predict")', '"values to predict", counted=True)')
    source += "\nclass Config(LossConfig):\n    reduction: Reduction = 'mean'\n"
    site.add("acme-losses", {"odd": "acme_odd"}, {"acme_odd": source}, version="2.1")
    fit = {"type": "l1", "inputs": ["p", "y"]}
    return lossreg.build({"terms": {"fine": fit, "bad": {**fit, "type": "odd"}}})


@pytest.mark.parametrize(("statement", "message"), UNREDUCED.values(), ids=UNREDUCED)
def test_a_builder_that_does_not_build_the_unreduced_form(
    site: Site, statement: str, message: str
) -> None:
    loss = unreduced_fault(site, statement)
    loss(values())
    counts = {"fine": torch.tensor(2.0), "bad": torch.tensor(2.0)}
    for _ in range(2):  # a second time it is no other form's turn
        for action in (
            lambda: loss.denominators([values()]),
            lambda: loss.terms.present(values(), counts),
        ):
            with pytest.raises(ConfigError) as raised:
                action()
            (diagnostic,) = raised.value.diagnostics
            assert (diagnostic.code, diagnostic.path) == ("LR303", "terms.bad")
            start = f"building 'odd' ({OWNER}, acme_odd) with reduction 'none' {message}"
            assert diagnostic.message.startswith(start)
    assert loss(values()).terms["bad"] == 1


def test_a_builder_that_passes_over_the_reduction(site: Site) -> None:
    loss = unreduced_fault(site, "return Odd('mean')")
    denominators = loss.denominators([values(), values()])
    # Were the mean divided by the number of entries, the term would be four times too small.
    with pytest.raises(InputError) as raised:
        loss(values(), denominators=denominators)
    assert str(raised.value).startswith(f"term 'bad': odd ({OWNER}, acme_odd) refused its inputs: ")
    assert "with reduction 'none' it gave one number, not one for each entry" in str(raised.value)
    one = {"p": torch.tensor(1.0, requires_grad=True), "y": torch.tensor(0.0)}
    assert loss(one, denominators=loss.denominators([one])).terms["bad"] == 1


def test_an_interrupt_while_building_the_unreduced_form_interrupts(site: Site) -> None:
    marker = site.path / "built"
    statement = (
        f"import pathlib; marker = pathlib.Path({str(marker)!r})\n"
        "        if not marker.exists(): marker.touch(); raise KeyboardInterrupt"
    )
    loss = unreduced_fault(site, statement)
    with pytest.raises(KeyboardInterrupt):
        loss.denominators([values()])
    assert loss.denominators([values()]).values.tolist() == [2, 2]
