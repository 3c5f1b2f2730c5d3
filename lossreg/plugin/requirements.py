"""What a loss needs installed: `monai>=1.4`, compared with metadata; imports nothing."""

from __future__ import annotations

import re
from importlib import metadata
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Requirement", "Unmet", "parsed", "unmet"]

_REQUIREMENT = re.compile(
    r"\s*(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?P<bounds>[^A-Za-z0-9\s].*)?"
)
_BOUND = re.compile(r"\s*(>=|<=|==|!=|>|<)\s*([0-9][A-Za-z0-9.]*)\s*")
_VERSION = re.compile(
    r"v?(?:\d+!)?(?P<release>\d+(?:\.\d+)*)"
    r"(?:[-_.]?(?P<stage>alpha|a|beta|b|preview|pre|c|rc)[-_.]?(?P<number>\d*))?"
    r"(?:[-_.]?(?:post|rev|r)[-_.]?(?P<post>\d*)|-(?P<bare_post>\d+))?"
    r"(?:[-_.]?(?P<dev>dev)[-_.]?\d*)?"
    r"(?:\+.*)?",
    re.IGNORECASE,
)
_STAGES = {"a": -3, "alpha": -3, "b": -2, "beta": -2}
_CANDIDATE, _FINAL, _POST = -1, 0, 1
_DEVELOPMENT = -4


class Requirement(NamedTuple):
    """A distribution that must be installed.

    Attributes:
        text: As the definition writes it.
        name: The distribution.
        bounds: The versions that will do: pairs of a comparison and a version.
    """

    text: str
    name: str
    bounds: tuple[tuple[str, str], ...]


class Unmet(NamedTuple):
    """A requirement that what is installed does not meet.

    Attributes:
        text: The requirement: `monai>=1.4`.
        installed: The version that is installed; empty if none is.
    """

    text: str
    installed: str

    @property
    def install(self) -> str:
        """The command that mends it."""
        return f"pip install '{self.text}'"

    def __str__(self) -> str:
        state = f"but {self.installed} is installed" if self.installed else "which is not installed"
        return f"{self.text}, {state}: {self.install}"


def parsed(text: object) -> Requirement:
    """A requirement: a distribution, and bounds of its version separated by commas.

    Raises:
        TypeError: It is not a string.
        ValueError: It has another form, such as an extra, a marker or `~=`.

    >>> parsed("monai>=1.4, <2").bounds
    (('>=', '1.4'), ('<', '2'))
    """
    if not isinstance(text, str):
        raise TypeError(f"expected a requirement such as 'monai>=1.4', not {text!r}")
    match = _REQUIREMENT.fullmatch(text)
    written = match["bounds"].split(",") if match and match["bounds"] else []
    bounds = [_BOUND.fullmatch(bound) for bound in written]
    if match is None or not all(bound and _VERSION.fullmatch(bound[2]) for bound in bounds):
        raise ValueError(
            f"expected a distribution and bounds such as 'monai>=1.4,<2', with >=, >, <=, <, == or "
            f"!=, not {text!r}"
        )
    return Requirement(
        text.strip(), match["name"], tuple((bound[1], bound[2]) for bound in bounds if bound)
    )


def unmet(requirements: Iterable[str]) -> list[Unmet]:
    """The requirements that what is installed does not meet. Reads metadata; imports nothing."""
    failed = []
    for requirement in map(parsed, requirements):
        try:
            version = metadata.version(requirement.name)
        except Exception:  # noqa: BLE001 - a half-deleted distribution may have any metadata
            failed.append(Unmet(requirement.text, ""))
            continue
        if not all(_meets(version, *bound) for bound in requirement.bounds):
            failed.append(Unmet(requirement.text, version))
    return failed


def _meets(installed: object, comparison: str, wanted: str) -> bool:
    found = _VERSION.fullmatch(installed) if isinstance(installed, str) else None
    if found is None:
        return True  # nothing is known against a version that cannot be compared
    one, other = _key(installed), _key(wanted)
    return {
        ">=": one >= other,
        ">": one > other,
        "<=": one <= other,
        "<": one < other,
        "==": one == other,
        "!=": one != other,
    }[comparison]


def _key(version: object) -> tuple[tuple[int, ...], int, int]:
    """A sort key: the release without trailing zeros, the stage, and the number of the stage."""
    match = _VERSION.fullmatch(str(version))
    assert match is not None  # noqa: S101 - both callers have looked
    release = [int(part) for part in match["release"].split(".")]
    while release and not release[-1]:
        release.pop()
    post = match["post"] if match["post"] is not None else match["bare_post"]
    if match["stage"] is not None:
        stage, number = _STAGES.get(match["stage"].lower(), _CANDIDATE), match["number"]
    elif post is not None:
        stage, number = _POST, post
    else:
        stage, number = (_DEVELOPMENT if match["dev"] else _FINAL), ""
    return tuple(release), stage, int(number or 0)
