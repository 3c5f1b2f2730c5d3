"""Where losses come from: plugins, whose they are, and each loaded at most once."""

from __future__ import annotations

import re
import threading
from functools import cached_property
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any

import pluggy

from lossreg.errors import LossregError, PluginLoadError, described
from lossreg.plugin import LossDefinition, LossHooks
from lossreg.plugin.hooks import PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from lossreg.registry.distributions import Owner

__all__ = ["GROUP", "Origin", "Plugin", "Source"]

GROUP = "lossreg.losses"
# `module`, or `module:object.attribute`; extras have no meaning any more, but may be there.
_VALUE = re.compile(r"\w+(\.\w+)*\s*(:\s*\w+(\.\w+)*\s*)?(\[.*\]\s*)?")


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
