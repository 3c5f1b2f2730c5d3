"""Definitions by name: metadata is enumerated once, plugins are loaded on demand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any, Literal, NamedTuple

from lossreg.errors import LossregError, PluginLoadError, UnknownNameError
from lossreg.names import closest_spelling
from lossreg.plugin import LossDefinition
from lossreg.registry.claims import Claim, Claims
from lossreg.registry.distributions import (
    Environment,
    GroupMetadata,
    InstalledDistribution,
    normalized,
)
from lossreg.registry.kinds import KINDS, LOSSES, Kind, Record, RecordT
from lossreg.registry.plugins import Origin

__all__ = ["Definitions", "Registry", "RegistryEntry"]


class RegistryEntry(NamedTuple):
    """One plugin that provides a name, and whether it loads.

    Attributes:
        name: The name by which a config can name it; `distribution:?` for a distribution whose
            entry points cannot be read; `distribution:name` for one that cannot be named because
            another installation of the same distribution hides it.
        distribution: The distribution that provides it, or None.
        version: That distribution's version, or None.
        module: The entry point's value, or the module that was passed to `with_plugins`.
        state: `ok`; `broken` if it cannot be loaded; `conflict` if another plugin claims the same
            name, so that only `distribution:name` (or `module:name`) reaches it.
        reason: Why it is not `ok`; empty if it is.
        definition: The definition, or None if it cannot be loaded.
    """

    name: str
    distribution: str | None
    version: str | None
    module: str
    state: Literal["ok", "broken", "conflict"]
    reason: str
    definition: Record | None


class Definitions(Mapping[str, RecordT]):
    """The definitions of one kind, as a read-only mapping from their names.

    Looking up a name loads only that plugin, but for an unknown name without a near spelling: then
    the others are loaded for their aliases. `distribution:name` picks one distribution's
    definition. Threads may share the mapping.

    Args:
        claims: Which plugin provides which name.

    Raises:
        UnknownNameError: On a lookup: no plugin has that name.
        DuplicateNameError: On a lookup: several plugins claim it.
        PluginLoadError: On a lookup: its plugin cannot be loaded.
    """

    def __init__(self, claims: Claims[RecordT]) -> None:
        self._claims = claims

    def __getitem__(self, name: str) -> RecordT:
        return self._claim(name, may_load=True).load()

    def origin(self, name: str) -> Origin:
        """Where a definition is from; loads nothing.

        Raises:
            UnknownNameError: No plugin has that name.
            DuplicateNameError: Several plugins claim it.
        """
        return self._claim(name).plugin.origin

    def claimants(self, name: str) -> list[str]:
        """The distributions, or modules, that claim a name; loads nothing."""
        return sorted({claim.plugin.claimant for claim in self._claims.by_name.get(name, ())})

    def _claim(self, name: str, *, may_load: bool = False) -> Claim[RecordT]:
        claimant, colon, bare = name.rpartition(":") if isinstance(name, str) else ("", "", name)
        claims = self._claims.by_name.get(bare, [])
        if colon:
            wanted = normalized(claimant)
            claims = [claim for claim in claims if normalized(claim.plugin.claimant) == wanted]
        if not claims:
            raise self._unknown(name, claimant, bare, may_load=may_load)
        if len(claims) > 1:
            raise self._claims.kind.duplicate(
                name=bare,
                distributions=tuple(claim.plugin.claimant for claim in claims),
                claims=tuple(_in_words(claim.plugin.origin) for claim in claims),
                folders=_folders(claims),
                kind=self._claims.kind.noun,
            )
        return claims[0]

    def _unknown(
        self, name: object, claimant: str, bare: str, *, may_load: bool
    ) -> UnknownNameError:
        kind = self._claims.kind
        unreadable = tuple(
            f"{origin.release or origin.module}: {reason}"
            for unusable, origin, reason in self._claims.unusable
            if unusable in ("?", bare)
        )
        if claimant:
            suggestion, remark = self._of_claimant(claimant, bare)
        else:
            from lossreg.registry.guesses import guessed  # only a fault is worth it

            suggestion, remark = guessed(bare, self._claims, may_load=may_load)
        return kind.unknown(
            name, suggestion=suggestion, remark=remark, unreadable=unreadable, kind=kind.noun
        )

    def _of_claimant(self, claimant: str, bare: str) -> tuple[str | None, str]:
        """The name that `claimant:name` probably meant; never one of another claimant."""
        modules: dict[str, dict[str, str]] = {}
        for known, claims in self._claims.by_name.items():
            for claim in claims:
                project = normalized(claim.plugin.claimant)
                modules.setdefault(project, {})[known] = claim.plugin.module
        meant = normalized(claimant)
        if meant not in modules:
            meant = closest_spelling(meant, modules) or ""
        kind = self._claims.kind
        suggestion, remark = kind.guess(bare, modules.get(meant, {}))
        if suggestion is None and not remark:
            absent = f"no distribution or module of that name has {kind.plural} here"
            owners = " and ".join(f"'{owner}'" for owner in self.claimants(bare))
            elsewhere = f"'{bare}' is from {owners}" if owners else ""
            remark = "; ".join(part for part in ("" if meant else absent, elsewhere) if part)
        return suggestion and f"{meant}:{suggestion}", remark

    def __contains__(self, name: object) -> bool:
        """Whether a lookup would find the name; loads nothing."""
        try:
            self._claim(name)  # type: ignore[arg-type]
        except LossregError:
            return False
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(self._claims.by_name)

    def __len__(self) -> int:
        return len(self._claims.by_name)

    def providers(self) -> dict[str, str]:
        """The distributions and modules that have definitions, by their name in lower case.

        Loads nothing.
        """
        claimants = [
            *(
                claim.plugin.claimant
                for claims in self._claims.by_name.values()
                for claim in claims
            ),
            *(unusable.origin.claimant for unusable in self._claims.unusable),
        ]
        return {normalized(claimant): claimant for claimant in sorted(claimants)}

    def entries(self, provider: str | None = None) -> list[RegistryEntry]:
        """Every claim to a name, loaded, including broken and conflicting ones.

        Args:
            provider: A key of `providers`, whose claims only are wanted.
        """

        def is_wanted(claimant: str) -> bool:
            return provider is None or normalized(claimant) == provider

        return [
            *(
                _entry(claim, claims if len(claims) > 1 else ())
                for claims in self._claims.by_name.values()
                for claim in claims
                if is_wanted(claim.plugin.claimant)
            ),
            *(
                RegistryEntry(
                    name=f"{origin.claimant}:{name}",
                    distribution=origin.distribution,
                    version=origin.version,
                    module=origin.module,
                    state="broken",
                    reason=reason,
                    definition=None,
                )
                for name, origin, reason in self._claims.unusable
                if is_wanted(origin.claimant)
            ),
        ]

    def entry(self, name: str) -> RegistryEntry:
        """One claim, loaded.

        Raises:
            UnknownNameError: No plugin has that name.
            DuplicateNameError: Several plugins claim it.
        """
        return _entry(self._claim(name), ())


class Registry(Definitions[LossDefinition]):
    """The loss definitions of a set of entry points, as a read-only mapping.

    Looking up a name loads only that plugin. `distribution:loss` picks one distribution's loss.
    Threads may share the registry.

    Args:
        entry_points: The entry points of the losses.

    Raises:
        UnknownLossError: On a lookup: no plugin has that name.
        DuplicateLossError: On a lookup: several plugins claim it.
        PluginLoadError: On a lookup: its plugin cannot be loaded.
    """

    def __init__(
        self,
        entry_points: Iterable[EntryPoint],
        *,
        _claims: Mapping[Kind[Any], Claims[Any]] | None = None,
    ) -> None:
        if _claims is None:
            _claims = {LOSSES: Claims.of(LOSSES, _as_group(entry_points))}
        self._kinds = dict(_claims)
        super().__init__(self._kinds[LOSSES])

    @classmethod
    def installed(cls) -> Registry:
        """All that is installed in this environment. Reads metadata; loads nothing."""
        environment = Environment()
        claims = {kind: Claims.of(kind, environment.group(kind.group)) for kind in KINDS}
        return cls((), _claims=claims)

    def of(self, kind: Kind[RecordT]) -> Definitions[RecordT]:
        """The definitions of another kind, from the same installed and named plugins."""
        if kind not in self._kinds:
            self._kinds[kind] = Claims.of(kind, Environment().group(kind.group))
        return Definitions(self._kinds[kind])

    def with_plugins(self, *plugins: ModuleType | str) -> Registry:
        """This registry with the plugins, of every kind, of modules that need not be installed.

        A name that is already taken is a conflict, as between two distributions: no plugin
        silently replaces another, and `module:name` picks this one. A module that an entry point
        also names is the same plugin, not a second claim.

        Args:
            plugins: Modules with a hook, or their dotted names, which are imported now.

        Raises:
            PluginLoadError: A module cannot be imported, or is not a plugin.
        """
        claims = {kind: self.of(kind)._claims.with_modules(plugins) for kind in KINDS}  # noqa: SLF001
        return Registry((), _claims=claims)


def _as_group(entry_points: Iterable[EntryPoint]) -> GroupMetadata:
    distributions: dict[int, InstalledDistribution] = {}
    usable: list[tuple[EntryPoint, InstalledDistribution | None]] = []
    for entry_point in entry_points:
        dist = entry_point.dist
        if dist is None:
            usable.append((entry_point, None))
        else:
            known = distributions.setdefault(id(dist), InstalledDistribution(dist))
            usable.append((entry_point, known))
    return GroupMetadata(usable)


def _entry(claim: Claim[RecordT], claims: Iterable[Claim[RecordT]]) -> RegistryEntry:
    """A claim, loaded; `claims` are all claims to its name if there are several."""
    origin = claim.plugin.origin
    state: Literal["ok", "broken", "conflict"] = "ok"
    reason, definition = "", None
    try:
        definition = claim.load()
    except PluginLoadError as error:
        state, reason = "broken", error.reason
    count = Counter(rival.plugin.claimant for rival in claims)
    if count and state == "ok":
        # A distribution that claims a name twice is shown with the modules.
        owners = sorted(
            rival.plugin.claimant
            if count[rival.plugin.claimant] == 1
            else f"{rival.plugin.claimant} ({rival.plugin.module})"
            for rival in claims
        )
        state, reason = "conflict", f"claimed by {' and '.join(owners)}"
    return RegistryEntry(
        name=f"{origin.claimant}:{claim.name}" if count else claim.name,
        distribution=origin.distribution,
        version=origin.version,
        module=origin.module,
        state=state,
        reason=reason,
        definition=definition,
    )


def _in_words(origin: Origin) -> str:
    return f"{origin.release} ({origin.module})" if origin.release else origin.module


def _folders(claims: Sequence[Claim[RecordT]]) -> tuple[str, ...]:
    """The metadata folders of a distribution that claims the name from several installations."""
    distributions = {id(claim.plugin.distribution): claim.plugin.distribution for claim in claims}
    count = Counter(normalized(claim.plugin.claimant) for claim in claims)
    return tuple(
        distribution.folder
        for distribution in distributions.values()
        if distribution is not None
        and distribution.folder
        and count[normalized(distribution.name)] > 1
    )
