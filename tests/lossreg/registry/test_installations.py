from __future__ import annotations

import os
import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING
from zipfile import ZipFile

import pytest

from fake_distributions import LOSSES, plugin, states
from lossreg import Registry
from lossreg.cli import main
from lossreg.errors import DuplicateLossError, UnknownLossError
from lossreg.registry.distributions import Environment

if TYPE_CHECKING:
    from pathlib import Path

    from fake_distributions import Site


def claims_of(name: str) -> list[tuple[str, str | None]]:
    """The distributions, with their versions, that have a usable claim to a loss's name."""
    counted = Environment().group(LOSSES).usable
    return [(owner.name, owner.version) for each, owner in counted if each.name == name]


@pytest.fixture(params=["in order", "reversed"])
def order(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder is listed in one order, or in the other: a file system has its own."""
    reverse = request.param == "reversed"
    original = os.listdir

    def listed(folder: str) -> list[str]:
        return sorted(original(folder), reverse=reverse)

    monkeypatch.setattr("os.listdir", listed)


@pytest.mark.usefixtures("order")
@pytest.mark.parametrize(
    "folder",
    [
        "~cme_plug-1.0.dist-info",
        "~~me_plug-1.0.dist-info",
        "~acme_plug-0.9.dist-info",
        "~cme_plug.egg-info",
        "~cme_plug-1.0.DIST-INFO",
    ],
)
def test_what_pip_left_behind_is_ignored_as_pip_does(site: Site, folder: str) -> None:
    modules = {"acme_plug": plugin("hub", "old")}
    site.add("acme-plug", {"hub": "acme_plug"}, modules, version="1.1")
    site.add("acme-plug", {"hub": "acme_plug", "old": "acme_plug"}, {}, version="1.0")
    site.metadata("acme-plug", "1.0").rename(site.path / folder)
    registry = Registry.installed()
    assert registry["hub"] is registry["acme-plug:hub"]
    assert registry.origin("hub").release == "acme-plug 1.1"
    assert states() == {"hub": ("ok", "")}


def test_what_pip_left_behind_is_ignored_on_its_own_and_in_an_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("folder/~cme-2.1.dist-info", "archive/~cme-2.1.dist-info"):
        metadata = tmp_path / name
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text("Name: acme\nVersion: 2.1\n")
        (metadata / "entry_points.txt").write_text(f"[{LOSSES}]\nodd = acme_odd\n")
    archive = tmp_path / "archive.zip"
    with ZipFile(archive, "w") as file:
        for each in (tmp_path / "archive").rglob("*.*"):
            if each.is_file():
                file.write(each, each.relative_to(tmp_path / "archive"))
    monkeypatch.syspath_prepend(tmp_path / "folder")
    monkeypatch.syspath_prepend(archive)
    assert "odd" not in Registry.installed()
    assert states() == {}


# What is left of a distribution, by the files of its folder.
REMAINS: dict[str, dict[str, str]] = {
    "nothing": {},
    "an empty METADATA": {"METADATA": ""},
    "INSTALLER and REQUESTED": {"INSTALLER": "pip\n", "REQUESTED": ""},
    "an empty entry_points.txt": {"entry_points.txt": ""},
    "other entry points": {"entry_points.txt": "[console_scripts]\nacme = acme_plug:main\n"},
    "METADATA without a name": {"METADATA": "Metadata-Version: 2.1\n\nName: acme-plug\n"},
}


@pytest.mark.usefixtures("order")
@pytest.mark.parametrize("folder", ["acme_plug-0.9.dist-info", "Acme.Plug-1.2.dist-info"])
@pytest.mark.parametrize("files", REMAINS.values(), ids=REMAINS)
def test_the_remains_of_a_distribution_hide_nothing(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, files: dict[str, str]
) -> None:
    site.add("acme-plug", {"hub": "acme_plug"}, {"acme_plug": plugin("hub")}, version="1.0")
    for place in (site.path, tmp_path / "before"):
        remains = place / folder
        remains.mkdir(parents=True)
        for name, text in files.items():
            (remains / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path / "before")
    registry = Registry.installed()
    assert registry["hub"] is registry["acme-plug:hub"]
    assert claims_of("hub") == [("acme-plug", "1.0")]
    assert states() == {"hub": ("ok", "")}


@pytest.mark.usefixtures("order")
def test_what_a_half_deleted_distribution_claims_is_listed_as_hidden(site: Site) -> None:
    site.add("acme", {"hub": "acme_hub"}, {"acme_hub": plugin("hub")}, version="1.0")
    site.add("acme", {"hub": "acme_gone", "old": "acme_gone"}, {}, version="0.9")
    (site.metadata("acme", "0.9") / "METADATA").unlink()
    assert Registry.installed()["hub"].name == "hub"
    reason = f"hidden by acme 1.0 ({site.metadata('acme')}), which does not have it"
    assert states() == {"hub": ("ok", ""), "acme:old": ("broken", reason)}


def test_a_loss_that_another_installation_hides_is_not_hidden_without_a_word(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site.add("acme", {"odd": "acme_odd", "hub": "acme_odd"}, {"acme_odd": plugin("odd", "hub")})
    checkout = type(site)(tmp_path / "checkout")
    checkout.path.mkdir()
    checkout.add("Acme", {"hub": "acme_odd"}, {}, version="2.0")
    monkeypatch.syspath_prepend(checkout.path)
    hidden = f"hidden by Acme 2.0 ({checkout.metadata('Acme', '2.0')}), which does not have it"
    registry = Registry.installed()
    for name in ("odd", "acme:odd"):
        with pytest.raises(UnknownLossError) as raised:
            registry[name]
        assert raised.value.unreadable == (f"acme 1.0: {hidden}",)
        assert f"; it may be in acme 1.0: {hidden}" in str(raised.value)
    with pytest.raises(UnknownLossError) as raised:
        registry["another"]
    assert raised.value.unreadable == ()
    assert states() == {"hub": ("ok", ""), "acme:odd": ("broken", hidden)}
    with pytest.raises(UnknownLossError, match="hidden by Acme 2"):
        registry.with_plugins()["odd"]
    assert main(["list"]) == 0
    assert "BROKEN: hidden by Acme" in " ".join(capsys.readouterr().out.split())


@pytest.mark.usefixtures("order")
def test_two_versions_in_one_folder_are_one_where_they_agree(site: Site) -> None:
    modules = {"acme_plug": plugin("hub", "new", "old")}
    site.add("acme-plug", {"hub": "acme_plug", "old": "acme_plug"}, modules, version="0.9")
    site.add("acme.plug", {"hub": "acme_plug", "new": "acme_plug"}, {}, version="0.10")
    assert claims_of("hub") == [("acme.plug", "0.10")]
    registry = Registry.installed()
    assert [registry[name].name for name in ("hub", "new", "old")] == ["hub", "new", "old"]
    assert registry["acme_plug:hub"] is registry["hub"]
    assert {state for state, _ in states().values()} == {"ok"}


@pytest.mark.usefixtures("order")
def test_two_versions_in_one_folder_that_disagree_name_the_folders(site: Site) -> None:
    site.add("acme-plug", {"hub": "acme_plug"}, {}, version="0.9")
    site.add("acme-plug", {"hub": "acme_plug.hub"}, {}, version="1.0")
    newer, older = (site.metadata("acme-plug", version) for version in ("1.0", "0.9"))
    for name in ("hub", "acme-plug:hub"):
        with pytest.raises(DuplicateLossError) as raised:
            Registry.installed()[name]
        assert str(raised.value) == (
            "loss 'hub' is claimed by acme-plug 1.0 (acme_plug.hub) and acme-plug 0.9 "
            "(acme_plug); one distribution is installed twice, remove "
            f"{newer} or {older}"
        )
    site.add("another", {"hub": "another_hub"}, {})
    with pytest.raises(DuplicateLossError) as raised:
        Registry.installed()["hub"]
    assert str(raised.value).endswith(
        f"; write 'another:hub'; one distribution is installed twice, remove {newer} or {older}"
    )


def test_claims_that_agree_in_distribution_and_module_are_one(site: Site) -> None:
    site.add("acme", {"hub": "acme_hub\nhub = acme_hub"}, {"acme_hub": plugin("hub")})
    assert states() == {"hub": ("ok", "")}
    twice = [*entry_points(group=LOSSES, name="hub"), *entry_points(group=LOSSES, name="hub")]
    assert Registry(twice)["hub"].name == "hub"
    site.add("acme-nightly", {"hub": "acme_hub"}, {})
    assert set(states()) == {"acme:hub", "acme-nightly:hub"}


@pytest.mark.parametrize("again", ["twice", "relative", "with a slash", "a link"])
def test_a_folder_that_is_on_the_path_twice_is_read_once(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: str
) -> None:
    site.add("acme", {"hub": "acme_hub"}, {"acme_hub": plugin("hub")})
    site.add("odd", {}, {})
    (site.metadata("odd") / "entry_points.txt").write_bytes(b"\x80")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(site.path)
    spelt = {
        "twice": str(site.path),
        "relative": site.path.name,
        "with a slash": f"{site.path}/",
        "a link": str(tmp_path / "link"),
    }
    monkeypatch.setattr(sys, "path", [*sys.path, spelt[again]])
    group = Environment().group(LOSSES)
    assert [owner.name for _, owner, _ in group.unreadable if owner] == ["odd"]
    assert claims_of("hub") == [("acme", "1.0")]
    assert group.hidden == []


@pytest.mark.usefixtures("order")
@pytest.mark.parametrize("first", ["acme", "acme-plug", None])
def test_a_folder_with_dashes_in_its_name_is_told_from_a_shorter_name(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str | None
) -> None:
    before = type(site)(tmp_path / "before")
    before.path.mkdir()
    monkeypatch.syspath_prepend(before.path)
    shorter, longer = (before if first == name else site for name in ("acme", "acme-plug"))
    shorter.add("acme", {"hub": "acme_hub"}, {"acme_hub": plugin("hub")}, version="2.0")
    longer.add("acme-plug", {"odd": "acme_odd"}, {"acme_odd": plugin("odd")}, version="1.0")
    longer.metadata("acme-plug").rename(longer.path / "acme-plug-1.0.dist-info")
    assert states() == {"hub": ("ok", ""), "odd": ("ok", "")}
    assert Registry.installed().origin("odd").release == "acme-plug 1.0"
    before.forget()


def test_an_egg_that_does_not_say_its_name_is_known_by_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("acme-2.1.egg", "other-2.2.egg"):
        metadata = tmp_path / name / "EGG-INFO"
        metadata.mkdir(parents=True)
        (metadata / "entry_points.txt").write_text(f"[{LOSSES}]\n{name[:4]} = acme_odd\n")
        monkeypatch.syspath_prepend(metadata.parent)
    assert claims_of("acme") == [("acme", "2.1")]
    assert claims_of("othe") == [("other", "2.2")]


@pytest.mark.usefixtures("order")
def test_a_single_file_of_metadata_hides_nothing_beside_it(site: Site) -> None:
    # What distutils installed: without entry points, and its name is not in its own folder.
    (site.path / "acme-0.9-py3.11.egg-info").write_text("Name: acme\nVersion: 0.9\n")
    site.add("acme", {"hub": "acme_hub"}, {"acme_hub": plugin("hub")}, version="1.0")
    assert claims_of("hub") == [("acme", "1.0")]
    assert states() == {"hub": ("ok", "")}


def test_what_a_development_install_links_to_is_found(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = type(site)(tmp_path / "source")
    source.path.mkdir()
    source.add("acme", {"hub": "acme_hub"}, {"acme_hub": plugin("hub")})
    source.metadata("acme").rename(source.path / "acme.egg-info")
    (site.path / "acme.egg-link").write_text(f"{source.path}\n.\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(source.path)])  # as easy-install.pth does
    assert states() == {"hub": ("ok", "")}
    source.forget()
