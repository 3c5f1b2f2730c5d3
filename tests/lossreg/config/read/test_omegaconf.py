"""Configs of OmegaConf, as they are and as Hydra gives them to a function."""

from __future__ import annotations

from typing import Any

import pytest

omegaconf = pytest.importorskip("omegaconf")

from hydra.utils import instantiate  # noqa: E402
from omegaconf import DictConfig, OmegaConf  # noqa: E402

import lossreg  # noqa: E402
from lossreg.errors import ConfigError  # noqa: E402

TERM: dict[str, Any] = {"type": "mse", "inputs": ["x", "y"]}
CONFIG: dict[str, Any] = {
    "lam": 0.25,
    "paths": ["heads.logits", "labels"],
    "elsewhere": "???",
    "loss": {
        "checks": "always",
        "terms": {
            "classify": {
                "type": "cross_entropy",
                "inputs": "${paths}",
                "weight": "${lam}",
                "params": {"weight": [1.0, "${lam}", 2.0], "label_smoothing": 0.1},
            },
            "fit": {
                "type": "mse",
                "inputs": {"input": {"from": "x", "apply": [{"mul": "${lam}"}]}, "target": "y"},
                "weight": {"schedule": "linear", "start": 0.0, "end": "${lam}", "steps": 4},
            },
        },
    },
}


def config() -> DictConfig:
    return OmegaConf.create(CONFIG)


def plain() -> lossreg.CompositeLoss:
    """What OmegaConf resolved beforehand, as dicts and lists."""
    resolved = OmegaConf.to_container(config().loss, resolve=True)
    return lossreg.build(resolved)


def test_mappings_and_lists_are_taken_as_they_are() -> None:
    for built in (
        lossreg.build(config()),
        lossreg.build(config().loss),
        lossreg.build(config(), key="loss"),
    ):
        assert built.config == plain().config
        assert built.fingerprint == plain().fingerprint
    assert lossreg.load_config(config().loss) == plain().config


def test_objectives_are_taken_as_they_are() -> None:
    source = OmegaConf.create(
        {
            "lam": 0.5,
            "objectives": {
                "generator": {
                    "terms": {"adv": {"type": "value", "inputs": ["fake"], "weight": "${lam}"}}
                },
                "critic": {"terms": {"adv": {"type": "value", "inputs": ["real"]}}},
            },
        }
    )
    losses = lossreg.build_objectives(source)
    assert {name: loss.weights["adv"] for name, loss in losses.items()} == {
        "generator": 0.5,
        "critic": 1.0,
    }


def test_overrides_change_a_config_and_may_be_a_list_of_omegaconf() -> None:
    overrides = OmegaConf.create(["loss.terms.classify.weight=3", "loss.terms.fit.weight=0.5"])
    assert lossreg.build(config(), overrides=overrides).weights == {"classify": 3.0, "fit": 0.5}
    assert config().loss.terms.classify.weight == 0.25


@pytest.mark.parametrize("convert", [None, "none", "partial", "object", "all"])
def test_hydra_instantiates_it(convert: str | None) -> None:
    how = {} if convert is None else {"_convert_": convert}
    target = {"_target_": "lossreg.build", "overrides": ["terms.fit.weight=${lam}"], **how}
    whole = OmegaConf.create({**CONFIG, "built": {**target, "source": "${loss}"}})
    assert instantiate(whole.built).weights == {"classify": 0.25, "fit": 0.25}


def test_hydra_instantiates_it_within_another_target() -> None:
    inner = {"_target_": "lossreg.build", "source": CONFIG["loss"]}
    outer = {"_target_": "builtins.dict", "objective": inner, "epochs": 3}
    built = instantiate(OmegaConf.create({**CONFIG, "module": outer}).module)
    assert built["epochs"] == 3
    assert built["objective"].config == plain().config


def test_hydra_passes_keywords_of_the_call() -> None:
    node = OmegaConf.create({"_target_": "lossreg.build", "_partial_": True})
    assert instantiate(node)(config().loss).fingerprint == plain().fingerprint


def faults(term: dict[str, Any]) -> dict[str, str]:
    """The message of each fault, by its path."""
    with pytest.raises(ConfigError) as raised:
        lossreg.build(OmegaConf.create({"terms": {"fit": {**TERM, **term}}}))
    return {fault.path: fault.message for fault in raised.value.diagnostics}


MISSING = "found '???', a value that OmegaConf has yet to be given"


@pytest.mark.parametrize(
    ("term", "path"),
    [
        ({"weight": "???"}, "weight"),
        ({"type": "???"}, "type"),
        ({"inputs": "???"}, "inputs"),
        ({"inputs": ["x", "???"]}, "inputs[1]"),
        ({"inputs": {"input": "x", "target": "???"}}, "inputs.target"),
        ({"params": "???"}, "params"),
        ({"params": {"reduction": "???"}}, "params.reduction"),
        (
            {"weight": {"schedule": "linear", "start": "???", "end": 1.0, "steps": 2}},
            "weight.start",
        ),
        ({"enabled": "???"}, "enabled"),
    ],
)
def test_a_value_that_must_be_given_is_named_by_its_path(term: dict[str, Any], path: str) -> None:
    ((where, message),) = faults(term).items()
    assert where == f"terms.fit.{path}"
    assert MISSING in message


def test_every_value_that_cannot_be_had_is_reported_at_once() -> None:
    found = faults({"weight": "${nope}", "mask": "???", "optional": "${oc.env:NO_SUCH_VARIABLE}"})
    assert found == {
        "terms.fit.weight": "expected a number, found a value that cannot be resolved: "
        "Interpolation key 'nope' not found",
        "terms.fit.mask": f"expected a path such as heads.seg.logits, {MISSING}",
        "terms.fit.optional": "expected true or false, found a value that cannot be resolved: "
        "KeyError raised while resolving interpolation: "
        "\"Environment variable 'NO_SUCH_VARIABLE' not found\"",
    }


def test_a_value_that_must_be_given_may_be_given_by_an_override() -> None:
    source = OmegaConf.create({"terms": {"fit": {**TERM, "weight": "???"}}})
    assert lossreg.build(source, overrides=["terms.fit.weight=0.5"]).weights == {"fit": 0.5}


def test_a_whole_objective_that_must_be_given() -> None:
    with pytest.raises(
        ConfigError, match=r"loss: expected a mapping with 'terms:', found '\?\?\?'"
    ):
        lossreg.build(OmegaConf.create({"loss": "???"}))
