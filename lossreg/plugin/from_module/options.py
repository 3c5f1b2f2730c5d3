"""What an author says of a definition that is generated from a signature."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Options"]


@dataclass(frozen=True, eq=False)
class Options:
    """The arguments of `from_module` and `from_function` that correct a signature.

    Attributes:
        bounds: What a parameter's numbers must be: `Field(ge=0)`, or `Ge(0)` of annotated_types.
        words: The words that a parameter takes.
        leave_out: Parameters that are not offered, so that they keep their defaults.
        types: The types of parameters, in the place of their annotations.
        reductions: The reductions that are offered; None for `mean` only.
        gradient: The inputs that the loss is differentiated by; None for the first one.
    """

    bounds: Mapping[str, Any]
    words: Mapping[str, tuple[str, ...]]
    leave_out: tuple[str, ...]
    types: Mapping[str, Any]
    reductions: tuple[str, ...] | None
    gradient: tuple[str, ...] | None

    def __post_init__(self) -> None:
        for name in ("bounds", "words", "types"):
            # A read-only view of a mapping cannot be pickled.
            object.__setattr__(self, name, dict(getattr(self, name)))
        for name in ("leave_out", "reductions", "gradient"):
            value: object = getattr(self, name)
            if isinstance(value, str):
                raise TypeError(f"{name} must be a tuple of names, as in ({value!r},)")
        for name, words in dict[str, object](self.words).items():
            if isinstance(words, str) or not words:
                raise TypeError(f"words of {name!r} must be a tuple of words, not {words!r}")

    # An object such as `Ge(0)` has no hash, but is written as it is made.
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Options) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))

    def check_names(self, owner: str, parameters: Iterable[str], inputs: Iterable[str]) -> None:
        """Refuse a name that is not one of the parameters, or inputs, of a class or a function.

        Raises:
            TypeError: There is no such name; the message has those that there are.
        """
        parameters = list(parameters)
        known = {"gradient": list(inputs)}
        for option in fields(self):
            names = known.get(option.name, parameters)
            value = getattr(self, option.name)
            written = ["reduction"] * (value is not None) if option.name == "reductions" else value
            for name in written or ():
                if name not in names:
                    kind = "input" if option.name == "gradient" else "parameter"
                    listed = ", ".join(map(repr, names)) or "none"
                    raise TypeError(
                        f"{option.name}: {owner} has no {kind} {name!r}; it has {listed}"
                    )

    def hint(self, name: str, hint: Any) -> Any:
        """The type of a parameter: as it was given, or else its annotation."""
        if name in self.words:
            choice: Any = Literal
            return choice[tuple(self.words[name])]
        return self.types.get(name, hint)
