"""Plugins: where each one is from, what its hook returns, and errors that name the plugin."""

from __future__ import annotations

import re
import threading
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Generic, NamedTuple

import pluggy

from lossreg.errors import LossregError, PluginLoadError, described
from lossreg.plugin.hooks import HOOKS, PROJECT
from lossreg.registry.kinds import RecordT

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from lossreg.registry.distributions import InstalledDistribution
    from lossreg.registry.kinds import Kind

__all__ = ["Origin", "Plugin"]

_MARK = "lossreg.plugin.hookimpl"
# `module`, or `module:object.attribute`; extras are obsolete, but may follow.
_VALUE = r"\w+(\.\w+)*\s*(:\s*\w+(\.\w+)*\s*)?(\[.*\]\s*)?"


class Origin(NamedTuple):
    """The module that a definition is from, and the distribution that provides it.

    Attributes:
        module: The value of the entry point, usually a module.
        distribution: The distribution's name; None for a module that was named directly.
        version: The distribution's version, or None.
    """

    module: str
    distribution: str | None = None
    version: str | None = None

    @classmethod
    def of(cls, module: str, distribution: InstalledDistribution | None) -> Origin:
        """Where a module is from. Reads the distribution's metadata."""
        if distribution is None:
            return cls(module)
        return cls(module, distribution.name, distribution.version)

    @property
    def claimant(self) -> str:
        """The part before the colon in `acme:focal`, which picks one of several claims."""
        return self.distribution or self.module

    @property
    def release(self) -> str:
        """The distribution with its version; empty without one."""
        return " ".join(part for part in (self.distribution, self.version) if part)

    def __str__(self) -> str:
        return ", ".join(part for part in (self.release, self.module) if part)


class _NotAPluginError(LossregError):
    """The named module is not a plugin."""


class Plugin(Generic[RecordT]):
    """A module, or an object, with the hook. It is loaded on first use, and only once.

    Args:
        kind: The kind of the definitions that are asked of it.
        module: The value of the entry point, usually a module.
        distribution: The distribution that provides it; None for a module that was named directly.
        load: Imports the plugin.
    """

    def __init__(
        self,
        kind: Kind[RecordT],
        module: str,
        distribution: InstalledDistribution | None,
        load: Callable[[], object],
    ) -> None:
        self.kind = kind
        self.module = module
        self.distribution = distribution
        self._load = load
        # One lock for each plugin, so that a slow one does not block the others. Reentrant, so
        # that a plugin that asks for its own definitions while it loads does not deadlock.
        self._lock = threading.RLock()
        self._has_hook = True
        self._loaded: dict[str, RecordT] | tuple[str, BaseException] | None = None

    @classmethod
    def named_by(
        cls,
        kind: Kind[RecordT],
        entry_point: EntryPoint,
        distribution: InstalledDistribution | None,
    ) -> Plugin[RecordT]:
        """The plugin that an entry point names."""
        return cls(kind, entry_point.value, distribution, lambda: _imported(entry_point))

    @classmethod
    def of_module(cls, kind: Kind[RecordT], module: ModuleType | str) -> Plugin[RecordT]:
        """A module that need not be installed, or its dotted name."""
        if isinstance(module, str):
            return cls.named_by(kind, EntryPoint("", module, kind.group), None)
        return cls(kind, getattr(module, "__name__", repr(module)), None, lambda: module)

    @property
    def origin(self) -> Origin:
        """Where it is from. Reads the distribution's metadata."""
        return Origin.of(self.module, self.distribution)

    @property
    def claimant(self) -> str:
        """The part before the colon in `acme:focal`, which picks one of several claims."""
        return self.distribution.name if self.distribution is not None else self.module

    def definitions(self, name: str | None = None) -> dict[str, RecordT]:
        """Its definitions of this kind by name; empty if it only has a hook of another kind.

        Args:
            name: The name that was asked for, for the error.

        Raises:
            PluginLoadError: It cannot be loaded, or is not a plugin; each time with one reason.
        """
        with self._lock:
            if self._loaded is None:
                self._loaded = self._examined()
        if isinstance(self._loaded, tuple):
            # A new error each time: raising one object repeatedly makes its traceback grow.
            raise self._blamed(*self._loaded, name=name)
        return self._loaded

    def definition(self, name: str) -> RecordT:
        """Its definition of that name.

        Raises:
            PluginLoadError: It cannot be loaded, or has no such definition.
        """
        definitions = self.definitions(name)
        if name in definitions:
            return definitions[name]
        hook = self.kind.hook
        if self._has_hook:
            names = ", ".join(map(repr, definitions)) or "nothing"
            raise self._blamed(f"{hook}() returned {names}, but not {name!r}", name=name)
        raise self._blamed(f"it has no function '{hook}' marked with {_MARK}", name=name)

    def _examined(self) -> dict[str, RecordT] | tuple[str, BaseException]:
        try:
            return self._asked(self._load())
        except KeyboardInterrupt:
            raise
        except _NotAPluginError as error:
            return str(error), error
        except BaseException as error:  # noqa: BLE001 - a plugin's SystemExit is its fault too
            return described(error), error

    def _asked(self, plugin: object) -> dict[str, RecordT]:
        """The definitions that the plugin's hook returns, by name."""
        # Each plugin has its own manager: pluggy refuses the same module twice, and many entry
        # points may name one module.
        manager = pluggy.PluginManager(PROJECT)
        for hooks in HOOKS:
            manager.add_hookspecs(hooks)
        manager.register(plugin)
        manager.check_pending()
        if not manager.get_hookcallers(plugin):
            raise _NotAPluginError(f"it has no function marked with {_MARK}")
        hook, record = self.kind.hook, self.kind.record
        caller = getattr(manager.hook, hook)
        if not caller.get_hookimpls():
            self._has_hook = False
            return {}
        # pluggy drops a result that is None.
        returned = next(iter(caller()), None)
        if not isinstance(returned, list | tuple) or not all(
            isinstance(definition, record) for definition in returned
        ):
            raise _NotAPluginError(f"{hook}() must return a list of {record.__name__}")
        definitions: dict[str, RecordT] = {}
        # A definition written by hand replaces a generated one.
        for definition in sorted(returned, key=_is_generated):
            twin = definitions.setdefault(definition.name, definition)
            if twin is not definition and _is_generated(twin) == _is_generated(definition):
                raise _NotAPluginError(f"{hook}() returned {definition.name!r} twice")
        return definitions

    def _blamed(
        self, reason: str, cause: BaseException | None = None, *, name: str | None
    ) -> PluginLoadError:
        """An error that names the plugin."""
        origin = self.origin
        error = PluginLoadError(
            reason,
            name=name,
            distribution=origin.distribution,
            version=origin.version,
            module=origin.module,
            kind=self.kind.noun,
        )
        error.__cause__ = cause
        return error


def _imported(entry_point: EntryPoint) -> object:
    is_module = all(map(str.isidentifier, entry_point.value.split(".")))
    if not (is_module or re.fullmatch(_VALUE, entry_point.value)):
        # Python's own error for it would be an AttributeError that does not explain it.
        raise _NotAPluginError(f"{entry_point.value!r} does not name a module")
    return entry_point.load()


def _is_generated(definition: object) -> bool:
    return getattr(definition, "generated", False)
