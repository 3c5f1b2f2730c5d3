"""Shapes in letters, such as `N C *`, and the sizes of a tensor that fits one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["ANY_SHAPE", "Shape"]

ANY_SHAPE = "..."
"""The shape of an input, or of an unreduced loss, whose shape is not known."""


class Shape:
    """A shape in letters, parsed.

    A letter is a dimension, and the same letter is the same size; a number is a dimension of that
    size; `*` is any number of dimensions, the same ones in all shapes of a loss. `|` separates
    alternatives; the first one that a tensor fits counts. `...` is an unknown shape, which no
    tensor fits.

    Each dimension of a tensor has a label: its letter; or, for a dimension of `*`, a `*` and an
    index.

    >>> Shape("N C *").labels((8, 3, 32, 32))
    ('N', 'C', '*0', '*1')
    >>> Shape("N C *").labels((8,)) is None
    True
    >>> Shape("N 1 | N").labels((8, 1)), Shape("N 1 | N").labels((8, 2))
    (('N', '1'), None)

    Attributes:
        text: The shape as it is written.
        forms: The letters of each alternative.

    Raises:
        TypeError: The text is not a string.
        ValueError: An alternative has more than one `*`, or `...` among its letters.
    """

    __slots__ = ("_of_one_example", "forms", "text")

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError(f"a shape must be a string of letters such as 'N C *', not {text!r}")
        forms = () if text == ANY_SHAPE else tuple(tuple(form.split()) for form in text.split("|"))
        if any(form.count("*") > 1 for form in forms):
            raise ValueError(f"a shape can have only one '*', found {text!r}")
        if any(ANY_SHAPE in form for form in forms):
            raise ValueError(f"'{ANY_SHAPE}' must be the whole shape, found {text!r}")
        self.text = text
        self.forms = forms
        self._of_one_example = tuple(
            tuple(letter for letter in form if letter not in ("N", "*")) for form in forms
        )

    @classmethod
    def of_any(cls, shapes: str | tuple[str, ...]) -> Shape:
        """A shape, or several, of which a tensor fits any.

        >>> Shape.of_any(("N 1 *", "N C *"))
        Shape('N 1 * | N C *')
        """
        # A tuple of letters is one shape, written wrong.
        is_several = isinstance(shapes, tuple) and all(isinstance(shape, str) for shape in shapes)
        if is_several and any(len(shape.split()) > 1 or "*" in shape for shape in shapes):
            return cls(" | ".join(shapes))
        return cls(shapes)  # type: ignore[arg-type]  # it is refused if it is not a string

    def has(self, letter: str, place: int | None = None) -> bool:
        """Whether an alternative has a letter; or whether all have it, or a size, at one place.

        >>> Shape("N C *").has("C", 1), Shape("* C").has("C", 1), Shape("* C").has("C")
        (True, False, True)
        >>> Shape("N 1 * | N C *").has("C", 1), Shape("N * | N C *").has("C", 1)
        (True, False)
        """
        if place is None:
            return any(letter in form for form in self.forms)
        labels = [
            form[place] if place < len(form) and "*" not in form[:place] else ""
            for form in self.forms
        ]
        return letter in labels and all(label == letter or label.isdigit() for label in labels)

    def sizes(
        self, shape: Sequence[int], *, batched: bool = True
    ) -> tuple[tuple[str, int], ...] | None:
        """Each label of a tensor with its size, in order; None if the tensor does not fit.

        The dimensions of a `*` follow a pair of `*` and their number.

        Args:
            shape: The tensor's shape.
            batched: False for a single example, whose shape has neither `N` nor `*`.

        >>> Shape("N *").sizes((8, 32))
        (('N', 8), ('*', 1), ('*0', 32))
        >>> Shape("N C *").sizes((3,), batched=False)
        (('C', 3),)
        """
        for form in self.forms if batched else self._of_one_example:
            rest = len(shape) - len(form) + ("*" in form)
            if rest < 0 or (rest > 0 and "*" not in form):
                continue
            labels = _expanded(form, [f"*{index}" for index in range(rest)])
            sizes = list(zip(labels, shape, strict=True))
            if any(label.isdigit() and int(label) != size for label, size in sizes):
                continue
            if "*" in form:
                sizes.insert(form.index("*"), ("*", rest))
            return tuple(sizes)
        return None

    def labels(self, shape: Sequence[int]) -> tuple[str, ...] | None:
        """The label of each dimension of a tensor; None if the tensor does not fit."""
        sizes = self.sizes(shape)
        return None if sizes is None else tuple(label for label, _ in sizes if label != "*")

    def labels_beside(self, labels: Iterable[str], *, batched: bool = True) -> tuple[str, ...]:
        """The labels of a tensor of this shape, beside a tensor with these labels and the same `*`.

        For a shape without alternatives; for `...` there are none.

        >>> Shape("N *").labels_beside(("N", "C", "*0", "*1"))
        ('N', '*0', '*1')
        """
        forms = self.forms if batched else self._of_one_example
        rest = [label for label in labels if label.startswith("*") and label != "*"]
        return _expanded(forms[0], rest) if forms else ()

    def __str__(self) -> str:
        return " or ".join(" ".join(form) for form in self.forms) or ANY_SHAPE

    def __repr__(self) -> str:
        return f"Shape({self.text!r})"


def _expanded(form: Iterable[str], rest: list[str]) -> tuple[str, ...]:
    labels: list[str] = []
    for letter in form:
        labels.extend(rest if letter == "*" else [letter])
    return tuple(labels)
