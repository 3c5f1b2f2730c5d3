"""Assembles the documentation site in a folder: its pages, and one for each of lossreg's losses.

Where a page says `<!-- table: transforms -->`, it gets the rows of that table of the vocabulary;
where it says `<!-- table: term -->`, the keys of that mapping of the grammar.

python docs/assemble.py build && zensical build --strict --config-file build/mkdocs.yml
"""

from __future__ import annotations

import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from lossreg.cli.render.page import escaped, loss_page
from lossreg.config.grammar import COMPOSITE, GROUP, TERM
from lossreg.config.grammar import REQUIRED as MUST_BE_GIVEN
from lossreg.registry import Registry
from lossreg.vocabulary.arguments import REQUIRED
from lossreg.vocabulary.schedules import SCHEDULES
from lossreg.vocabulary.transforms import TRANSFORMS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lossreg.config.grammar import Construct, Key
    from lossreg.plugin import LossDefinition
    from lossreg.vocabulary.schedules import Schedule
    from lossreg.vocabulary.transforms import TransformDefinition

ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"\]\(([\w./-]+)")
_TABLE = re.compile(r"^<!-- table: (\w+) -->$", re.MULTILINE)


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

    text = _LINK.sub(relinked, file.read_text(encoding="utf-8"))
    return _TABLE.sub(lambda match: _TABLES[match[1]](), text)


def _transforms() -> str:
    head = ["| transform | arguments | what it gives |", "| --- | --- | --- |"]
    return "\n".join([*head, *map(_transform, TRANSFORMS.values())])


def _transform(definition: TransformDefinition) -> str:
    arguments = [
        _argument(argument.name, argument.default is REQUIRED, argument.default)
        for argument in definition.arguments
    ]
    return f"| `{definition.name}` | {', '.join(arguments)} | {definition.gives} |"


def _schedules() -> str:
    head = ["| schedule | arguments | weight after t steps |", "| --- | --- | --- |"]
    return "\n".join([*head, *map(_schedule, SCHEDULES.values())])


def _schedule(schedule: type[Schedule]) -> str:
    arguments = [
        _argument(name, field.is_required(), field.default)
        for name, field in schedule.model_fields.items()
        if name != "unit"  # all have it, and the page says so
    ]
    return f"| `{schedule.name}` | {', '.join(arguments)} | {schedule.gives} |"


def _argument(name: str, required: bool, default: object) -> str:
    if required:
        return f"`{name}`"
    return f"`{name}` = {'none' if default is None else default}"


def _keys(construct: Construct) -> str:
    head = [f"| key of a {construct.name} | meaning | default |", "| --- | --- | --- |"]
    return "\n".join([*head, *map(_key, construct.keys.values())])


def _key(key: Key) -> str:
    meaning = key.meaning
    if key.choices:
        meaning += f": {', '.join(f'`{choice}`' for choice in key.choices)}"
    if key.default is MUST_BE_GIVEN:
        default = "required"
    else:
        default = key.shown or f"`{str(key.default).lower()}`"
    return f"| `{key.name}` | {meaning} | {default} |"


_TABLES = {
    "transforms": _transforms,
    "schedules": _schedules,
    **{construct.name: partial(_keys, construct) for construct in (COMPOSITE, TERM, GROUP)},
}


def _index(losses: Iterable[LossDefinition]) -> str:
    rows = [
        f"| [{escaped(each.name)}]({each.name}.md) | {escaped(each.summary)} |" for each in losses
    ]
    head = "# Losses\n\nWhat comes with lossreg; `lossreg list` names what is installed.\n\n"
    return head + "\n".join(["| loss | what it is |", "| --- | --- |", *rows, ""])


if __name__ == "__main__":
    assemble(Path(sys.argv[1]))
