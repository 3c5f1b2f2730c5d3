"""A document's blocks of code: found, written as files, and run."""

from __future__ import annotations

import copy
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (\S+\.(?:py|yaml|toml))\n")


class Document:
    """A Markdown file of this repository."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = (ROOT / name).read_text(encoding="utf-8")

    def before(self, heading: str) -> Document:
        """The part of it that is above a heading."""
        part = copy.copy(self)
        part.text, found, _ = self.text.partition(f"\n{heading}\n")
        assert found
        return part

    def after(self, heading: str) -> Document:
        """The part of it that is below a heading."""
        part = copy.copy(self)
        _, found, part.text = self.text.partition(f"\n{heading}\n")
        assert found
        return part

    def section(self, heading: str) -> Document:
        """The part of it from a heading to the next one of two hashes."""
        part = self.after(heading)
        part.text = part.text.partition("\n## ")[0]
        return part

    def subsection(self, heading: str) -> Document:
        """The part of it from a heading to the next one of three hashes."""
        part = self.after(heading)
        part.text = part.text.partition("\n### ")[0]
        return part

    def parts(self) -> list[tuple[str, str]]:
        """The language and the text of each block."""
        return _BLOCK.findall(self.text)

    @staticmethod
    def file_name(block: str) -> str | None:
        """The name of the file that a block is, if it begins with one."""
        match = _FILE.match(block)
        return match[1] if match else None

    def blocks(self, language: str) -> list[str]:
        """The text of each block in a language."""
        return [text for found, text in self.parts() if found == language]

    def files(self) -> dict[str, str]:
        """Every block that begins with a file's name, by that name."""
        named = ((self.file_name(text), text) for _, text in self.parts())
        return {name: text for name, text in named if name is not None}

    def write_files(self, folder: Path) -> None:
        """Every block that begins with a file's name, as that file."""
        for name, text in self.files().items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")

    def run_python(self) -> None:
        """Run the Python blocks that are no files, one after another, in one namespace."""
        namespace: dict[str, object] = {}
        for block in self.blocks("python"):
            if self.file_name(block) is None:
                exec(compile(block, self.name, "exec"), namespace)

    def table(self, first: str) -> list[list[str]]:
        """The cells of each row of the table whose head begins with these words."""
        body = self.text.partition(f"| {first} |")[2].partition("\n\n")[0]
        return [
            [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            for line in body.splitlines()[2:]
        ]

    def listed(self, first: str) -> list[str]:
        """The names in backticks that the rows of that table begin with."""
        return [name for row in self.table(first) for name in re.findall(r"`(\w+)`", row[0])]
