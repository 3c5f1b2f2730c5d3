"""LightningCLI builds objectives from their class path, and overrides reach into them."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jsonargparse", reason="jsonargparse, of lightning[pytorch-extra], is missing")

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # older ones import what is deprecated
    from lightning.pytorch.cli import LightningCLI

import lossreg
from lossreg.errors import ConfigError
from lossreg.integrations.lightning import ObjectiveModule

# jsonargparse's own: of Lightning's calls, and of values that it shows in a message.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:\\s*Unable to serialize"),
]

TERMS = """\
terms:
  classify: {type: cross_entropy, weight: 0.5, inputs: [logits, labels]}
  rebuild: {type: mse, weight: 5.0, inputs: [pixels, image]}
"""
BY_PATH = """\
model:
  objective:
    class_path: lossreg.build
    init_args:
      source: loss.yaml
"""
INLINE = """\
model:
  objective:
    class_path: lossreg.build
    init_args:
      source:
        terms:
          classify: {type: cross_entropy, weight: 0.5, inputs: [logits, labels]}
          rebuild: {type: mse, weight: 5.0, inputs: [pixels, image]}
"""
AS_DICT = """\
model:
  objective:
    terms:
      rebuild: {type: mse, weight: 5.0, inputs: [pixels, image]}
"""


class Model(ObjectiveModule):
    def __init__(self, objective: lossreg.CompositeLoss, width: int = 3) -> None:
        super().__init__(objective)
        self.width = width


class OfDict(ObjectiveModule):
    def __init__(self, objective: dict) -> None:  # type: ignore[type-arg]
        super().__init__(lossreg.build(objective))


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py"])


def made(module: Any, config: str, *arguments: str) -> Any:
    Path("cli.yaml").write_text(config, encoding="utf-8")
    Path("loss.yaml").write_text(TERMS, encoding="utf-8")
    options = {"logger": False, "accelerator": "cpu", "enable_checkpointing": False}
    cli = LightningCLI(
        module,
        run=False,
        seed_everything_default=False,
        trainer_defaults=options,
        args=["--config", "cli.yaml", *arguments],
    )
    return cli.model


@pytest.mark.parametrize("config", [BY_PATH, INLINE], ids=["a file", "inline"])
@pytest.mark.parametrize(
    ("arguments", "weight"),
    [
        ([], 5.0),
        (["--model.objective.overrides+=terms.rebuild.weight=0.3"], 0.3),
        (["--model.objective.init_args.overrides=[terms.rebuild.weight=0.2]"], 0.2),
    ],
)
def test_an_objective_is_built_from_its_class_path(
    config: str, arguments: list[str], weight: float
) -> None:
    model = made(Model, config, *arguments)
    assert model.objective.weights == {"classify": 0.5, "rebuild": weight}


def test_an_objective_may_be_a_dict() -> None:
    assert made(OfDict, AS_DICT).objective.weights == {"rebuild": 5.0}


def test_an_override_of_a_dict_says_what_to_write() -> None:
    override = "--model.objective.terms.rebuild.weight=0.3"
    with pytest.raises(ConfigError) as raised:
        made(OfDict, AS_DICT, override)
    (diagnostic,) = raised.value.diagnostics
    assert diagnostic.code == "LR107"
    assert "'rebuild.weight' is the path of a value, not a term's name" in diagnostic.message
    assert "--model.objective.overrides+=terms.rebuild.weight=..." in diagnostic.message
