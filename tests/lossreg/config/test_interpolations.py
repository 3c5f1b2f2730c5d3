"""Values that Hydra or OmegaConf fills in later: passed over, and all else is checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import lossreg
from environments import ROOT
from lossreg.config import examine
from lossreg.config.declare.parameters import plain
from lossreg.config.read.documents import read_bytes
from lossreg.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator

CORPUS = Path(__file__).parent / "corpus"
# As mappings, documents lose what their aliases share.
WHOLE = [
    file
    for file in (*(CORPUS / "good").glob("*.yaml"), *(ROOT / "configs").glob("*.yaml"))
    if b" *" not in file.read_bytes()
]
_OURS = ("loss", "terms", "objectives", "trainer", "seed")
_Steps = tuple["str | int", ...]


def faults(text: str) -> list[tuple[str, str]]:
    examined = examine(text.encode(), every=True, interpolations=True)
    return [(fault.code, fault.path) for fault in examined.diagnostics]


def places(value: object, steps: _Steps = ()) -> Iterator[_Steps]:
    """Each value inside an objective."""
    if steps and steps[0] in _OURS:
        yield steps
    children = value.items() if isinstance(value, dict) else ()
    children = enumerate(value) if isinstance(value, list) else children
    for step, child in children:
        yield from places(child, (*steps, step))


def put(value: object, steps: _Steps, new: str) -> object:
    if not steps:
        return new
    if isinstance(value, dict):
        return {k: put(v, steps[1:], new) if k == steps[0] else v for k, v in value.items()}
    assert isinstance(value, list)
    return [put(v, steps[1:], new) if k == steps[0] else v for k, v in enumerate(value)]


@pytest.mark.parametrize("file", WHOLE, ids=lambda file: str(file.stem))
@pytest.mark.parametrize(
    "new",
    [
        "${x}",
        pytest.param("${a.b}_c", marks=pytest.mark.nightly),
        pytest.param("???", marks=pytest.mark.nightly),
    ],
)
def test_in_no_place_is_a_fault_invented(file: Path, new: str) -> None:
    document = plain(read_bytes(file.read_bytes(), file.name)[1])
    registry = Registry.installed()
    before = {
        (fault.code, fault.path)
        for fault in examine(document, every=True, registry=registry).diagnostics
    }
    for steps in places(document):
        changed = put(document, steps, new)
        assert isinstance(changed, dict)
        examined = examine(changed, every=True, registry=registry, interpolations=True)
        after = {(fault.code, fault.path) for fault in examined.diagnostics}
        assert after <= before, steps
        assert examined.passed_over == 1 or steps[0] in ("objectives", "trainer", "seed"), steps


HYDRA = """\
# @package _global_
defaults:
  - override /model: unet
  - _self_
loss:
  terms:
    fit:
      type: smooth_l1
      weight: ${lam}
      inputs: ["${head}.pixels", image]
      params: {beta: "${eval:2*${b}}"}
    seg:
      type: cross_entropy
      weight:
        schedule: linear
        start: ${a}
        end: 1
        steps: ???
      inputs: {input: logits, target: {from: labels, apply: [{clamp: {min: "${low}"}}]}}
optimizer: {lr: "${lr}"}
"""


def test_a_config_of_hydra_checks() -> None:
    examined = examine(HYDRA.encode(), every=True, interpolations=True)
    assert examined.diagnostics == ()
    assert examined.passed_over == 6  # not the optimizer's, which nothing looked at
    assert examined.loss is None


@pytest.mark.parametrize(
    ("right", "wrong", "fault"),
    [
        ("weight: ${lam}", "wieght: ${lam}", ("LR104", "loss.terms.fit.wieght")),
        ("image]", "image, mask]", ("LR106", "loss.terms.fit.inputs")),
        ("{beta:", "{betta:", ("LR103", "loss.terms.fit.params.betta")),
        ("{beta:", "{reduction: average, beta:", ("LR203", "loss.terms.fit.params.reduction")),
        ("image]", "image..x]", ("LR206", "loss.terms.fit.inputs[1]")),
        ("end: 1", "end: none", ("LR201", "loss.terms.seg.weight.end")),
        (
            "{clamp: {min",
            "{clamp: {mim",
            ("LR104", "loss.terms.seg.inputs.target.apply[0].clamp.mim"),
        ),
        (
            "weight: ${lam}",
            "weight: ${lam}\n      sample_weight: w",
            ("LR214", "loss.terms.fit.sample_weight"),
        ),
        ("    seg:", "    ${name}:", ("LR107", "loss.terms.${name}")),
    ],
)
def test_all_else_is_checked(right: str, wrong: str, fault: tuple[str, str]) -> None:
    assert HYDRA.count(right) == 1
    assert fault in faults(HYDRA.replace(right, wrong))


@pytest.mark.parametrize(
    ("terms", "fault"),
    [
        # What stands beside a weight that is not known is looked at as a whole.
        ("fit: {type: mse, weight: '${w}', divide_by: kept, params: {reduction: sum}}", "LR214"),
        ("fit: {type: mse, enabled: '${e}', weight: -1}", "LR904"),
        ("fit: {type: mse, weight: '${w}', within_row: sum}", "LR214"),
        ("total: {type: mse, weight: '${w}'}", "LR107"),
        ("fit: {type: '${t}', params: 3}", "LR101"),
    ],
)
def test_what_stands_beside_one_is_checked(terms: str, fault: str) -> None:
    assert fault in [code for code, _ in faults(f"terms:\n  {terms}\n")]


def test_what_depends_on_one_is_not_known() -> None:
    for terms in (
        "fit: {type: mse, sample_weight: w, params: {reduction: '${r}'}}",
        "fit: {type: mse, sample_weight: w, divide_by: '${d}', within_row: sum}",
        "fit: {type: cross_entropy, params: {weight: [1.0, '${w}']}}",
        "fit: {type: mse, inputs: [a, {from: b, apply: [{permute: [0, '${i}']}]}]}",
        "group: {from: '${f}', terms: {fit: {type: mse}}}\nfrozen: [teacher]",
        "fit: {type: mse, inputs: ['${a}', '${a}']}",
    ):
        assert faults(f"terms:\n  {terms}\n") == [], terms


def test_terms_that_one_may_bring_in_are_not_called_lone() -> None:
    lone = "head: {type: mse, weight: 2}\n"
    for objective in ("loss: ${head}", "loss: {terms: '${head}'}"):
        assert faults(f"{objective}\n{lone}") == []
    assert ("LR905", "head") in faults(f"loss: {{terms: {{fit: {{type: mse}}}}}}\n{lone}")


def test_without_the_option_the_fault_names_it() -> None:
    for text in ("${lam}", "???"):
        (fault,) = examine(f"terms:\n  fit: {{type: mse, weight: '{text}'}}\n".encode()).diagnostics
        assert fault.code == "LR201"
        assert "`lossreg check --interpolations`" in fault.message


def test_nothing_is_built_with_one() -> None:
    with pytest.raises(lossreg.ConfigError, match="interpolation"):
        lossreg.build({"terms": {"fit": {"type": "mse", "weight": "${lam}"}}})
    with pytest.raises(lossreg.ConfigError, match="OmegaConf"):
        lossreg.build({"terms": {"fit": {"type": "mse", "inputs": ["???", "y"]}}})
