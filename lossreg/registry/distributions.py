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
from typing import TYPE_CHECKING

from lossreg.errors import described, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["ENTRY_POINTS", "Claims", "Owner", "normalized"]

ENTRY_POINTS = "entry_points.txt"
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


class Owner:
    """An installed distribution. Its metadata is read when something is asked of it.

    Args:
        given: The distribution, whose metadata may be missing or broken; or the folder of it.
    """

    def __init__(self, given: Distribution | str) -> None:
        self._given = given

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
        if isinstance(self._given, str):
            return self._given
        path = getattr(self._given, "_path", "")
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
        if not isinstance(self._given, str):  # in an archive, say
            text = self._given.read_text(file) or ""
        else:
            data = _content(f"{self._given}/{file}", _LARGEST + 1)
            if len(data) > _LARGEST:
                raise ValueError(f"expected at most {_LARGEST} bytes, found more")
            text = data.decode()
        if "\0" in text:  # UTF-16 without its mark passes as UTF-8
            raise ValueError("expected UTF-8, found NUL characters")
        return text.replace(_BOM, "") if _BOM in text else text

    def _stated(self, what: str) -> str | None:
        """What the metadata says."""
        given = self._given
        try:
            value = self._headers.get(what) if isinstance(given, str) else getattr(given, what)
        except Exception:  # noqa: BLE001 - metadata is a file like any other: missing, binary
            return None
        return value if isinstance(value, str) and value else None

    @cached_property
    def _headers(self) -> dict[str, str]:
        for file in _METADATA:
            try:
                data = _content(f"{self._given}/{file}" if file else str(self._given), _CHUNK)
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


class Claims:
    """What all installed distributions have under one group of entry points.

    Args:
        group: The group.

    Attributes:
        counted: The entry points that can be used, each with its distribution.
        hidden: Those of a distribution that Python would not import, because another one of the
            same name comes first: each with that distribution and with the one that hides it. An
            entry point that the other one has as well is left out.
        unreadable: What cannot be read: the file with its distribution, or a finder of
            distributions with None; and why.
    """

    def __init__(self, group: str) -> None:
        self.counted: list[tuple[EntryPoint, Owner]] = []
        self.hidden: list[tuple[EntryPoint, Owner, Owner]] = []
        self.unreadable: list[tuple[str, Owner | None, str]] = []
        self._group = group
        projects: dict[str, list[tuple[Owner, str]]] = {}
        for owner in self._owners():
            text = self._text(owner)
            if text is not None:
                projects.setdefault(owner.project, []).append((owner, text))
        for rivals in projects.values():
            if len(rivals) == 1:
                self.counted += self._claims(*rivals[0])
            elif any(group in text for _, text in rivals):
                self._judge(rivals)

    def _text(self, owner: Owner) -> str | None:
        try:
            return owner.read(ENTRY_POINTS)
        except Exception as error:  # noqa: BLE001 - a file may hold anything
            self._note(owner, error)
            return None

    def _note(self, owner: Owner, error: Exception) -> None:
        reason = f"its {ENTRY_POINTS} cannot be read: {described(error)}"
        self.unreadable.append((ENTRY_POINTS, owner, reason))

    def _claims(self, owner: Owner, text: str) -> list[tuple[EntryPoint, Owner]]:
        if self._group not in text:
            return []
        try:
            return [(each, owner) for each in _entry_points(text, self._group)]
        except ValueError as error:
            self._note(owner, error)
            return []

    def _judge(self, rivals: list[tuple[Owner, str]]) -> None:
        """Take what counts of several distributions whose folders have one name."""
        projects: dict[str, list[tuple[Owner, str]]] = {}
        for owner, text in rivals:
            # The folder of acme-plug may be called acme-plug-1.0, which reads as acme.
            projects.setdefault(normalized(owner.name), []).append((owner, text))
        for twins in projects.values():
            whole = [owner for owner, _ in twins if owner.has_metadata]
            first = (whole or [owner for owner, _ in twins])[0]
            # Of one folder all are importable, whatever order its system lists them in.
            beside = [
                (owner, text)
                for owner, text in twins
                if owner.place == first.place and (owner.has_metadata or not whole)
            ]
            beside.sort(key=lambda twin: _age(twin[0]), reverse=True)
            counted: dict[tuple[str, str], tuple[EntryPoint, Owner]] = {}
            for owner, text in beside:
                for claim in self._claims(owner, text):
                    counted.setdefault((claim[0].name, claim[0].value), claim)
            self.counted += counted.values()
            names = {name for name, _ in counted}
            self.hidden += [
                (each, owner, beside[0][0])
                for twin in twins
                if twin not in beside
                for each, owner in self._claims(*twin)
                if each.name not in names
            ]

    def _owners(self) -> Iterator[Owner]:
        """Every distribution, in the order in which Python looks for one."""
        folders: set[tuple[int, int]] = set()
        for finder in sys.meta_path:
            find = getattr(finder, "find_distributions", None)
            if find is None:  # the backport of importlib.metadata takes PathFinder's away
                continue
            if finder is PathFinder:
                for entry in sys.path:
                    if isinstance(entry, str):  # as Python does, which takes no notice of others
                        yield from _owners_in(entry, folders)
                continue
            try:
                yield from _owners_of(find(DistributionFinder.Context()))
            except Exception as error:  # noqa: BLE001 - a finder may be anyone's
                kind = finder if isinstance(finder, type) else type(finder)
                reason = f"its find_distributions raised {described(error)}"
                name = f"{kind.__module__}.{kind.__qualname__}"
                self.unreadable.append((name, None, reason))


def _owners_of(found: Iterable[Distribution]) -> Iterator[Owner]:
    for owner in map(Owner, found):
        if not _last(owner.folder).startswith(_LEFTOVER):
            yield owner


def _owners_in(entry: str, folders: set[tuple[int, int]]) -> Iterator[Owner]:
    """The distributions in one place of the import path, unless it was looked at before."""
    folder = entry or os.curdir
    try:
        names = os.listdir(folder)  # noqa: PTH208 - a thousand paths take longer than their files
        status = os.stat(folder)  # noqa: PTH116
    except NotADirectoryError:
        if os.path.isfile(entry):  # noqa: PTH113 - an archive; a pipe would be waited for
            yield from _owners_of(distributions(path=[entry]))
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
                yield Owner(f"{folder}/{name}")


def _age(owner: Owner) -> tuple[tuple[int, ...], str]:
    """What a newer one has more of: the numbers in its version."""
    return tuple(map(int, _NUMBER.findall(owner.version or ""))), owner.folder


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
