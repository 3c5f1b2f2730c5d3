from __future__ import annotations

import pytest

from lossreg.plugin.from_module.docstrings import Described, described_parameters, summary_of

GOOGLE = """Focal loss.

    Args:
        gamma (float, optional): How much easy examples
            count less. Default: 2.
        alpha (Tensor | None): Weights of the :math:`C` ``classes``.

            A second paragraph.
        - `eps`: A small number
        lambda_ (tuple(int, int)): The sizes.

    Returns:
        value: Not a parameter.
    """

NUMPY = """Focal loss.

    Parameters
    ----------
    gamma : float, optional
        How much easy examples
        count less. Default: 2.
    alpha : Tensor | None
        Weights of the ``C`` classes.

        A second paragraph.
    eps
        A small number
    lambda_ : tuple(int, int)
        The sizes.

    Returns
    -------
    value
        Not a parameter.
    """

SPHINX = """Focal loss.

    :param gamma: How much easy examples
        count less. Default: 2.
    :type gamma: float, optional
    :param alpha: Weights of the `C` classes.
    :type alpha: Tensor | None
    :param eps: A small number
    :param tuple(int, int) lambda_: The sizes.
    :returns: Not a parameter.
    """


@pytest.mark.parametrize("text", [GOOGLE, NUMPY, SPHINX], ids=["google", "numpy", "sphinx"])
def test_each_notation_says_the_same(text: str) -> None:
    assert described_parameters(text) == {
        "gamma": Described("How much easy examples count less. Default: 2.", "float, optional"),
        "alpha": Described("Weights of the C classes.", "Tensor | None"),
        "eps": Described("A small number", ""),
        "lambda_": Described("The sizes.", "tuple(int, int)"),
    }


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "Args:",
        "Args:\n\nnothing: here",
        "Note:\n    gamma: not a parameter",
        "Parameters\n----------",
        "Parameters\n\ngamma: none",
        "One line: with a colon.",
    ],
)
def test_what_describes_nothing(text: str | None) -> None:
    assert described_parameters(text) == {}


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("Focal loss.", "Focal loss"),
        (
            "\n    Focal loss,\n    as published. More words.\n\n    Args:\n",
            "Focal loss, as published",
        ),
        ("Weights e.g. ``pos`` and neg. Then more.", "Weights e.g. pos and neg"),
        ("   \n", ""),
    ],
)
def test_a_summary_is_the_first_sentence(text: str, summary: str) -> None:
    assert summary_of(text) == summary


def test_a_description_may_have_colons() -> None:
    found = described_parameters(":param gamma: how much: more or less\n:param int size: a: b")
    assert found == {
        "gamma": Described("how much: more or less", ""),
        "size": Described("a: b", "int"),
    }


# Where two parts of a pattern could match the same characters, each of these took hours.
@pytest.mark.parametrize(
    "text",
    [
        "Args:\n    a" + " " * 300_000 + "x",
        "Args:\n    a" + "` " * 150_000 + "x",
        "Args:\n    a(" + ") " * 150_000 + "x",
        ":param" + " " * 300_000 + "!",
        ":param a" + " b" * 150_000 + "!",
        ":type" + " " * 300_000 + "!",
        "Parameters\n---\na" + " " * 300_000 + "!",
        "Parameters\n---\n" * 100_000,
        "Args:\n" * 150_000,
        ":param a: b\n" * 100_000,
        "a\n" * 150_000,
        ". " * 150_000,
        ":a" * 150_000,
    ],
    ids=lambda text: repr(text[:16]),
)
def test_a_long_one_is_read_in_time(text: str) -> None:
    assert len(described_parameters(f"Focal loss.\n\n{text}")) <= 1
    summary_of(text)
