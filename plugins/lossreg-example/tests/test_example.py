import lossreg
import torch
from lossreg.testing import LossContract
from torch import Tensor


class TestExample(LossContract):
    """What every loss plugin must satisfy; `batch` is the data that it is tried on."""

    loss = "example"
    torch_free = True

    def batch(self) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(0)
        return {
            "input": torch.randn(4, 3, generator=generator),
            "target": torch.randn(4, 3, generator=generator),
        }


def test_value_by_hand() -> None:
    # A difference of 3 with an eps of 4: the root of 9 + 16 is 5.
    module = lossreg.create("example", eps=4.0)
    assert module(torch.tensor([3.0]), torch.tensor([0.0])) == 5.0
