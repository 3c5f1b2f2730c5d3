from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder
from importlib.metadata import Distribution, entry_points
from typing import TYPE_CHECKING
from zipfile import ZipFile

import pytest

from fake_distributions import LOSSES, plugin
from lossreg import Registry
from lossreg.cli import main
from lossreg.errors import DuplicateLossError, UnknownLossError
from lossreg.registry.distributions import Environment, InstalledDistribution

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fake_distributions import Site


def test_the_installed_losses_are_those_that_python_finds(site: Site) -> None:
    site.add("acme", {"odd": "acme_odd"}, {})
    group = Environment().group(LOSSES)
    found = [(each.name, each.value, owner.name) for each, owner in group.usable]
    expected = [
        (each.name, each.value, each.dist.name)
        for each in entry_points(group=LOSSES)
        if each.dist is not None
    ]
    assert sorted(found) == sorted(expected)
    assert ("odd", "acme_odd", "acme") in found
    assert group.unreadable == group.hidden == []


def test_a_plugin_may_be_in_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "acme-2.1-py3-none-any.whl"
    with ZipFile(archive, "w") as file:
        file.writestr("acme_zipped.py", plugin("zipped"))
        file.writestr("acme-2.1.dist-info/METADATA", "Name: acme\nVersion: 2.1\n")
        file.writestr("acme-2.1.dist-info/entry_points.txt", f"[{LOSSES}]\nzipped = acme_zipped\n")
    monkeypatch.syspath_prepend(archive)
    registry = Registry.installed()
    assert registry["zipped"].name == "zipped"
    assert str(registry.origin("zipped")) == "acme 2.1, acme_zipped"


def test_a_finder_may_bring_a_plugin(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.add("acme", {"odd": "acme_odd"}, {"acme_odd": plugin("odd")}, version="2.1")
    hidden = site.metadata("acme", "2.1").rename(site.path / "elsewhere-info")

    class Finder:
        def find_spec(self, *_: object) -> None:
            return None

        def find_distributions(self, _: object) -> Iterator[Distribution]:
            yield Distribution.at(hidden)

    assert "odd" not in Registry.installed()
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder()])
    registry = Registry.installed()
    assert registry["odd"].name == "odd"
    assert registry.origin("odd").release == "acme 2.1"


@pytest.mark.parametrize("hidden", [True, False], ids=["replaced", "without finding"])
def test_a_finder_that_python_is_not_to_ask_is_not_asked(
    hidden: bool, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add("acme", {"odd": "acme_odd"}, {})
    (site.metadata("acme") / "entry_points.txt").write_bytes(b"\x80 lossreg.losses")

    class Finder:
        find_distributions = None

    class Replacement:
        """As the backport of importlib.metadata puts it beside Python's own."""

        find_distributions = PathFinder.find_distributions

    if hidden:
        monkeypatch.setattr(PathFinder, "find_distributions", None)
    finder = Replacement if hidden else Finder
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, finder])
    group = Environment().group(LOSSES)
    assert {each.name for each, _ in group.usable} >= {"l1", "mse"}
    ((file, owner, _),) = group.unreadable
    assert owner is not None
    assert (file, owner.name, owner.version) == ("entry_points.txt", "acme", "1.0")


