"""The check that each parameter does something, and what it tries in its place."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

import torch
from pydantic import ValidationError
from torch import Tensor

from lossreg.plugin.fields import weights_of
from lossreg.runtime.arguments import of_inputs
from lossreg.testing.subject import Subject, listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic.fields import FieldInfo

__all__ = ["ParameterChecks"]


class ParameterChecks(Subject):
    """Checks of the parameters by what they do."""

    def test_every_parameter_is_read(self) -> None:
        """Another value of each parameter changes the value or a gradient of the batch.

        A parameter that cannot change this batch's is named in the test's `inert`, with the reason.
        """
        fields = self._definition.config.model_fields
        unknown = listed(set(self.inert) - set(fields))
        self._require(
            not unknown,
            f"the test says that {unknown} is inert, but the config has no such parameter",
            "Correct the name in inert",
        )
        before = self._once(self.module(), self._batch())
        unread = []
        for name, field in fields.items():
            if name == "reduction" or name in self.inert:
                continue
            others = list(self._others(name, field))
            if others and not any(self._changes(name, value, before) for value in others):
                unread.append(name)
        self._require(
            not unread,
            f"no other value of {listed(unread)} changes the value or a gradient of the batch",
            "Read the parameter in forward, give a batch for which it matters, or say in the test "
            f'why it does not: inert = {{"{next(iter(unread), "")}": "why"}}',
        )

    def _others(self, name: str, field: FieldInfo) -> Iterator[Any]:
        """Values that the config takes and that are not the current one."""
        current = getattr(self._config(), name)
        batch = self._batch()
        if weights_of(field) is not None:
            candidates = _weights(self._sizes(batch))
        else:
            candidates = [*_candidates(field.annotation, current)]
            if "ignore" in name:
                whole = [tensor for tensor in batch.values() if not tensor.is_floating_point()]
                candidates = [int(tensor.flatten()[0]) for tensor in whole if tensor.numel()]
        for candidate in candidates:
            try:
                config = self._definition.config(**{**self.params, name: candidate})
            except ValidationError:
                continue
            if repr(getattr(config, name)) != repr(current):
                yield candidate

    def _sizes(self, batch: Mapping[str, Tensor]) -> list[int]:
        """How many classes there may be: the size of C, or of the last dimension."""
        sizes: dict[str, int] = {}
        first = self._definition.inputs[0]
        for argument in of_inputs(self._definition, batch).inputs:
            tensor = batch[argument.name]
            sizes.update(argument.letters_of(tensor, first).sizes(tensor.shape) or ())
        last = batch[first.name].shape[-1:]
        return [sizes[letter] for letter in ("C",) if letter in sizes] or list(last)

    def _changes(
        self, name: str, value: Any, before: tuple[Tensor, dict[str, Tensor | None]]
    ) -> bool:
        try:
            after, gradients = self._once(self.module(**{name: value}), self._batch())
        except AssertionError:
            return True  # whatever fails with it, something reads it
        pairs = [(before[0], after), *((before[1][key], gradients[key]) for key in gradients)]
        return any(not _equal(one, other) for one, other in pairs)


def _equal(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    return torch.equal(one, other)


def _weights(sizes: list[int]) -> list[Any]:
    lists = [[1.0 + 0.5 * place for place in range(size)] for size in sizes]
    return [*lists, [2.0], 2.0]


def _candidates(annotation: Any, current: Any) -> Iterator[Any]:
    """Values of a type, those near the current one first."""
    if get_origin(annotation) in (Union, types.UnionType):
        for inner in get_args(annotation):
            yield from _candidates(inner, current)
    elif get_origin(annotation) is Literal:
        yield from get_args(annotation)
    elif annotation is bool:
        yield from (True, False)
    elif annotation in (int, float):
        number = current if isinstance(current, int | float) else 1
        near = (2 * number, number / 2, number + 1, number - 1, number + 0.5, number - 0.5)
        for candidate in (*near, 0, 1, 2, 0.25, 4):
            if annotation is float or candidate == int(candidate):
                yield annotation(candidate)
    elif isinstance(current, list | tuple) and all(isinstance(entry, float) for entry in current):
        yield [2 * entry for entry in current]
