"""Writes the tables of the README and of the pages: keys, transforms, schedules.

The text between `<!-- table: term -->` and `<!-- end of table -->` is the table of that mapping's
keys, from the grammar; `transforms` and `schedules` are tables of the vocabulary.

python docs/tables.py
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lossreg.config.grammar import (
    ACTIVE,
    CLASS_WEIGHTS,
    COMPOSITE,
    EACH,
    ELEMENT_WEIGHTS,
    ENTRIES,
    GROUP,
    LEARNED,
    TERM,
)
from lossreg.config.grammar import REQUIRED as MUST_BE_GIVEN
from lossreg.vocabulary.arguments import REQUIRED
from lossreg.vocabulary.class_weights import METHODS
from lossreg.vocabulary.schedules import SCHEDULES
from lossreg.vocabulary.transforms import TRANSFORMS

if TYPE_CHECKING:
    from lossreg.config.grammar import Construct, Key
    from lossreg.vocabulary.schedules import Schedule
    from lossreg.vocabulary.transforms import TransformDefinition

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
_TABLE = re.compile(
    r"^(<!-- table: (\w+) -->\n).*?^(<!-- end of table -->)$", re.MULTILINE | re.DOTALL
)


def written(page: str) -> str:
    """A page's text with its tables replaced by current ones."""
    return _TABLE.sub(lambda match: f"{match[1]}\n{_TABLES[match[2]]()}\n\n{match[3]}", page)


def _transforms() -> str:
    head = ["| transform | arguments | what it gives | mixes rows |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *map(_transform, TRANSFORMS.values())])


def _transform(definition: TransformDefinition) -> str:
    arguments = [
        _argument(argument.name, argument.default is REQUIRED, argument.default)
        for argument in definition.arguments
    ]
    mixes = f"with `{definition.mixes}` 0" if definition.mixes else ""
    if any(argument.default is None for argument in definition.arguments[:1] if mixes):
        mixes += " or none"
    return f"| `{definition.name}` | {', '.join(arguments)} | {definition.gives} | {mixes} |"


def _schedules() -> str:
    head = ["| schedule | arguments | weight after t steps |", "| --- | --- | --- |"]
    return "\n".join([*head, *map(_schedule, SCHEDULES.values())])


def _schedule(schedule: type[Schedule]) -> str:
    arguments = [
        _argument(name, field.is_required(), field.default)
        for name, field in schedule.model_fields.items()
        if name != "unit"  # every schedule has it, as the page says
    ]
    return f"| `{schedule.name}` | {', '.join(arguments)} | {schedule.gives} |"


def _methods() -> str:
    head = ["| method | takes | a class's weight | source |", "| --- | --- | --- | --- |"]
    rows = [
        f"| `{method.name}` | `{method.counts}`"
        + "".join(f", `{argument.name}`" for argument in method.arguments)
        + f" | `{method.formula}`: {method.meaning} | {method.source} |"
        for method in METHODS.values()
    ]
    return "\n".join([*head, *rows])


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
    "entries": partial(_keys, ENTRIES),
    "learned": partial(_keys, LEARNED),
    "each": partial(_keys, EACH),
    "element_weights": partial(_keys, ELEMENT_WEIGHTS),
    "active": partial(_keys, ACTIVE),
    "class_weights": partial(_keys, CLASS_WEIGHTS),
    "methods": _methods,
}


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(written(page.read_text(encoding="utf-8")), encoding="utf-8")