def test_what_is_no_folder_of_the_import_path_is_passed_over(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add("acme", {"odd": "acme_odd"}, {})
    (site.path / "file.py").write_text("")
    path = [each for each in sys.path if each != str(site.path)]
    odd = [str(site.path / "missing"), str(site.path / "file.py"), site.path, bytes(site.path), 7]
    monkeypatch.setattr(sys, "path", [*odd, None, *path])
    monkeypatch.chdir(site.path)
    assert "odd" not in Registry.installed()
    monkeypatch.setattr(sys, "path", ["", *path])
    assert "odd" in Registry.installed()


@pytest.mark.parametrize(
    ("folder", "found"),
    [
        ("acme-2.1.dist-info", True),
        ("acme.egg-info", True),
        ("acme.egg/EGG-INFO", True),
        ("acme-2.1.DIST-INFO", True),
        ("ACME-2.1.Dist-Info", True),
        ("acme.EGG-INFO", True),
        ("acme.EGG/egg-info", True),
        ("acme/EGG-INFO", False),
        ("acme.info", False),
    ],
)
def test_metadata_is_where_python_looks_for_it(
    folder: str, *, found: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = tmp_path / folder
    metadata.mkdir(parents=True)
    for name in ("METADATA", "PKG-INFO"):
        (metadata / name).write_text("Name: acme\nVersion: 2.1\n")
    (metadata / "entry_points.txt").write_text(f"[{LOSSES}]\nodd = acme_odd\n")
    monkeypatch.syspath_prepend(tmp_path if metadata.parent == tmp_path else metadata.parent)
    assert ("odd" in Registry.installed()) is found
    assert bool(entry_points(group=LOSSES, name="odd")) is found


@pytest.mark.parametrize("size", [2**16 - 1, 2**16, 2**16 + 1, 2**17, 240_000])
def test_a_file_of_entry_points_may_be_long(site: Site, size: int) -> None:
    site.add("acme", {}, {})
    last = f"\n[{LOSSES}]\nodd = acme_odd\n"
    text = "#" * (size - len(last)) + last
    (site.metadata("acme") / "entry_points.txt").write_text(text)
    assert "odd" in Registry.installed()


def claims_of(name: str) -> list[tuple[str, str | None]]:
    """The distributions, with their versions, that have a usable claim to a loss's name."""
    counted = Environment().group(LOSSES).usable
    return [(owner.name, owner.version) for each, owner in counted if each.name == name]


def states() -> dict[str, tuple[str, str]]:
    """The state and the reason of all that is listed besides lossreg's own."""
    entries = Registry.installed().entries()
    return {each.name: (each.state, each.reason) for each in entries if each.module not in OWN}


OWN = [each.value for each in entry_points(group=LOSSES)]


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


# A file's content, where the loss is to be found all the same.
TEXTS = {
    "a mark of UTF-8": "\ufeff[{}]\nhub = acme_hub\n",
    "the mark before a comment": "\ufeff# made by hand\n[{}]\nhub = acme_hub\n",
    "two files put together": "\ufeff[console_scripts]\na = b:c\n\ufeff[{}]\nhub = acme_hub\n",
    "Windows' line ends": "[{}]\r\nhub = acme_hub\r\n",
    "the group twice": "[{0}]\nodd = acme_odd\n[other]\n[{0}]\nhub = acme_hub\n",
    "white space": "\t[ {} ]  \n\n  hub\t=   acme_hub  \n",
    "no line end": "[{}]\nhub=acme_hub",
    "an extra": "[{}]\nhub = acme_hub [gpu]\n",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_entry_points_are_read_however_they_are_laid_out(site: Site, text: str) -> None:
    site.add("acme", {}, {"acme_hub": plugin("hub")})
    file = site.metadata("acme") / "entry_points.txt"
    file.write_bytes(text.format(LOSSES).encode())
    assert Registry.installed()["hub"].name == "hub"


def _as_folder(file: Path) -> None:
    file.mkdir()


def _as_dangling_link(file: Path) -> None:
    file.symlink_to(file.with_name("nowhere"))


def _as_link_to_itself(file: Path) -> None:
    file.symlink_to(file)


def _as_pipe(file: Path) -> None:
    os.mkfifo(file)


def _as_link_to_a_pipe(file: Path) -> None:
    os.mkfifo(file.with_name("pipe"))
    file.symlink_to(file.with_name("pipe"))


def _as_endless(file: Path) -> None:
    file.symlink_to("/dev/zero")


def _as_too_long(file: Path) -> None:
    file.write_text("#" * 2**20 + f"\n[{LOSSES}]\nhub = acme_hub\n")


def _as_utf_16(file: Path) -> None:
    file.write_bytes(f"[{LOSSES}]\nhub = acme_hub\n".encode("utf-16-le"))


# What stands where entry_points.txt should, and why it cannot be read.
ODD_FILES = {
    "a folder": (_as_folder, "OSError: it is not a regular file"),
    "a link that leads nowhere": (_as_dangling_link, "FileNotFoundError: "),
    "a link to itself": (_as_link_to_itself, "OSError: "),
    "a pipe": (_as_pipe, "OSError: it is not a regular file"),
    "a link to a pipe": (_as_link_to_a_pipe, "OSError: it is not a regular file"),
    "a device": (_as_endless, "OSError: it is not a regular file"),
    "a file of a megabyte": (_as_too_long, "ValueError: expected at most 1048576 bytes"),
    "UTF-16 without its mark": (_as_utf_16, "ValueError: expected UTF-8, found NUL"),
}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
@pytest.mark.parametrize(("make", "reason"), ODD_FILES.values(), ids=ODD_FILES)
def test_a_file_that_cannot_be_read_is_listed_and_hides_no_other(
    site: Site, make: Callable[[Path], None], reason: str
) -> None:
    site.add("acme", {}, {})
    file = site.metadata("acme") / "entry_points.txt"
    file.unlink()
    make(file)
    site.add("fine", {"fine": "acme_fine"}, {"acme_fine": plugin("fine")})
    listed = states()
    assert listed["fine"] == ("ok", "")
    assert listed["acme:?"][0] == "broken"
    assert listed["acme:?"][1].startswith(f"its entry_points.txt cannot be read: {reason}")
    with pytest.raises(UnknownLossError, match=r"it may be in acme 1\.0: its entry_points\.txt"):
        Registry.installed()["hub"]


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read whatever there is"
)
def test_a_file_that_may_not_be_read_is_listed(site: Site) -> None:
    site.add("acme", {}, {})
    (site.metadata("acme") / "entry_points.txt").chmod(0)
    assert "PermissionError" in states()["acme:?"][1]


def test_a_link_to_a_file_is_followed(site: Site) -> None:
    site.add("acme", {"hub": "acme_hub"}, {"acme_hub": plugin("hub")})
    file = site.metadata("acme") / "entry_points.txt"
    file.rename(site.path / "stored")
    file.symlink_to(site.path / "stored")
    assert states() == {"hub": ("ok", "")}


# What METADATA holds, and what is known of the distribution then.
METADATA = {
    "Windows' line ends": (b"Name: Acme.Plug\r\nVersion: 2.1\r\n\r\nText\r\n", "Acme.Plug"),
    "a mark of UTF-8": (b"\xef\xbb\xbfName: Acme.Plug\nVersion: 2.1\n", "Acme.Plug"),
    "Latin-1": (b"Author: Andr\xe9\nName: Acme.Plug\nVersion: 2.1\n", "Acme.Plug"),
    "other letters": (b"NAME: Acme.Plug\nVERSION: 2.1\n", "Acme.Plug"),
    "a long text": (b"Name: Acme.Plug\nVersion: 2.1\n\n" + b"Name: no\n" * 10**5, "Acme.Plug"),
    "a line that goes on": (
        b"Name: Acme.Plug\nLicense: x\n  Version: 9\nVersion: 2.1\n",
        "Acme.Plug",
    ),
    "nothing": (b"", "acme_plug"),
    "something else": (b"\x80\x81\xfe\x00\xff", "acme_plug"),
    "no name": (b"Version: 2.1\n", "acme_plug"),
}


@pytest.mark.parametrize(("content", "name"), METADATA.values(), ids=METADATA)
def test_what_a_distribution_is_called_is_read_from_its_metadata(
    site: Site, content: bytes, name: str
) -> None:
    site.add("acme-plug", {"hub": "acme_hub"}, {"acme_hub": plugin("hub")}, version="2.1")
    (site.metadata("acme-plug", "2.1") / "METADATA").write_bytes(content)
    registry = Registry.installed()
    assert registry.origin("hub").release == f"{name} 2.1"
    assert registry["acme-plug:hub"].name == "hub"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
@pytest.mark.parametrize("make", [_as_folder, _as_dangling_link, _as_pipe, _as_endless])
def test_metadata_that_cannot_be_read_hides_nothing(
    site: Site, make: Callable[[Path], None]
) -> None:
    site.add("acme", {"hub": "acme_hub"}, {"acme_hub": plugin("hub")}, version="2.1")
    file = site.metadata("acme", "2.1") / "METADATA"
    file.unlink()
    make(file)
    assert Registry.installed().origin("hub").release == "acme 2.1"
    site.add("acme", {"hub": "acme_hub"}, {}, version="2.0")
    assert Registry.installed().origin("hub").release == "acme 2.0"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
def test_an_odd_entry_of_the_import_path_hides_nothing(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add("acme", {"hub": "acme_hub"}, {"acme_hub": plugin("hub")})
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04and no more")
    (tmp_path / "empty.zip").write_bytes(b"")
    odd = [tmp_path / name for name in ("pipe", "broken.zip", "empty.zip", "broken.zip/inside")]
    names = [*map(str, odd), "a\0b", "\ud800", "x" * 5000, os.devnull]
    monkeypatch.setattr(sys, "path", [*sys.path, *names])
    assert states() == {"hub": ("ok", "")}


def test_a_finder_that_fails_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    class Finder:
        def find_spec(self, *_: object) -> None:
            return None

        def find_distributions(self, _: object) -> Iterator[Distribution]:
            raise RuntimeError("no network")

    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    registry = Registry.installed()
    assert registry["mse"].name == "mse"
    finder = f"{Finder.__module__}.{Finder.__qualname__}"
    reason = "its find_distributions raised RuntimeError: no network"
    assert states() == {f"{finder}:?": ("broken", reason)}
    with pytest.raises(UnknownLossError) as raised:
        registry["hub"]
    assert raised.value.unreadable == (f"{finder}: {reason}",)


def test_the_first_distribution_of_a_name_counts(
    site: Site, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add("acme", {"odd": "acme_odd"}, {}, version="1.0")
    newer = type(site)(tmp_path_factory.mktemp("newer"))
    newer.add("Acme", {"other": "acme_odd"}, {}, version="2.0")
    monkeypatch.syspath_prepend(newer.path)
    registry = Registry.installed()
    assert ("other" in registry, "odd" in registry) == (True, False)


def test_a_name_and_a_version_are_one_line_that_steers_no_terminal(site: Site) -> None:
    site.add("acme", {"odd": "acme_odd"}, {"acme_odd": "raise SystemExit"})
    metadata = "Name: ac\x1b[31mme\n error: forged\nVersion: 1\u202e\n 2\n"
    (site.metadata("acme") / "METADATA").write_text(metadata, encoding="utf-8")
    owner = InstalledDistribution(str(site.metadata("acme")))
    assert owner.name.isprintable()
    assert owner.version is not None
    assert owner.version.isprintable()
