"""Modules that keep too little, lose it on the way, or write where they should not."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lossreg.plugin import LossConfig
from wrong_losses.fair import Fair, Wrong, contract, fair, whole


class Writing(Fair):
    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        return super().forward(input, target.clamp_(min=-1e6))


class Clipping(Fair):
    """Writes where no version counts, and only into numbers that the author never gave."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        if not torch.compiler.is_compiling():
            target.data.clamp_(-50, 50)
        return super().forward(input, target)


class Elsewhere(Fair):
    """A product with numbers that are always on the CPU."""

    def entries(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        return torch.ones(2, dtype=input.dtype) * super().entries(input, target)


class Listing(Fair):
    """Holds a tensor where `.to(device)` does not find it."""

    def __init__(self, config: LossConfig) -> None:
        super().__init__(config)
        self.scales = [torch.ones(2)]

    def entries(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        return self.scales[0].to(input.dtype) * super().entries(input, target)


class Tallying(Fair):
    """Counts its calls where no state_dict finds them."""

    calls = 0

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        if not torch.compiler.is_compiling():
            self.calls = self.calls + 1
        return super().forward(input, target)


class Stepping(Fair):
    steps: Tensor

    def __init__(self, config: LossConfig) -> None:
        super().__init__(config)
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        self.steps += 1
        return super().forward(input, target)


class Projecting(Fair):
    """Each one made has a projection of its own, which no state_dict knows."""

    projection: Tensor

    def __init__(self, config: LossConfig) -> None:
        super().__init__(config)
        self.register_buffer("projection", torch.rand(2, 2) + 1, persistent=False)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        return super().forward(input * self.projection[0, 0], target)


class Object:
    """What a state loaded with weights_only does not take."""


class WithAnObject(Fair):
    def get_extra_state(self) -> Any:
        return Object()

    def set_extra_state(self, state: Any) -> None:
        pass


class WithALambda(Fair):
    def __init__(self, config: LossConfig) -> None:
        super().__init__(config)
        self.link = lambda each: each


class Forgetting(Fair):
    def __init__(self, config: LossConfig) -> None:
        super().__init__(config)
        self.beta = 2.0

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "beta": 1.0}


class Single(Fair):
    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        return super().forward(input, target).float()


class OneDtype(Fair):
    """A product with a tensor of the default dtype."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        zero = torch.zeros(2) if input.dtype == torch.float64 else input.new_zeros(2)
        return super().forward(input, target) + torch.dot(input[0], zero)


class Holding(Fair):
    def __init__(self, config: LossConfig) -> None:
        super().__init__(config)
        self.scale = torch.tensor(1.0)

    def entries(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        return self.scale * super().entries(input, target)


MODULES = {
    "an argument is written into": Wrong(
        contract(fair(Writing)), ("inputs_are_not_modified",), "forward writes into 'target'"
    ),
    "an argument is written into where it is large": Wrong(
        contract(fair(Clipping)), ("inputs_are_not_modified",), "forward writes into 'target'"
    ),
    "numbers on the CPU": Wrong(
        contract(fair(Elsewhere)),
        ("tensors_are_made_on_the_inputs_device",),
        "it computes with a tensor of the CPU: ",
    ),
    "tensors in a list": Wrong(
        contract(fair(Listing)),
        ("tensors_are_made_on_the_inputs_device",),
        "it computes with a tensor of the CPU: ",
    ),
    "calls are tallied": Wrong(
        contract(fair(Tallying)),
        ("state_is_kept_in_buffers",),
        "3 steps change the attributes 'calls', which are not saved",
    ),
    "calls are counted": Wrong(
        contract(fair(Stepping)), ("state_is_not_modified",), "forward changes 'steps'"
    ),
    "an object in the state": Wrong(
        contract(fair(WithAnObject)),
        ("state_dict_round_trips",),
        "its state_dict cannot be saved and loaded into a new module",
    ),
    "a state of its own": Wrong(
        contract(whole(Projecting)),
        ("state_dict_round_trips",),
        "with its state_dict loaded, a new module gives",
    ),
    "a lambda as an attribute": Wrong(
        contract(fair(WithALambda)), ("pickles_and_copies",), "it cannot be pickled and copied"
    ),
    "a copy that forgets": Wrong(
        contract(whole(Forgetting)), ("pickles_and_copies",), "pickled, it gives"
    ),
    "one dtype alone": Wrong(
        contract(fair(OneDtype)),
        ("moves_to_a_dtype", "gradient_is_the_slope_of_the_value"),
        "after .to(float64) it fails on float64 inputs: RuntimeError",
    ),
    "single precision": Wrong(
        contract(whole(Single)), ("moves_to_a_dtype",), "float64 inputs give torch.float32"
    ),
    "a tensor that stays behind": Wrong(
        contract(fair(Holding)), ("moves_to_a_device",), "the attributes 'scale' are tensors"
    ),
}
