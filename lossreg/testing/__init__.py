"""A test suite for a loss plugin: subclass `LossContract`, name the loss, give a batch.

    class TestFocal(LossContract):
        loss = "focal"

        def batch(self):
            return {"input": torch.randn(4, 3), "target": torch.tensor([0, 2, 1, 1])}

pytest runs each check as a test.
"""

from __future__ import annotations

from lossreg.testing.contract import LossContract

__all__ = ["LossContract"]
