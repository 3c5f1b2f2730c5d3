"""A document whose objectives a tool needs, be it one or several."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from lossreg.config.loading import examine
from lossreg.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lossreg.config.loading import Examined, Source
    from lossreg.registry import Registry

__all__ = ["whole"]


def whole(
    source: Source,
    key: str | None,
    registry: Registry,
    overrides: Iterable[str] = (),
    *,
    name: str = "<bytes>",
) -> Examined:
    """A document read without a fault, with its objective or its map of objectives.

    Args:
        source: The document.
        key: Where the objective, or the map, is.
        registry: Where losses are looked up.
        overrides: As `examine` takes them.
        name: The name of a document given as bytes.

    Raises:
        ConfigError: The document is wrong.
    """
    overrides = list(overrides)
    read = partial(examine, source, key=key, registry=registry, overrides=overrides, name=name)
    examined = read()
    if examined.document is None:
        named = read(several=True)
        if named.document is None:
            raise ConfigError(examined.diagnostics)
        return named
    return examined
