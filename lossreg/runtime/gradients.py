"""Which term pulls how hard, and where to: the gradients of a composite's terms, compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lossreg.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lossreg.runtime.composite import CompositeLoss

__all__ = ["Diagnosis", "compare_gradients", "diagnose"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """How the gradients of a composite's weighted terms compare; `print` shows it as a table.

    Attributes:
        norms: The length of each term's gradient, a 0-d tensor, by name.
        shares: Each length over the sum of all, a 0-d tensor, by name.
        cosines: K K: the cosine of the angle between each two terms' gradients, in the order of
            the names. 1 is the same direction and -1 the opposite one: the terms fight. It is 0
            where one of them has no gradient.
    """

    norms: Mapping[str, Tensor]
    shares: Mapping[str, Tensor]
    cosines: Tensor

    def __str__(self) -> str:
        names = list(self.norms)
        rows = [["term", "norm", "share", *names]]
        for name, cosines in zip(names, self.cosines.tolist(), strict=True):
            norm, share = self.norms[name].item(), self.shares[name].item()
            cells = [f"{cosine:.2f}" for cosine in cosines]
            rows.append([name, f"{norm:.4g}", f"{share:.1%}", *cells])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(
                [
                    row[0].ljust(widths[0]),
                    *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
                ]
            )
            for row in rows
        )


def compare_gradients(loss: CompositeLoss, values: Any, parameters: Iterable[Tensor]) -> Diagnosis:
    """Compare the gradients that a composite's terms have in some parameters.

    Each is that of the term's weighted value, so their sum is the total's. A term that reaches
    none of the parameters counts as zeros; so do a term of weight 0, and an optional one without
    its tensors. Nothing is changed: no `.grad`, no schedule, and the graph can still be used.

    Args:
        loss: The composite, of K terms.
        values: The step's values, as the composite takes them: a mapping or an object.
        parameters: Tensors of any shapes, such as `model.parameters()`; those that require no
            gradient are left out.

    Returns:
        Norms and shares by term, and the K K cosines, all detached.

    Raises:
        InputError: A tensor is missing or does not fit its loss; no parameter requires a gradient;
            or no term is attached to a graph.

    >>> import lossreg
    >>> fit = {"type": "mse", "inputs": ["prediction", "y"]}
    >>> size = {"type": "value", "weight": 0.5, "inputs": ["size"]}
    >>> loss = lossreg.build({"terms": {"fit": fit, "size": size}})
    >>> w = torch.tensor([3.0, 4.0], requires_grad=True)
    >>> values = {"prediction": w, "y": torch.zeros(2), "size": w.sum()}
    >>> print(lossreg.compare_gradients(loss, values, [w]))
    term    norm  share   fit  size
    fit        5  87.6%  1.00  0.99
    size  0.7071  12.4%  0.99  1.00
    """
    wanted = [each for each in parameters if each.requires_grad]
    if not wanted:
        raise InputError("expected parameters that require a gradient, found none")
    raw = loss.terms(values)
    if not any(value.requires_grad for value in raw.values()):
        raise InputError(
            "no term requires a gradient; compute the values outside `torch.no_grad()`"
        )
    weights = loss.weights
    norms, directions = {}, []
    for name in loss.terms.names:
        norms[name], direction = _measured(raw[name], weights[name], wanted)
        directions.append(direction)
    lengths = torch.stack(list(norms.values()))
    sum_of_lengths = lengths.sum()
    shares = lengths / torch.where(sum_of_lengths == 0, 1, sum_of_lengths)
    return Diagnosis(
        norms=norms,
        shares=dict(zip(norms, shares.unbind(), strict=True)),
        cosines=_cosines(directions, lengths),
    )


diagnose = compare_gradients
"""The name it had before."""


def _measured(
    value: Tensor, weight: float, parameters: Sequence[Tensor]
) -> tuple[Tensor, list[Tensor]]:
    """The norm of a weighted value's gradient, and the gradient over its norm."""
    if weight == 0 or not value.requires_grad:
        found: Sequence[Tensor | None] = [None] * len(parameters)
    else:
        found = torch.autograd.grad(
            value, parameters, torch.full_like(value, weight), retain_graph=True, allow_unused=True
        )
    # A half-precision norm would overflow at 65,504.
    gradients = [
        _precise(torch.zeros_like(parameter) if each is None else each)
        for each, parameter in zip(found, parameters, strict=True)
    ]
    # Over the largest entry first: squares of small gradients are zeros.
    largest = torch.stack([_largest(each) for each in gradients]).max()
    scale = torch.where(largest == 0, 1, largest)
    scaled = [each / scale for each in gradients]
    norm = torch.stack([torch.linalg.vector_norm(each) for each in scaled]).norm()
    unit = torch.where(norm == 0, 1, norm)
    return norm * largest, [each / unit for each in scaled]


def _precise(gradient: Tensor) -> Tensor:
    gradient = gradient.detach().to_dense() if gradient.is_sparse else gradient.detach()
    return gradient if gradient.dtype == torch.float64 else gradient.float()


def _largest(gradient: Tensor) -> Tensor:
    return gradient.abs().max() if gradient.numel() else gradient.new_zeros(())


def _cosines(directions: Sequence[Sequence[Tensor]], lengths: Tensor) -> Tensor:
    """The products of unit vectors, each given in parts of any shapes."""
    count = len(directions)
    cosines = lengths.new_zeros(count, count)
    for first in range(count):
        cosines[first, first] = (lengths[first] > 0).to(lengths)
        for second in range(first):
            products = [
                (one * other).sum()
                for one, other in zip(directions[first], directions[second], strict=True)
            ]
            cosine = torch.stack(products).sum().clamp(-1, 1)
            cosines[first, second] = cosines[second, first] = cosine
    return cosines
