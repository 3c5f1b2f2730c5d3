"""`lossreg try` on the command line, and on every file in configs/."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from documents import Document
from lossreg.cli import main
from properties import CONFIGS

# What the step of each file gives, as its first lines say it.
SHAPES: dict[str, str] = {
    "imbalanced": "logits=N 4|label=N int64|attributes=N 2|has_attribute=N 2",
    "beta_vae": "pixels=N 3 8 8|image=N 3 8 8|kl=N D",
    "clip": "cosines=N N|log_scale=",
    "contrastive": "similarity=N N|pairs=N int64|logits=N C|labels=N int64",
    "deep_supervision": "image=N 3 8 8|outputs[0]=N C 8 8|outputs[1]=N C 4 4|outputs[2]=N C 2 2|"
    "labels[0]=N 8 8 int64|labels[1]=N 4 4 int64|labels[2]=N 2 2 int64",
    "detr": "num_boxes=5.0|"
    "layers[0].logits=N Q 4|layers[0].classes=N Q int64|layers[0].boxes=M 4|"
    "layers[0].target_boxes=M 4|layers[0].giou=M|"
    "layers[1].logits=N Q 4|layers[1].classes=N Q int64|layers[1].boxes=M 4|"
    "layers[1].target_boxes=M 4|layers[1].giou=M",
    "digits": "logits=N 10|labels=N int64|decoder.pixels=N 1 8 8|image=N 1 8 8",
    "distillation": "logits=N C|teacher.logits=N C|labels=N int64",
    "dpo": "policy.chosen=N|policy.rejected=N|reference.chosen=N|reference.rejected=N|lengths=N",
    "entropy_bonus": "policy.logits=N A|policy.entropy=N|actions=N int64|advantages=N|values=N|"
    "returns=N",
    "fcos": "logits=L C|classes=L C|positive=L bool|giou=L|centerness=L|centre=L",
    "force_field": "energy=G|labels.energy=G|forces=A 3|labels.forces=A 3|atoms=G|"
    "structure=A int64|importance=G",
    "gan_discriminator": "scores.real=N 1|scores.fake=N 1",
    "gan_generator": "scores.fake=N 1|features.fake=D|features.real=D",
    "keypoints": "heatmaps=N K H W|target=N K H W|visible=N K|hardness=K",
    "language_model": "logits=N T V|labels=N T int64",
    "masked_kl": "predicted=N T F|frames=N T F|mean=N T D|log_variance=N T D|valid=N T bool",
    "min_snr": "predicted=N 3 8 8|noise=N 3 8 8|t=N int64|snr=T",
    "multi_head": "heads.age=N|labels.age=N|heads.species=N C|labels.species=N int64|"
    "heads.tags=N K|labels.tags=N K|labels.tagged=N bool|heads.depth=N H W|labels.depth=N H W",
    "multi_task_uncertainty": "classes=N C H W|labels.classes=N H W int64|offsets=N 2 H W|"
    "labels.offsets=N 2 H W|disparity=N H W|labels.disparity=N H W|measured=N H W bool",
    "pinn": "laplacian=N|source=N|edge=M|value=M|lam.inside=N|lam.edge=M",
    "ppo": "logp=N|old_logp=N|advantages=N|entropy=N|values=N|returns=N",
    "raft": "flows[0]=N 2 H W|flows[1]=N 2 H W|flows[2]=N 2 H W|true_flow=N 2 H W|valid=N H W bool",
    "segmentation": "out=N 4 H W|aux=N 4 H W|labels=N H W int64",
    "vocoder_gan": "scores.real=N L|scores.fake=N L|mel.fake=N F T|mel.real=N F T|"
    "maps.fake[0][0]=N 8|maps.fake[0][1]=N 4|maps.fake[1][0]=N 6|"
    "maps.real[0][0]=N 8|maps.real[0][1]=N 4|maps.real[1][0]=N 6",
    "weather": "forecast=N T V H W|analysis=N T V H W|variables=V|area=H",
    "wgan_critic": "scores.real=N|scores.fake=N|penalty=N",
    "wgan_generator": "scores.fake=N",
}

CONFIG = """\
terms:
  classify: {type: cross_entropy, inputs: [logits, labels]}
  rebuild: {type: smooth_l1, weight: 0.5, inputs: [decoder.pixels, image]}
"""
WORDS = ("logits=N 10", "labels=N int64", "decoder.pixels=N 3 8 8", "image=N 3 8 8")


@pytest.fixture
def file(empty_folder: Path) -> str:
    (empty_folder / "loss.yaml").write_text(CONFIG, encoding="utf-8")
    return "loss.yaml"


def test_every_config_has_shapes_here() -> None:
    assert SHAPES.keys() == {file.stem for file in CONFIGS.glob("*.yaml")}


@pytest.mark.parametrize("name", SHAPES)
def test_every_config_runs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["try", str(CONFIGS / f"{name}.yaml"), *SHAPES[name].split("|"), "--json"])
    trial = json.loads(capsys.readouterr().out)
    assert code == 0, trial
    assert not trial["problem"]
    for objective in trial["objectives"]:
        assert objective["total"] is not None
        assert all(term["value"] is not None for term in objective["terms"])
        assert not [note for term in objective["terms"] for note in term["notes"]]
    assert not [tensor for tensor in trial["tensors"] if tensor["guessed"]]


def test_it_says_what_became_of_each_term(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["try", file, *WORDS]) == 0
    assert (
        capsys.readouterr().out
        == """\
