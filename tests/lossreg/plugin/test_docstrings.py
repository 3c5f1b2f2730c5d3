from __future__ import annotations

import pytest

from lossreg.plugin.docstrings import Described, described_parameters, summary_of

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
