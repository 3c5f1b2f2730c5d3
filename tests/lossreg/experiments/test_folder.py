from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from lossreg.config import load_experiment
from lossreg.errors import LossregError
from lossreg.experiments.folder import annotated_config, new_folder

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
def test_the_kept_config_says_the_overrides_and_still_loads(tmp_path: Path, mark: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(mark + EXPERIMENT, encoding="utf-8")
    kept = annotated_config(file, ["seed=3", "loss.terms.fit.params={\n  label_smoothing: 0.1}"])
    assert kept == (
        "# lossreg run mine.yaml\n"
        "#   --set seed=3\n"
        "#   --set loss.terms.fit.params={ label_smoothing: 0.1}\n\n" + EXPERIMENT
    )
    assert load_experiment(kept.encode()) == load_experiment(file)


def test_a_config_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(LossregError, match=r"cannot read '.*gone\.yaml'"):
        annotated_config(tmp_path / "gone.yaml", [])
