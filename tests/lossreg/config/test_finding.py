"""Several objectives in one document, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

import lossreg
from lossreg.cli import main
from lossreg.config import examine
from lossreg.errors import ConfigError, ConfigWarning

if TYPE_CHECKING:
    from pathlib import Path

GAN = b"""\
adversarial: &adversarial {type: bce_with_logits, weight: 0.5}
objectives:
  generator:
    terms:
      fool: {<<: *adversarial, inputs: [fake, real_label]}
      rebuild: {type: l1, inputs: [pixels, image]}
  discriminator:
    checks: always
    terms:
      real: {<<: *adversarial, inputs: [real, real_label]}
      fake: {<<: *adversarial, inputs: [fake, fake_label]}
"""


def messages(source: Any, **arguments: Any) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        lossreg.build_objectives(source, **arguments)
    return [f"{fault.code} {fault.path}: {fault.message}" for fault in raised.value.diagnostics]


def test_all_are_built_by_name_in_their_order() -> None:
    losses = lossreg.build_objectives(GAN)
    assert list(losses) == ["generator", "discriminator"]
    assert [list(loss.weights) for loss in losses.values()] == [
        ["fool", "rebuild"],
        ["real", "fake"],
    ]
    assert losses["discriminator"].config.checks == "always"
    one, zero = torch.ones(3), torch.zeros(3)
    fake, real = torch.randn(3), torch.randn(3)
    out = losses["discriminator"](real=real, fake=fake, real_label=one, fake_label=zero)
    cross = torch.nn.functional.binary_cross_entropy_with_logits
    torch.testing.assert_close(out.total, 0.5 * cross(real, one) + 0.5 * cross(fake, zero))


def test_one_is_built_by_its_key() -> None:
    loss = lossreg.build(GAN, key="objectives.generator")
    assert loss.fingerprint == lossreg.build_objectives(GAN)["generator"].fingerprint
    assert loss.weights == {"fool": 0.5, "rebuild": 1.0}


def test_overrides_reach_into_each() -> None:
    overrides = [
        "objectives.generator.terms.rebuild.weight=10",
        "objectives.discriminator.terms.fake.weight=2",
    ]
    losses = lossreg.build_objectives(GAN, overrides=overrides)
    assert losses["generator"].weights == {"fool": 0.5, "rebuild": 10.0}
    assert losses["discriminator"].weights == {"real": 0.5, "fake": 2.0}
    one = lossreg.build(GAN, key="objectives.discriminator", overrides=overrides)
    assert one.weights == {"real": 0.5, "fake": 2.0}


def test_two_names_of_one_anchor_are_two_losses() -> None:
    text = b"objectives: {a: &a {terms: {t: {type: mse, params: {reduction: sum}}}}, b: *a}"
    losses = lossreg.build_objectives(text)
    assert losses["a"] is not losses["b"]
    assert losses["a"].config is losses["b"].config


def test_an_override_that_creates_an_objective_is_refused() -> None:
    override = "objectives.generatr.terms.rebuild.weight=10"
    message = "objectives.generatr: this override creates the objective 'generatr'; did you mean"
    assert any(message in line for line in messages(GAN, overrides=[override]))
    with pytest.raises(ConfigError, match=f"{message} 'generator'"):
        lossreg.build(GAN, key="objectives.generator", overrides=[override])


@pytest.mark.parametrize("key", [None, "objectives"])
def test_one_is_asked_for_where_there_are_several(key: str | None) -> None:
    with pytest.raises(ConfigError) as raised:
        lossreg.build(GAN, key=key)
    (fault,) = raised.value.diagnostics
    assert (fault.code, fault.path, fault.line) == ("LR109", "objectives", 2)
    assert fault.message == (
        "the objectives have names: 'generator', 'discriminator'; build one with "
        "key='objectives.generator', or all with lossreg.build_objectives"
    )


NO_MAP: dict[str, tuple[Any, dict[str, Any], str]] = {
    "a loss": (
        {"loss": {"terms": {"a": {"type": "mse"}}}},
        {},
        "found one objective under 'loss:', which lossreg.build builds",
    ),
    "terms": ({"terms": {"a": {"type": "mse"}}}, {}, "found one objective under 'terms:'"),
    "nothing": ({"other": 1}, {}, "if they are elsewhere, give their key"),
    "a list": (b"- 1", {}, "expected a mapping with 'loss:' or 'terms:', found a list"),
    "a key of one": (GAN, {"key": "objectives.generator"}, "lossreg.build(..., key='objectives.g"),
    "a key of none": (GAN, {"key": "objective"}, "did you mean 'objectives'?"),
    "none": ({"objectives": {}}, {}, "expected objectives by name under 'objectives'"),
    "misspelt": ({"objectivs": {"a": {"terms": {"t": {"type": "mse"}}}}}, {}, "did you mean 'obj"),
}


@pytest.mark.parametrize("name", NO_MAP)
def test_where_there_are_none_it_says_what_there_is(name: str) -> None:
    source, arguments, message = NO_MAP[name]
    (line,) = messages(source, **arguments)
    assert line.startswith("LR109")
    assert message in line


def test_they_may_be_anywhere() -> None:
    objectives = {"a": {"terms": {"t": {"type": "mse"}}}}
    nested = {"model": {"heads": objectives}}
    assert list(lossreg.build_objectives(nested, key="model.heads")) == ["a"]


def test_beside_a_loss_a_key_says_which_is_meant() -> None:
    both = {
        "loss": {"terms": {"u": {"type": "l1"}}},
        "objectives": {"a": {"terms": {"t": {"type": "mse"}}}},
    }
    for find in (lossreg.build, lossreg.build_objectives):
        with pytest.raises(ConfigError, match="found both 'loss:' and 'objectives:'"):
            find(both)
    assert list(lossreg.build(both, key="loss").weights) == ["u"]
    assert list(lossreg.build(both, key="objectives.a").weights) == ["t"]
    assert list(lossreg.build_objectives(both, key="objectives")) == ["a"]
    examined = examine(both, every=True)
    assert examined.objectives == 2
    assert [fault.code for fault in examined.diagnostics] == ["LR109"]


def test_a_fault_of_one_is_a_fault_of_all() -> None:
    faulty = GAN.replace(b"type: l1", b"type: l3").replace(b"checks:", b"check:")
    found = [line.partition(":")[0] for line in messages(faulty)]
    assert found == [
        "LR105 objectives.generator.terms.rebuild.type",
        "LR104 objectives.discriminator.check",
    ]


def test_warnings_are_those_of_each() -> None:
    term = {"type": "mse", "weight": 0}
    source = {"objectives": {name: {"terms": {"t": term}} for name in ("a", "b")}}
    with pytest.warns(ConfigWarning, match="all weights are zero") as found:
        lossreg.build_objectives(source)
    assert [str(warning.message).partition(":")[0] for warning in found] == [
        "objectives.a.terms",
        "objectives.b.terms",
    ]


@pytest.mark.parametrize("arguments", [[], ["--key", "objectives"]])
def test_check_looks_at_all(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gan.yaml").write_bytes(GAN)
    assert main(["check", str(tmp_path), *arguments]) == 0
    assert "1 file checked: no problems" in capsys.readouterr().out
    faulty = GAN.replace(b"type: l1", b"type: l3") + b"  encoder: {}\n"
    (tmp_path / "gan.yaml").write_bytes(faulty)
    assert main(["check", str(tmp_path), *arguments]) == 1
    out = capsys.readouterr().out
    assert "objectives.generator.terms.rebuild.type" in out
    assert "the key 'terms' is missing; under it each term has a name" in out
