"""`lossreg bridge`: a library's losses as source that does not import it, its guesses marked."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

import lossreg
import stranger_losses
from environments import ROOT, environment, install, run
from lossreg.cli import main

if TYPE_CHECKING:
    from fake_distributions import Site

LIBRARY = ROOT / "tests" / "support" / "stranger_losses.py"
if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


@pytest.fixture
def project(folder: Path) -> Path:
    """What is written for the stranger's losses."""
    assert main(["bridge", "stranger_losses", "--name", "acme"]) == 0
    return folder / "lossreg-acme"


@pytest.fixture
def installed(project: Path, site: Site) -> Site:
    """It, installed as its pyproject says."""
    told = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    entry_points = told["entry-points"]["lossreg.losses"]
    package = project / "src" / "lossreg_acme"
    site.add(told["name"], entry_points, {}, version=told["version"])
    shutil.copytree(package, Path(site.path) / "lossreg_acme")
    return site


def source(project: Path, name: str) -> str:
    return (project / "src" / "lossreg_acme" / f"{name}.py").read_text(encoding="utf-8")


def test_it_says_what_was_written_and_what_not_and_why(folder: Path, capsys: Capture) -> None:
    assert main(["bridge", "stranger_losses", "--name", "acme"]) == 0
    project = folder / "lossreg-acme"
    out, err = capsys.readouterr()
    assert err == ""
    assert "2 losses written, 2 not:\n" in out
    assert (
        "  MappingLoss: MappingLoss.forward is called with 'outputs', which is dict: not a" in out
    )
    assert (
        "  VectorLoss: no batch that was tried fits it: TypeError: its value has the shape" in out
    )
    assert "Encoder" not in out
    readme = (project / "README.md").read_text(encoding="utf-8")
    assert "| `acme_charbonnier` | `stranger_losses.CharbonnierLoss` |\n" in readme
    assert "- VectorLoss: no batch that was tried fits it" in readme
    assert "{{" not in readme


def test_each_guess_is_marked(project: Path) -> None:
    text = source(project, "charbonnier")
    for guess, line in (
        ("# guessed: no bounds", "eps: int | float = Field("),
        ("# guessed: any text; list the words that the class takes", "mode: str = Field("),
        ("# guessed: one number for each class", "weight: ClassWeights | None = Field("),
        ("# guessed: of any shape; differentiated", "LossInput("),
        ("# guessed: of any shape; not tried", "LossInput("),
    ):
        assert f"{guess}\n" in text
        lines = [text_line.strip() for text_line in text.splitlines()]
        assert line in [lines[place + 1] for place, each in enumerate(lines) if each == guess]
    assert '    reduction: Literal["mean"] = Field(' in text
    assert "# activation is Callable[[torch.Tensor], torch.Tensor], which cannot be" in text
    assert "compiles=None,  # not tried" in text
    assert "# guessed: a whole number, from its name\n" in source(project, "centre")
    test = (project / "tests" / "test_acme_centre.py").read_text(encoding="utf-8")
    assert "    # guessed: the first values that the class took\n" in test
    assert (
        '    params: ClassVar[dict[str, object]] = {"num_classes": 4, "embedding_size": 6}' in test
    )


@pytest.mark.parametrize("command", ["check", "format --check --diff"])
def test_what_is_written_is_as_ruff_likes_it(command: str, project: Path) -> None:
    for options in ((), ("--isolated",)):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command.split(), "--no-cache", *options, "."],
            cwd=project,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


