"""Names to loss definitions: one enumeration of metadata, one plugin loaded on demand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from lossreg.errors import DuplicateLossError, LossregError, PluginLoadError, UnknownLossError
from lossreg.names import closest_spelling, guessed_loss
from lossreg.plugin import LossDefinition
from lossreg.registry.distributions import Claims, Owner, normalized
from lossreg.registry.plugins import GROUP, Origin, Plugin, Source

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint
    from types import ModuleType

__all__ = ["Registry", "RegistryEntry"]


class RegistryEntry(NamedTuple):
    """One claim to a loss's name, and how it fared.

    Attributes:
        name: The name under which it can be asked for; `distribution:?` for a distribution whose
            entry points cannot be read; `distribution:loss` for one that cannot be asked for,
            because another installation of the same distribution hides it.
        distribution: The distribution that brought it, or None.
        version: That distribution's version, or None.
        module: What the entry point names; or the module that was given to `with_plugins`.
        state: `ok`; `broken`, when it cannot be loaded; `conflict`, when another one claims the
            same name, so that only `distribution:loss` (or `module:loss`) reaches it.
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


class _Unusable(NamedTuple):
    """What is installed, but cannot be used: a loss, or `?` for all losses of a distribution."""

    loss: str
    origin: Origin
    reason: str


class Registry(Mapping[str, LossDefinition]):
    """The loss definitions of a set of entry points, as a read-only mapping.

    Looking a name up loads that plugin and no other. `distribution:loss` asks for one
    distribution's loss. It may be shared by threads.

    Raises:
        UnknownLossError: On a lookup: no plugin has that name.
        DuplicateLossError: On a lookup: several plugins claim it.
        PluginLoadError: On a lookup: its plugin cannot be loaded.
    """

    def __init__(self, entry_points: Iterable[EntryPoint]) -> None:
        owners: dict[int, Owner] = {}
        claims: list[tuple[EntryPoint, Owner | None]] = []
        for each in entry_points:
            dist = each.dist
            owner = None if dist is None else owners.setdefault(id(dist), Owner(dist))
            claims.append((each, owner))
        self._set(claims)

    @classmethod
    def installed(cls) -> Registry:
        """All that is installed in this environment. Reads metadata; loads nothing."""
        claims = Claims(GROUP)
        registry = cls(())
        registry._set(claims.counted)
        registry._unusable = [
            *(_Unusable("?", Origin(what, owner), why) for what, owner, why in claims.unreadable),
            *(
                _Unusable(each.name, Origin(each.value, owner), _hidden_by(winner))
                for each, owner, winner in claims.hidden
            ),
        ]
        return registry

    def _set(self, claims: Sequence[tuple[EntryPoint, Owner | None]]) -> None:
        self._sources: dict[str, list[Source]] = {}
        self._unusable: Sequence[_Unusable] = ()
        plugins: dict[tuple[Owner | None, str], Plugin] = {}
        for each, owner in sorted(claims, key=lambda claim: str(claim[0].name)):
            # One module may serve many entry points; were it broken, it would be tried for each.
            key = owner, each.value
            plugin = plugins.get(key)
            if plugin is None:
                plugin = plugins[key] = Plugin.named_by(each, owner)
            rivals = self._sources.setdefault(each.name, [])
            if not any(_agree(plugin.origin, rival.origin) for rival in rivals):
                rivals.append(Source(each.name, plugin))

    def with_plugins(self, *plugins: ModuleType | str) -> Registry:
        """This registry and the losses of modules that need not be installed.

        A name that is taken is a conflict, as between two distributions: `module:loss` picks
        this one, and nobody shadows a loss silently. A module that an entry point names as well
        is the same plugin, and claims nothing twice.

        Args:
            plugins: Modules with the hook, or their dotted names, which are imported now.

        Raises:
            PluginLoadError: A module cannot be imported, or is no plugin.
        """
        sources = {name: list(found) for name, found in self._sources.items()}
        for each in plugins:
            plugin = Plugin.of_module(each)
            for name in plugin.definitions():
                rivals = sources.setdefault(name, [])
                if all(other.origin.module != plugin.origin.module for other in rivals):
                    rivals.append(Source(name, plugin))
        registry = Registry(())
        registry._sources = dict(sorted(sources.items()))
        registry._unusable = self._unusable
        return registry

    def __getitem__(self, name: str) -> LossDefinition:
        return self._source(name).load()

    def origin(self, name: str) -> Origin:
        """Where a loss is from; loads nothing.

        Raises:
            UnknownLossError: No plugin has that name.
            DuplicateLossError: Several plugins claim it.
        """
        return self._source(name).origin

    def claimants(self, name: str) -> list[str]:
        """The distributions, or modules, that claim a loss's name; loads nothing."""
        return sorted({each.origin.claimant for each in self._sources.get(name, ())})

    def _source(self, name: str) -> Source:
        claimant, _, loss = name.rpartition(":") if isinstance(name, str) else ("", "", name)
        sources = self._sources.get(loss, [])
        if claimant:
            wanted = normalized(claimant)
            sources = [each for each in sources if normalized(each.origin.claimant) == wanted]
        if not sources:
            raise self._unknown(name, claimant, loss)
        if len(sources) > 1:
            raise DuplicateLossError(
                loss=loss,
                distributions=tuple(each.origin.claimant for each in sources),
                claims=tuple(_claim(each.origin) for each in sources),
                folders=_folders(sources),
            )
        return sources[0]

    def _unknown(self, name: object, claimant: str, loss: str) -> UnknownLossError:
        unreadable = tuple(
            f"{origin.release or origin.module}: {why}"
            for of, origin, why in self._unusable
            if of in ("?", loss)
        )
        if claimant:
            suggestion, remark = self._of_claimant(claimant, loss)
        else:
            modules = {each: sources[0].origin.module for each, sources in self._sources.items()}
            suggestion, remark = guessed_loss(loss, modules)
        return UnknownLossError(name, suggestion=suggestion, remark=remark, unreadable=unreadable)

    def _of_claimant(self, claimant: str, loss: str) -> tuple[str | None, str]:
        """What `claimant:loss` probably meant; another one's loss of that name is another loss."""
        modules: dict[str, dict[str, str]] = {}
        for each, sources in self._sources.items():
            for source in sources:
                theirs = modules.setdefault(normalized(source.origin.claimant), {})
                theirs[each] = source.origin.module
        meant = normalized(claimant)
        if meant not in modules:
            meant = closest_spelling(meant, modules) or ""
        suggestion, remark = guessed_loss(loss, modules.get(meant, {}))
        if suggestion is None and not remark:
            absent = "" if meant else "no distribution or module of that name has losses here"
            owners = " and ".join(f"'{each}'" for each in self.claimants(loss))
            there = f"'{loss}' is from {owners}" if owners else ""
            remark = "; ".join(part for part in (absent, there) if part)
        return suggestion and f"{meant}:{suggestion}", remark

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
        """Every claim to a name, loaded, the broken and the conflicting ones included."""
        return [
            *(
                _entry(source, sources if len(sources) > 1 else ())
                for sources in self._sources.values()
                for source in sources
            ),
            *(
                RegistryEntry(
                    name=f"{origin.claimant}:{loss}",
                    distribution=origin.distribution,
                    version=origin.version,
                    module=origin.module,
                    state="broken",
                    reason=reason,
                    definition=None,
                )
                for loss, origin, reason in self._unusable
            ),
        ]

    def entry(self, name: str) -> RegistryEntry:
        """One claim, loaded.

        Raises:
            UnknownLossError: No plugin has that name.
            DuplicateLossError: Several plugins claim it.
        """
        return _entry(self._source(name), ())


