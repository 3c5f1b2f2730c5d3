"""Wrong values and gradients, and values that come and go."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from wrong_losses.fair import BATCH, INPUT, TARGET, Fair, Wrong, contract, fair, whole


class OneElement(Fair):
    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        value = super().forward(input, target)
        return value if self.reduction == "none" else value.reshape(1)


class InfiniteSum(Fair):
    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        value = super().forward(input, target)
        return value / 0 if self.reduction == "sum" else value


class Counting(Fair):
    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        return (super().forward(input, target) > 0).sum()


class Detaching(Fair):
    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        return super().forward(input, target.detach())


class Doubling(torch.autograd.Function):
    """The identity, with a wrong gradient."""

    @staticmethod
    def forward(ctx: Any, input: Tensor) -> Tensor:  # noqa: A002, ARG004
        return input.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        return 2 * gradient


class Sloped(Fair):
    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        result: Tensor = Doubling.apply(super().forward(input, target))
        return result


class Neighbours(Fair):
    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        return super().forward(input, target) + (input[1:] - input[:-1]).abs().mean()


class First(Fair):
    """Its rows count more, the later they come."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        order = torch.arange(1, len(input) + 1, device=input.device, dtype=input.dtype)
        each = self.entries(input, target).flatten(1).mean(1)
        return (order * each).mean()


def half_again(self: Any, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002, ARG001
    return 1.5 * (target.abs() * (input - target) ** 2).sum() / target.abs().sum()


class Kinked(Fair):
    """Right on the author's numbers, and clipped beyond them."""

    def entries(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        return super().entries(input.clamp(max=4.5), target)


def as_it_should_be(self: Any, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002, ARG001
    return (target.abs() * (input - target) ** 2).sum() / target.abs().sum()


IMAGES = {name: tensor[:, :, None, None].expand(4, 2, 3, 3) for name, tensor in BATCH.items()}


class Seeding(Fair):
    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        if not torch.compiler.is_compiling():
            torch.manual_seed(0)
        return super().forward(input, target)


class Growing(Fair):
    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        self.beta = self.beta + 1e-6
        return super().forward(input, target)


class Reading(Fair):
    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        if input.isnan().any().item():
            return input.sum()
        return super().forward(input, target)


class OtherCompiled(Fair):
    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        value = super().forward(input, target)
        return 2 * value if torch.compiler.is_compiling() else value


class Product(Fair):
    """A squared distance from a matrix product, which autocast computes in bfloat16."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        apart = (input + 10 - target).flatten()
        return (apart @ apart - 100 * apart.numel()) / apart.numel()


class NoHalf(Fair):
    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        if torch.bfloat16 in (input.dtype, target.dtype):
            raise RuntimeError('"fair" not implemented for BFloat16')
        return super().forward(input, target)


VALUES = {
    "a value with a dimension": Wrong(
        contract(fair(OneElement)), ("value_is_a_finite_scalar",), "has the shape (1,)"
    ),
    "an infinite sum": Wrong(
        contract(fair(InfiniteSum)),
        ("value_is_a_finite_scalar", "the_mean_is_its_numerator_over_its_denominator"),
        "the value of the batch is inf",
    ),
    "a count": Wrong(
        contract(whole(Counting)),
        ("value_is_a_finite_scalar", "gradient_reaches_each_declared_input", "moves_to_a_dtype"),
        "the value is of torch.int64",
    ),
    "a gradient that does not arrive": Wrong(
        contract(fair(Detaching, inputs=(INPUT, dataclasses.replace(TARGET, gradient=True)))),
        ("gradient_reaches_each_declared_input",),
        "no gradient reaches 'target'",
    ),
    "a gradient that nobody declares": Wrong(
        contract(fair(inputs=(dataclasses.replace(INPUT, gradient=False), TARGET))),
        ("gradient_reaches_each_declared_input",),
        "no floating-point input is declared with gradient=True",
    ),
    "a gradient of zero": Wrong(
        contract(fair(), batch={**BATCH, "input": BATCH["target"]}),
        ("gradient_reaches_each_declared_input", "every_parameter_is_read"),
        "the gradient of 'input' is zero everywhere",
    ),
    "another gradient": Wrong(
        contract(whole(Sloped)),
        ("gradient_is_the_slope_of_the_value",),
        "the gradient of 'input' is not the slope of the value: Jacobian mismatch",
    ),
    "rows that see their neighbours": Wrong(
        contract(whole(Neighbours)),
        ("order_of_rows_does_not_matter",),
        "rows in the order [3, 0, 1, 2] change the value from",
    ),
    "rows of images that are weighed by their place": Wrong(
        contract(
            whole(
                First,
                inputs=(
                    dataclasses.replace(INPUT, shape="N C *"),
                    dataclasses.replace(TARGET, shape="N C *", counted=False),
                ),
                unreduced="*",
            ),
            batch=IMAGES,
        ),
        ("order_of_rows_does_not_matter",),
        "rows in the order [3, 0, 1, 2] change the value from",
    ),
    "another value than the reference's": Wrong(
        contract(fair(), reference=half_again),
        ("the_value_is_that_of_the_reference",),
        "on the batch, its value is ",
    ),
    "another value than the reference's beyond the batch": Wrong(
        contract(fair(Kinked), reference=as_it_should_be),
        ("the_value_is_that_of_the_reference",),
        "on a batch of other numbers, its value is ",
    ),
    "another value than the library's": Wrong(
        contract(fair(), original="torch.nn.MSELoss"),
        ("the_value_is_that_of_the_reference",),
        "on the batch, its value is ",
    ),
    "a library that is not there": Wrong(
        contract(fair(), original="no_such_library.FairLoss"),
        ("the_value_is_that_of_the_reference",),
        "no_such_library.FairLoss cannot be built: ModuleNotFoundError",
    ),
    "a seed of its own": Wrong(
        contract(whole(Seeding)), ("it_is_deterministic",), "moves or seeds the random numbers"
    ),
    "a value that grows": Wrong(
        contract(whole(Growing)),
        (
            "it_is_deterministic",
            "gradient_is_the_slope_of_the_value",
            "pickles_and_copies",
            "state_is_kept_in_buffers",
            "state_dict_round_trips",
        ),
        "it differs in 'the value'",
    ),
    "a value that is read": Wrong(
        contract(fair(Reading)), ("compiles",), "torch.compile cannot make one graph of it"
    ),
    "another value where it is compiled": Wrong(
        contract(fair(OtherCompiled)), ("compiles",), "compiled, its value is"
    ),
    "another value under autocast": Wrong(
        contract(whole(Product)), ("autocast_keeps_the_value",), "under autocast, with bfloat16 in"
    ),
    "no half precision": Wrong(
        contract(fair(NoHalf)),
        ("autocast_keeps_the_value",),
        'under autocast it fails: "fair" not implemented for BFloat16',
    ),
}
