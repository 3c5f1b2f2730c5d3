"""A term's remark: what the test file of a newcomer's key holds."""

from __future__ import annotations

from lossreg.config import examine, load_config


def test_a_term_has_its_remark() -> None:
    terms = {"fit": {"type": "mse", "remark": "in metres"}, "abs": {"type": "l1"}}
    fit, absolute = load_config({"terms": terms}).terms
    assert (fit.remark, absolute.remark) == ("in metres", "")


def test_a_remark_is_a_text() -> None:
    (fault,) = examine({"terms": {"fit": {"type": "mse", "remark": 3}}}).diagnostics
    assert (fault.code, fault.path) == ("LR201", "terms.fit.remark")


def test_a_misspelt_remark_is_guessed() -> None:
    (fault,) = examine({"terms": {"fit": {"type": "mse", "remakr": "in metres"}}}).diagnostics
    assert "did you mean 'remark'?" in fault.message
