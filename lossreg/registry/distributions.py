"""The installed distributions: their metadata, read by lossreg itself.

Python's own enumeration parses every distribution's file, takes twice the time, and fails at the
first malformed file.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from functools import cached_property
from importlib.machinery import PathFinder
from importlib.metadata import Distribution, DistributionFinder, EntryPoint, distributions
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

from lossreg.errors import described, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["Environment", "GroupMetadata", "InstalledDistribution", "normalized"]

_ENTRY_POINTS = "entry_points.txt"
_METADATA = ("METADATA", "PKG-INFO", "")  # the last one: a distribution that is a single file
_BOM = "\ufeff"
_CHUNK = 2**16  # bytes
_LARGEST = 2**20  # bytes; a thousand entry points take a twentieth of this
# O_NONBLOCK does not wait for the other end of a pipe. O_NOFOLLOW distinguishes a broken link
# from a missing file, without a second system call for each of the many missing files.
_FOLLOWING = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_DIRECTLY = _FOLLOWING | getattr(os, "O_NOFOLLOW", 0)
_SEPARATORS = re.compile(r"[-_.]+")
_LEFTOVER = "~"  # pip renames folders before it deletes them, and ignores those that remain
_NUMBER = re.compile(r"[0-9]{1,18}")


def normalized(distribution: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return _SEPARATORS.sub("-", distribution).lower()


class InstalledDistribution:
    """An installed distribution. Its metadata is read on first use.

    Args:
        metadata: The folder of its metadata, which may be missing or broken; or the object that
            Python or a finder makes of it.
    """

    def __init__(self, metadata: Distribution | str) -> None:
        self._metadata = metadata

    @cached_property
    def name(self) -> str:
        """Its name; if the metadata has none, the name in its folder's name."""
        return printable(self._stated("name") or self._folder_name[0] or "an unnamed distribution")

    @cached_property
    def version(self) -> str | None:
        """Its version, or None."""
        return printable(self._stated("version") or self._folder_name[1]) or None

    @property
    def project(self) -> str:
        """Its name as PEP 503 compares it; from the folder's name if possible."""
        return normalized(self._folder_name[0] or self.name)

    @property
    def has_metadata(self) -> bool:
        """Whether its metadata has a name: an empty or half-deleted folder has none."""
        return self._stated("name") is not None

    @property
    def folder(self) -> str:
        """The folder of its metadata; empty if it is not known."""
        if isinstance(self._metadata, str):
            return self._metadata
        path = getattr(self._metadata, "_path", "")
        return path.as_posix() if isinstance(path, PurePath) else str(path)

    @property
    def place(self) -> str:
        """The folder or the archive that it is installed in."""
        return self.folder.rstrip("/").rpartition("/")[0]

    def read(self, file: str) -> str:
        """The text of a file of its metadata; empty if the file is missing.

        Raises:
            OSError: The file exists, but cannot be read.
            ValueError: The file is not UTF-8, or is too long.
        """
        if not isinstance(self._metadata, str):  # for example in an archive
            text = self._metadata.read_text(file) or ""
        else:
            data = _content(f"{self._metadata}/{file}", _LARGEST + 1)
            if len(data) > _LARGEST:
                raise ValueError(f"expected at most {_LARGEST} bytes, found more")
            text = data.decode()
        if "\0" in text:  # UTF-16 without a byte order mark decodes as UTF-8
            raise ValueError("expected UTF-8, found NUL characters")
        return text.replace(_BOM, "") if _BOM in text else text

    def _stated(self, header: str) -> str | None:
        """The value of one header of the metadata, or None."""
        metadata = self._metadata
        try:
            if isinstance(metadata, str):
                value = self._headers.get(header)
            else:
                value = getattr(metadata, header)
        except Exception:  # noqa: BLE001 - a metadata file may be missing or binary
            return None
        return value if isinstance(value, str) and value else None

    @cached_property
    def _headers(self) -> dict[str, str]:
        for file in _METADATA:
            try:
                data = _content(f"{self._metadata}/{file}" if file else str(self._metadata), _CHUNK)
            except OSError:
                continue
            if data:
                return dict(_headers_in(data.decode(errors="replace")))
        return {}

    @property
    def _folder_name(self) -> tuple[str, str]:
        """The name and the version in the name of its folder."""
        folder = _last(self.folder)
        if folder.upper() == "EGG-INFO":
            folder = _last(self.place)
        name, _, version = folder.rpartition(".")[0].partition("-")
        return name, version


