"""How large a document may be. All of it runs under both of PyYAML's parsers."""

from __future__ import annotations

import pytest

from lossreg.config.read.documents import MAX_BYTES
from yaml_faults import faults, values

pytestmark = pytest.mark.usefixtures("parser")


def test_64_levels_are_fine() -> None:
    assert faults("[" * 64 + "]" * 64) == []
    assert faults("{a: " * 64 + "1" + "}" * 64) == []


def test_levels_of_blocks_count_too() -> None:
    text = "".join(" " * level + "a:\n" for level in range(65))
    assert faults(text)[0][:3] == ("LR004", 65, 65)


def test_a_mebibyte_and_not_a_byte_more() -> None:
    text = b"a: 1 #" + b"x" * (MAX_BYTES - 6)
    assert values(text) == {"a": 1}
    (fault,) = faults(text + b"x")
    assert (fault.code, fault.message) == ("LR004", "the document is larger than 1,048,576 bytes")


def test_100_000_values_and_not_one_more() -> None:
    # The list is a value, too.
    assert len(values("[" + "x," * 99_999 + "]")) == 99_999
    (fault,) = faults("[" + "x," * 100_000 + "]")
    assert fault == ("LR004", 1, 200_000, "the document has more than 100,000 values")


@pytest.mark.nightly
def test_keys_are_values() -> None:
    assert len(values("\n".join(f"k{index}:" for index in range(49_999)))) == 49_999
    assert faults("\n".join(f"k{index}:" for index in range(50_000)))[0].code == "LR004"


BOMBS = {
    "lists": "a: &a [x, x, x, x, x, x, x, x, x]\n{0}: &{0} [{2}]\n",
    "mappings": "a: &a {{x: 1, y: 1}}\n{0}: &{0} {{{3}}}\n",
    "merges": "a: &a {{x: 1, y: 1}}\n{0}: &{0} {{<<: [{2}]}}\n",
}


@pytest.mark.parametrize("kind", BOMBS)
def test_aliases_are_counted_each_time_they_are_used(kind: str) -> None:
    first, line = BOMBS[kind].splitlines()
    text = first.format() + "\n"
    for before, name in zip("abcdefghij", "bcdefghijk", strict=True):
        aliases = ", ".join([f"*{before}"] * 9)
        pairs = ", ".join(f"k{index}: *{before}" for index in range(9))
        text += line.format(name, before, aliases, pairs) + "\n"
    (fault,) = faults(text)
    assert (fault.code, fault.message) == ("LR004", "the document has more than 100,000 values")
    assert 5 <= fault.line <= 7  # 9 ** 5 is 59,049
