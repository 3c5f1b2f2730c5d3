"""Derived names at run time: none may be a key of the step, and messages show them as written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lossreg.errors import InputError
from lossreg.runtime.lookup import MISSING, child

if TYPE_CHECKING:
    from lossreg.vocabulary.routes import Route

__all__ = ["DerivedNames"]


class DerivedNames:
    """The names under `derive`, whose routes the terms' routes have written out.

    Args:
        routes: Each name with its route.
    """

    def __init__(self, routes: tuple[tuple[str, Route], ...] = ()) -> None:
        self.names = tuple(name for name, _ in routes)
        self._by_text = {str(route): name for name, route in routes if route.transforms}
        longest_first = sorted(map(re.escape, self._by_text), key=len, reverse=True)
        # A route ends at its end, at the next transform, or in an argument.
        self._pattern = re.compile(rf"(?:^|(?<==))(?:{'|'.join(longest_first)})(?=$| \||,|\))")

    def refuse(self, values: Any) -> None:
        """Refuse a step that has a derived name as well: its terms could mean either.

        Raises:
            InputError: It does.
        """
        for name in self.names:
            value = child(values, name)
            # An object may have a method of that name.
            if value is not MISSING and (isinstance(values, Mapping) or not callable(value)):
                raise InputError(
                    f"the step's values have '{name}', which is also a name under 'derive': a path "
                    f"'{name}' could mean either; rename one of them",
                    path=name,
                )

    def shown(self, route: Route) -> str:
        """A route as the config has it, with its derived names."""
        text = str(route)
        if not self._by_text:
            return text
        return self._pattern.sub(lambda match: self._by_text[match[0]], text)
