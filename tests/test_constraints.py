"""constraints-lowest.txt is what pyproject.toml promises, and `make lowest` runs it."""

from __future__ import annotations

import sys

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from documents import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ELSEWHERE = ("torch", "lossreg")  # the Makefile's business, and this project
NOT_TESTED = ("bench", "docs")


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    pinned = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(package): version for package, version in pinned}


def requirements() -> dict[str, Requirement]:
    """What running the tests needs, by name."""
    extras = PROJECT["project"]["optional-dependencies"]
    texts = [
        *PROJECT["project"]["dependencies"],
        *(each for name, extra in extras.items() if name not in NOT_TESTED for each in extra),
    ]
    found = map(Requirement, texts)
    return {canonicalize_name(each.name): each for each in found if each.name not in ELSEWHERE}


REQUIREMENTS = requirements()
LOWEST = pins("constraints-lowest.txt")


def floor(requirement: Requirement) -> Version | None:
    versions = [each.version for each in requirement.specifier if each.operator == ">="]
    return Version(versions[0]) if versions else None


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_the_lowest_version_is_the_one_that_is_run(name: str) -> None:
    lowest = floor(REQUIREMENTS[name])
    assert lowest is None or Version(LOWEST[name]) == lowest


@pytest.mark.parametrize("name", sorted(set(pins("constraints.txt")) & set(REQUIREMENTS)))
def test_what_is_installed_otherwise_is_no_older(name: str) -> None:
    lowest = floor(REQUIREMENTS[name])
    assert lowest is None or Version(pins("constraints.txt")[name]) >= lowest


def test_what_builds_the_project_is_what_the_tests_build_it_with() -> None:
    (build,) = map(Requirement, PROJECT["build-system"]["requires"])
    assert floor(build) == floor(REQUIREMENTS[canonicalize_name(build.name)])
