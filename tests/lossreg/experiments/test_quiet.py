from __future__ import annotations

import logging
import warnings

import pytest

from lossreg.experiments.quiet import quiet


def test_it_silences_notices_and_lets_warnings_through(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    caplog.set_level(logging.INFO)
    logging.getLogger("lightning.pytorch").addHandler(caplog.handler)
    try:
        with quiet():
            logger.info("GPU available")
            logger.warning("something is wrong")
    finally:
        logging.getLogger("lightning.pytorch").removeHandler(caplog.handler)
    assert "something is wrong" in caplog.text
    assert "GPU available" not in caplog.text


def test_it_lets_the_warnings_of_others_through() -> None:
    with quiet(), pytest.warns(UserWarning, match="does not have many workers"):
        warnings.warn("mine does not have many workers", stacklevel=1)


def test_afterwards_everything_is_as_before() -> None:
    names = ("lightning.pytorch", "lightning.fabric")
    levels = [logging.getLogger(name).level for name in names]
    filters = list(warnings.filters)

    def fail() -> None:
        with quiet():
            raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        fail()
    assert [logging.getLogger(name).level for name in names] == levels
    assert warnings.filters == filters
