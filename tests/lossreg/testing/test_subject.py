"""How checks find their way in a batch."""

from __future__ import annotations

import pytest

from lossreg.plugin.shapes import Shape
from lossreg.testing.subject import place_of


@pytest.mark.parametrize(
    ("letter", "letters", "dims", "expected"),
    [
        ("N", "N C", 2, 0),
        ("N", "T N C", 3, 1),
        ("C", "N C *", 4, 1),
        ("*", "*", 2, 0),
        ("*", "*", 0, None),
        ("*", "N C *", 4, 2),
        ("*", "N C *", 2, None),
        ("C", "* C", 1, 0),
        ("C", "* C", 4, 3),
        ("C", "N * C", 3, 2),
        ("N", "N C", 1, None),
        ("N", "N C", 3, None),
        ("N", "N C *", 1, None),
    ],
)
def test_a_letter_has_a_place(letter: str, letters: str, dims: int, expected: int | None) -> None:
    assert place_of(letter, Shape(letters), (5,) * dims) == expected
