"""What `from_module` makes of other libraries' losses: as docs/bridge-a-library.md counts them."""

from __future__ import annotations

import importlib.metadata
import re
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from documents import ROOT, Document

if TYPE_CHECKING:
    from types import ModuleType

TABLE = Document("docs/bridge-a-library.md").text.partition("<!-- libraries -->")[2]
ROWS = {
    name: (version, int(classes), int(taken), int(typed))
    for name, version, classes, taken, typed in re.findall(
        r"^\| (\S+) (\S+) \| (\d+) \| (\d+) \| (\d+) \|$", TABLE, re.MULTILINE
    )
}


@pytest.fixture(scope="module")
def libraries() -> ModuleType:
    """The benchmark that counts them."""
    spec: Any = importlib.util.spec_from_file_location(
        "libraries", ROOT / "benchmarks/libraries.py"
    )
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_has_a_row_for_each_library(libraries: ModuleType) -> None:
    assert list(ROWS) == list(libraries.LIBRARIES)
    assert sum(taken + typed for _, _, taken, typed in ROWS.values()) >= 150


@pytest.mark.nightly
@pytest.mark.parametrize("library", ROWS)
def test_what_is_taken_is_right(library: str, libraries: ModuleType) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            classes = libraries.loss_classes(libraries.LIBRARIES[library])
        except (ImportError, RuntimeError) as error:
            pytest.skip(f"{library} cannot be imported: {error}")
        verdicts = [libraries.verdict(module) for module in classes.values()]
    assert [result.wrong for result in verdicts if result.wrong] == []
    taken = [result.typed for result in verdicts if result.definition is not None]
    version, *counts = ROWS[library]
    if importlib.metadata.version(library) == version:
        assert [len(verdicts), taken.count(False), taken.count(True)] == counts
