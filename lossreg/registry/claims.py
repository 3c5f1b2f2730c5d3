"""Claims: which plugin provides which name, gathered from metadata and from named modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple

from lossreg.registry.distributions import normalized
from lossreg.registry.kinds import RecordT
from lossreg.registry.plugins import Origin, Plugin

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import ModuleType

    from lossreg.registry.distributions import GroupMetadata, InstalledDistribution
    from lossreg.registry.kinds import Kind

__all__ = ["Claim", "Claims", "Unusable"]


class Claim(Generic[RecordT]):
    """A name, and the plugin that an entry point says provides it."""

    def __init__(self, name: str, plugin: Plugin[RecordT]) -> None:
        self.name = name
        self.plugin = plugin

    def load(self) -> RecordT:
        """The definition.

        Raises:
            PluginLoadError: The plugin cannot be loaded, or has no definition of that name.
        """
        return self.plugin.definition(self.name)


class Unusable(NamedTuple):
    """An installed claim that cannot be used.

    Attributes:
        name: The name; `?` for all names of a distribution.
        origin: The distribution and the module.
        reason: Why it cannot be used.
    """

    name: str
    origin: Origin
    reason: str


class Claims(Generic[RecordT]):
    """All claims to the names of one kind.

    Args:
        kind: The kind.
        by_name: The claims to each name; several in a conflict.
        unusable: The claims that cannot be used.
    """

    def __init__(
        self,
        kind: Kind[RecordT],
        by_name: dict[str, list[Claim[RecordT]]],
        unusable: Sequence[Unusable],
    ) -> None:
        self.kind = kind
        self.by_name = by_name
        self.unusable = unusable

    @classmethod
    def of(cls, kind: Kind[RecordT], group: GroupMetadata) -> Claims[RecordT]:
        """The claims that the entry points of a group make."""
        by_name: dict[str, list[Claim[RecordT]]] = {}
        plugins: dict[tuple[InstalledDistribution | None, str], Plugin[RecordT]] = {}
        for entry_point, distribution in sorted(group.usable, key=lambda pair: str(pair[0].name)):
            # Many entry points may name one module: a broken one is imported only once.
            key = distribution, entry_point.value
            plugin = plugins.get(key)
            if plugin is None:
                plugin = plugins[key] = Plugin.named_by(kind, entry_point, distribution)
            rivals = by_name.setdefault(entry_point.name, [])
            if not any(_agree(plugin, rival.plugin) for rival in rivals):
                rivals.append(Claim(entry_point.name, plugin))
        unusable = [
            *(
                Unusable("?", Origin.of(place, owner), reason)
                for place, owner, reason in group.unreadable
            ),
            *(
                Unusable(entry_point.name, Origin.of(entry_point.value, owner), _hidden_by(winner))
                for entry_point, owner, winner in group.hidden
            ),
        ]
        return cls(kind, by_name, unusable)

    def with_modules(self, modules: Iterable[ModuleType | str]) -> Claims[RecordT]:
        """These claims, and those of modules that need not be installed.

        Raises:
            PluginLoadError: A module cannot be imported, or is not a plugin.
        """
        by_name = {name: list(claims) for name, claims in self.by_name.items()}
        for module in modules:
            plugin = Plugin.of_module(self.kind, module)
            for name in plugin.definitions():
                rivals = by_name.setdefault(name, [])
                if all(rival.plugin.module != plugin.module for rival in rivals):
                    rivals.append(Claim(name, plugin))
        return Claims(self.kind, dict(sorted(by_name.items())), self.unusable)


def _agree(one: Plugin[RecordT], other: Plugin[RecordT]) -> bool:
    """Whether two plugins are the same: one module of one distribution."""
    return one.module == other.module and normalized(one.claimant) == normalized(other.claimant)


def _hidden_by(winner: InstalledDistribution) -> str:
    release = " ".join(part for part in (winner.name, winner.version) if part)
    return f"hidden by {release} ({winner.folder}), which does not have it"
