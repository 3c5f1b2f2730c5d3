"""Elements of `each`: pairs lists, and finds the tensors of every element.

Tensors that are the same for every element are found once a step by the composite's router; a
router of the lists' own finds the others in each element.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from lossreg.errors import InputError
from lossreg.runtime.lookup import MISSING, SEQUENCES, child, find, shown
from lossreg.runtime.routing import Router, follows
from lossreg.vocabulary.paths import ValuePath
from lossreg.vocabulary.routes import Route

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lossreg.config.models import Each
    from lossreg.runtime.derived import DerivedNames
    from lossreg.runtime.numbers import Numbers

__all__ = ["Element", "ListRouter", "Lists", "OfElement", "located"]


class Element(NamedTuple):
    """One element of the lists.

    Attributes:
        label: Its place, such as `[3]`.
        weight: How much it counts.
        values: What stands at each name of `over`.
        tensors: The tensors of the terms, in the order of the lists' router.
    """

    label: str
    weight: float
    values: dict[str, Any]
    tensors: list[Any]


class _Entry(NamedTuple):
    """An element whose weight and tensors are not known yet, with its place and its list's size."""

    label: str
    place: int
    size: int
    values: dict[str, Any]


def located(error: InputError, label: str) -> InputError:
    """The same error, which says of which element it is."""
    if error.term is not None and not error.term.endswith("]"):
        name = f"'{error.term}{label}'"
        error.args = (str(error).replace(f"'{error.term}'", name, 1), *error.args[1:])
        error.term += label
    return error


class ListRouter(Router):
    """A router for composites with `each`: what `run` returns ends in the elements of all lists."""

    def __init__(self, numbers: Numbers, derived: DerivedNames) -> None:
        super().__init__(numbers, derived)
        self._numbers_of_lists = numbers
        self._lists: dict[str, Lists] = {}

    def lists(self, each: Each, term: str, *, optional: bool) -> Lists:
        """The lists that a term is repeated over, the same for all terms of a group."""
        # By its text: routes with 2 and 2.0 compare as equal, but can give different dtypes.
        key = repr(each)
        if key not in self._lists:
            own = OfElement(each, self, self._numbers_of_lists)
            self._lists[key] = Lists(each, own, -1 - len(self._lists))
        self._lists[key].expect(self, term, optional=optional)
        return self._lists[key]

    def run(self, values: Any) -> list[Any]:
        """Every tensor or list of tensors, in the order of `add`, then the elements of `each`."""
        tensors = super().run(values)
        found = [
            lists.elements(values, tensors) if lists.is_active else None
            for lists in self._lists.values()
        ]
        return tensors + found[::-1]

    def narrow(self, terms: tuple[str, ...]) -> None:
        """Look up only what some of the terms need, their elements included."""
        super().narrow(terms)
        for lists in self._lists.values():
            lists.narrow(terms)


class OfElement(Router):
    """Finds the tensors of one element in what stands at the names of `over`.

    Args:
        each: The lists.
        outside: The router of what is the same for every element.
        numbers: The current numbers of schedules in transforms.
    """

    def __init__(self, each: Each, outside: Router, numbers: Numbers) -> None:
        super().__init__(numbers, outside.derived)
        self._each = each
        self._outside = outside
        self._shared: dict[str, int] = {}  # by the key under which an element finds it

    def shared(self, tensors: Sequence[Any]) -> dict[str, Any]:
        """The tensors that are the same for every element, under the keys of this router."""
        return {key: tensors[place] for key, place in self._shared.items()}

    def varies(self, place: int) -> bool:
        """Whether a tensor differs from element to element."""
        return self._stops[place].key not in self._shared

    def get(self, values: Any, place: int) -> Any:
        """One tensor by its place, if it is the same for every element; as the router's `get`."""
        return self._outside.get(values, self._shared[str(self._stops[place].key)])

    def shared_absence(self, values: Any, place: int, *, term: str, argument: str) -> str:
        """Why a tensor is missing that is the same for every element; as `absence`."""
        outside = self._shared[str(self._stops[place].key)]
        return self._outside.absence(values, outside, term=term, argument=argument)

    def _add(
        self, route: Route, need: tuple[str, str, bool], like: int | None, *, holds: str
    ) -> int:
        follows_element = like is not None and follows(route) and self.varies(like)
        if route.path.steps[0] in self._shared or follows_element or self._each.varies(route):
            return super()._add(route, need, like, holds=holds)
        met = None if like is None or self.varies(like) else self._shared[str(self._key(like))]
        place = self._outside._add(route, need, met, holds=holds)  # noqa: SLF001 - of its class
        key = f"outside {place}"  # a path has no blanks
        self._shared[key] = place
        return super()._add(Route(ValuePath((key,))), need, None, holds=holds)

    def _key(self, place: int) -> str | int | None:
        return self._stops[place].key


