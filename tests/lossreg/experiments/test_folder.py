from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from lossreg.config import load_experiment, load_kept_experiment
from lossreg.errors import LossregError
from lossreg.experiments import folder
from lossreg.experiments.folder import kept_config, new_folder

if TYPE_CHECKING:
    from pathlib import Path

EXPERIMENT = "task: digits\nloss:\n  terms: {fit: {type: cross_entropy}}\n"


def test_a_folder_that_exists_is_never_given_again(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "runs"
    names = [new_folder(root, "digits").name for _ in range(3)]
    assert names == ["digits", "digits-2", "digits-3"]


def test_a_file_in_the_way_counts_as_taken(tmp_path: Path) -> None:
    (tmp_path / "digits").write_text("mine")
    assert new_folder(tmp_path, "digits").name == "digits-2"
    assert (tmp_path / "digits").read_text() == "mine"


def test_runs_at_once_get_folders_of_their_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: new_folder(tmp_path, "digits"), range(40)))
    assert len(set(folders)) == 40
    assert sum(each.is_dir() for each in folders) == 40


def test_a_root_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    root.write_text("a file")
    with pytest.raises(LossregError, match=r"cannot make a run folder in '.*runs': File exists"):
        new_folder(root, "digits")


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "byte order mark"])
def test_the_kept_config_is_what_was_trained(mark: str) -> None:
    overrides = ["seed=3", "loss.terms.fit.params={\n  label_smoothing: 0.1}"]
    experiment, document = load_kept_experiment((mark + EXPERIMENT).encode(), overrides=overrides)
    kept = kept_config(document, "mine.yaml", [f"--set {each}" for each in overrides])
    assert kept == (
        "# What `lossreg run mine.yaml` trained, with this applied:\n"
        "#   --set seed=3\n"
        "#   --set loss.terms.fit.params={ label_smoothing: 0.1}\n\n"
        "task: digits\n"
        "loss:\n"
        "  terms:\n"
        "    fit:\n"
        "      type: cross_entropy\n"
        "      params:\n"
        "        label_smoothing: 0.1\n"
        "seed: 3\n"
    )
    assert load_experiment(kept.encode()) == experiment


@pytest.mark.parametrize(
    "said",
    ["a\nseed: 9", "a\rseed: 9", "a\x85seed: 9", "a\u2028b", "\x1b[2J", "\udcff", "\u202e", "\t"],
)
def test_nothing_that_was_said_leaves_its_comment(said: str) -> None:
    experiment, document = load_kept_experiment(EXPERIMENT.encode())
    kept = kept_config(document, f"{said}.yaml", [f"--set {said}"])
    head, _, body = kept.partition("\n\n")
    assert [line[0] for line in head.split("\n")] == ["#", "#"]
    assert body.startswith("task: digits\n")
    assert all(char.isprintable() or char == "\n" for char in kept)
    assert load_experiment(kept.encode()) == experiment


def test_a_config_that_could_not_be_read_again_is_refused() -> None:
    notes = ", ".join(f"'{chr(0x202E) * 50_000}'" for _ in range(5))
    _, document = load_kept_experiment(f"{EXPERIMENT}notes: [{notes}]\n".encode())
    with pytest.raises(LossregError, match="with its overrides it has more than 1,048,576 bytes"):
        kept_config(document, "mine.yaml", [])


def test_a_config_that_would_be_read_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _, document = load_kept_experiment(EXPERIMENT.encode())
    monkeypatch.setattr(folder, "yaml_text", lambda _: EXPERIMENT.replace("digits", "digit"))
    with pytest.raises(LossregError, match="it would not be read as it was trained"):
        kept_config(document, "mine.yaml", [])
