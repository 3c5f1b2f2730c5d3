from __future__ import annotations

import pytest

from lossreg.vocabulary.paths import PathError, ValuePath


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("logits", ("logits",)),
        ("heads.seg.logits", ("heads", "seg", "logits")),
        ("hidden[-1]", ("hidden", -1)),
        ("aux[2][0].boxes", ("aux", 2, 0, "boxes")),
        ("d-1.größe", ("d-1", "größe")),
        ("a.0", ("a", "0")),
        ("[0]", (0,)),
        ("[-1][2].boxes", (-1, 2, "boxes")),
    ],
)
def test_a_path_is_read_and_written_back(text: str, steps: tuple[str | int, ...]) -> None:
    path = ValuePath.parse(text)
    assert path.steps == steps
    assert str(path) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "a b",
        " a",
        "a\n",
        "[]",
        "[0]a",
        "a.[0]",
        "[0][",
        "a[]",
        "a[x]",
        "a[0]b",
        "a[+1]",
        "a[1:2]",
        "a[--1]",
        "a[0",
        "a]0[",
        "a[٣]",
        "a[1234567890]",
    ],
)
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(PathError, match="expected a path such as"):
        ValuePath.parse(text)


def test_paths_are_equal_and_hash_by_their_steps() -> None:
    assert (
        len({ValuePath.parse("a.b[1]"), ValuePath(("a", "b", 1)), ValuePath.parse("a.b[2]")}) == 2
    )
