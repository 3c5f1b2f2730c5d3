"""Assembles the documentation site in a folder: its pages, and one for each of lossreg's losses.

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
    entries = [each for each in Registry.installed().entries() if each.distribution == "lossreg"]
    losses = {
        f"losses/{each.definition.name}.md": each.definition for each in entries if each.definition
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
    """A page of the repository, where its links lead to other files, with links of the site."""

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
        f"| [{escaped(each.name)}]({each.name}.md) | {escaped(each.summary)} |" for each in losses
    ]
    head = "# Losses\n\nWhat comes with lossreg; `lossreg list` names what is installed.\n\n"
    return head + "\n".join(["| loss | what it is |", "| --- | --- |", *rows, ""])


if __name__ == "__main__":
    assemble(Path(sys.argv[1]))
