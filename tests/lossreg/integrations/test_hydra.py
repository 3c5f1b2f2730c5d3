"""The application of docs/trainers.md, as Hydra runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("hydra")

from omegaconf import OmegaConf

import lossreg
from documents import Document

PAGE = Document("docs/trainers.md").section("## Hydra")
(COMMANDS,) = PAGE.blocks("console")
_, FOCAL, CLASSIFY, MULTIRUN, CHECK, CHECK_FILES = COMMANDS.splitlines()


@pytest.fixture
def application(tmp_path: Path) -> Path:
    PAGE.write_files(tmp_path)
    return tmp_path


def run(command: str, folder: Path) -> str:
    """The output of a command of the page."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    finished = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def printed(output: str) -> list[tuple[str, float]]:
    """The fingerprint and the total of each run."""
    found = re.findall(r"^(\S+): (\d+\.\d{4})$", output, re.MULTILINE)
    return [(fingerprint, float(total)) for fingerprint, total in found]


def trained(file: Path, **values: float) -> tuple[str, float]:
    """What the application prints for an objective of its group, without Hydra."""
    config = OmegaConf.merge({"gamma": 2.0, "smoothing": 0.1, "loss": OmegaConf.load(file)}, values)
    loss = lossreg.build(OmegaConf.to_container(config, resolve=True), key="loss")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        x, labels = torch.randn(64, 8), torch.arange(64) % 3
        model = torch.nn.Linear(8, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(20):
        out = loss(logits=model(x), labels=labels)
        out.total.backward()
        optimizer.step()
        optimizer.zero_grad()
    return loss.fingerprint, pytest.approx(out.total.item(), abs=1e-4)


@pytest.mark.nightly
def test_a_group_of_objectives_is_chosen_and_changed_on_the_command_line(application: Path) -> None:
    (found,) = printed(run(FOCAL, application))
    assert found == trained(application / "conf/loss/focal.yaml", gamma=1.5)


@pytest.mark.nightly
def test_a_weight_is_changed_on_the_command_line(application: Path) -> None:
    file = application / "conf/loss/ce.yaml"
    config = OmegaConf.create({"smoothing": 0.1, "loss": OmegaConf.load(file)})
    expected = lossreg.build(config, overrides=["loss.terms.classify.weight=0.5"])
    ((fingerprint, _),) = printed(run(CLASSIFY, application))
    assert fingerprint == expected.fingerprint


@pytest.mark.nightly
def test_several_objectives_in_one_run(application: Path) -> None:
    found = printed(run(MULTIRUN, application))
    ce, focal = application / "conf/loss/ce.yaml", application / "conf/loss/focal.yaml"
    assert found == [
        trained(ce, gamma=1.0),
        trained(ce),
        trained(focal, gamma=1.0),
        trained(focal),
    ]
    assert len({fingerprint for fingerprint, _ in found}) == 3


def test_what_hydra_composed_is_checked(application: Path) -> None:
    assert run(CHECK, application) == "1 file checked: no problems\n"


def test_the_files_are_checked_without_their_interpolations(application: Path) -> None:
    assert "2 interpolations passed over): no problems" in run(CHECK_FILES, application)


def test_the_focal_loss_is_focal(application: Path) -> None:
    file = application / "conf/loss/focal.yaml"
    config = OmegaConf.create({"gamma": 2.0, "loss": OmegaConf.load(file)})
    logits = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
    labels = torch.arange(7) % 3
    out = lossreg.build(config).double()(logits=logits, labels=labels)
    p = logits.softmax(1)[torch.arange(7), labels]
    expected = ((1 - p) ** 2 * -p.log()).mean()
    torch.testing.assert_close(out.total, expected)
    found, wanted = (torch.autograd.grad(each, logits)[0] for each in (out.total, expected))
    torch.testing.assert_close(found, wanted)


def test_the_page_runs(application: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(application)
    PAGE.run_python()


def test_the_cluster_is_configured_by_hydras_own_keys(application: Path) -> None:
    cluster = OmegaConf.load(application / "conf/cluster.yaml")
    assert cluster.hydra.launcher.timeout_min == 60
