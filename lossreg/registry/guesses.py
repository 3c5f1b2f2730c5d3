"""Which definition an unknown name was meant to be."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lossreg.errors import PluginLoadError
from lossreg.names import aliased, is_spelling_of
from lossreg.registry.bridges import bridges_of, what_to_install
from lossreg.registry.distributions import normalized

if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

    from lossreg.registry.claims import Claims

__all__ = ["guessed"]

_WORDS = re.compile(r"[a-zA-Z0-9]+")


def guessed(name: object, claims: Claims[Any], *, may_load: bool) -> tuple[str | None, str]:
    """The name that was probably meant, or None; and a remark, which may be empty.

    A known name goes before an alias, and an exact alias before a near spelling of a known name
    where a bridge is known to have it.

    Args:
        name: The unknown name.
        claims: All claims to the names of one kind.
        may_load: Whether plugins may be loaded, one by one, to read the aliases of their
            definitions. Otherwise, the metadata must do.
    """
    kind = claims.kind
    modules = {known: rivals[0].plugin.module for known, rivals in claims.by_name.items()}
    suggestion, remark = kind.guess(name, modules)
    if not isinstance(name, str) or (suggestion is not None and is_spelling_of(name, suggestion)):
        return suggestion, remark
    projects = {
        normalized(claim.plugin.claimant) for rivals in claims.by_name.values() for claim in rivals
    }
    bridges = [bridge for bridge in bridges_of(kind) if bridge.libraries_with(name)]
    present = [bridge.distribution for bridge in bridges if bridge.distribution in projects]
    if suggestion is not None and "." in name:
        return suggestion, remark  # of a plugin that bridges the library
    if may_load and (bridges or suggestion is None):
        meant, which = aliased(name, _aliases(claims, present))
        if meant is not None or which:
            return meant, which
    if suggestion is None and (meant := _behind_prefix(name, claims)) is not None:
        return meant, ""
    if present and "." in name:
        return None, f"`lossreg list --from {present[0]}` shows the losses of that library"
    if bridges and not present:
        install = what_to_install(name, bridges)
        return None, install if "." in name or not remark else f"{install}; {remark}"
    return suggestion, remark


def _aliases(claims: Claims[Any], projects: Collection[str]) -> dict[str, tuple[str, ...]]:
    """The aliases of each definition that loads: of these projects, or of all if there are none."""
    aliases = {}
    for name, rivals in claims.by_name.items():
        if len(rivals) > 1 or (projects and normalized(rivals[0].plugin.claimant) not in projects):
            continue
        try:
            definition = rivals[0].load()
        except PluginLoadError:
            continue  # a broken plugin hurts no other, and `lossreg list` shows it
        aliases[name] = getattr(definition, "aliases", ())
    return aliases


def _behind_prefix(name: str, claims: Claims[Any]) -> str | None:
    """The only known name that is this one behind the name of a library that its plugin bridges."""
    libraries = {
        bridge.distribution: " ".join(bridge.libraries) for bridge in bridges_of(claims.kind)
    }
    meant = []
    for known, rivals in claims.by_name.items():
        library, _, rest = known.partition("_")
        if rest and is_spelling_of(name, rest):
            plugin = rivals[0].plugin
            project = normalized(plugin.claimant)
            root = plugin.module.partition(".")[0]
            if library in _WORDS.findall(f"{project} {root} {libraries.get(project, '')}"):
                meant.append(known)
    return meant[0] if len(meant) == 1 else None
