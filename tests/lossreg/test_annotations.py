"""Annotations of what is public resolve at run time, for jsonargparse and its like."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import typing
from collections.abc import Iterator
from typing import Any

import pytest

import lossreg
import lossreg.integrations
from lossreg.errors import MissingExtraError

MODULES = ["lossreg"] + [
    module.name
    for module in pkgutil.walk_packages(lossreg.integrations.__path__, "lossreg.integrations.")
]


def callables_of(name: str) -> Iterator[tuple[str, Any]]:
    """The functions, classes and public methods that a module has in its `__all__`."""
    module = importlib.import_module(name)
    for key in set(module.__all__) - {"CompositeModule"}:  # an older name, which warns
        value = getattr(module, key)
        if inspect.isfunction(value) or inspect.isclass(value):
            yield f"{name}.{key}", value
        if inspect.isclass(value):
            for method, function in inspect.getmembers(value, inspect.isfunction):
                is_ours = function.__module__.startswith("lossreg")
                if is_ours and (not method.startswith("_") or method == "__init__"):
                    yield f"{name}.{key}.{method}", function


@pytest.mark.parametrize("name", MODULES)
def test_every_annotation_resolves(name: str) -> None:
    try:
        found = dict(callables_of(name))
    except MissingExtraError as error:
        pytest.skip(str(error))
    assert found
    for value in found.values():
        typing.get_type_hints(value)
