from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from environments import ROOT, environment, install, run
from fake_distributions import Site, plugin
from lossreg.cli import main
from lossreg.cli.ownership import Owner
from lossreg.cli.verbs.new import distribution
from lossreg.config import load_config

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EXAMPLE = ROOT / "plugins" / "lossreg-example"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def usage_error(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as raised:
        main(["new", *arguments])
    assert raised.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err


def files(folder: Path) -> dict[str, str]:
    """What was put there, without what tools leave behind."""
    return {
        file.relative_to(folder).as_posix(): file.read_bytes().decode()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
        and not any(
            part.endswith(("__pycache__", "_cache", ".egg-info"))
            for part in file.relative_to(folder).parts
        )
    }


def test_the_example_is_what_it_writes() -> None:
    assert files(EXAMPLE) == distribution("example"), (
        "write it anew: remove plugins/lossreg-example, then lossreg new example --into plugins"
    )


def test_it_writes_a_folder_and_says_what_is_next(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", "log_cosh"]) == 0
    written = files(folder / "lossreg-log-cosh")
    assert written == distribution("log_cosh")
    out, err = capsys.readouterr()
    first, *listed = out.partition("next:\n")[0].splitlines()
    assert (err, first) == ("", "wrote lossreg-log-cosh:")
    assert sorted(each.strip() for each in listed) == sorted(written)
    assert "\n  cd lossreg-log-cosh\n" in out


def test_it_can_write_elsewhere(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "quantile", "--into", "my plugins/here"]) == 0
    assert files(folder / "my plugins" / "here" / "lossreg-quantile") == distribution("quantile")
    assert "\n  cd 'my plugins/here/lossreg-quantile'\n" in capsys.readouterr().out


def test_no_place_is_left_unfilled() -> None:
    for path, text in distribution("log_cosh").items():
        assert not re.search(r"\{\{\w", path + text), path


def read_toml(text: str) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads(text)
    return found


def test_nothing_is_uploaded_until_a_licence_is_chosen(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", "log_cosh"]) == 0
    assert "before it is published, choose a licence" in capsys.readouterr().out
    written = files(folder / "lossreg-log-cosh")
    project = read_toml(written["pyproject.toml"])["project"]
    assert "Private :: Do Not Upload" in project["classifiers"]
    assert project.keys().isdisjoint({"license", "authors", "urls"})
    assert "LICENSE" not in written


def test_a_licence_authors_and_an_address_are_written(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whose = ["--license", "MIT", "--author", 'Ada "L" Lovelace <ada@example.org>']
    whose += ["--author", "Émilie", "--url", "https://github.com/ada/log-cosh/"]
    assert main(["new", "log_cosh", *whose]) == 0
    assert "licence" not in capsys.readouterr().out
    written = files(folder / "lossreg-log-cosh")
    project = read_toml(written["pyproject.toml"])["project"]
    assert (project["license"], project["license-files"]) == ("MIT", ["LICENSE"])
    assert project["authors"] == [
        {"name": 'Ada "L" Lovelace', "email": "ada@example.org"},
        {"name": "Émilie"},
    ]
    assert project["urls"] == {
        "Homepage": "https://github.com/ada/log-cosh",
        "Issues": "https://github.com/ada/log-cosh/issues",
    }
    assert not any("Private" in classifier for classifier in project["classifiers"])
    assert re.search(r'Copyright \(c\) 20\d\d Ada "L" Lovelace, Émilie\n', written["LICENSE"])
    assert "MIT, as in [LICENSE](LICENSE)." in written["README.md"]


def test_a_licence_whose_text_is_not_here_is_named() -> None:
    written = distribution("log_cosh", Owner(licence="Apache-2.0"))
    project = read_toml(written["pyproject.toml"])["project"]
    assert project["license"] == "Apache-2.0"
    assert "license-files" not in project
    assert "Apache-2.0: put its text into `LICENSE`." in written["README.md"]


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--license", 'MIT"', "a name of https://spdx.org/licenses"),
        ("--license", "", "a name of https://spdx.org/licenses"),
        ("--author", "<ada@example.org>", "expected a name, and a mail address"),
        ("--author", "Ada <ada>", "expected a name, and a mail address"),
        ("--author", "Ada\nLovelace", "expected a name, and a mail address"),
        ("--url", "github.com/ada", "expected an address"),
        ("--url", 'https://a"b', "expected an address"),
    ],
)
def test_a_bad_owner_is_wrong_usage(
    option: str, value: str, expected: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert expected in usage_error(capsys, "log_cosh", option, value)
    assert list(folder.iterdir()) == []


def test_the_lowest_versions_are_those_of_pyproject() -> None:
    written = distribution("log_cosh")
    project = read_toml(written["pyproject.toml"])["project"]
    lowest = [line.replace(">=", "==") for line in project["dependencies"]]
    assert [line.removesuffix(".0") for line in lowest] == [
        line.removesuffix(".0") for line in written["constraints-lowest.txt"].splitlines()
    ]


def test_workflows_ask_for_no_more_than_they_need() -> None:
    written = distribution("log_cosh")
    for path in (".github/workflows/test.yml", ".github/workflows/release.yml"):
        workflow = yaml.safe_load(written[path])
        assert workflow["permissions"] == {"contents": "read"}
        for name, job in workflow["jobs"].items():
            wanted = {"id-token": "write"} if name == "publish" else None
            assert job.get("permissions") == wanted
    assert "schedule" in yaml.safe_load(written[".github/workflows/test.yml"])[True]


@pytest.mark.parametrize("left", ["summary", "formula", "worked", "references"])
def test_a_text_of_the_example_that_is_left_behind_is_noticed(left: str) -> None:
    written = distribution("log_cosh")
    texts = {
        "summary": ("Absolute error, rounded off below eps", "Another one"),
        "formula": (r"\text{eps}", r"\text{scale}"),
        "worked": ("value=4.5", "value=4.25"),
        "references": ("Charbonnier et al.", "Somebody"),
    }

    def check(*changed: str) -> None:
        source = written["src/lossreg_log_cosh/plugin.py"]
        for name in changed:
            assert texts[name][0] in source
            source = source.replace(*texts[name])
        plugin_module: dict[str, Any] = {"__name__": "plugin"}
        exec(source, plugin_module)
        (definition,) = plugin_module["lossreg_losses"]()
        test: dict[str, Any] = {"__name__": "test"}
        exec(written["tests/test_log_cosh.py"], test)
        test["Registry"] = SimpleNamespace(installed=lambda: {"log_cosh": definition})
        test["test_no_text_of_the_example_is_left"]()

    check()
    check(*texts)
    with pytest.raises(AssertionError, match=f"still the example's: \\['{left}'\\]"):
        check(*(name for name in texts if name != left))


@pytest.mark.parametrize("kind", ["folder", "empty folder", "file", "link"])
def test_it_never_overwrites(kind: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = folder / "lossreg-quantile"
    if kind == "folder":
        place.mkdir()
        (place / "README.md").write_text("mine", encoding="utf-8")
    elif kind == "empty folder":
        place.mkdir()
    elif kind == "file":
        place.write_text("mine", encoding="utf-8")
    else:
        place.symlink_to(folder / "nowhere")
    before = files(folder)
    assert main(["new", "quantile"]) == 1
    assert files(folder) == before
    assert list(folder.iterdir()) == [place]
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "error: lossreg-quantile already exists; nothing is overwritten\n"


def test_a_folder_that_cannot_be_made_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "file").write_text("mine", encoding="utf-8")
    assert main(["new", "quantile", "--into", str(Path("file", "in"))]) == 1
    assert capsys.readouterr().err == f"error: {Path('file', 'in')}: Not a directory\n"


@pytest.mark.parametrize(
    "name",
    [
        *("", "Focal", "2d", "_focal", "focal_", "log__cosh", "log-cosh", "log cosh", "löss"),
        *("a.b", "../focal", "focal\n", "{{name}}", "a" * 41, "loss", "losses"),
    ],
)
def test_a_bad_name_is_wrong_usage(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = usage_error(capsys, name)
    assert "argument NAME: " in message
    expected = "lossreg uses that word" if name in {"loss", "losses"} else "expected small letters"
    assert expected in message
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["null", "true", "false", "yes", "no", "on", "off", "y", "n"])
def test_a_word_of_yaml_is_wrong_usage(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = usage_error(capsys, name)
    assert f"argument NAME: '{name}': YAML reads that word as true, false or nothing" in message
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["none", "nan", "inf", "nil", "e5", "o17", "x1f", "int", "type", "self", "conftest"]
)
def test_a_word_of_no_meaning_to_yaml_is_a_name(
    name: str, folder: Path, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", name]) == 0
    source = folder / f"lossreg-{name}" / "src" / f"lossreg_{name}" / "plugin.py"
    site.add("acme", {name: f"acme_{name}"}, {f"acme_{name}": source.read_text(encoding="utf-8")})
    capsys.readouterr()
    assert main(["show", name, "--json"]) == 0
    example = json.loads(capsys.readouterr().out)["example"]
    (folder / "loss.yaml").write_text(f"terms:\n{textwrap.indent(example, '  ')}", encoding="utf-8")
    assert main(["check", "loss.yaml", "--strict"]) == 0
    for parsed in (yaml.safe_load(example), load_config("loss.yaml").terms[0]):
        found = parsed["fit"]["type"] if isinstance(parsed, dict) else parsed.definition.name
        assert found == name


def test_a_name_that_a_loss_has_is_refused(
    folder: Path, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.add("acme", {"twin": "acme_twin", "odd": "acme_odd"}, {"acme_twin": plugin("twin")})
    site.add("other", {"twin": "other_twin"}, {"other_twin": plugin("twin")})
    before = list(folder.iterdir())
    for name, owner in (("mse", "lossreg"), ("twin", "acme and other"), ("odd", "acme")):
        assert main(["new", name]) == 1
        assert capsys.readouterr().err.startswith(f"error: {owner} already has a loss '{name}', ")
    assert list(folder.iterdir()) == before


def test_another_distributions_broken_file_is_not_our_concern(
    folder: Path, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.add("acme", {}, {})
    (site.metadata("acme") / "entry_points.txt").write_bytes(b"[lossreg.losses]\nodd\n\xff")
    assert main(["new", "mse"]) == 1
    assert "lossreg already has a loss 'mse'" in capsys.readouterr().err
    assert main(["new", "fine"]) == 0
    assert (folder / "lossreg-fine").is_dir()


# A keyword, names of what the files import, and the longest.
@pytest.mark.parametrize("name", ["lambda", "torch", "nn", "target", "x", "a2_" * 13 + "z"])
def test_any_name_gives_code_that_ruff_likes(name: str, folder: Path) -> None:
    assert main(["new", name]) == 0
    for command in ("check", "format --check"):
        # Its own configuration, and ruff's defaults.
        for options in ((), ("--isolated",)):
            done = subprocess.run(
                [sys.executable, "-m", "ruff", *command.split(), "--no-cache", *options, "."],
                cwd=folder / f"lossreg-{name.replace('_', '-')}",
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout


@pytest.mark.nightly
def test_a_new_plugin_installs_and_passes_its_tests_at_once(wheel: Path, tmp_path: Path) -> None:
    python = environment(tmp_path / "env")
    install(python, wheel)
    lossreg = python.with_name("lossreg")
    run(lossreg, "new", "log_cosh", cwd=tmp_path)
    project = tmp_path / "lossreg-log-cosh"
    install(python, project)

    tested = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=project)
    assert " passed" in tested
    assert "failed" not in tested
    found = {
        each["name"]: each for each in json.loads(run(lossreg, "list", "--json", cwd=tmp_path))
    }
    assert found["log_cosh"]["state"] == "ok"
    assert found["log_cosh"]["distribution"] == "lossreg-log-cosh"
    shown = json.loads(run(lossreg, "show", "log_cosh", "--json", cwd=tmp_path))
    assert shown["from"] == "lossreg-log-cosh 0.1.0"
    config = tmp_path / "loss.yaml"
    example = "".join(f"  {line}\n" for line in shown["example"].splitlines())
    config.write_text(f"terms:\n{example}", encoding="utf-8")
    assert run(lossreg, "check", config, cwd=tmp_path) == "1 file checked: no problems\n"
