"""Properties that several tests hold, each under its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

import lossreg

FLOAT_DTYPES = (torch.float32, torch.float64, torch.bfloat16)


def value_and_gradients(
    module: nn.Module, arguments: Sequence[Tensor], differentiable: Sequence[bool]
) -> tuple[Tensor, list[Tensor]]:
    """The module's value, and the gradients of its sum in the inputs marked differentiable."""
    leaves = [
        argument.detach().clone().requires_grad_(wanted)
        for argument, wanted in zip(arguments, differentiable, strict=True)
    ]
    value = module(*leaves)
    value.sum().backward()
    gradients = [leaf.grad for leaf in leaves if leaf.requires_grad]
    assert all(gradient is not None for gradient in gradients)
    return value.detach(), [gradient for gradient in gradients if gradient is not None]


def assert_bit_identical(found: Tensor, expected: Tensor) -> None:
    """Same dtype, same shape, same values to the last bit; nan equals nan."""
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert torch.equal(found.isnan(), expected.isnan())
    assert torch.equal(found.nan_to_num(), expected.nan_to_num())


def assert_same_as_torch(
    name: str,
    reference: nn.Module,
    batch: Mapping[str, Tensor],
    *,
    dtype: torch.dtype = torch.float32,
    **params: Any,
) -> None:
    """`lossreg.create(name, **params)` gives torch's value and input gradients, bit for bit.

    `batch` holds the arguments by name; the floating-point ones are cast to `dtype`, and so are
    both modules' own tensors.
    """
    inputs = lossreg.Registry.installed()[name].inputs
    arguments = [
        batch[each.name].to(dtype) if batch[each.name].is_floating_point() else batch[each.name]
        for each in inputs
    ]
    differentiable = [
        each.gradient and argument.is_floating_point()
        for each, argument in zip(inputs, arguments, strict=True)
    ]
    module = lossreg.create(name, **params).to(dtype)
    value, gradients = value_and_gradients(module, arguments, differentiable)
    expected, expected_gradients = value_and_gradients(
        reference.to(dtype), arguments, differentiable
    )
    assert_bit_identical(value, expected)
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        assert_bit_identical(gradient, expected_gradient)
