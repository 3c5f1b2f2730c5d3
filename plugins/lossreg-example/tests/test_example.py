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
