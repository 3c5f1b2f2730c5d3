"""Tensors of a term that no `state_dict` holds: class weights, and non-persistent buffers.

Class weights come from the config, so they are recomputed wherever a composite moves. Other
buffers come from a builder, which may draw them at random: if their values are lost, for example
by `to_empty`, the term is refused until its buffers are filled.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lossreg.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lossreg.plugin import LossConfig

__all__ = ["ClassWeights", "UnsavedBuffers"]

_PROBE_BYTES = 8


class ClassWeights:
    """The class weights in a term's module.

    They become plain attributes where the module had buffers, so that nothing averages, rounds or
    saves them.

    Args:
        module: The built loss.
        params: Its config.
        built_with: The config that its builder received, with tensors in place of lists.
    """

    def __init__(self, module: nn.Module, params: LossConfig, built_with: LossConfig) -> None:
        self._held: list[tuple[nn.Module, str, Any]] = []
        fields = vars(built_with).items()
        tensors = {name: value for name, value in fields if isinstance(value, Tensor)}
        # Walking the children, as named_buffers() does, costs as much as making a small loss.
        children = module.modules() if module._modules else (module,)  # noqa: SLF001
        for child in children if tensors else ():
            for name, buffer in list(child._buffers.items()):  # noqa: SLF001
                same = tensors.get(name) if child is module else None
                for field, tensor in tensors.items():
                    if buffer is tensor or (tensor is same and _equal(buffer, tensor)):
                        delattr(child, name)
                        setattr(child, name, buffer)
                        self._held.append((child, name, vars(params)[field]))
                        break

    def __bool__(self) -> bool:
        return bool(self._held)

    @property
    def device(self) -> torch.device | None:
        """The device of the class weights; None if the loss has none."""
        for child, name, _ in self._held:
            device: torch.device = getattr(child, name).device
            return device
        return None

    @property
    def dtype(self) -> torch.dtype | None:
        """The dtype of the class weights; None if the loss has none."""
        for child, name, _ in self._held:
            dtype: torch.dtype = getattr(child, name).dtype
            return dtype
        return None

    def apply(self, fn: Callable[[Tensor], Tensor]) -> None:
        """Compute them for the device and dtype that `fn`, as in `nn.Module._apply`, moves to."""
        for child, name, values in self._held:
            now = getattr(child, name)
            moved = fn(torch.empty(0, dtype=now.dtype, device=now.device))
            self._set(child, name, values, moved.dtype, moved.device)

    def move(self, device: torch.device) -> None:
        """Compute them for a device."""
        for child, name, values in self._held:
            self._set(child, name, values, getattr(child, name).dtype, device)

    @staticmethod
    def _set(
        child: nn.Module, name: str, values: Any, dtype: torch.dtype, device: torch.device
    ) -> None:
        # Not as inference tensors, if a validation step comes first: training could not use them.
        with torch.inference_mode(mode=False), torch.no_grad():
            exact = values if isinstance(values, Tensor) else torch.tensor(values, dtype=dtype)
            setattr(child, name, exact.to(device=device, dtype=dtype))


def _equal(buffer: Tensor | None, tensor: Tensor) -> bool:
    """Whether a builder made a copy of the class weights that it received."""
    if buffer is None or buffer.is_meta or tensor.is_meta or buffer.shape != tensor.shape:
        return False
    return torch.equal(buffer, tensor.to(buffer))


class _Lost:
    """A buffer that lost its values, until something writes to it."""

    def __init__(self, buffer: Tensor) -> None:
        self._buffer = buffer
        self._version = _version(buffer)

    def is_still(self, buffer: Tensor | None) -> bool:
        """Whether the module still has that buffer, and nothing wrote to it."""
        return buffer is self._buffer and _version(buffer) == self._version

    # The version of a copied tensor starts at 0 again.
    def __getstate__(self) -> tuple[Tensor, bool]:
        return self._buffer, self.is_still(self._buffer)

    def __setstate__(self, state: tuple[Tensor, bool]) -> None:
        self._buffer, still = state
        self._version = _version(self._buffer) if still else None


def _version(tensor: Tensor) -> int | None:
    return None if tensor.is_inference() else tensor._version  # noqa: SLF001 - torch has no other name for it


class UnsavedBuffers:
    """The non-persistent buffers of a composite's terms, and which of them lost their values.

    Args:
        modules: Each term's module by name.
    """

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        self._lost: dict[tuple[str, str], _Lost] = {}
        self._note(modules, lambda _, buffer: buffer.is_meta)

    def _note(
        self, modules: Mapping[str, nn.Module], is_lost: Callable[[tuple[str, str], Tensor], bool]
    ) -> None:
        self._lost = {
            place: _Lost(buffer) for place, buffer in _unsaved(modules) if is_lost(place, buffer)
        }

    def __bool__(self) -> bool:
        return bool(self._lost)

    def applied(
        self,
        modules: Mapping[str, nn.Module],
        fn: Callable[[Tensor], Tensor],
        apply: Callable[[], object],
    ) -> None:
        """Let torch move all tensors, and note which buffers lost their values.

        Args:
            modules: Each term's module by name.
            fn: The function for each tensor, as in `nn.Module._apply`.
            apply: Applies it to all tensors.
        """
        before = dict(_unsaved(modules))
        lost = {place for place, buffer in before.items() if buffer.is_meta}
        lost |= {place for place, was in self._lost.items() if was.is_still(before.get(place))}
        real = next((buffer for buffer in before.values() if not buffer.is_meta), None)
        keeps = real is None or _keeps_values(fn, real.device)
        apply()
        if before:
            self._note(modules, lambda place, _: not keeps or place in lost)

    def refuse(self, modules: Mapping[str, nn.Module]) -> None:
        """Refuse a term whose buffers lost their values; forget those that were filled since.

        Raises:
            StateError: A buffer has no values; the message names it.
        """
        now = dict(_unsaved(modules))
        self._lost = {
            place: was for place, was in self._lost.items() if was.is_still(now.get(place))
        }
        for term, name in self._lost:
            raise StateError(
                f"term '{term}': its buffer '{name}' lost its values, by `to_empty` or on the meta "
                "device, and no state_dict holds it: fill it in place, or build the loss where it "
                "is to run"
            )


def _unsaved(modules: Mapping[str, nn.Module]) -> Iterator[tuple[tuple[str, str], Tensor]]:
    for term, module in modules.items():
        for path, child in module.named_modules():
            for name in child._non_persistent_buffers_set:  # noqa: SLF001 - torch has no other name for it
                buffer = child._buffers.get(name)  # noqa: SLF001
                if buffer is not None:
                    yield (term, f"{path}.{name}" if path else name), buffer


def _keeps_values(fn: Callable[[Tensor], Tensor], device: torch.device) -> bool:
    # Bits, because every dtype can hold a 0 and a 1; random ones, because reused memory may still
    # hold those of an earlier probe.
    bits = [float(byte >> shift & 1) for byte in os.urandom(_PROBE_BYTES) for shift in range(8)]
    moved = fn(torch.tensor(bits, device=device))
    return not moved.is_meta and bool(moved.tolist() == bits)
