"""The words of a trial: paths, shapes in letters, dtypes, numbers."""

from __future__ import annotations

import pytest

from lossreg.testing.trial.asked import WordError, asked_for, nested, sizes_of, within_limit
from lossreg.vocabulary.paths import ValuePath


def test_a_word_is_a_path_a_shape_and_a_dtype() -> None:
    asked = asked_for(["aux[0].logits=N 3 *", "labels=N int64", "w=", "v=scalar float64", "b=0.5"])
    assert [(str(one.path), one.shape, one.dtype, one.number) for one in asked] == [
        ("aux[0].logits", ("N", 3, "*"), "float32", None),
        ("labels", ("N",), "int64", None),
        ("w", (), "float32", None),
        ("v", (), "float64", None),
        ("b", (), "float32", 0.5),
    ]


@pytest.mark.parametrize("text", ["3.0", "-2", "1e-3", ".5"])
def test_a_point_a_sign_or_an_exponent_makes_a_number(text: str) -> None:
    (asked,) = asked_for([f"beta={text}"])
    assert asked.number == float(text)


def test_whole_digits_are_a_size() -> None:
    (asked,) = asked_for(["x=3"])
    assert (asked.shape, asked.number) == ((3,), None)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("logits", "'logits': expected a path and a shape, as in logits='N 10'"),
        ("a..b=N", "'a..b=N': at character 1, found 'a..b'; expected a path such as"),
        ("x=N 1o", "'x=N 1o': at character 5, found '1o'; expected dimensions"),
        ("x=N,10", "'x=N,10': at character 3, found 'N,10'; expected dimensions"),
        ("x=N int64 3", "at character 5, found 'int64'; the dtype comes last"),
        ("x=N long", "at character 5, found 'long'; did you mean the dtype 'int64'?"),
        ("x=N flaot32", "at character 5, found 'flaot32'; did you mean the dtype 'float32'?"),
        ("x=N torch.half", "found 'torch.half'; did you mean the dtype 'float16'?"),
        ("x=N 0", "at character 5, found '0'; expected a size of at least 1"),
        ("x[-1]=N", "expected places from [0] to [999], found [-1]"),
        ("x[1000]=N", "expected places from [0] to [999], found [1000]"),
        ("b=1e999", "expected a finite number"),
    ],
)
def test_a_malformed_word_says_where(word: str, message: str) -> None:
    with pytest.raises(WordError) as caught:
        asked_for([word])
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["x=N", "x=3"], "'x' stands twice"),
        (["x=N", "x.y=N"], "'x' cannot be a value and have values under it ('x.y')"),
        (["x.y=N", "x=N"], "'x' cannot be a value and have values under it ('x')"),
        (["x[0]=N", "x.y=N"], "'x' cannot have both names and places such as [0]"),
        (["[0]=N", "y=N"], "the values cannot have both names and places"),
    ],
)
def test_paths_that_contradict_each_other_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(WordError) as caught:
        asked_for(words)
    assert message in str(caught.value)


def test_letters_get_sizes_that_differ_from_all_others() -> None:
    asked = asked_for(["x=N C 3", "y=N M 5 int64"])
    assert sizes_of(asked) == {"N": 2, "C": 4, "M": 6}
    assert sizes_of(asked, ["C=2"]) == {"N": 4, "C": 2, "M": 6}


@pytest.mark.parametrize(
    ("fixed", "message"),
    [
        ("M=3", "no shape has the letter 'M'; there is N, C"),
        ("N", "expected a letter and its size, as in N=4"),
        ("N=0", "expected a letter and its size, as in N=4"),
    ],
)
def test_a_wrong_size_is_refused(fixed: str, message: str) -> None:
    with pytest.raises(WordError, match=message):
        sizes_of(asked_for(["x=N C"]), [fixed])


def test_lists_and_mappings_are_built_from_paths() -> None:
    paths = ["a[1].x", "a[0].x", "b[2]", "c"]
    tree = nested({ValuePath.parse(path): path for path in paths})
    assert tree == {"a": [{"x": "a[0].x"}, {"x": "a[1].x"}], "b": [None, None, "b[2]"], "c": "c"}
    assert nested({ValuePath.parse("[0].x"): 1}) == [{"x": 1}]


def test_more_than_a_gibibyte_is_refused_with_the_largest() -> None:
    asked = asked_for(["small=N", "large=N 1000 1000"])
    within_limit(asked, {"N": 268})
    with pytest.raises(WordError) as caught:
        within_limit(asked, {"N": 269})
    assert "the largest is 'large', (269, 1000, 1000) float32 of 1.0 GiB" in str(caught.value)
