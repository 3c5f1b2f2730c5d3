"""Where an objective is, and what is overridden in it."""

from __future__ import annotations

import json

import pytest

from checked_files import FINE, Capture, write
from lossreg.cli import main

pytestmark = pytest.mark.usefixtures("empty_folder")


NESTED = """\
model:
  backbone: resnet
  criterion:
    terms:
      fit: {type: mse, weight: heavy}
  others: [{terms: {fit: {type: mse}}}]
"""


@pytest.mark.parametrize(
    ("key", "first_line", "message"),
    [
        (
            "model.criterion",
            "m.yaml:5:32  model.criterion.terms.fit.weight  [LR201]",
            "expected a number, found the string 'heavy'",
        ),
        (
            "model.criterio",
            "m.yaml:3:3  model.criterion  [LR109]",
            "there is no 'criterio' under 'model'; did you mean 'model.criterion'?",
        ),
        ("mdl.criterion", "m.yaml:1:1  model  [LR109]", "there is no 'mdl' in the document"),
        ("model.loss", "m.yaml:1:1  [LR109]", "there is no 'loss' under 'model'"),
        ("model.others[3]", "m.yaml:6:3  [LR109]", "there is no element 3 under 'model.others'"),
        ("model.backbone", "m.yaml:2:13  model.backbone  [LR101]", "expected a mapping with"),
        ("model..x", "[LR109]", "the key the string 'model..x' is not a path"),
        ("", "[LR109]", "is not a path; write it as model.criterion"),
    ],
)
def test_a_key_says_where_the_loss_is(
    key: str, first_line: str, message: str, capsys: Capture
) -> None:
    assert main(["check", write("m.yaml", NESTED), "--key", key]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == first_line
    assert message in lines[1]


def test_a_key_may_go_through_a_list() -> None:
    assert main(["check", write("m.yaml", NESTED), "--key", "model.others[0]"]) == 0


def test_an_override_is_located_at_the_argument(capsys: Capture) -> None:
    write("loss.yaml", FINE)
    assert (
        main(["check", "loss.yaml", "--set", "terms.fit.weight=yes", "--set", "terms.aux={}"]) == 1
    )
    assert capsys.readouterr().out == (
        "--set:1:18  terms.fit.weight  [LR201]\n"
        "    expected a number, found the string 'yes'\n"
        "    1 | terms.fit.weight=yes\n"
        "      |                  ^^^\n"
        "\n"
        "--set:1:1  terms.aux  [LR102]\n"
        "    the key 'type', the loss's name, is missing\n"
        "    1 | terms.aux={}\n"
        "      | ^^^^^^^^^\n"
        "\n"
        "1 file checked: 2 errors\n"
    )


def test_the_same_fault_in_two_overrides_is_two_faults(capsys: Capture) -> None:
    write("loss.yaml", "terms:\n  a: {type: mse}\n  b: {type: mse}\n")
    overrides = ["--set", "terms.a.weight=012", "--set", "terms.b.weight=012"]
    assert main(["check", "loss.yaml", *overrides]) == 1
    out = capsys.readouterr().out
    assert out.count("write 12\n") == 2
    assert "as well" not in out


@pytest.mark.parametrize(
    ("override", "code", "message"),
    [
        ("terms.fit.weight", "LR401", "expected PATH=VALUE, found no '='"),
        ("=3", "LR401", "before '='"),
        ("terms..fit=3", "LR401", "before '='"),
        ("terms.fit.weight=[1", "LR003", "not valid YAML"),
        ("terms.fit.weight=!x 1", "LR006", "the tag !x is not allowed"),
        ("terms.fit.type.name=l1", "LR402", "'terms.fit.type' is the string 'mse'"),
        ("terms.fit[0]=x", "LR402", "'terms.fit' is a mapping"),
        ("terms.fit.weigth=2", "LR104", "did you mean 'weight'?"),
        ("terms.fit.type=MSELoss", "LR105", "did you mean 'mse'?"),
        ("terms.fit.weight=", "LR201", "expected a number, found nothing"),
    ],
)
def test_an_override_that_is_wrong(override: str, code: str, message: str, capsys: Capture) -> None:
    assert main(["check", write("loss.yaml", FINE), "--set", override, "--json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)["diagnostics"]
    assert (found["code"], found["file"], found["line"]) == (code, "--set", 1)
    assert found["source_line"] == override
    assert message in found["message"]


def test_an_override_beside_the_loss_is_not_lost_in_silence(capsys: Capture) -> None:
    write("loss.yaml", "loss: {terms: {fit: {type: mse}}}\nmodel: {depth: 1}\n")
    assert main(["check", "loss.yaml", "--set", "los.terms.fit.weight=2"]) == 1
    out = capsys.readouterr().out
    assert "this override creates the key 'los', which nothing reads; did you mean 'loss'?" in out
    assert main(["check", "loss.yaml", "--set", "model.depth=2"]) == 0
    assert main(["check", "loss.yaml", "--set", "loss.terms.fit.weight=2"]) == 0
