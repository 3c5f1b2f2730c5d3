"""The result of a composite for one step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LossOutput", "Named"]


class LossOutput(NamedTuple):
    """The result of a composite for one step.

    Attributes:
        total: The weighted sum, a 0-d tensor attached to the graph.
        terms: Each term's raw value, a detached 0-d tensor, by name. The names never change; an
            optional term whose tensors were missing has the value 0 and the weight 0.
        weights: Each term's weight in this step, by name: a 0-d tensor, the factor of the raw
            value.
    """

    total: Tensor
    terms: Mapping[str, Tensor]
    weights: Mapping[str, Tensor]

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            remedy = f"out.{key}" if key in self._fields else f"out.terms[{key!r}]"
            raise TypeError(f"a LossOutput is not a mapping; write {remedy}")
        return tuple.__getitem__(self, key)

    # Not __getattr__: torch.compile cannot make an output that has one.
    @property
    def backward(self) -> NoReturn:
        """An output has none; its total has."""
        raise AttributeError("a LossOutput has no 'backward'; write out.total.backward()")

    @property
    def item(self) -> NoReturn:
        """An output has none; its total has."""
        raise AttributeError("a LossOutput has no 'item'; write out.total.item()")

    def log_dict(self, prefix: str = "") -> dict[str, Tensor]:
        """All values, detached, under flat keys for a logger.

        Args:
            prefix: Put before each key, like `train/`.

        Returns:
            `loss/total`, and for each term `loss/<term>`, `weighted/<term>`, `weight/<term>`.
        """
        logged = {f"{prefix}loss/total": self.total.detach()}
        for name, term in self.terms.items():
            logged[f"{prefix}loss/{name}"] = term
            logged[f"{prefix}weighted/{name}"] = self.weights[name] * term
            logged[f"{prefix}weight/{name}"] = self.weights[name]
        return logged


class Named(Mapping[str, Tensor]):
    """A vector's entries by name; each lookup returns a copy."""

    __slots__ = ("_places", "_vector")

    def __init__(self, places: dict[str, int], vector: Tensor) -> None:
        self._places = places
        self._vector = vector

    def __getitem__(self, name: str) -> Tensor:
        return self._vector[self._places[name]].clone()

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        return repr(dict(self))
