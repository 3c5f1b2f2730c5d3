from __future__ import annotations

import copy
import pickle

import pytest

from lossreg.plugin import LossConfig, LossDefinition, LossInput
from lossreg.plugin.shapes import ANY_SHAPE, Shape


@pytest.mark.parametrize(
    ("text", "shape", "labels"),
    [
        ("N C *", (8, 3), ("N", "C")),
        ("N C *", (8, 3, 4, 5), ("N", "C", "*0", "*1")),
        ("N C *", (8,), None),
        ("* C", (3,), ("C",)),
        ("* C", (8, 4, 3), ("*0", "*1", "C")),
        ("N * C", (8, 4, 3), ("N", "*0", "C")),
        ("*", (), ()),
        ("*", (2, 3), ("*0", "*1")),
        ("N", (8,), ("N",)),
        ("N", (), None),
        ("N", (8, 1), None),
        ("N N", (8, 8), ("N", "N")),
        ("", (), ()),
        ("", (1,), None),
        # a size
        ("N 1", (8, 1), ("N", "1")),
        ("N 1", (8, 2), None),
        ("N 12 *", (8, 12, 4), ("N", "12", "*0")),
        ("* 3", (8, 4, 3), ("*0", "*1", "3")),
        ("* 3", (8, 4, 4), None),
        # the first of several that fits
        ("N C | N", (8, 3), ("N", "C")),
        ("N C | N", (8,), ("N",)),
        ("N C|N", (8,), ("N",)),
        ("N C | N", (8, 3, 1), None),
        ("N 1 | N C", (8, 1), ("N", "1")),
        ("N 1 | N C", (8, 2), ("N", "C")),
        (ANY_SHAPE, (), None),
        (ANY_SHAPE, (8,), None),
        (ANY_SHAPE, (8, 3), None),
    ],
)
def test_each_dimension_has_a_label(
    text: str, shape: tuple[int, ...], labels: tuple[str, ...] | None
) -> None:
    assert Shape(text).labels(shape) == labels


@pytest.mark.parametrize(
    ("text", "shape", "sizes"),
    [
        ("N C *", (3,), (("C", 3),)),
        ("N C *", (8, 3), None),
        ("N *", (), ()),
        ("N C | N", (3,), (("C", 3),)),
        ("N C | N", (), ()),
        ("N 2", (2,), (("2", 2),)),
        ("N 2", (3,), None),
    ],
)
def test_a_single_example_has_neither_rows_nor_more(
    text: str, shape: tuple[int, ...], sizes: tuple[tuple[str, int], ...] | None
) -> None:
    assert Shape(text).sizes(shape, batched=False) == sizes


def test_how_many_dimensions_a_star_is_stands_where_it_does() -> None:
    assert Shape("N C *").sizes((8, 3)) == (("N", 8), ("C", 3), ("*", 0))
    assert Shape("* C").sizes((8, 3)) == (("*", 1), ("*0", 8), ("C", 3))


@pytest.mark.parametrize(
    ("text", "batched", "expected"),
    [
        ("N *", True, ("N", "*0", "*1")),
        ("N H W", True, ("N", "H", "W")),
        ("*", True, ("*0", "*1")),
        ("", True, ()),
        ("N *", False, ()),
        ("N H W", False, ("H", "W")),
        (ANY_SHAPE, True, ()),
    ],
)
def test_a_star_is_that_of_the_shape_beside_it(
    text: str, batched: bool, expected: tuple[str, ...]
) -> None:
    beside = Shape("N C *").sizes((8, 3, 4, 5))
    assert beside is not None
    assert Shape(text).labels_beside(dict(beside), batched=batched) == expected
    labels = [label for label, _ in beside if label != "*"]
    assert Shape(text).labels_beside(labels, batched=batched) == expected


@pytest.mark.parametrize(
    ("text", "shown"), [("N  C *", "N C *"), ("N C|N", "N C or N"), (ANY_SHAPE, ANY_SHAPE)]
)
def test_a_shape_is_shown_as_it_is_read(text: str, shown: str) -> None:
    assert str(Shape(text)) == shown
    assert repr(Shape(text)) == f"Shape({text!r})"


def test_what_cannot_be_a_shape() -> None:
    with pytest.raises(ValueError, match=r"only one '\*', found 'N | \* C \*'"):
        LossInput(name="x", meaning="anything", shape="N | * C *")
    for shape in ("N ...", "N | ..."):
        with pytest.raises(ValueError, match=r"'...' must be the whole shape, found 'N"):
            LossInput(name="x", meaning="anything", shape=shape)
    with pytest.raises(TypeError, match=r"a string of letters such as 'N C \*', not \('N', 'C'\)"):
        LossInput(name="x", meaning="anything", shape=("N", "C"))  # type: ignore[arg-type]


def test_an_unreduced_loss_has_one_shape() -> None:
    with pytest.raises(ValueError, match=r"unreduced must be one shape, not 'N \| N C'"):
        LossDefinition(
            name="odd",
            config=LossConfig,
            build=print,  # type: ignore[arg-type]
            inputs=(LossInput(name="x", meaning="anything"),),
            summary="",
            unreduced="N | N C",
        )


def test_a_parsed_shape_is_copied_with_its_input() -> None:
    argument = LossInput(name="x", meaning="anything", shape="N 2 | N")
    for twin in (copy.deepcopy(argument), pickle.loads(pickle.dumps(argument))):
        assert twin == argument
        assert twin.letters.labels((4, 2)) == ("N", "2")


def test_several_shapes_may_be_a_tuple() -> None:
    argument = LossInput(name="x", meaning="anything", shape=("N 1 *", "N C *"))
    assert argument.shape == "N 1 * | N C *"
    assert argument.letters.labels((2, 1, 4)) == ("N", "1", "*0")
    assert argument.letters.labels((2, 3, 4)) == ("N", "C", "*0")
    assert argument.has_classes
    assert LossInput(name="x", meaning="anything", shape=("N *",)).shape == "N *"
