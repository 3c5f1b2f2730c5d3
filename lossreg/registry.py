"""Names to loss definitions: one enumeration of metadata, one plugin loaded on demand."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pluggy

from lossreg.errors import (
    DuplicateLossError,
    LossregError,
    PluginLoadError,
    UnknownLossError,
    described,
)
from lossreg.plugin import LossDefinition, LossHooks
from lossreg.plugin.hooks import PROJECT
from lossreg.suggest import closest_loss

__all__ = ["GROUP", "Registry", "RegistryEntry"]

GROUP = "lossreg.losses"


@dataclass(frozen=True, kw_only=True, slots=True)
class RegistryEntry:
    """One entry point and how it fared.

    Attributes:
        name: The name under which it can be asked for.
        distribution: The distribution that brought it, or None.
        version: That distribution's version, or None.
        module: What the entry point names.
        state: `ok`; `broken`, when it cannot be loaded; `conflict`, when another distribution
            claims the same name, so that only `distribution:loss` reaches it.
        reason: Why it is not `ok`; empty when it is.
        definition: What was loaded, or None.
    """

    name: str
    distribution: str | None
    version: str | None
    module: str
    state: Literal["ok", "broken", "conflict"]
    reason: str
    definition: LossDefinition | None


class _Source:
    """One entry point, loaded at most once."""

    def __init__(self, entry_point: importlib.metadata.EntryPoint) -> None:
        self.entry_point = entry_point
        self._result: LossDefinition | PluginLoadError | None = None

    @property
    def distribution(self) -> str | None:
        dist = self.entry_point.dist
        return dist.name if dist is not None else None

    @property
    def version(self) -> str | None:
        dist = self.entry_point.dist
        return dist.version if dist is not None else None

    def load(self) -> LossDefinition:
        """The definition, or a PluginLoadError: the same one each time."""
        if self._result is None:
            try:
                self._result = self._load()
            except KeyboardInterrupt:
                raise
            except _NotAPluginError as error:
                self._result = self._blamed(str(error), error)
            except BaseException as error:  # noqa: BLE001 - a plugin's SystemExit is its fault too
                self._result = self._blamed(described(error), error)
        if isinstance(self._result, PluginLoadError):
            # A fresh one: raising one exception object again and again grows its traceback.
            raise self._blamed(self._result.reason, self._result.__cause__)
        return self._result

    def _load(self) -> LossDefinition:
        name = self.entry_point.name
        plugin = self.entry_point.load()
        # Each plugin has a manager of its own: pluggy refuses the same module twice, and one
        # module may serve many entry points.
        manager = pluggy.PluginManager(PROJECT)
        manager.add_hookspecs(LossHooks)
        manager.register(plugin)
        manager.check_pending()
        if not manager.get_hookcallers(plugin):
            raise _NotAPluginError("it has no function marked with lossreg.plugin.hookimpl")
        # pluggy leaves out a result that is None.
        found = next(iter(manager.hook.lossreg_losses()), None)
        if not isinstance(found, list | tuple) or not all(
            isinstance(each, LossDefinition) for each in found
        ):
            raise _NotAPluginError("lossreg_losses() must return a list of LossDefinition")
        definitions: Sequence[LossDefinition] = found
        for definition in definitions:
            if definition.name == name:
                return definition
        names = ", ".join(repr(each.name) for each in definitions) or "nothing"
        raise _NotAPluginError(f"lossreg_losses() returned {names}, but not {name!r}")

    def _blamed(self, reason: str, cause: BaseException | None) -> PluginLoadError:
        error = PluginLoadError(
            reason,
            loss=self.entry_point.name,
            distribution=self.distribution,
            version=self.version,
            module=self.entry_point.value,
        )
        error.__cause__ = cause
        return error


class _NotAPluginError(LossregError):
    """What the entry point names is no loss plugin."""


class Registry(Mapping[str, LossDefinition]):
    """The loss definitions of a set of entry points, as a read-only mapping.

    Looking a name up loads that plugin and no other. `distribution:loss` asks for one
    distribution's loss.

    Raises:
        UnknownLossError: On a lookup: no plugin has that name.
        DuplicateLossError: On a lookup: several distributions claim it.
        PluginLoadError: On a lookup: its plugin cannot be loaded.
    """

    def __init__(self, entry_points: Iterable[importlib.metadata.EntryPoint]) -> None:
        self._sources: dict[str, list[_Source]] = {}
        for entry_point in sorted(entry_points, key=lambda each: each.name):
            self._sources.setdefault(entry_point.name, []).append(_Source(entry_point))

    @classmethod
    def installed(cls) -> Registry:
        """All that is installed in this environment. Reads metadata; loads nothing."""
        return cls(importlib.metadata.entry_points(group=GROUP))

    def __getitem__(self, name: str) -> LossDefinition:
        return self._source(name).load()

    def _source(self, name: str) -> _Source:
        distribution, _, loss = name.rpartition(":") if isinstance(name, str) else ("", "", name)
        sources = self._sources.get(loss, [])
        if distribution:
            wanted = _normalized(distribution)
            sources = [
                source for source in sources if _normalized(source.distribution or "") == wanted
            ]
        if not sources:
            raise UnknownLossError(name, suggestion=closest_loss(loss, self._sources))
        if len(sources) > 1:
            owners = tuple(source.distribution or "no distribution" for source in sources)
            raise DuplicateLossError(loss=name, distributions=owners)
        return sources[0]

    def __contains__(self, name: object) -> bool:
        """Whether the name can be asked for; loads nothing."""
        try:
            self._source(name)  # type: ignore[arg-type]
        except LossregError:
            return False
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)

    def entries(self) -> list[RegistryEntry]:
        """Every entry point, loaded, the broken and the conflicting ones included."""
        return [
            self._entry(source, conflicting=len(sources) > 1)
            for sources in self._sources.values()
            for source in sources
        ]

    def entry(self, name: str) -> RegistryEntry:
        """One entry point, loaded.

        Raises:
            UnknownLossError: No plugin has that name.
            DuplicateLossError: Several distributions claim it.
        """
        return self._entry(self._source(name), conflicting=False)

    def _entry(self, source: _Source, *, conflicting: bool) -> RegistryEntry:
        name = source.entry_point.name
        state: Literal["ok", "broken", "conflict"] = "ok"
        reason, definition = "", None
        try:
            definition = source.load()
        except PluginLoadError as error:
            state, reason = "broken", error.reason
        if conflicting and state == "ok":
            owners = sorted(str(each.distribution) for each in self._sources[name])
            state, reason = "conflict", f"claimed by {' and '.join(owners)}"
        return RegistryEntry(
            name=f"{source.distribution}:{name}" if conflicting else name,
            distribution=source.distribution,
            version=source.version,
            module=source.entry_point.value,
            state=state,
            reason=reason,
            definition=definition,
        )


def _normalized(distribution: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()