class Lists:
    """The lists that terms are repeated over.

    Args:
        each: What the config says of them.
        router: Finds the tensors of one element.
        place: The place of the elements in what the composite's router returns.

    Attributes:
        router: Finds the tensors of one element.
        place: The place of the elements in what the composite's router returns.
        is_active: Whether any of the terms is active.
    """

    def __init__(self, each: Each, router: OfElement, place: int) -> None:
        self.router = router
        self.place = place
        self.is_active = True
        self._each = each
        self._optional = True
        self._term = ""
        self._terms: dict[str, bool] = {}  # whether each is optional
        self._sources: dict[str, Any] = {}
        self._are_named = False

    def expect(self, router: Router, term: str, *, optional: bool) -> None:
        """Plan for one more term that is repeated over them."""
        self._terms[term] = optional
        self._choose(self._terms)

        def planned(route: Route, name: str) -> ValuePath | int:
            """A path, or the place of what transforms make of it."""
            return router.add(route, term, name, optional) if route.transforms else route.path

        for name, source in self._each.over.items():
            if isinstance(source, Route):
                self._sources[name] = planned(source, name)
            else:
                self._sources[name] = [planned(route, name) for route in source]

    def _choose(self, terms: Mapping[str, bool]) -> None:
        """Take one of the terms for messages: one that is not optional, if there is one."""
        self._optional = all(terms.values())
        self._term = next(term for term, optional in terms.items() if optional == self._optional)

    def narrow(self, terms: tuple[str, ...]) -> None:
        """Give elements only if some of the terms that are repeated are among these."""
        active = {term: optional for term, optional in self._terms.items() if term in terms}
        self.is_active = bool(active)
        if active:
            self._choose(active)
            self.router.narrow(terms)

    def elements(self, values: Any, tensors: Sequence[Any]) -> list[Element] | None:
        """Every element in order; None if the lists are missing or empty, and may be.

        Args:
            values: The step's values.
            tensors: What the composite's router has found.

        Raises:
            InputError: A list or a tensor of an element is missing, lists differ in length, or are
                not lists.
        """
        if torch.compiler.is_compiling():
            self._check_names(values)
        elif not self._are_named:
            self._check_names(values)
            self._are_named = True
        lists = {}
        for name, source in self._sources.items():
            found = self._read(source, name, values, tensors)
            if found is None:
                if self._optional:
                    return None
                raise self._refused(name, self._no_list(name, found, ""))
            lists[name] = found
        entries = self._paired(lists, "", self._each.nested)
        if not entries:
            if self._optional:
                return None
            raise self._refused(
                next(iter(lists)), f"expected at least one element, found {self._nothing(lists)}"
            )
        weights = self._weights(entries)
        shared = self.router.shared(tensors)
        found = []
        for entry, weight in zip(entries, weights, strict=True):
            try:
                own = self.router.run({**shared, **entry.values})
            except InputError as error:
                raise located(error, entry.label) from None
            found.append(Element(entry.label, weight, entry.values, own))
        return found

    def absence(self, values: Any) -> str:
        """Why there are no elements."""
        for name, source in self._each.over.items():
            for route in (source,) if isinstance(source, Route) else source:
                try:
                    value = find(values, route.path, term=self._term, argument=name)
                except InputError as error:
                    return str(error)
                if value is None:
                    return str(self._refused(name, f"the value at '{route.path}' is None"))
        return str(self._refused(next(iter(self._each.over)), "the list has no elements"))

    def _check_names(self, values: Any) -> None:
        """Refuse names that a path could as well mean as keys of the step."""
        root = values
        for step in self._each.origin.steps:
            root = child(root, step)
            if root is MISSING:
                return  # it is reported where the lists are looked up
        for name, source in self._each.over.items():
            found = child(root, name)
            # An object's method is not one of the step's values.
            if found is MISSING or (callable(found) and not isinstance(found, Tensor)):
                continue
            stands_for = source.path.steps if isinstance(source, Route) else ()
            if stands_for != (*self._each.origin.steps, name):
                raise self._refused(
                    name,
                    f"'{name}' is a name of each.over and a key of the step as well ("
                    f"{shown(found)}), so a path that starts with it could mean both; choose "
                    "another name",
                )

    def _read(self, source: Any, name: str, values: Any, tensors: Sequence[Any]) -> Any:
        """A list, or its elements one by one; None if it is missing and may be."""
        if isinstance(source, list):
            elements = [self._read(one, name, values, tensors) for one in source]
            return None if any(element is None for element in elements) else elements
        if isinstance(source, int):
            return tensors[source]
        if self._optional:
            return self.router._at(values, source)  # noqa: SLF001 - of its class
        return find(values, source, term=self._term, argument=name)

    def _paired(self, lists: Mapping[str, Any], label: str, levels: int) -> list[_Entry]:
        """The elements of lists in order; of mappings by key."""
        first = next(iter(lists))
        if isinstance(lists[first], Mapping):
            return self._paired_by_key(lists, label, levels)
        parts = {}
        for name, value in lists.items():
            if not isinstance(value, SEQUENCES):
                wanted = "" if name == first else f"a list, as '{first}' is one"
                raise self._refused(name, self._no_list(name, value, label, wanted))
            pick = self._each.pick
            is_picked = pick is not None and levels == 1
            parts[name] = value[slice(*pick[name])] if pick is not None and is_picked else value
            if len(parts[name]) != len(parts[first]):
                taken = " after 'pick'" if is_picked else ""
                raise self._refused(
                    name,
                    f"expected lists of equal length{taken}, found {len(parts[first])} elements of "
                    f"'{first}' and {len(parts[name])} of '{name}'{_within(label)}",
                )
        size = len(parts[first])
        keys = [(f"{label}[{place}]", place, place) for place in range(size)]
        return self._joined(parts, keys, size, levels)

    def _paired_by_key(self, lists: Mapping[str, Any], label: str, levels: int) -> list[_Entry]:
        first = next(iter(lists))
        keys = list(lists[first])
        for name, value in lists.items():
            if not isinstance(value, Mapping):
                wanted = f"a mapping, as '{first}' is one"
                raise self._refused(name, self._no_list(name, value, label, wanted))
            others = [key for key in value if key not in lists[first]]
            lacking = [key for key in keys if key not in value]
            if others or lacking:
                owner, key = (name, others[0]) if others else (first, lacking[0])
                raise self._refused(
                    name,
                    f"expected mappings with the same keys, found {len(keys)} in '{first}' and "
                    f"{len(value)} in '{name}'{_within(label)}; only '{owner}' has '{key}'",
                )
        if levels == 1 and (self._each.pick is not None or self._each.weights is not None):
            what = "pick" if self._each.pick is not None else "weights"
            raise self._refused(
                first,
                f"'{what}' goes by places, so expected a list, found a mapping{_within(label)}",
            )
        places = [(f"{label}[{key}]", place, key) for place, key in enumerate(keys)]
        return self._joined(lists, places, len(keys), levels)

    def _joined(
        self,
        lists: Mapping[str, Any],
        keys: Sequence[tuple[str, int, Any]],
        size: int,
        levels: int,
    ) -> list[_Entry]:
        entries: list[_Entry] = []
        for label, place, key in keys:
            values = {name: value[key] for name, value in lists.items()}
            if levels > 1:
                entries += self._paired(values, label, levels - 1)
            else:
                entries.append(_Entry(label, place, size, values))
        return entries

    def _weights(self, entries: Sequence[_Entry]) -> list[float]:
        rule = self._each.weights
        if rule is None:
            return [1.0] * len(entries)
        first = next(iter(self._each.over))
        for entry in entries:
            if rule.listed and len(rule.listed) != entry.size:
                raise self._refused(
                    first,
                    f"expected as many elements as weights, {len(rule.listed)}, found {entry.size}",
                )
            for place in rule.zero:
                if not -entry.size <= place < entry.size:
                    raise self._refused(
                        first,
                        f"weights.zero has the place {place}, and the list has {entry.size} "
                        "elements",
                    )
        by_size = {entry.size: rule.of(entry.size) for entry in entries}
        weights = [by_size[entry.size][entry.place] for entry in entries]
        total = sum(weights)
        if total == 0:
            raise self._refused(first, "expected an element whose weight is not 0, found none")
        return [weight / total for weight in weights] if rule.sum_to_one else weights

    def _no_list(self, name: str, value: Any, label: str, other: str = "") -> str:
        wanted = other or "a list, a tuple or a mapping"
        message = f"expected {wanted}, found "
        if not isinstance(value, Tensor):
            found = "None" if value is None else shown(value)
            return f"{message}{found}{_within(label)}"
        message += f"a tensor {shown(value)}{_within(label)}"
        source = self._each.over[name]
        if other or label or not isinstance(source, Route):
            return message
        path = source.path
        return f"{message}; to go over its first dimension write {{from: {path}, apply: [unbind]}}"

    def _nothing(self, lists: Mapping[str, Any]) -> str:
        return " and ".join(f"{shown(value)} at '{name}'" for name, value in lists.items())

    def _refused(self, name: str, problem: str) -> InputError:
        source = self._each.over[name]
        routes = (source,) if isinstance(source, Route) else source
        path = ", ".join(map(str, routes))
        return InputError(
            f"term '{self._term}', each.over '{name}' (path '{path}'): {problem}",
            term=self._term,
            argument=name,
            path=path,
        )


def _within(label: str) -> str:
    return f" at {label}" if label else ""
