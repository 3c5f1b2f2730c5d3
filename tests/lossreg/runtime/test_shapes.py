"""What the letters of shapes mean where tensors meet them: in checks, under masks, in counts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lossreg.plugin import LossDefinition, LossInput
from lossreg.runtime.checks import check_inputs
from lossreg.runtime.reduction import Misfit, entry_shape, filled
from wrong_losses.fair import fair

Sizes = list[tuple[int, ...]]


def of_shapes(
    *shapes: str, unreduced: str = "N", unbatched: bool = False, fill: float | None = None
) -> LossDefinition:
    """A definition whose inputs `a`, `b`, ... have these shapes."""
    inputs = tuple(
        LossInput(name=name, meaning="anything", shape=shape, fill=fill)
        for name, shape in zip("abc", shapes, strict=False)
    )
    return fair(inputs=inputs, unreduced=unreduced, unbatched=unbatched)


def batch(sizes: Sizes) -> dict[str, Tensor]:
    return {name: torch.zeros(size) for name, size in zip("abc", sizes, strict=False)}


@pytest.mark.parametrize(
    ("shapes", "sizes"),
    [
        (("N 1", "N"), [(4, 1), (4,)]),
        (("N 1 | N", "N"), [(4, 1), (4,)]),
        (("N 1 | N", "N"), [(4,), (4,)]),
        (("N 2 *", "N *"), [(4, 2, 5), (4, 5)]),
        (("N C | N", "N C | N"), [(4, 3), (4,)]),
        (("N N", "N"), [(4, 4), (4,)]),
        (("...", "N"), [(7, 7), (4,)]),
    ],
)
def test_what_fits_is_taken(shapes: tuple[str, ...], sizes: Sizes) -> None:
    assert check_inputs(of_shapes(*shapes), batch(sizes))["N"] == 4


@pytest.mark.parametrize(
    ("shapes", "sizes", "argument", "wanted"),
    [
        (("N 1", "N"), [(4, 2), (4,)], "a", "the shape N 1"),
        (("N 1 | N", "N"), [(4, 2), (4,)], "a", "the shape N 1 or N"),
        (("N 1 | N", "N"), [(4, 1), (5,)], "b", "a shape that fits (4, 1) of 'a'"),
        (("N C *", "N *"), [(4, 3, 5), (4,)], "b", "a shape that fits (4, 3, 5) of 'a'"),
        (("N C *", "N *"), [(4, 3), (4, 5)], "b", "a shape that fits (4, 3) of 'a'"),
        (("* C", "* C"), [(4, 3), (3,)], "b", "a shape that fits (4, 3) of 'a'"),
        (("* C", "* C"), [(4, 3), (5, 3)], "b", "a shape that fits (4, 3) of 'a'"),
        (("N N", "N"), [(4, 3), (4,)], "a", "a shape that fits (4, 3) of 'a'"),
        (("N *", "* D", "D"), [(4, 5), (5, 3), (2,)], "c", "a shape that fits (5, 3) of 'b'"),
    ],
)
def test_what_does_not_fit_is_told_with_the_first_of_its_letter(
    shapes: tuple[str, ...], sizes: Sizes, argument: str, wanted: str
) -> None:
    values = batch(sizes)
    with pytest.raises(Misfit) as raised:
        check_inputs(of_shapes(*shapes), values)
    assert raised.value.argument == argument
    shape = tuple(values[argument].shape)
    assert raised.value.message.startswith(f"expected {wanted}, found {shape}")


def test_of_a_single_example_all_inputs_are_single() -> None:
    single = of_shapes("N C", "N", unbatched=True)
    assert check_inputs(single, batch([(3,), ()])) == {"C": 3}
    with pytest.raises(Misfit, match=r"expected the shape N C, found \(3,\)"):
        check_inputs(single, batch([(3,), (4,)]))


@pytest.mark.parametrize(
    ("shapes", "unreduced", "sizes", "counted", "expected"),
    [
        (("N C *", "N *"), "N *", [(4, 3, 5), (4, 5)], "b", (4, 5)),
        (("N C *", "N *"), "N *", [(3,), ()], "b", ()),
        (("N C *", "N *"), "N *", [(3,), ()], "a", ()),
        (("N 1 | N", "N"), "N", [(4, 1), (4,)], "a", (4,)),
        (("N 1 | N", "N"), "N", [(4,), (4,)], "a", (4,)),
        (("N 1 | N", "N"), "N", [(4, 2), (4,)], "a", None),
        (("N C", "N"), "N C", [(4, 3), (4,)], "b", None),
        # Of a shape that nobody knows, one dimension says no more than two.
        (("N C", "..."), "*", [(4, 3), (4,)], "b", None),
        (("N C", "N"), "...", [(4, 3), (4,)], "b", None),
    ],
)
def test_one_input_may_tell_the_shape_of_the_entries(
    shapes: tuple[str, ...],
    unreduced: str,
    sizes: Sizes,
    counted: str,
    expected: tuple[int, ...] | None,
) -> None:
    definition = of_shapes(*shapes, unreduced=unreduced, unbatched=True)
    assert entry_shape(definition, {counted: batch(sizes)[counted]}) == expected


@pytest.mark.parametrize(
    ("size", "expected"), [((3, 2), [[0, 0], [7, 7], [0, 0]]), ((3,), [0, 7, 0])]
)
def test_a_mask_covers_the_dimensions_of_its_letters(
    size: tuple[int, ...], expected: list[float]
) -> None:
    keep = torch.tensor([True, False, True])
    definition = of_shapes("N 2 | N", "N", fill=7.0)
    inputs = filled(definition, batch([size, (3,)]), keep)
    assert inputs["a"].tolist() == expected
    assert inputs["b"].tolist() == [0, 7, 0]


def test_a_mask_of_what_does_not_fit_is_refused() -> None:
    with pytest.raises(Misfit, match=r"the shape N 2 or N, a batch, found \(3, 4\)"):
        filled(of_shapes("N 2 | N", "N"), batch([(3, 4)]), torch.ones(3, dtype=torch.bool))
