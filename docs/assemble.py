"""Assembles the documentation site in a folder: its pages, and one for each built-in loss.

python docs/assemble.py build && zensical build --strict --config-file build/mkdocs.yml
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from lossreg.cli.render.page import escaped, loss_page
from lossreg.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lossreg.plugin import LossDefinition

ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"\]\(([\w./-]+)")


def assemble(folder: Path) -> None:
    """Write the pages into `docs` of a folder, and their mkdocs.yml beside it."""
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    pages = {"index.md": _page(ROOT / "README.md", config["repo_url"])}
    for file in (ROOT / "docs").glob("*.md"):
        pages[file.name] = _page(file, config["repo_url"])
    entries = [entry for entry in Registry.installed().entries() if entry.distribution == "lossreg"]
    losses = {
        f"losses/{entry.definition.name}.md": entry.definition
        for entry in entries
        if entry.definition
    }
    pages["losses/index.md"] = _index(losses.values())
    for name, definition in losses.items():
        pages[name] = loss_page(definition, f"lossreg {entries[0].version}")
    config["nav"].append({"Losses": ["losses/index.md", *losses]})
    for name, text in pages.items():
        file = folder / "docs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    (folder / "mkdocs.yml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


def _page(file: Path, repository: str) -> str:
    """A page of the repository, with its links to other files changed to links of the site."""

    def relinked(match: re.Match[str]) -> str:
        target = (file.parent / match[1]).resolve()
        if not target.exists():
            return match[0]
        if target == ROOT / "README.md":
            return "](index.md"
        path = target.relative_to(ROOT)
        if target.suffix == ".md" and path.parts[0] == "docs":
            return f"]({path.name}"
        return f"]({repository}/blob/main/{path.as_posix()}"

    return _LINK.sub(relinked, file.read_text(encoding="utf-8"))


def _index(losses: Iterable[LossDefinition]) -> str:
    rows = [
        f"| [{escaped(loss.name)}]({loss.name}.md) | {escaped(loss.summary)} |" for loss in losses
    ]
    head = "# Losses\n\nThe built-in losses; `lossreg list` names all that are installed.\n\n"
    return head + "\n".join(["| loss | what it is |", "| --- | --- |", *rows, ""])


if __name__ == "__main__":
    assemble(Path(sys.argv[1]))
