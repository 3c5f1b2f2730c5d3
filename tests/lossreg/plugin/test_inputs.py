from __future__ import annotations

from lossreg.plugin import LossInput


def test_an_inputs_own_fill_goes_before_that_of_its_domain() -> None:
    of_domain = LossInput(name="var", meaning="variances", domain="probability").safe
    assert 0 <= of_domain <= 1
    assert LossInput(name="var", meaning="variances", domain="probability", fill=0.25).safe == 0.25
    assert LossInput(name="x", meaning="anything", fill=0.0).safe == 0.0