N = 2

tensor          shape         dtype    holds
logits          (2, 10)       float32  real numbers
labels          (2,)          int64    class indices from 0 to 9
decoder.pixels  (2, 3, 8, 8)  float32  real numbers
image           (2, 3, 8, 8)  float32  real numbers

term      loss           value   weight  gradient
classify  cross_entropy  4.417   1       input: yes
rebuild   smooth_l1      0.7915  0.5     input: yes
total 4.812, forward and backward
"""
    )


def test_without_tensors_it_prints_a_command_that_runs(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["try", file, "--set", "terms.rebuild.weight=2"]) == 2
    out = capsys.readouterr().out
    command = out.splitlines()[-1]
    assert command == (
        "lossreg try loss.yaml --set terms.rebuild.weight=2 logits='N C *' labels='N * int64' "
        "decoder.pixels='*' image='*'"
    )
    assert main(shlex.split(command)[1:]) == 0
    assert "rebuild   smooth_l1" in capsys.readouterr().out
    assert main(["try", file, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["command"].startswith("lossreg try loss.yaml ")


def test_a_path_with_places_is_quoted_for_the_shell(
    empty_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (empty_folder / "loss.yaml").write_text("terms: {a: {type: value, inputs: ['aux[1].kl']}}")
    assert main(["try", "loss.yaml"]) == 2
    assert capsys.readouterr().out.splitlines()[-1] == "lossreg try loss.yaml 'aux[1].kl=*'"


def test_what_is_missing_is_listed_with_the_whole_command(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["try", file, WORDS[0], "label=N int64", *WORDS[2:]]) == 1
    out = capsys.readouterr().out
    assert "failed: term 'classify', input 'target' (path 'labels'): there is no 'labels'" in out
    assert "Did you mean 'label'?" in out
    assert "unused: 'label': nothing reads it; did you mean 'labels'?\n" in out
    assert "rebuild   smooth_l1      0." in out
    assert out.endswith(
        "missing: 'labels'; the whole command is\n"
        "lossreg try loss.yaml logits='N 10' labels='N * int64' decoder.pixels='N 3 8 8' "
        "image='N 3 8 8'\n"
    )


def test_json_has_the_error_with_its_argument_and_path(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["try", file, *WORDS[:1], "labels=M int64", *WORDS[2:], "--json"]) == 1
    trial = json.loads(capsys.readouterr().out)
    term = trial["objectives"][0]["terms"][0]
    assert (term["name"], term["argument"], term["path"]) == ("classify", "target", "labels")
    assert trial["sizes"] == {"N": 2, "M": 4}
    assert trial["problem"] is True


def test_a_size_can_be_said(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["try", file, *WORDS, "--size", "N=7", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tensors"][0]["shape"] == [7, 10]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["logits=N 1o"], "error: 'logits=N 1o': at character 10, found '1o'; expected dimensions"),
        (["logits=N", "--size", "M=3"], "error: '--size M=3': no shape has the letter 'M'"),
        (["logits=99999 99999"], "the largest is 'logits', (99999, 99999) float32 of 37.3 GiB"),
        (["logits=N", "logits=N"], "error: 'logits' stands twice"),
    ],
)
def test_wrong_words_are_wrong_usage(
    file: str, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["try", file, *words]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_a_seed_that_torch_refuses_is_wrong_usage(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in ("-1", str(2**63), "one"):
        with pytest.raises(SystemExit) as stop:
            main(["try", file, f"--seed={seed}", *WORDS])
        assert stop.value.code == 2
        assert f"'{seed}': expected a number from 0 to 2^63 - 1" in capsys.readouterr().err


def test_one_of_several_objectives_is_chosen_by_its_key(
    empty_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (empty_folder / "gan.yaml").write_text(
        "objectives:\n"
        "  generator: {terms: {fool: {type: value, inputs: [fake]}}}\n"
        "  critic: {terms: {real: {type: value, inputs: [real]}}}\n",
        encoding="utf-8",
    )
    assert main(["try", "gan.yaml", "fake=N", "real=N"]) == 0
    out = capsys.readouterr().out
    assert "objective 'generator'" in out
    assert "objective 'critic'" in out
    assert main(["try", "gan.yaml", "real=N", "--key", "objectives.critic"]) == 0
    assert "fake" not in capsys.readouterr().out


def test_a_faulty_file_is_reported_as_check_does(
    empty_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (empty_folder / "bad.yaml").write_text("terms:\n  fit: {type: msee}\n", encoding="utf-8")
    assert main(["try", "bad.yaml", "input=N"]) == 1
    assert "bad.yaml:2:15  terms.fit.type  [LR105]" in capsys.readouterr().err


def test_it_prints_what_the_docs_show(
    empty_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = Document("docs/tools.md")
    config = next(block for block in page.blocks("yaml") if "rebuild" in block)
    (empty_folder / "loss.yaml").write_text(config, encoding="utf-8")
    shown = next(block for block in page.blocks("console") if block.startswith("$ lossreg try"))
    command, _, expected = shown.partition("\n")
    assert main(shlex.split(command)[2:]) == 0
    assert capsys.readouterr().out == expected
