"""What is built can be installed, and works from where it was installed."""

from __future__ import annotations

import json
import sys
import tarfile
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

from built_ins import BUILT_INS
from environments import ROOT, built_wheel, environment, install, run


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=ROOT)
    (file,) = folder.glob("lossreg-*.tar.gz")
    return file


@pytest.fixture(scope="module")
def wheel_from_sdist(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_wheel(sdist, tmp_path_factory.mktemp("wheel_from_sdist"))


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


# The wheel of the sdist is that of the tree, as the next test says.
@pytest.mark.parametrize(
    "kind",
    [
        "wheel_from_sdist",
        *(pytest.param(kind, marks=pytest.mark.nightly) for kind in ("wheel", "editable")),
    ],
)
def test_an_installed_lossreg_works(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    what = ["--editable", ROOT] if kind == "editable" else [request.getfixturevalue(kind)]
    python = environment(tmp_path / "env")
    install(python, *what)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    found = json.loads(run(python.with_name("lossreg"), "list", "--json", cwd=elsewhere))
    assert [each["name"] for each in found] == BUILT_INS
    assert {each["state"] for each in found} == {"ok"}
    assert {each["distribution"] for each in found} == {"lossreg"}

    code = (
        "import importlib.metadata, lossreg, lossreg_losses\n"
        "print(lossreg.__file__, lossreg_losses.__file__,"
        " importlib.metadata.distribution('lossreg').locate_file(''), sep='\\n')\n"
        "print(lossreg.create('l1'))\n"
    )
    core, losses, metadata, module = run(python, "-c", code, cwd=elsewhere).splitlines()
    home = ROOT if kind == "editable" else tmp_path / "env"
    assert Path(core).is_relative_to(home)
    assert Path(losses).is_relative_to(home)
    assert Path(metadata).is_relative_to(tmp_path / "env")
    assert module == "L1Loss()"


def test_the_sdist_gives_the_same_wheel(wheel: Path, wheel_from_sdist: Path) -> None:
    assert contents(wheel_from_sdist) == contents(wheel)


def test_the_wheel_holds_two_packages_and_nothing_else(wheel: Path) -> None:
    top = {name.partition("/")[0] for name in contents(wheel)}
    assert top == {"lossreg", "lossreg_losses", f"lossreg-{wheel.name.split('-')[1]}.dist-info"}


def test_the_wheel_holds_every_module(wheel: Path) -> None:
    expected = {
        file.relative_to(parent).as_posix()
        for parent, package in ((ROOT, "lossreg"), (ROOT / "plugins", "lossreg_losses"))
        for file in (parent / package).rglob("*.py")
    }
    assert {name for name in contents(wheel) if name.endswith(".py")} == expected


def test_the_wheel_holds_the_templates_of_a_new_plugin(wheel: Path) -> None:
    expected = {file.name for file in (ROOT / "lossreg" / "cli" / "templates").iterdir()}
    found = {name for name in contents(wheel) if name.startswith("lossreg/cli/templates/")}
    assert {Path(name).name for name in found} == expected


def test_the_wheel_is_typed_and_licensed(wheel: Path) -> None:
    found = contents(wheel)
    assert {"lossreg/py.typed", "lossreg_losses/py.typed"} <= set(found)
    (licence,) = [text for name, text in found.items() if name.endswith("/licenses/LICENSE")]
    assert licence == (ROOT / "LICENSE").read_bytes()
    (metadata,) = [text for name, text in found.items() if name.endswith("/METADATA")]
    assert b"\nLicense-Expression: Apache-2.0\n" in metadata


def test_the_wheels_entry_points_lead_to_its_modules(wheel: Path) -> None:
    found = contents(wheel)
    (text,) = [each for name, each in found.items() if name.endswith("/entry_points.txt")]
    entry_points = ConfigParser(delimiters="=")
    entry_points.read_string(text.decode())
    assert dict(entry_points["console_scripts"]) == {"lossreg": "lossreg.cli:main"}
    assert dict(entry_points["lossreg.tasks"]) == {"digits": "lossreg.experiments.digits"}
    assert "lossreg/experiments/digits/__init__.py" in found
    losses = dict(entry_points["lossreg.losses"])
    assert sorted(losses) == BUILT_INS
    for module in losses.values():
        assert f"{module.replace('.', '/')}.py" in found


def test_the_sdist_holds_what_a_developer_needs(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "LICENSE",
        "Makefile",
        "README.md",
        "configs/digits.yaml",
        "constraints.txt",
        "docs/assemble.py",
        "mkdocs.yml",
        "plugins/lossreg-example/pyproject.toml",
        "plugins/lossreg_losses/l1.py",
        "pyproject.toml",
        "tests/test_packaging.py",
    } <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith(".venv")]
