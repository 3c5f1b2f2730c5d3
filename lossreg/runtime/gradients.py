"""Compare the gradients of a composite's terms: how strong each is, and its direction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lossreg.errors import InputError
from lossreg.runtime.composite import CompositeLoss

__all__ = ["Diagnosis", "compare_gradients", "diagnose"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """How the gradients of a composite's weighted terms compare; `print` shows it as a table.

    Attributes:
        norms: The length of each term's gradient, a 0-d tensor, by name.
        shares: Each length over the sum of all, a 0-d tensor, by name.
        cosines: K K: the cosine of the angle between the gradients of each pair of terms, in the
            order of the names. 1 is the same direction, -1 the opposite one: the terms work
            against each other. It is 0 where a term has no gradient.
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
    """Compare the gradients of a composite's terms with respect to some parameters.

    Each is the gradient of the term's weighted value, so their sum is the gradient of the total,
    apart from what learned weights add to it.
    It is zero for a term that reaches none of the parameters, for a term of weight 0, and for an
    optional term without its tensors. No `.grad` and no schedule changes, and the graph can still
    be used.

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
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    if not trained:
        raise InputError("expected parameters that require a gradient, found none")
    # A weight may come from the step, so the values are weighted where its tensors are.
    weighted, weights = loss.terms(values, weighted=True), loss.weights
    values_by_name = {name: weighted[name] for name in loss.terms.names}
    if not any(value.requires_grad for value in values_by_name.values()):
        raise InputError(
            "no term requires a gradient; compute the values outside `torch.no_grad()`"
        )
    norms, directions = {}, []
    for name, value in values_by_name.items():
        norms[name], direction = _measured(value, trained, is_zero=weights[name] == 0)
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
"""The former name of `compare_gradients`, kept as an alias."""


def _measured(
    value: Tensor, parameters: Sequence[Tensor], *, is_zero: bool
) -> tuple[Tensor, list[Tensor]]:
    """The norm of a weighted value's gradient, and the gradient over its norm."""
    if is_zero or not value.requires_grad:
        gradients: Sequence[Tensor | None] = [None] * len(parameters)
    else:
        gradients = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
    # A half-precision norm would overflow at 65,504.
    exact = [
        _precise(torch.zeros_like(parameter) if gradient is None else gradient)
        for gradient, parameter in zip(gradients, parameters, strict=True)
    ]
    # Divided by the largest entry first, because squares of small gradients underflow to 0.
    largest = torch.stack([_largest(gradient) for gradient in exact]).max()
    scale = torch.where(largest == 0, 1, largest)
    scaled = [gradient / scale for gradient in exact]
    norm = torch.stack([torch.linalg.vector_norm(gradient) for gradient in scaled]).norm()
    unit = torch.where(norm == 0, 1, norm)
    return norm * largest, [gradient / unit for gradient in scaled]


def _precise(gradient: Tensor) -> Tensor:
    gradient = gradient.detach().to_dense() if gradient.is_sparse else gradient.detach()
    return gradient if gradient.dtype == torch.float64 else gradient.float()


def _largest(gradient: Tensor) -> Tensor:
    return gradient.abs().max() if gradient.numel() else gradient.new_zeros(())


def _cosines(directions: Sequence[Sequence[Tensor]], lengths: Tensor) -> Tensor:
    """The K K cosines of K unit vectors, each a list of tensors of any shapes."""
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