def _last(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def _content(path: str, most: int) -> bytes:
    """A file's content, or its beginning; empty if the file is missing.

    Takes a quarter of the time of `read_text`: there may be a thousand files.
    """
    try:
        descriptor = os.open(path, _DIRECTLY)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except OSError:
        if not os.path.islink(path):  # noqa: PTH114
            raise
        descriptor = os.open(path, _FOLLOWING)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("it is not a regular file")
        data = os.read(descriptor, _CHUNK)
        while 0 < len(data) < most and len(data) % _CHUNK == 0:
            more = os.read(descriptor, _CHUNK)
            if not more:
                break
            data += more
        return data
    finally:
        os.close(descriptor)


def _headers_in(text: str) -> Iterator[tuple[str, str]]:
    for line in text.removeprefix(_BOM).splitlines():
        if not line.strip():
            return
        name, colon, value = line.partition(":")
        if colon:
            yield name.lower(), value.strip()


class GroupMetadata(NamedTuple):
    """All entry points of one group, from all installed distributions.

    Attributes:
        usable: The entry points that can be used, each with its distribution, or with None if it
            came without one.
        hidden: The entry points of distributions that Python would not import, because another
            one of the same name comes first: each with its distribution and with the one that
            hides it. An entry point that the other distribution also has is left out.
        unreadable: Files that cannot be read, each with its distribution, and finders that fail,
            each with None; and the reason.
    """

    usable: Sequence[tuple[EntryPoint, InstalledDistribution | None]]
    hidden: Sequence[tuple[EntryPoint, InstalledDistribution, InstalledDistribution]] = ()
    unreadable: Sequence[tuple[str, InstalledDistribution | None, str]] = ()


class Environment:
    """All installed distributions, enumerated once, with the text of their entry points."""

    def __init__(self) -> None:
        self._unreadable: list[tuple[str, InstalledDistribution | None, str]] = []
        self._projects: dict[str, list[tuple[InstalledDistribution, str]]] = {}
        for distribution in self._distributions():
            text = self._text(distribution)
            if text is not None:
                self._projects.setdefault(distribution.project, []).append((distribution, text))

    def _text(self, distribution: InstalledDistribution) -> str | None:
        try:
            return distribution.read(_ENTRY_POINTS)
        except Exception as error:  # noqa: BLE001 - a file may contain anything
            self._unreadable.append(_unread(distribution, error))
            return None

    def group(self, name: str) -> GroupMetadata:
        """All entry points of one group."""
        group = _Group(name)
        for rivals in self._projects.values():
            if len(rivals) == 1:
                group.usable += group.entry_points(*rivals[0])
            elif any(name in text for _, text in rivals):
                group.judge(rivals)
        return GroupMetadata(group.usable, group.hidden, [*self._unreadable, *group.unreadable])

    def _distributions(self) -> Iterator[InstalledDistribution]:
        """Every distribution, in the order in which Python looks for one."""
        folders: set[tuple[int, int]] = set()
        for finder in sys.meta_path:
            find = getattr(finder, "find_distributions", None)
            if find is None:  # the backport of importlib.metadata removes PathFinder's
                continue
            if finder is PathFinder:
                for entry in sys.path:
                    if isinstance(entry, str):  # Python ignores other entries as well
                        yield from _distributions_in(entry, folders)
                continue
            try:
                yield from _without_leftovers(find(DistributionFinder.Context()))
            except Exception as error:  # noqa: BLE001 - a finder may be third-party code
                kind = finder if isinstance(finder, type) else type(finder)
                reason = f"its find_distributions raised {described(error)}"
                name = f"{kind.__module__}.{kind.__qualname__}"
                self._unreadable.append((name, None, reason))


class _Group:
    """Collects the entry points of one group."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.usable: list[tuple[EntryPoint, InstalledDistribution]] = []
        self.hidden: list[tuple[EntryPoint, InstalledDistribution, InstalledDistribution]] = []
        self.unreadable: list[tuple[str, InstalledDistribution | None, str]] = []

    def entry_points(
        self, distribution: InstalledDistribution, text: str
    ) -> list[tuple[EntryPoint, InstalledDistribution]]:
        """A distribution's entry points, from the text of its file."""
        if self.name not in text:
            return []
        try:
            return [(entry_point, distribution) for entry_point in _entry_points(text, self.name)]
        except ValueError as error:
            self.unreadable.append(_unread(distribution, error))
            return []

    def judge(self, rivals: list[tuple[InstalledDistribution, str]]) -> None:
        """Choose among distributions whose folders have the same name."""
        projects: dict[str, list[tuple[InstalledDistribution, str]]] = {}
        for distribution, text in rivals:
            # The folder of acme-plug may be called acme-plug-1.0, which reads as acme.
            projects.setdefault(normalized(distribution.name), []).append((distribution, text))
        for twins in projects.values():
            whole = [distribution for distribution, _ in twins if distribution.has_metadata]
            first = (whole or [distribution for distribution, _ in twins])[0]
            # All in one folder are importable, in whatever order the system lists them.
            beside = [
                (distribution, text)
                for distribution, text in twins
                if distribution.place == first.place and (distribution.has_metadata or not whole)
            ]
            beside.sort(key=lambda twin: _age(twin[0]), reverse=True)
            usable: dict[tuple[str, str], tuple[EntryPoint, InstalledDistribution]] = {}
            for distribution, text in beside:
                for pair in self.entry_points(distribution, text):
                    usable.setdefault((pair[0].name, pair[0].value), pair)
            self.usable += usable.values()
            names = {name for name, _ in usable}
            self.hidden += [
                (entry_point, distribution, beside[0][0])
                for twin in twins
                if twin not in beside
                for entry_point, distribution in self.entry_points(*twin)
                if entry_point.name not in names
            ]


def _unread(
    distribution: InstalledDistribution, error: Exception
) -> tuple[str, InstalledDistribution, str]:
    reason = f"its {_ENTRY_POINTS} cannot be read: {described(error)}"
    return _ENTRY_POINTS, distribution, reason


def _without_leftovers(metadata: Iterable[Distribution]) -> Iterator[InstalledDistribution]:
    for distribution in map(InstalledDistribution, metadata):
        if not _last(distribution.folder).startswith(_LEFTOVER):
            yield distribution


def _distributions_in(entry: str, folders: set[tuple[int, int]]) -> Iterator[InstalledDistribution]:
    """The distributions in one folder or archive of the import path; each folder once."""
    folder = entry or os.curdir
    try:
        names = os.listdir(folder)  # noqa: PTH208 - a thousand paths take longer than their files
        status = os.stat(folder)  # noqa: PTH116
    except NotADirectoryError:
        if os.path.isfile(entry):  # noqa: PTH113 - an archive; reading a pipe would block
            yield from _without_leftovers(distributions(path=[entry]))
    except (OSError, ValueError):  # the folder is missing, or its name is not a possible one
        return
    else:
        # The import path may have a folder twice: as a relative path, or through a link.
        place = status.st_dev, status.st_ino
        if place in folders and status.st_ino:
            return
        folders.add(place)
        is_egg = folder.rstrip("/").lower().endswith(".egg")
        for name in names:
            folded = name.lower()
            if (
                folded.endswith((".dist-info", ".egg-info")) or (is_egg and folded == "egg-info")
            ) and folded[0] != _LEFTOVER:
                yield InstalledDistribution(f"{folder}/{name}")


def _age(distribution: InstalledDistribution) -> tuple[tuple[int, ...], str]:
    """A sort key by which a newer distribution is larger: the numbers in its version."""
    return tuple(map(int, _NUMBER.findall(distribution.version or ""))), distribution.folder


def _entry_points(text: str, group: str) -> Iterator[EntryPoint]:
    """A group's entry points: `name = module` under its heading."""
    heading = ""
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        if line.startswith("[") and line.endswith("]"):
            heading = line[1:-1].strip()
        elif line and heading == group and line[0] not in "#;":
            name, equals, value = line.partition("=")
            if not equals:
                raise ValueError(f"expected 'name = module' in line {number}, found {line[:60]!r}")
            yield EntryPoint(name.strip(), value.strip(), group)
