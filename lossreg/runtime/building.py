"""From a config to modules: `build` for a composite, `create` for one loss."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from torch import nn

from lossreg.config import CompositeConfig, load_config, load_objectives
from lossreg.config.declare.parameters import validated
from lossreg.config.faults.faults import Faults
from lossreg.config.loading import Source
from lossreg.config.read.nodes import SourceError
from lossreg.config.read.python import from_python
from lossreg.errors import ConfigError
from lossreg.plugin.fields import with_tensors
from lossreg.registry import Registry
from lossreg.runtime.composite import CompositeLoss
from lossreg.runtime.construction import construct
from lossreg.runtime.unsaved import ClassWeights

if TYPE_CHECKING:
    from lossreg.config.models import TermConfig
    from lossreg.plugin import LossConfig

__all__ = ["build", "build_objectives", "create"]


def build(
    source: Source | CompositeConfig,
    *,
    key: str | None = None,
    registry: Registry | None = None,
    overrides: Iterable[str] = (),
) -> CompositeLoss:
    """Build a composite loss from a YAML file, a mapping, or a loaded config.

    Args:
        source: The file, document, mapping or config.
        key: Where the loss is in the document: `model.criterion`. Without it, the key `loss`, or
            the whole document if it has `terms:`.
        registry: Where losses are looked up; by default, all installed plugins.
        overrides: Strings `path=value`, like `loss.terms.seg.weight=0.3`; the value is YAML.

    Raises:
        ConfigError: The source is wrong; it carries every fault.

    >>> import torch
    >>> loss = build({"terms": {"fit": {"type": "mse", "inputs": ["prediction", "y"]}}})
    >>> out = loss(prediction=torch.tensor([1.0, 3.0]), y=torch.tensor([1.0, 1.0]))
    >>> out.total, out.terms["fit"]
    (tensor(2.), tensor(2.))
    """
    return _built(load_config(source, key=key, registry=registry, overrides=overrides))


def build_objectives(
    source: Source,
    *,
    key: str | None = None,
    registry: Registry | None = None,
    overrides: Iterable[str] = (),
) -> dict[str, CompositeLoss]:
    """Build every objective of a document that has several by name, under `objectives`.

    Args:
        source: The file, document or mapping.
        key: Where the objectives are in the document; by default `objectives`.
        registry: Where losses are looked up; by default, all installed plugins.
        overrides: Strings `path=value`, like `objectives.generator.terms.adv.weight=0.3`.

    Returns:
        The composites by name, in the order of the file.

    Raises:
        ConfigError: The source is wrong; it carries every fault of every objective.

    >>> terms = {"score": {"type": "value", "inputs": ["fake"]}}
    >>> losses = build_objectives({"objectives": {"generator": {"terms": terms}}})
    >>> list(losses)
    ['generator']
    """
    configs = load_objectives(source, key=key, registry=registry, overrides=overrides)
    return {name: _built(config) for name, config in configs.items()}


def _built(config: CompositeConfig) -> CompositeLoss:
    built = []
    for term in config.terms:
        if term.enabled:
            params = with_tensors(_params(term))
            module = construct(term.definition, params, ("terms", term.name), term.origin)
            built.append((module, ClassWeights(module, term.params, params)))
    return CompositeLoss(config, built)


def _params(term: TermConfig) -> LossConfig:
    """A term's parameters, with the reduction that its module needs."""
    if term.reduced_by_lossreg:
        return term.params.model_copy(update={"reduction": "none"})
    if term.divide_by is not None:
        return term.params.model_copy(update={"reduction": "sum"})
    return term.params


def create(name: str, /, *, registry: Registry | None = None, **params: Any) -> nn.Module:
    """Build one loss as a plain module, called like a loss of torch.

    Args:
        name: The loss's name, as `lossreg list` shows it.
        registry: Where it is looked up; by default, all installed plugins.
        params: Its parameters.

    Raises:
        UnknownLossError: No plugin has that name.
        DuplicateLossError: Several distributions claim it.
        PluginLoadError: Its plugin cannot be loaded.
        ConfigError: A parameter is unknown, missing or out of bounds.
        MissingExtraError: Something that the loss requires is not installed.

    >>> create("smooth_l1", beta=0.5)
    SmoothL1Loss()
    """
    registry = Registry.installed() if registry is None else registry
    definition = registry[name]
    faults = Faults()
    config = None
    try:
        config = validated(
            definition.config, from_python(params), owner=name, path=name, faults=faults
        )
    except SourceError as error:
        faults.add_source_error(error)
    if config is None:
        raise ConfigError(faults.sorted())
    return construct(definition, with_tensors(config), name, registry.origin(name))