def test_neither_list_nor_check_imports_the_library(
    installed: Site, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setitem(sys.modules, "stranger_losses", None)  # importing it would fail
    config = folder / "loss.yaml"
    term = "{type: acme_charbonnier, inputs: [p, y], params: {eps: 1, norm: squared}}"
    config.write_text(f"terms: {{fit: {term}}}\n", encoding="utf-8")
    assert main(["check", str(config)]) == 0
    assert main(["list"]) == 0
    assert main(["show", "acme_charbonnier"]) == 0
    assert main(["show", "acme_centre"]) == 0
    out = capsys.readouterr().out
    assert 'Absolute error, rounded off near "zero"' in out
    assert "num_classes: integer, required" in out
    config.write_text(f"terms: {{fit: {term.replace('squared', 'sqared')}}}\n", encoding="utf-8")
    assert main(["check", str(config)]) == 1
    assert "did you mean 'squared'?" in capsys.readouterr().out
    assert installed


def test_what_is_built_is_the_librarys(installed: Site) -> None:
    assert installed
    made: Any = lossreg.create("acme_charbonnier", eps=0.5, norm="squared", weight=[1.0, 2.0])
    assert type(made) is stranger_losses.CharbonnierLoss
    assert (made.norm, made.reduction, made.activation) == (
        stranger_losses.Norm.SQUARED,
        "mean",
        None,
    )
    assert made.weight.tolist() == [1.0, 2.0]
    own = stranger_losses.CharbonnierLoss(0.5, reduction="mean")  # type: ignore[no-untyped-call]
    values = torch.rand(4, 3, requires_grad=True), torch.rand(4, 3), torch.rand(4, 3)
    assert made(*values).equal(own(*values))
    terms = {"fit": {"type": "acme_charbonnier", "inputs": {"input": "p", "target": "y"}}}
    loss = lossreg.build({"terms": terms})
    default = stranger_losses.CharbonnierLoss(reduction="mean")  # type: ignore[no-untyped-call]
    expected = default(*values[:2])
    assert loss({"p": values[0], "y": values[1]}).total.equal(expected)


def test_a_name_and_a_folder_are_chosen(folder: Path, capsys: Capture) -> None:
    assert main(["bridge", "stranger_losses", "--out", "plugins"]) == 0
    project = folder / "plugins" / "lossreg-stranger-losses"
    assert 'name="stranger_losses_centre",' in (
        project / "src" / "lossreg_stranger_losses" / "centre.py"
    ).read_text(encoding="utf-8")
    capsys.readouterr()
    assert main(["bridge", "stranger_losses", "--out", "plugins"]) == 1
    assert "already exists; nothing is overwritten" in capsys.readouterr().err


def test_a_name_that_a_loss_has_is_not_written(
    folder: Path, installed: Site, capsys: Capture
) -> None:
    assert installed
    capsys.readouterr()
    assert main(["bridge", "stranger_losses", "--name", "acme", "--out", "twice"]) == 1
    err = capsys.readouterr().err
    assert "error: stranger_losses exports no loss that could be described\n" in err
    assert "CentreLoss: lossreg-acme already has a loss 'acme_centre'" in err
    assert not (folder / "twice").exists()


def test_it_requires_the_library_as_it_is_installed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owners = {"stranger_losses": ["Acme-Losses"]}
    monkeypatch.setattr(importlib.metadata, "packages_distributions", lambda: owners)
    own = importlib.metadata.version
    versions = {"Acme-Losses": "1.2.0+cpu"}
    monkeypatch.setattr(importlib.metadata, "version", lambda name: versions.get(name) or own(name))
    assert main(["bridge", "stranger_losses", "--name", "acme"]) == 0
    text = (folder / "lossreg-acme" / "pyproject.toml").read_text(encoding="utf-8")
    assert tomllib.loads(text)["project"]["dependencies"][-1] == "Acme-Losses>=1.2.0"


def test_what_cannot_be_bridged(folder: Path, capsys: Capture) -> None:
    (folder / "acme_broken.py").write_text("1 / 0\n", encoding="utf-8")
    for words, message in (
        (["acme_nowhere"], "error: acme_nowhere cannot be imported: ModuleNotFoundError"),
        (["acme_broken"], "error: acme_broken cannot be imported: ZeroDivisionError"),
        (["json"], "error: json exports no loss that could be described\n  a class counts as a "),
    ):
        assert main(["bridge", *words]) == 1
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["bridge", "json", "--name", "No-Name"])
    assert "argument --name: 'No-Name': expected small letters" in capsys.readouterr().err


@pytest.mark.nightly
def test_what_is_written_installs_and_passes_its_tests(wheel: Path, tmp_path: Path) -> None:
    python = environment(tmp_path / "env")
    install(python, wheel)
    shutil.copy(LIBRARY, tmp_path)
    run(python.with_name("lossreg"), "bridge", "stranger_losses", "--name", "acme", cwd=tmp_path)
    project = tmp_path / "lossreg-acme"
    install(python, project)
    path = str(tmp_path)
    tested = run(
        python, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=project, PYTHONPATH=path
    )
    assert " passed" in tested
    assert "failed" not in tested
    assert "Success" in run(python, "-m", "mypy", cwd=project, PYTHONPATH=path)
