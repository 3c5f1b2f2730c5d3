import torch
from lossreg.registry import Registry
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


class TestExampleOfImages(TestExample):
    """The same on four dimensions."""

    def batch(self) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(0)
        return {
            "input": torch.randn(2, 3, 4, 4, generator=generator),
            "target": torch.randn(2, 3, 4, 4, generator=generator),
        }


def test_no_text_of_the_example_is_left() -> None:
    """`lossreg new` wrote the Charbonnier loss: all of it is there still, or nothing.

    Delete this test once the loss is your own.
    """
    loss = Registry.installed()["example"]
    of_the_example = {
        "summary": loss.summary == "Absolute error, rounded off below eps",
        "formula": r"\text{eps}" in loss.formula,
        "worked": loss.worked is not None and loss.worked.value == 4.5,
        "references": "Charbonnier" in " ".join(loss.references),
    }
    left = [name for name, is_left in of_the_example.items() if is_left]
    assert left in ([], list(of_the_example)), f"still the example's: {left}"
