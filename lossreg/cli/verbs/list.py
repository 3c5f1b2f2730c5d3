"""List what is installed: losses, or tasks."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from lossreg.cli.options import add_plugin_arguments
from lossreg.cli.output import complain, say, say_json
from lossreg.cli.plugins import registry_of
from lossreg.cli.render.report import table
from lossreg.errors import LossregError, printable
from lossreg.names import closest
from lossreg.plugin.requirements import unmet
from lossreg.registry import KINDS, LOSSES
from lossreg.registry.bridges import bridges_of, what_to_install
from lossreg.registry.distributions import normalized

if TYPE_CHECKING:
    import argparse

    from lossreg.plugin.requirements import Unmet
    from lossreg.registry import RegistryEntry
    from lossreg.registry.kinds import Kind
    from lossreg.registry.registry import Definitions

__all__ = ["EXAMPLES", "add_arguments", "run"]

_KINDS = {kind.noun: kind for kind in KINDS}
_WIDEST = 120  # columns


EXAMPLES = {
    "lossreg list": "every installed loss",
    "lossreg list --search entropy": "those whose name, summary or name in another library has it",
    "lossreg list --from lossreg": "those of one distribution",
    "lossreg list --plugin my_losses": "with those of a module of your own",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--kind", choices=_KINDS, default=LOSSES.noun, help="what to list; by default, losses"
    )
    parser.add_argument(
        "--from",
        dest="provider",
        metavar="DISTRIBUTION",
        help="only what this distribution, or module, provides",
    )
    parser.add_argument(
        "--search",
        metavar="WORD",
        help="only what has this word in its name, its summary, or a name in another library",
    )
    add_plugin_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print every loss, or every task, including broken and conflicting ones."""
    kind = _KINDS[arguments.kind]
    definitions = registry_of(arguments).of(kind)
    entries = definitions.entries(_project(arguments.provider, definitions, kind))
    if arguments.search is not None:
        word = _folded(arguments.search)
        entries = [entry for entry in entries if word in _words(entry)]
    if arguments.json:
        say_json([_as_dict(entry) for entry in entries])
    elif entries:
        width = min(shutil.get_terminal_size().columns, _WIDEST)
        say("\n\n".join(_group_text(group, kind, width) for group in _by_provider(entries)))
    if arguments.search is not None and not entries:
        complain(_nothing(arguments.search, kind, definitions))
        return 1
    return 0


def _project(provider: str | None, definitions: Definitions[Any], kind: Kind[Any]) -> str | None:
    """The distribution or module that was asked for, as the registry compares it."""
    if provider is None:
        return None
    known = definitions.providers()
    if normalized(provider) in known:
        return normalized(provider)
    bridge = next((b for b in bridges_of(kind) if b.distribution == normalized(provider)), None)
    meant = closest(provider, known.values())
    hint = f"there are {', '.join(known.values())}"
    if bridge is not None:
        hint = f"it is not installed: pip install {bridge.distribution}"
    elif meant is not None:
        hint = f"did you mean '{meant}'?"
    raise LossregError(f"no {kind.plural} are from '{provider}'; {hint}")


def _nothing(word: str, kind: Kind[Any], definitions: Definitions[Any]) -> str:
    bridges = [
        bridge
        for bridge in bridges_of(kind)
        if bridge.libraries_with(word) and bridge.distribution not in definitions.providers()
    ]
    hint = f"; {what_to_install(word, bridges)}" if bridges else ""
    return printable(f"no {kind.noun} has '{word}' in its name or summary{hint}")


def _folded(text: str) -> str:
    return "".join(char for char in text.lower() if char not in "_- ")


def _words(entry: RegistryEntry) -> str:
    """All that a word is searched in."""
    summary = "" if entry.definition is None else entry.definition.summary
    return "\n".join(map(_folded, (entry.name, summary, *_aliases(entry))))


def _by_provider(entries: list[RegistryEntry]) -> list[list[RegistryEntry]]:
    groups: dict[str, list[RegistryEntry]] = {}
    for entry in entries:
        groups.setdefault(_provider(entry), []).append(entry)
    return [groups[provider] for provider in sorted(groups)]


def _provider(entry: RegistryEntry) -> str:
    return f"{entry.distribution or entry.module} {entry.version or ''}".rstrip()


def _group_text(entries: list[RegistryEntry], kind: Kind[Any], width: int) -> str:
    """What one distribution provides; what all of it needs stands once, below its name."""
    noun = kind.noun if len(entries) == 1 else kind.plural
    lines = [printable(f"{_provider(entries[0])}: {len(entries)} {noun}")]
    needs = [[str(requirement) for requirement in _missing(entry)] for entry in entries]
    shared = [text for text in needs[0] if all(text in texts for texts in needs)]
    lines += [table([("  needs", text)], width=width) for text in shared]
    rows = [
        (f"  {entry.name}", _about(entry, [text for text in texts if text not in shared]))
        for entry, texts in zip(entries, needs, strict=True)
    ]
    return "\n".join([*lines, table(rows, width=width)])


def _about(entry: RegistryEntry, needs: list[str]) -> str:
    if entry.state == "ok" and entry.definition is not None:
        remarks = ["generated"] * bool(_generated(entry)) + [f"needs {text}" for text in needs]
        return entry.definition.summary + "".join(f" ({remark})" for remark in remarks)
    return f"{entry.state.upper()}: {entry.reason} ({entry.module})"


def _as_dict(entry: RegistryEntry) -> dict[str, str | bool | list[str] | None]:
    return {
        "name": entry.name,
        "summary": entry.definition.summary if entry.definition else None,
        "distribution": entry.distribution,
        "version": entry.version,
        "module": entry.module,
        "state": entry.state,
        "reason": entry.reason or None,
        "generated": _generated(entry),
        "aliases": list(_aliases(entry)),
        "missing": [requirement.text for requirement in _missing(entry)],
    }


def _aliases(entry: RegistryEntry) -> tuple[str, ...]:
    """What other libraries call the loss."""
    aliases: tuple[str, ...] = getattr(entry.definition, "aliases", ())
    return aliases


def _missing(entry: RegistryEntry) -> list[Unmet]:
    """What the loss requires that is not installed."""
    return unmet(getattr(entry.definition, "requires", ()))


def _generated(entry: RegistryEntry) -> bool | None:
    """Whether a loss's parameters are inferred; None for a task, or if it does not load."""
    return getattr(entry.definition, "generated", None)
