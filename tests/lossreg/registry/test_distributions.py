from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder
from importlib.metadata import Distribution, entry_points
from typing import TYPE_CHECKING
from zipfile import ZipFile

import pytest

from fake_distributions import LOSSES, plugin, states
from lossreg import Registry
from lossreg.errors import UnknownLossError
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
