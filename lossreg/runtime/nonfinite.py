"""Report which term produced a nan or an infinity.

On the CPU the total is read back at once. On an accelerator reading would wait for the device, so
each term keeps a flag there, which is copied without waiting and reported by a later `step()`.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lossreg.errors import NonFiniteError, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lossreg.config.models import OnNonFinite

__all__ = ["DelayedFlags", "NonFinite", "describe"]


def describe(tensor: Tensor) -> str:
    """A tensor's range, and how many of its entries are nan and infinite."""
    values = tensor.detach()
    if tensor.numel() == 0 or tensor.is_complex() or tensor.dtype == torch.bool:
        return f"{tuple(tensor.shape)} {tensor.dtype}"
    if not tensor.is_floating_point():
        bounds = f"from {values.min().item()} to {values.max().item()}"
        return f"{tuple(tensor.shape)} {tensor.dtype} {bounds}"
    finite = values[values.isfinite()]
    bounds = (
        f"min {finite.min().item():.4g}, max {finite.max().item():.4g}"
        if finite.numel()
        else "nothing finite"
    )
    return f"{bounds}, {int(values.isnan().sum())} nan and {int(values.isinf().sum())} infinite"


class DelayedFlags:
    """Reads flags from their device without waiting for it, so the result is some steps old."""

    def __init__(self) -> None:
        self._copy: Tensor | None = None
        self._event: torch.cuda.Event | None = None

    def __reduce__(self) -> tuple[type[DelayedFlags], tuple[()]]:
        # An event belongs to its process and device, so a copy starts without one.
        return DelayedFlags, ()

    def read(self, flags: Tensor) -> list[bool]:
        """The flags when they were last copied; empty before the first copy arrives.

        Args:
            flags: Of dtype bool, on any device.
        """
        if flags.device.type != "cuda":
            current: list[bool] = flags.tolist()
            return current
        if self._copy is None or self._event is None:
            self._copy = torch.empty(flags.shape, dtype=torch.bool, pin_memory=True)
            self._copy.copy_(flags, non_blocking=True)
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._event.record()
            return []
        if not self._event.query():  # type: ignore[no-untyped-call]
            return []
        copied: list[bool] = self._copy.tolist()
        self._copy = self._event = None
        return copied


class NonFinite:
    """Raises, warns or ignores when a term is nan or infinite.

    Args:
        names: What is looked at: the terms that are added up to the total; and, as `weight of NAME`
            and `regularizer of NAME`, the weights that depend on the step or a parameter, and what
            these add.
        action: What to do: `raise`, `warn` or `ignore`.
    """

    def __init__(self, names: Sequence[str], action: OnNonFinite) -> None:
        self._names = tuple(names)
        self._places = {name: place for place, name in enumerate(names)}
        self._action = action
        self._delayed = DelayedFlags()
        self._make_flags(None)

    def _make_flags(self, device: torch.device | None) -> None:
        with torch.inference_mode(mode=False):
            self._flags = torch.zeros(len(self._names), dtype=torch.bool, device=device)
        # What torch._dynamo.mark_static_address sets; importing that takes a second. Without the
        # mark, torch makes no CUDA graph of code that writes to this tensor.
        self._flags._dynamo_static_input_type = "unguarded"  # type: ignore[attr-defined] # noqa: SLF001

    def apply(self, fn: Callable[[Tensor], Tensor]) -> None:
        """Move to the device that `fn`, as in `nn.Module._apply`, moves to, and clear the flags."""
        self._make_flags(fn(torch.empty(0, device=self._flags.device)).device)

    def look(
        self,
        total: Tensor,
        terms: Mapping[str, Tensor],
        described: Callable[[str, Any], str],
        values: Any,
    ) -> None:
        """Report a total that is not finite; where reading it would wait, set the terms' flags.

        Args:
            total: The total.
            terms: The terms' values that were added up, by name.
            described: Describes the tensors of a term, from its name and the step's values.
            values: The step's values.

        Raises:
            NonFiniteError: The total is not finite, and the action is `raise`.
        """
        if self._action == "ignore":
            return
        compiling = torch.compiler.is_compiling()
        if compiling or not total.is_cpu:
            if not compiling and total.device != self._flags.device:
                self._make_flags(total.device)
            if terms:
                self._flag(terms)
        elif not math.isfinite(total.item()):
            self._blame(total, terms, described, values)

    def _flag(self, terms: Mapping[str, Tensor]) -> None:
        wrong = ~torch.isfinite(torch.stack(list(terms.values()))).to(self._flags.device)
        if len(terms) == len(self._names):
            self._flags.logical_or_(wrong)
            return
        for name, flag in zip(terms, wrong.unbind(), strict=True):
            self._flags[self._places[name]].logical_or_(flag)

    def _blame(
        self,
        total: Tensor,
        terms: Mapping[str, Tensor],
        described: Callable[[str, Any], str],
        values: Any,
    ) -> None:
        culprits = [name for name, value in terms.items() if not math.isfinite(value.item())]
        if not culprits:
            message = f"the total is {total.item()}, though every term is finite"
            self._report(message, term="total")
            return
        lines = [
            f"{_labelled(name)} is {terms[name].item()}: {described(name, values)}"
            for name in culprits
        ]
        self._report("\n".join(lines), term=_term(culprits[0]))

    def report_earlier(self) -> None:
        """Report terms that were not finite in an earlier step.

        Raises:
            NonFiniteError: A term was not finite, and the action is `raise`.
        """
        if self._action == "ignore" or self._flags.is_meta:
            return
        flags = self._delayed.read(self._flags)
        wrong = [name for name, flag in zip(self._names, flags, strict=False) if flag]
        if wrong:
            self._flags.zero_()
            names = ", ".join(_labelled(name).removeprefix("term ") for name in wrong)
            self._report(f"nan or infinite in an earlier step: {names}", term=_term(wrong[0]))

    def _report(self, message: str, *, term: str) -> None:
        if self._action == "raise":
            raise NonFiniteError(message, term=term)
        warnings.warn(printable(message, keep="\n"), RuntimeWarning, stacklevel=5)


def _labelled(name: str) -> str:
    what, _, term = name.rpartition(" of ")  # a term's name has no blanks
    return f"the {what} of term '{term}'" if what else f"term '{term}'"


def _term(name: str) -> str:
    return name.rpartition(" of ")[2]
