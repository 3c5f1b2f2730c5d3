"""The record of one transform."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lossreg.vocabulary.arguments import Argument, Rule

__all__ = ["TransformDefinition"]


class TransformDefinition(NamedTuple):
    """A transform.

    Attributes:
        name: Its name, torch's name if torch has one.
        gives: Its result, for the docs: one phrase, with an example in backticks if that helps.
        run: Computes the result from the tensor and the arguments' values, in their order. It
            imports torch inside, or only uses the tensor's methods: reading a config must not
            import torch.
        arguments: Its arguments.
        rule: Checks all arguments together; those that are routes are left out.
        by_name: Whether its arguments must be named; otherwise a single value binds to the first
            argument.
        by_list: Whether a list may give all of its arguments, in their order.
        takes: What it is applied to: a tensor, or a list of tensors.
        returns: What it gives: a tensor, or a list of tensors.
        mixes: The name of the argument with the dimensions over which places depend on each other:
            if the first is among them, rows are mixed.
        follows: Whether `run` takes, after the arguments, the dtype of the floating-point tensor
            that the result meets, or None if there is none.
        foreign: What other systems call it; or a pair of such a name and of what to write.
        sign: The sign between the tensor and its argument in a formula; empty for a function.
    """

    name: str
    gives: str
    run: Callable[..., Any]
    arguments: tuple[Argument, ...] = ()
    rule: Rule | None = None
    by_name: bool = False
    by_list: bool = False
    takes: str = "tensor"
    returns: str = "tensor"
    mixes: str = ""
    follows: bool = False
    foreign: tuple[str | tuple[str, str], ...] = ()
    sign: str = ""

    def mixes_rows(self, arguments: Mapping[str, Any]) -> bool:
        """Whether a row of the result depends on other rows; a negative dimension is not seen.

        Args:
            arguments: The arguments' values by name.
        """
        if not self.mixes:
            return False
        dims = arguments[self.mixes]
        return dims is None or 0 in (dims if isinstance(dims, tuple) else (dims,))
