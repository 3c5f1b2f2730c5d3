"""Losses that remember what they saw, and lose it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lossreg.plugin import LossConfig
from lossreg.testing import LossContract
from wrong_losses.fair import Fair, Wrong, contract, whole

SIZE = 16


class Bank(Fair):
    """Squared errors, and the distance from what was seen: a queue, its place in a buffer."""

    bank: Tensor
    place: Tensor

    def __init__(self, config: LossConfig) -> None:
        super().__init__(config)
        self.register_buffer("bank", torch.zeros(SIZE))
        self.register_buffer("place", torch.zeros((), dtype=torch.long))

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        value = super().forward(input, target) + (input.mean() - self.bank.mean()) ** 2
        if self.training:
            self.remember(input.detach())
        return value

    def remember(self, seen: Tensor) -> None:
        rows = torch.arange(len(seen), device=seen.device)
        places = (self.place + rows) % SIZE
        self.bank.index_copy_(0, places, seen[:, 0].to(self.bank.dtype))
        self.place.copy_((self.place + len(seen)) % SIZE)


class PlainPlace(Bank):
    """The place in the queue is a number, which no checkpoint has."""

    def __init__(self, config: LossConfig) -> None:
        super().__init__(config)
        del self.place
        self.index = 0

    def remember(self, seen: Tensor) -> None:
        rows = torch.arange(len(seen), device=seen.device)
        self.bank.index_copy_(0, (self.index + rows) % SIZE, seen[:, 0].to(self.bank.dtype))
        self.index = (self.index + len(seen)) % SIZE


class Always(Bank):
    """Validation moves its memory too."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        value = super().forward(input, target)
        if not (self.training or torch.compiler.is_compiling()):
            self.place.copy_((self.place + 1) % SIZE)
        return value


class Unsaved(Bank):
    """Its memory is a buffer that no checkpoint has."""

    def __init__(self, config: LossConfig) -> None:
        super().__init__(config)
        self.register_buffer("bank", torch.zeros(SIZE), persistent=False)


class Annealed(Fair):
    """What the training loop calls moves a plain number."""

    def __init__(self, config: LossConfig) -> None:
        super().__init__(config)
        self.sharpness = 1.0

    def update(self) -> None:
        self.sharpness *= 1.5

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        return super().forward(self.sharpness * input, target)


def update(_: LossContract, module: Any) -> None:
    module.update()


def remembering(build: type[nn.Module], **attributes: Any) -> LossContract:
    return contract(whole(build, stateful=True), **attributes)


REMEMBERING = {
    "a place in a queue that is not saved": Wrong(
        remembering(PlainPlace),
        ("state_is_kept_in_buffers", "state_dict_round_trips"),
        "3 steps change the attributes 'index', which are not saved",
    ),
    "a memory that validation moves": Wrong(
        remembering(Always),
        ("state_is_not_modified",),
        "in eval() forward changes 'place' of the module",
    ),
    "a memory that is not saved": Wrong(
        remembering(Unsaved),
        ("state_dict_round_trips",),
        "with its state_dict loaded, a new module gives",
    ),
    "a memory that is not declared": Wrong(
        contract(whole(Bank)),
        (
            "state_is_not_modified",
            "gradient_is_the_slope_of_the_value",
            "it_is_deterministic",
            "order_of_rows_does_not_matter",
            "pickles_and_copies",
            "autocast_keeps_the_value",
            "compiles",
        ),
        "or write stateful=True in the LossDefinition",
    ),
    "a number that a method moves": Wrong(
        contract(whole(Annealed), after_step=update),
        ("state_is_kept_in_buffers", "state_dict_round_trips"),
        "3 steps change the attributes 'sharpness'",
    ),
    "nothing to remember": Wrong(
        remembering(Fair),
        ("state_is_kept_in_buffers",),
        "it is declared stateful, but 3 steps change no buffer",
    ),
}
