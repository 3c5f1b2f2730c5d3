"""Where losses come from: plugins, whose they are, and each loaded at most once."""

from __future__ import annotations

import os
import re
import sys
import threading
from functools import cached_property
from importlib.machinery import PathFinder
from importlib.metadata import Distribution, DistributionFinder, EntryPoint, distributions
from typing import TYPE_CHECKING, Any

import pluggy

from lossreg.errors import LossregError, PluginLoadError, described, printable
from lossreg.plugin import LossDefinition, LossHooks
from lossreg.plugin.hooks import PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

__all__ = ["GROUP", "Origin", "Owner", "Plugin", "Source", "installed_plugins", "normalized"]

GROUP = "lossreg.losses"
_FILE = "entry_points.txt"
_CHUNK = 2**16  # bytes
# `module`, or `module:object.attribute`; extras have no meaning any more, but may be there.
_SEPARATORS = re.compile(r"[-_.]+")
_VALUE = re.compile(r"\w+(\.\w+)*\s*(:\s*\w+(\.\w+)*\s*)?(\[.*\]\s*)?")


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
        """Its name; where the metadata does not tell, that of its folder."""
        return self._told("name") or self._folder[0] or "an unnamed distribution"

    @cached_property
    def version(self) -> str | None:
        """Its version, or None."""
        return self._told("version") or self._folder[1] or None

    def _told(self, what: str) -> str | None:
        given = self._given
        try:
            found = getattr(Distribution.at(given) if isinstance(given, str) else given, what)
        except Exception:  # noqa: BLE001 - metadata is a file like any other: missing, binary
            return None
        return printable(found) if isinstance(found, str) else None

    def read(self, file: str) -> str:
        """The text of a file of its metadata; empty if there is none.

        Raises:
            UnicodeDecodeError: It is not UTF-8.
        """
        if not isinstance(self._given, str):  # in an archive, say
            return self._given.read_text(file) or ""
        try:
            # As read_text does it, in a quarter of its time: there may be a thousand of them.
            file_descriptor = os.open(f"{self._given}/{file}", os.O_RDONLY)
            try:
                data = os.read(file_descriptor, _CHUNK)
                while len(data) % _CHUNK == 0 and (more := os.read(file_descriptor, _CHUNK)):
                    data += more
            finally:
                os.close(file_descriptor)
            return data.decode()
        except OSError:
            return ""

    @property
    def project(self) -> str:
        """Its name as PEP 503 compares it; that of its folder, where that is enough."""
        return normalized(self._folder[0] or self.name)

    @property
    def _folder(self) -> tuple[str, str]:
        given = self._given
        if isinstance(given, str):
            folder = given.rpartition("/")[2]
        else:
            folder = str(getattr(getattr(given, "_path", None), "name", ""))
        name, _, version = folder.rpartition(".")[0].partition("-")
        return name, version


class Origin:
    """What defines a loss, and who brought it; equal to what says the same.

    Args:
        module: The module, or what else an entry point names.
        owner: The distribution; None for a module that was named directly.
    """

    def __init__(self, module: str, owner: Owner | None = None) -> None:
        self.module = module
        self.owner = owner

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Origin) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(self.module)

    def __repr__(self) -> str:
        return f"<{self}>"

    @property
    def distribution(self) -> str | None:
        """The distribution's name."""
        return self.owner.name if self.owner is not None else None

    @property
    def version(self) -> str | None:
        """The distribution's version."""
        return self.owner.version if self.owner is not None else None

    @property
    def claimant(self) -> str:
        """What stands before the colon, where several claim one name: `acme:focal`."""
        return self.distribution or self.module

    @cached_property
    def _text(self) -> str:
        return ", ".join(each for each in (self.release, self.module) if each)

    @property
    def release(self) -> str:
        """The distribution with its version; empty without one."""
        return " ".join(each for each in (self.distribution, self.version) if each)

    def __str__(self) -> str:
        return self._text

    # A built loss carries it through pickle, where a distribution's files may be anything.
    def __getstate__(self) -> dict[str, Any]:
        return {"module": self.module, "owner": None, "_text": self._text}


class _NotAPluginError(LossregError):
    """What was named is no loss plugin."""


class Plugin:
    """A module, or an object, that holds the hook: loaded when first asked, and only once.

    Args:
        origin: Where it is from.
        load: Imports it.
    """

    def __init__(self, origin: Origin, load: Callable[[], object]) -> None:
        self.origin = origin
        self._load = load
        # Of a plugin's own: a slow one must not keep the others waiting. Reentrant, so that one
        # that asks for its own losses while it loads is a recursion and not a deadlock.
        self._lock = threading.RLock()
        self._found: dict[str, LossDefinition] | tuple[str, BaseException] | None = None

    @classmethod
    def named_by(cls, entry_point: EntryPoint, owner: Owner | None) -> Plugin:
        """What an entry point names."""
        return cls(Origin(entry_point.value, owner), lambda: _imported(entry_point))

    @classmethod
    def of_module(cls, module: ModuleType | str) -> Plugin:
        """A module that need not be installed, or its dotted name."""
        if isinstance(module, str):
            return cls.named_by(EntryPoint("", module, GROUP), None)
        return cls(Origin(getattr(module, "__name__", repr(module))), lambda: module)

    def definitions(self, loss: str | None = None) -> dict[str, LossDefinition]:
        """Its losses by name.

        Args:
            loss: The loss that was asked for, for the error.

        Raises:
            PluginLoadError: It cannot be loaded, or is no plugin; for the same reason each time.
        """
        with self._lock:
            if self._found is None:
                self._found = self._examined()
        if isinstance(self._found, tuple):
            # A fresh one: raising one exception object again and again grows its traceback.
            raise self.blamed(*self._found, loss=loss)
        return self._found

    def _examined(self) -> dict[str, LossDefinition] | tuple[str, BaseException]:
        try:
            return _losses(self._load())
        except KeyboardInterrupt:
            raise
        except _NotAPluginError as error:
            return str(error), error
        except BaseException as error:  # noqa: BLE001 - a plugin's SystemExit is its fault too
            return described(error), error

    def blamed(
        self, reason: str, cause: BaseException | None = None, *, loss: str | None
    ) -> PluginLoadError:
        """An error that names the plugin."""
        error = PluginLoadError(
            reason,
            loss=loss,
            distribution=self.origin.distribution,
            version=self.origin.version,
            module=self.origin.module,
        )
        error.__cause__ = cause
        return error


