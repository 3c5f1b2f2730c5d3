"""The result of a composite for one step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, NoReturn, overload

import torch
from torch import Tensor
from torch.utils import _pytree

__all__ = ["LossOutput", "Named"]


class LossOutput(NamedTuple):
    """The result of a composite for one step.

    Attributes:
        total: The weighted sum, a 0-d tensor attached to the graph.
        terms: Each term's raw value, a detached 0-d tensor, by name. The names never change; a
            term that is not active, or an optional one whose tensors were missing, has the value 0
            and the weight 0. What a learned weight adds to the total is in it as
            `regularizer/NAME`, of weight 1. The parts of losses that have some are in it as
            `TERM/PART`, without weights: they add up to their term.
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

    @property
    def parts(self) -> dict[str, Tensor]:
        """The parts of losses that have some, as `TERM/PART`: the terms without a weight."""
        return {name: term for name, term in self.terms.items() if name not in self.weights}

    # Not __getattr__: torch.compile cannot make an output that has one.
    @property
    def backward(self) -> NoReturn:
        """An output has none; its total has."""
        raise AttributeError("a LossOutput has no 'backward'; write out.total.backward()")

    @property
    def item(self) -> NoReturn:
        """An output has none; its total has."""
        raise AttributeError("a LossOutput has no 'item'; write out.total.item()")

    # A tuple would be joined or repeated: `first + second` has no error, and six entries.
    def __add__(self, other: Any) -> NoReturn:
        """An output is not a number; its total is."""
        raise TypeError("a LossOutput is not a number; write out.total, as in out.total + ...")

    def __mul__(self, other: Any) -> NoReturn:
        """An output is not a number; its total is."""
        raise TypeError("a LossOutput is not a number; write out.total, as in out.total * ...")

    def __truediv__(self, other: Any) -> NoReturn:
        """An output is not a number; its total is."""
        raise TypeError("a LossOutput is not a number; write out.total, as in out.total / ...")

    def __radd__(self, other: Any) -> NoReturn:
        """An output is not a number; its total is."""
        self.__add__(other)

    def __rmul__(self, other: Any) -> NoReturn:
        """An output is not a number; its total is."""
        self.__mul__(other)

    @overload
    def log_dict(
        self, prefix: str = "", *, numbers: Literal[False] = False
    ) -> dict[str, Tensor]: ...

    @overload
    def log_dict(self, prefix: str = "", *, numbers: Literal[True]) -> dict[str, float]: ...

    def log_dict(
        self, prefix: str = "", *, numbers: bool = False
    ) -> dict[str, Tensor] | dict[str, float]:
        """All values, detached, under flat keys for a logger.

        Args:
            prefix: Put before each key, like `train/`.
            numbers: Whether to give Python's numbers instead of tensors, as `json.dumps` needs
                them. This waits for the device, once for all.

        Returns:
            `loss/total`, and for each term `loss/<term>`, `weighted/<term>`, `weight/<term>`; and
            `regularizer/<term>` for what a learned weight adds to the total, and
            `loss/<term>/<part>` for each part of a loss that has some.
        """
        logged = self._logged(prefix)
        if not numbers:
            return logged
        wide = torch.float64 if self.total.dtype == torch.float64 else torch.float32
        values = [value.to(self.total.device, wide) for value in logged.values()]
        return dict(zip(logged, torch.stack(values).tolist(), strict=True))

    def _logged(self, prefix: str) -> dict[str, Tensor]:
        logged = {f"{prefix}loss/total": self.total.detach()}
        for name, term in self.terms.items():
            if name.startswith("regularizer/") and name.partition("/")[2] in self.terms:
                logged[f"{prefix}{name}"] = term
                continue
            logged[f"{prefix}loss/{name}"] = term
            if name not in self.weights:  # a part of a term
                continue
            logged[f"{prefix}weighted/{name}"] = self.weights[name] * term
            logged[f"{prefix}weight/{name}"] = self.weights[name]
        return logged


class Named(Mapping[str, Tensor]):
    """Tensors by name: a mapping's; or the entries of a vector, each lookup of which is a copy.

    Args:
        names: Each tensor by name; or each name's place in the vector.
        vector: The vector.
    """

    __slots__ = ("_names", "_vector")

    def __init__(self, names: Mapping[str, Any], vector: Tensor | None = None) -> None:
        self._names = names
        self._vector = vector

    def __getitem__(self, name: str) -> Tensor:
        entry = self._names[name]
        tensor: Tensor = entry if self._vector is None else self._vector[entry].clone()
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __getattr__(self, name: str) -> NoReturn:
        remedy = f"; write [{name!r}]" if name in self._names else ""
        raise AttributeError(f"terms and their weights have no attribute {name!r}{remedy}")

    def __reduce__(self) -> tuple[type[Named], tuple[dict[str, Tensor]]]:
        return Named, (dict(self),)

    def __repr__(self) -> str:
        return repr(dict(self))


def _leaves(named: Named) -> tuple[list[Tensor], tuple[str, ...]]:
    return list(named.values()), tuple(named)


def _from_leaves(leaves: Iterable[Any], names: tuple[str, ...]) -> Named:
    return Named(dict(zip(names, leaves, strict=True)))


# Transforms of torch.func, and whatever else maps over outputs, see the tensors inside.
_pytree.register_pytree_node(
    Named, _leaves, _from_leaves, serialized_type_name="lossreg.runtime.output.Named"
)
