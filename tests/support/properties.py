"""Properties that several tests hold, each under its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lossreg
from lossreg.errors import ConfigWarning

CONFIGS = Path(__file__).parents[2] / "configs"
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


def leaves(values: Any) -> Iterator[Tensor]:
    """The tensors of nested mappings and lists that want a gradient."""
    if isinstance(values, Tensor):
        if values.requires_grad:
            yield values
    elif isinstance(values, Mapping):
        for each in values.values():
            yield from leaves(each)
    elif isinstance(values, Sequence):
        for each in values:
            yield from leaves(each)


def assert_same_as_by_hand(
    loss: lossreg.CompositeLoss,
    make_values: Callable[[], dict[str, Any]],
    by_hand: Callable[[dict[str, Any]], Tensor],
) -> None:
    """A composite's total and its gradients are those of a formula written in torch.

    `make_values` gives a step's values: the same numbers, in new leaves, each time. Leaves that
    the formula gives no gradient get none, or 0, from the composite.
    """
    values, twins = make_values(), make_values()
    total, expected = loss(values).total, by_hand(twins)
    torch.testing.assert_close(total, expected)
    total.backward()
    expected.backward()
    pairs = list(zip(leaves(values), leaves(twins), strict=True))
    assert pairs
    for leaf, twin in pairs:
        if twin.grad is None:
            assert leaf.grad is None or not leaf.grad.any()
        else:
            torch.testing.assert_close(leaf.grad, twin.grad)


def ulps(found: Tensor, expected: Tensor, *, of_largest: bool = False) -> float:
    """How far apart two tensors are at most, in units of the last place of what is expected.

    Each entry's own unit, or for all that of the largest entry: where numbers cancel, or are
    added in another order, the small ones that are left have the error of the large ones.
    """
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    size = expected.abs()
    if of_largest:
        size = size.max().expand_as(size)
    unit = torch.nextafter(size, torch.full_like(size, torch.inf)) - size
    return ((found - expected).abs() / unit).max().item() if found.numel() else 0.0


def refusal(name: str, batch: Mapping[str, Tensor], **term: Any) -> str:
    """What a composite's checks say of an input of a batch that they refuse."""
    with pytest.raises(lossreg.InputError) as raised:
        lossreg.build({"terms": {"t": {"type": name, **term}}})(batch)
    assert raised.value.term == "t"
    assert raised.value.argument in batch
    return str(raised.value)


def suspicion(name: str, batch: Mapping[str, Tensor], **term: Any) -> str:
    """What a composite warns of, once, for a batch that it takes."""
    loss = lossreg.build({"checks": "always", "terms": {"t": {"type": name, **term}}})
    with pytest.warns(ConfigWarning) as found:
        loss(batch)
    loss(batch)  # warnings are errors
    (warning,) = found
    return str(warning.message)


def assert_no_fault(name: str, batch: Mapping[str, Tensor], **term: Any) -> None:
    """A composite's checks take the batch without a word."""
    lossreg.build({"terms": {"t": {"type": name, **term}}})(batch)
