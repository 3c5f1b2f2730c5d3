"""The numbers of a step that multiply a term's weight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from lossreg.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from lossreg.config.models import TermConfig
    from lossreg.runtime.routing import Router

__all__ = ["Factors"]


class Factors:
    """The numbers of a step that multiply a term's weight.

    Args:
        term: The term's config.
        router: Finds its tensors.

    Attributes:
        places: The places of the numbers in the router's tensors, each with the argument's name.
    """

    def __init__(self, term: TermConfig, router: Router) -> None:
        self._term = term.name
        self._routes = tuple(map(str, term.weight.routes))
        self.places = tuple(
            ("weight", router.add(route, term.name, "weight", term.optional))
            for route in term.weight.routes
        )

    def product(self, tensors: Sequence[Any]) -> Tensor:
        """The product of the numbers, detached and 0-d.

        Args:
            tensors: The router's tensors.

        Raises:
            InputError: One of them is not a number.
        """
        product: Tensor | None = None
        for index, (_, place) in enumerate(self.places):
            number: Tensor = tensors[place]
            if number.numel() != 1:
                raise self._refused(index, f"expected one number, found {tuple(number.shape)}")
            if number.is_complex() or number.dtype == torch.bool:
                raise self._refused(index, f"expected a number, found {number.dtype}")
            number = number.detach().reshape(())
            product = number if product is None else product * number.to(product.device)
        assert product is not None  # noqa: S101 - there is at least one number
        return product

    def _refused(self, index: int, problem: str) -> InputError:
        path = self._routes[index]
        return InputError(
            f"term '{self._term}', 'weight' (path '{path}'): {problem}",
            term=self._term,
            argument="weight",
            path=path,
        )
