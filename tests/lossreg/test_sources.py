from __future__ import annotations

import copy
import pickle
import sys
from importlib.machinery import PathFinder
from importlib.metadata import Distribution, distribution, entry_points
from typing import TYPE_CHECKING
from zipfile import ZipFile

import pytest

from fake_distributions import LOSSES, plugin
from lossreg import Registry
from lossreg.sources import Origin, Owner, installed_plugins

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fake_distributions import Site


def test_an_origin_says_who_brought_it() -> None:
    version = distribution("pydantic").version
    origin = Origin("pydantic.main", Owner(distribution("pydantic")))
    assert (origin.distribution, origin.version) == ("pydantic", version)
    assert (origin.claimant, origin.release) == ("pydantic", f"pydantic {version}")
    assert str(origin) == f"pydantic {version}, pydantic.main"


def test_an_origin_without_a_distribution_is_its_module() -> None:
    origin = Origin("acme.losses")
    assert (origin.distribution, origin.version, origin.release) == (None, None, "")
    assert origin.claimant == str(origin) == "acme.losses"


def test_an_origin_crosses_processes_as_its_words() -> None:
    origin = Origin("pydantic.main", Owner(distribution("pydantic")))
    for twin in (pickle.loads(pickle.dumps(origin)), copy.deepcopy(origin)):
        assert str(twin) == str(origin)


def test_metadata_is_read_once_and_not_before_it_is_asked_for() -> None:
    class Counting:
        reads = 0
        name = "acme"

        @property
        def version(self) -> str:
            self.reads += 1
            return "1.0"

    dist = Counting()
    origin = Origin("acme", Owner(dist))  # type: ignore[arg-type]
    assert dist.reads == 0
    assert {str(origin), str(origin), f"{origin.release}, acme"} == {"acme 1.0, acme"}
    assert dist.reads == 1


def test_origins_are_equal_if_they_say_the_same() -> None:
    one, twin = (Origin("pydantic.main", Owner(distribution("pydantic"))) for _ in range(2))
    assert one == twin
    assert hash(one) == hash(twin)
    assert one != Origin("pydantic.main")
    assert one != str(one)
    assert repr(one) == f"<{one}>"


def test_the_installed_losses_are_those_that_python_finds(site: Site) -> None:
    site.add("acme", {"odd": "acme_odd"}, {})
    claims, unreadable = installed_plugins()
    found = [(each.name, each.value, owner.name) for each, owner in claims]
    expected = [
        (each.name, each.value, each.dist.name)
        for each in entry_points(group=LOSSES)
        if each.dist is not None
    ]
    assert sorted(found) == sorted(expected)
    assert ("odd", "acme_odd", "acme") in found
    assert unreadable == []


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
    claims, unreadable = installed_plugins()
    assert {each.name for each, _ in claims} >= {"l1", "mse"}
    assert [str(origin) for origin, _ in unreadable] == ["acme 1.0, entry_points.txt"]


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
    owner = Owner(str(site.metadata("acme")))
    assert owner.name.isprintable()
    assert owner.name.endswith("error: forged")
    assert owner.version is not None
    assert owner.version.isprintable()