def _entry(source: Source, claims: Iterable[Source]) -> RegistryEntry:
    """A claim, loaded, with all claims to its name where there are several."""
    origin = source.origin
    state: Literal["ok", "broken", "conflict"] = "ok"
    reason, definition = "", None
    try:
        definition = source.load()
    except PluginLoadError as error:
        state, reason = "broken", error.reason
    count = Counter(each.origin.claimant for each in claims)
    if count and state == "ok":
        # One distribution may claim a name twice, by mistake.
        owners = sorted(
            each.origin.claimant
            if count[each.origin.claimant] == 1
            else f"{each.origin.claimant} ({each.origin.module})"
            for each in claims
        )
        state, reason = "conflict", f"claimed by {' and '.join(owners)}"
    return RegistryEntry(
        name=f"{origin.claimant}:{source.name}" if count else source.name,
        distribution=origin.distribution,
        version=origin.version,
        module=origin.module,
        state=state,
        reason=reason,
        definition=definition,
    )


def _claim(origin: Origin) -> str:
    return f"{origin.release} ({origin.module})" if origin.release else origin.module


def _agree(one: Origin, other: Origin) -> bool:
    """Whether two claims are one: the same module of the same distribution."""
    return one.module == other.module and normalized(one.claimant) == normalized(other.claimant)


def _hidden_by(winner: Owner) -> str:
    release = " ".join(part for part in (winner.name, winner.version) if part)
    return f"hidden by {release} ({winner.folder}), which does not have it"


def _folders(sources: Sequence[Source]) -> tuple[str, ...]:
    """Where the metadata of claims by one distribution is, if it is installed several times."""
    owners = {id(each.origin.owner): each.origin.owner for each in sources}
    count = Counter(normalized(each.origin.claimant) for each in sources)
    return tuple(
        owner.folder
        for owner in owners.values()
        if owner is not None and owner.folder and count[normalized(owner.name)] > 1
    )
