"""What is installed: each distribution's metadata, read by lossreg itself.

Python's own enumeration parses every distribution's file, takes twice the time, and fails with
the first file that is malformed.
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
_LARGEST = 2**20  # bytes; a thousand entry points take a twentieth of it
# O_NONBLOCK does not wait for the other end of a pipe. O_NOFOLLOW tells a link that leads nowhere
# from a missing file, without a second call for each of the many that are missing.
_FOLLOWING = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_DIRECTLY = _FOLLOWING | getattr(os, "O_NOFOLLOW", 0)
_SEPARATORS = re.compile(r"[-_.]+")
_LEFTOVER = "~"  # pip renames what it removes; it ignores what stays so when it is interrupted
_NUMBER = re.compile(r"[0-9]{1,18}")


def normalized(distribution: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return _SEPARATORS.sub("-", distribution).lower()


class InstalledDistribution:
    """An installed distribution. Its metadata is read when something is asked of it.

    Args:
        metadata: The folder of its metadata, which may be missing or broken; or what Python or a
            finder makes of it.
    """

    def __init__(self, metadata: Distribution | str) -> None:
        self._metadata = metadata

    @cached_property
    def name(self) -> str:
        """Its name; where the metadata does not have it, that of its folder."""
        return printable(self._stated("name") or self._folder_name[0] or "an unnamed distribution")

    @cached_property
    def version(self) -> str | None:
        """Its version, or None."""
        return printable(self._stated("version") or self._folder_name[1]) or None

    @property
    def project(self) -> str:
        """Its name as PEP 503 compares it; that of its folder, where that is enough."""
        return normalized(self._folder_name[0] or self.name)

    @property
    def has_metadata(self) -> bool:
        """Whether its metadata says what it is: an empty or half-deleted folder's does not."""
        return self._stated("name") is not None

    @property
    def folder(self) -> str:
        """Where its metadata is; empty if that is not known."""
        if isinstance(self._metadata, str):
            return self._metadata
        path = getattr(self._metadata, "_path", "")
        return path.as_posix() if isinstance(path, PurePath) else str(path)

    @property
    def place(self) -> str:
        """The folder or the archive that it is installed in."""
        return self.folder.rstrip("/").rpartition("/")[0]

    def read(self, file: str) -> str:
        """The text of a file of its metadata; empty if there is none.

        Raises:
            OSError: It is there, but cannot be read.
            ValueError: It is not UTF-8, or too long.
        """
        if not isinstance(self._metadata, str):  # in an archive, say
            text = self._metadata.read_text(file) or ""
        else:
            data = _content(f"{self._metadata}/{file}", _LARGEST + 1)
            if len(data) > _LARGEST:
                raise ValueError(f"expected at most {_LARGEST} bytes, found more")
            text = data.decode()
        if "\0" in text:  # UTF-16 without its mark passes as UTF-8
            raise ValueError("expected UTF-8, found NUL characters")
        return text.replace(_BOM, "") if _BOM in text else text

    def _stated(self, what: str) -> str | None:
        """What the metadata says."""
        metadata = self._metadata
        try:
            if isinstance(metadata, str):
                value = self._headers.get(what)
            else:
                value = getattr(metadata, what)
        except Exception:  # noqa: BLE001 - metadata is a file like any other: missing, binary
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
    """A file's content, or its beginning; nothing if there is no such file.

    As read_text does it, in a quarter of its time: there may be a thousand of them.
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
    """What all installed distributions have under one group of entry points.

    Attributes:
        usable: The entry points that can be used, each with its distribution; with None, if it
            was given without one.
        hidden: Those of a distribution that Python would not import, because another one of the
            same name comes first: each with that distribution and with the one that hides it. An
            entry point that the other one has as well is left out.
        unreadable: What cannot be read: the file with its distribution, or a finder of
            distributions with None; and why.
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
        except Exception as error:  # noqa: BLE001 - a file may hold anything
            self._unreadable.append(_unread(distribution, error))
            return None

    def group(self, name: str) -> GroupMetadata:
        """What there is under one group of entry points."""
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
            if find is None:  # the backport of importlib.metadata takes PathFinder's away
                continue
            if finder is PathFinder:
                for entry in sys.path:
                    if isinstance(entry, str):  # as Python does, which takes no notice of others
                        yield from _distributions_in(entry, folders)
                continue
            try:
                yield from _without_leftovers(find(DistributionFinder.Context()))
            except Exception as error:  # noqa: BLE001 - a finder may be anyone's
                kind = finder if isinstance(finder, type) else type(finder)
                reason = f"its find_distributions raised {described(error)}"
                name = f"{kind.__module__}.{kind.__qualname__}"
                self._unreadable.append((name, None, reason))


class _Group:
    """One group of entry points, as it is gathered."""

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
        """Take what counts of several distributions whose folders have one name."""
        projects: dict[str, list[tuple[InstalledDistribution, str]]] = {}
        for distribution, text in rivals:
            # The folder of acme-plug may be called acme-plug-1.0, which reads as acme.
            projects.setdefault(normalized(distribution.name), []).append((distribution, text))
        for twins in projects.values():
            whole = [distribution for distribution, _ in twins if distribution.has_metadata]
            first = (whole or [distribution for distribution, _ in twins])[0]
            # Of one folder all are importable, whatever order its system lists them in.
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


def _without_leftovers(found: Iterable[Distribution]) -> Iterator[InstalledDistribution]:
    for distribution in map(InstalledDistribution, found):
        if not _last(distribution.folder).startswith(_LEFTOVER):
            yield distribution


def _distributions_in(entry: str, folders: set[tuple[int, int]]) -> Iterator[InstalledDistribution]:
    """The distributions in one place of the import path, unless it was looked at before."""
    folder = entry or os.curdir
    try:
        names = os.listdir(folder)  # noqa: PTH208 - a thousand paths take longer than their files
        status = os.stat(folder)  # noqa: PTH116
    except NotADirectoryError:
        if os.path.isfile(entry):  # noqa: PTH113 - an archive; a pipe would be waited for
            yield from _without_leftovers(distributions(path=[entry]))
    except (OSError, ValueError):  # there is none, or there cannot be one of that name
        return
    else:
        # The path may have a folder twice: relative, or through a link.
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
    """What a newer one has more of: the numbers in its version."""
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
