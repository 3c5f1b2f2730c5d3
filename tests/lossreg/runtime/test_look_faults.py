"""What a plugin says of a batch, and what becomes of it if its look fails."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch

import lossreg
from fake_distributions import Site, plugin
from lossreg.errors import ConfigWarning, InputError

OWNER = "acme-losses 2.1"


def values() -> dict[str, torch.Tensor]:
    return {"p": torch.ones(2, requires_grad=True), "y": torch.zeros(2)}


def looking(site: Site, look: str, name: str = "check_values", **options: Any) -> Any:
    """A composite of a loss that looks at its batch with the body of this function."""
    head = f"""
        import torch
        from lossreg.plugin import Problem
        calls = []
        def look(module, inputs):
            calls.append(dict(inputs))
            {look}
    """
    source = plugin("odd", head=head).replace('summary="made up"', f'summary="", {name}=look')
    source = source.replace("config=LossConfig", "config=Config")
    source = source.replace("nn.L1Loss()", "nn.L1Loss(reduction=config.reduction)")
    source += "\nfrom lossreg.plugin import Reduction\nclass Config(LossConfig):\n"
    source += "    reduction: Reduction = 'mean'\n"
    site.add("acme-losses", {"odd": "acme_odd"}, {"acme_odd": source}, version="2.1")
    term = {"type": "odd", "inputs": ["p", "y"], **options.pop("term", {})}
    return lossreg.build({"terms": {"bad": term}, **options})


def calls() -> list[dict[str, torch.Tensor]]:
    found: list[dict[str, torch.Tensor]] = sys.modules["acme_odd"].calls
    return found


LOOKS = ["check_shapes", "check_values"]


@pytest.mark.parametrize("name", LOOKS)
def test_a_problem_is_an_error_of_the_input(site: Site, name: str) -> None:
    loss = looking(site, "return Problem('target', 'expected more, found less')", name)
    for _ in range(2):
        with pytest.raises(InputError) as raised:
            loss(values())
    assert (raised.value.term, raised.value.argument, raised.value.path) == ("bad", "target", "y")
    assert str(raised.value) == "term 'bad', 'target' (path 'y'): expected more, found less"


@pytest.mark.parametrize("name", LOOKS)
@pytest.mark.parametrize("checks", ["first", "always"])
def test_a_problem_that_is_not_certain_is_warned_of_once(
    site: Site, name: str, checks: str
) -> None:
    look = "return Problem('input', 'expected more, found less', certain=False)"
    loss = looking(site, look, name, checks=checks)
    with pytest.warns(ConfigWarning) as found:
        loss(values())
    (warning,) = found
    assert str(warning.message) == "term 'bad', 'input' (path 'p'): expected more, found less"
    assert warning.filename == __file__
    for _ in range(2):
        loss(values())  # warnings are errors
    assert len(calls()) == (1 if checks == "first" else 3)


@pytest.mark.parametrize("name", LOOKS)
def test_without_a_problem_there_is_nothing_to_say(site: Site, name: str) -> None:
    loss = looking(site, "return None", name)
    assert [loss(values()).total.item() for _ in range(2)] == [1, 1]
    assert len(calls()) == 1
    assert list(calls()[0]) == ["input", "target"]


@pytest.mark.parametrize("name", LOOKS)
def test_nobody_looks_where_checks_are_off(site: Site, name: str) -> None:
    looking(site, "return Problem('input', 'no')", name, checks="never")(values())
    assert not calls()


def test_what_is_looked_at_is_filled_where_it_is_masked(site: Site) -> None:
    loss = looking(site, "return None", term={"mask": "m"})
    p, y = torch.tensor([5.0, torch.nan]), torch.zeros(2)
    loss(p=p, y=y, m=torch.tensor([True, False]))
    assert calls()[0]["input"].tolist() == [5, 0]


def test_of_a_batch_that_is_masked_as_a_whole_nothing_is_said(site: Site) -> None:
    loss = looking(site, "return Problem('input', 'no')", term={"mask": "m"})
    assert loss(**values(), m=torch.tensor([False, False])).total == 0


@pytest.mark.parametrize("name", LOOKS)
@pytest.mark.parametrize(
    ("look", "problem"),
    [
        ("return {}['x']", "its {} failed: KeyError: 'x'"),
        ("1 / 0", "its {} failed: ZeroDivisionError: division by zero"),
        ("return 'bad'", "its {} gave a str, not a Problem or None"),
        ("return ('input', 'bad', True)", "its {} gave a tuple, not a Problem or None"),
        ("return True", "its {} gave a bool, not a Problem or None"),
    ],
)
def test_a_look_that_fails_is_its_plugins_fault(
    site: Site, name: str, look: str, problem: str
) -> None:
    loss = looking(site, look, name)
    with pytest.raises(InputError) as raised:
        loss(values())
    said = f"term 'bad': odd ({OWNER}, acme_odd) refused its inputs: {problem.format(name)}; "
    assert str(raised.value).startswith(said)


def test_a_look_out_of_memory_is_no_fault_of_the_plugin(site: Site) -> None:
    with pytest.raises(torch.OutOfMemoryError):
        looking(site, "raise torch.OutOfMemoryError('too much')")(values())
