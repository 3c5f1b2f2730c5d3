from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import lossreg
from fake_distributions import Site, plugin
from lossreg.cli import main
from lossreg.config import examine
from lossreg.config.faults.codes import CODES, Code
from lossreg.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lossreg.errors import Diagnostic

ROOT = Path(__file__).parents[4]
PAGE = ROOT / "docs" / "codes.md"

NEEDS_MORE_THAN_A_DOCUMENT = ["LR001", "LR209", "LR301", "LR302", "LR303", "LR907"]

PICKY = """
import datetime

from lossreg.plugin import LossConfig, LossDefinition, LossInput, hookimpl
from pydantic import field_validator


class PickyConfig(LossConfig):
    size: int
    {annotation}

    @field_validator("size")
    @classmethod
    def odd(cls, value):
        {judge}
        return value


def build(config):
    raise RuntimeError("no luck")


@hookimpl
def lossreg_losses():
    inputs = (LossInput(name="input", meaning="anything"),)
    return [
        LossDefinition(
            name="picky", config=PickyConfig, build=build, inputs=inputs, summary="made up"
        )
    ]
"""
TERM = b"terms:\n  fit:\n    type: picky\n    params: {size: 2}\n"


def add_picky(site: Site, *, judge: str = "pass", annotation: str = "") -> None:
    source = PICKY.format(judge=judge, annotation=annotation)
    site.add("acme", {"picky": "acme_picky"}, {"acme_picky": source})


def codes(found: Iterable[Diagnostic]) -> list[str]:
    return [each.code for each in found]


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
def test_a_code_is_explained(code: Code) -> None:
    assert re.fullmatch(r"LR\d{3}", code.code)
    assert code.title == code.title.strip() != ""
    assert code.explanation.endswith(".")
    assert code.warning == code.code.startswith("LR9")


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
def test_the_examples_are_what_they_are_said_to_be(code: Code) -> None:
    if code.code in NEEDS_MORE_THAN_A_DOCUMENT:
        assert code.bad == ""
        return
    (found,) = examine(code.bad.encode(), overrides=code.overrides).diagnostics
    assert found.code == code.code
    assert found.severity == ("warning" if code.warning else "error")
    assert examine(code.good.encode()).diagnostics == ()


def test_every_code_of_the_source_is_explained_and_no_other() -> None:
    used = {
        code
        for file in (ROOT / "lossreg").rglob("*.py")
        if file.name != "codes.py"
        for code in re.findall(r'"(LR\d{3})"', file.read_text(encoding="utf-8"))
    }
    assert used == set(CODES)


def test_codes_are_in_order() -> None:
    assert list(CODES) == sorted(CODES)


def test_the_page_of_codes_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["codes", "--markdown"]) == 0
    expected = capsys.readouterr().out
    page = PAGE.read_text(encoding="utf-8")
    assert page == expected, "write it anew: lossreg codes --markdown > docs/codes.md"
    for code in CODES:
        assert page.count(f"## {code} ") == 1


@pytest.mark.parametrize("name", ["none.yaml", "", "folder", "file/loss.yaml", "a\x00b"])
def test_lr001_a_file_that_cannot_be_read(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (found,) = examine(str(tmp_path / name)).diagnostics
    assert (found.code, found.line) == ("LR001", None)
    assert found.file == str(tmp_path / name)
    assert "0x" not in found.message
    assert "Errno" not in found.message


def test_lr102_a_required_parameter_is_missed_at_the_mappings_key(site: Site) -> None:
    add_picky(site)
    (found,) = examine(b"terms:\n  fit:\n    type: picky\n    params: {}\n").diagnostics
    assert (found.code, found.line, found.column) == ("LR102", 4, 5)
    assert found.message == "the parameter 'size' of 'picky' is missing"
    (found,) = examine(b"terms:\n  fit:\n    type: picky\n").diagnostics
    assert (found.code, found.line, found.column) == ("LR102", 2, 3)


def test_lr209_a_validators_own_words(site: Site) -> None:
    add_picky(site, judge="raise ValueError('expected an odd number' + '!' * 1000)")
    (found,) = examine(TERM).diagnostics
    assert (found.code, found.line, found.column) == ("LR209", 4, 20)
    assert found.message.startswith("expected an odd number!!")
    assert found.message.endswith(" (found 2)")
    assert len(found.message) <= 400


def test_lr209_a_type_that_has_no_words_of_its_own(site: Site) -> None:
    add_picky(site, annotation="when: datetime.date | None = None")
    document = TERM.replace(b"size: 2", b"size: 2, when: 2001-01-01")
    (found,) = examine(document).diagnostics
    assert found.code == "LR209"
    assert "expected a value that 'picky' accepts, found the string '2001-01-01'" in found.message


@pytest.mark.parametrize("error", ["RuntimeError('x' * 1000)", "KeyError(3)", "ZeroDivisionError"])
def test_lr301_a_validator_that_breaks(site: Site, error: str) -> None:
    add_picky(site, judge=f"raise {error}")
    (found,) = examine(TERM).diagnostics
    assert found.code == "LR301"
    assert found.path == "terms.fit.params"
    assert f"validating the parameters of 'picky' raised {error.partition('(')[0]}" in found.message


def test_lr301_a_plugin_that_cannot_be_imported(site: Site) -> None:
    site.add("acme", {"picky": "acme_picky"}, {"acme_picky": "import no_such_module"})
    (found,) = examine(TERM).diagnostics
    assert (found.code, found.line, found.column) == ("LR301", 3, 11)
    assert "acme 1.0" in found.message
    assert "No module named 'no_such_module'" in found.message


def test_lr302_two_distributions_with_one_loss(site: Site) -> None:
    site.add("acme", {"picky": "acme_picky"}, {"acme_picky": plugin("picky")})
    site.add("other", {"picky": "other_picky"}, {"other_picky": plugin("picky")})
    document = TERM.replace(b"    params: {size: 2}\n", b"")
    (found,) = examine(document).diagnostics
    assert (found.code, found.line, found.column) == ("LR302", 3, 11)
    assert "write 'acme:picky' or 'other:picky'" in found.message
    assert examine(document.replace(b"picky", b"other:picky")).diagnostics == ()


def test_lr303_a_builder_that_raises(site: Site) -> None:
    add_picky(site)
    assert examine(TERM).diagnostics == ()
    with pytest.raises(ConfigError) as raised:
        lossreg.build(TERM)
    assert codes(raised.value.diagnostics) == ["LR303"]
    assert "RuntimeError: no luck" in str(raised.value)