def _imported(entry_point: EntryPoint) -> object:
    if not _VALUE.fullmatch(entry_point.value):
        # Python would answer it with an AttributeError of its own.
        raise _NotAPluginError(f"{entry_point.value!r} names no module")
    return entry_point.load()


def _losses(plugin: object) -> dict[str, LossDefinition]:
    """What a plugin's hook returns, by name."""
    # Each plugin has a manager of its own: pluggy refuses the same module twice, and one
    # module may serve many entry points.
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(LossHooks)
    manager.register(plugin)
    manager.check_pending()
    if not manager.get_hookcallers(plugin):
        raise _NotAPluginError("it has no function marked with lossreg.plugin.hookimpl")
    # pluggy leaves out a result that is None.
    returned = next(iter(manager.hook.lossreg_losses()), None)
    if not isinstance(returned, list | tuple) or not all(
        isinstance(each, LossDefinition) for each in returned
    ):
        raise _NotAPluginError("lossreg_losses() must return a list of LossDefinition")
    found: dict[str, LossDefinition] = {}
    for each in sorted(returned, key=lambda each: each.generated):
        twin = found.setdefault(each.name, each)
        if twin is not each and twin.generated == each.generated:
            raise _NotAPluginError(f"lossreg_losses() returned {each.name!r} twice")
    return found


class Source:
    """One claim to a loss's name: a plugin, and the definition in it that bears the name."""

    def __init__(self, name: str, plugin: Plugin) -> None:
        self.name = name
        self.plugin = plugin

    @property
    def origin(self) -> Origin:
        """Where the loss is from."""
        return self.plugin.origin

    def load(self) -> LossDefinition:
        """The definition.

        Raises:
            PluginLoadError: The plugin cannot be loaded, or has none of that name.
        """
        definitions = self.plugin.definitions(self.name)
        if self.name not in definitions:
            names = ", ".join(map(repr, definitions)) or "nothing"
            reason = f"lossreg_losses() returned {names}, but not {self.name!r}"
            raise self.plugin.blamed(reason, loss=self.name)
        return definitions[self.name]


def installed_plugins() -> tuple[list[tuple[EntryPoint, Owner]], list[tuple[Origin, str]]]:
    """The entry points of all losses with their distributions; and what hides them, with why.

    Python's own enumeration parses every distribution's file, takes twice the time, and fails
    with the first file that is malformed.
    """
    found: list[tuple[EntryPoint, Owner]] = []
    unreadable: list[tuple[Origin, str]] = []
    seen: set[str] = set()
    for owner in _owners():
        try:
            text, project = owner.read(_FILE), owner.project
            if project in seen:
                continue  # further down the path, so it is not the one that Python imports
            seen.add(project)
            if GROUP in text:
                found += [(each, owner) for each in _entry_points(text)]
        except Exception as error:  # noqa: BLE001 - a file may hold anything
            reason = f"its {_FILE} cannot be read: {described(error)}"
            unreadable.append((Origin(_FILE, owner), reason))
    return found, unreadable


def _owners() -> Iterator[Owner]:
    """Every distribution, in the order in which Python looks for one."""
    for finder in sys.meta_path:
        find = getattr(finder, "find_distributions", None)
        if find is None:  # the backport of importlib.metadata takes PathFinder's away
            continue
        if finder is PathFinder:
            for entry in sys.path:
                if isinstance(entry, str):  # as Python does, which takes no notice of others
                    yield from _owners_in(entry)
        else:
            yield from map(Owner, find(DistributionFinder.Context()))


def _owners_in(entry: str) -> Iterator[Owner]:
    """The distributions in one place of the import path."""
    folder = entry or os.curdir
    try:
        names = os.listdir(folder)  # noqa: PTH208 - a thousand paths take longer than their files
    except NotADirectoryError:  # an archive
        yield from map(Owner, distributions(path=[entry]))
    except OSError:
        return
    else:
        is_egg = folder.rstrip("/").endswith(".egg")
        for name in names:
            if name.endswith((".dist-info", ".egg-info")) or (is_egg and name == "EGG-INFO"):
                yield Owner(f"{folder}/{name}")


def _entry_points(text: str) -> Iterator[EntryPoint]:
    """The losses in a file of entry points: `name = module` under the group's heading."""
    group = ""
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1].strip()
        elif line and group == GROUP and line[0] not in "#;":
            name, equals, value = line.partition("=")
            if not equals:
                raise ValueError(f"expected 'name = module' in line {number}, found {line[:60]!r}")
            yield EntryPoint(name.strip(), value.strip(), group)
