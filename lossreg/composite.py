"""`CompositeLoss`: weighted, routed terms summed to one number; and how to get one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from lossreg.config import CompositeConfig, load_config
from lossreg.config.diagnostics import Faults
from lossreg.config.nodes import SourceError
from lossreg.config.parameters import validated
from lossreg.config.source import from_python
from lossreg.errors import ConfigError, Diagnostic, InputError, described
from lossreg.registry import Registry
from lossreg.routing import follow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from typing_extensions import Self

    from lossreg.config.loading import Source
    from lossreg.config.schema import TermConfig
    from lossreg.inputs import Path
    from lossreg.plugin import LossConfig, LossDefinition

__all__ = ["CompositeLoss", "LossOutput", "Terms", "build", "create"]

# Up to here, multiplying and adding beats stacking the terms for one dot product.
_FEW_TERMS = 2


class LossOutput(NamedTuple):
    """What a composite gives for one step.

    Attributes:
        total: The weighted sum, a 0-d tensor attached to the graph.
        terms: Each term's raw value, a detached 0-d tensor, by name. The names never change.
        weights: Each term's weight of this step, a 0-d tensor, by name.
    """

    total: Tensor
    terms: Mapping[str, Tensor]
    weights: Mapping[str, Tensor]

    def log_dict(self, prefix: str = "") -> dict[str, Tensor]:
        """All values under flat keys, detached, as loggers take them.

        Args:
            prefix: Put before each key: `train/`.

        Returns:
            `loss/total`, and for each term `loss/<term>`, `weighted/<term>`, `weight/<term>`.
        """
        logged = {f"{prefix}loss/total": self.total.detach()}
        for name, term in self.terms.items():
            logged[f"{prefix}loss/{name}"] = term
            logged[f"{prefix}weighted/{name}"] = self.weights[name] * term
            logged[f"{prefix}weight/{name}"] = self.weights[name]
        return logged


class Terms(nn.Module):
    """The losses of a composite, each under its term's name.

    Calling it with a step's values gives each term's raw value, attached to the graph.
    """

    def __init__(self, terms: Iterable[tuple[TermConfig, nn.Module]]) -> None:
        super().__init__()
        self._routes: list[tuple[str, tuple[tuple[str, Path], ...], bool]] = []
        for term, module in terms:
            # Not add_module: it refuses names that nn.Module has as an attribute, and a term may
            # well be called `forward`, `type` or `half`.
            self._modules[term.name] = module
            self._routes.append((term.name, tuple(term.inputs.items()), term.weight != 0))

    @property
    def names(self) -> tuple[str, ...]:
        """The terms' names, in order."""
        return tuple(name for name, _, _ in self._routes)

    # As torch's, which would refuse to set an attribute that is a term's name: `training`.
    def train(self, mode: bool = True) -> Self:
        """Set training mode, of the losses as well."""
        self.__dict__["training"] = mode
        for module in self.children():
            module.train(mode)
        return self

    def forward(self, values: Any) -> dict[str, Tensor]:
        """Each term's raw value, a 0-d tensor.

        A term whose weight is a constant 0 is computed without a graph: were it multiplied, a
        nan in it would become a nan in the total.

        Raises:
            InputError: A tensor is missing, or a loss refused what it was given.
        """
        raw = {}
        for name, route, in_graph in self._routes:
            arguments = [
                follow(values, path, term=name, argument=argument) for argument, path in route
            ]
            if in_graph:
                raw[name] = self._term(name, arguments)
            else:
                with torch.no_grad():
                    raw[name] = self._term(name, arguments)
        return raw

    def _term(self, name: str, arguments: list[Tensor]) -> Tensor:
        module = self._modules[name]
        assert module is not None  # noqa: S101 - only __init__ fills _modules
        try:
            value = module(*arguments)
        except torch.OutOfMemoryError:
            raise  # a RuntimeError, but not for the tensors' reason
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            shapes = ", ".join(f"{tuple(each.shape)} {each.dtype}" for each in arguments)
            raise InputError(f"term '{name}': {error} (called with {shapes})", term=name) from error
        if not isinstance(value, Tensor) or value.dim() != 0:
            found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise InputError(f"term '{name}': expected one number, found {found}", term=name)
        return value


class CompositeLoss(nn.Module):
    """A weighted sum of losses, each fed from a step's values by its own paths.

    Made by `lossreg.build`. Called with the step's tensors as keywords or as one mapping (or
    object with attributes), it gives a `LossOutput`; `loss.terms(values)` gives the raw terms
    attached to the graph.

    Args:
        terms: The config of each term and its loss.

    Raises:
        InputError: On a call: a tensor is missing, or does not fit its loss.
    """

    def __init__(self, terms: Iterable[tuple[TermConfig, nn.Module]]) -> None:
        super().__init__()
        pairs = list(terms)
        self.terms = Terms(pairs)
        self._weights = tuple(term.weight for term, _ in pairs)
        self._in_graph = tuple(i for i, weight in enumerate(self._weights) if weight != 0)
        # Derived from the numbers above, so it is not part of the state.
        self._weight_buffer: Tensor
        self.register_buffer("_weight_buffer", self._fresh_weights(None), persistent=False)

    def _fresh_weights(
        self, device: torch.device | None, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        return torch.tensor(self._weights, dtype=dtype, device=device)

    def _weights_like(self, values: Tensor) -> Tensor:
        """The weights on the values' device, in float32, or in float64 for float64 terms.

        `.to(torch.bfloat16)` on the model must not round a weight of 0.1, and a composite that
        nobody moved must still work on a GPU.
        """
        dtype = torch.float64 if values.dtype == torch.float64 else torch.float32
        weights = self._weight_buffer
        if weights.dtype != dtype or weights.device != values.device:
            weights = self._weight_buffer = self._fresh_weights(values.device, dtype)
        return weights

    def forward(self, values: Any = None, /, **tensors: Any) -> LossOutput:
        """The objective's value for one step.

        Args:
            values: The step's values: a mapping, or an object with attributes.
            tensors: The same as keywords.

        Returns:
            The total, and each term's raw value and weight.

        Raises:
            InputError: A tensor is missing, or does not fit its loss.
            TypeError: Both a mapping and keywords were given.
        """
        if values is None:
            values = tensors
        elif tensors:
            raise TypeError("give the step's values as one mapping or as keywords, not both")
        raw = self.terms(values)
        names = list(raw)
        stacked = torch.stack(list(raw.values()))
        weights = self._weights_like(stacked)
        values_in_graph = [raw[names[i]] for i in self._in_graph]
        total = self._sum(values_in_graph, stacked, weights)
        return LossOutput(
            total,
            dict(zip(names, stacked.detach().unbind(), strict=True)),
            dict(zip(names, weights.clone().unbind(), strict=True)),
        )

    def _sum(self, terms: list[Tensor], stacked: Tensor, weights: Tensor) -> Tensor:
        if not terms:
            return stacked.new_zeros((), dtype=weights.dtype)
        if len(terms) <= _FEW_TERMS:
            total = terms[0] * weights[self._in_graph[0]]
            for term, index in zip(terms[1:], self._in_graph[1:], strict=True):
                total = total + term * weights[index]
            return total
        if len(terms) == len(weights):
            # dot, not @: autocast would compute a matmul in half precision.
            return torch.dot(stacked.to(weights.dtype), weights)
        kept = torch.stack(terms).to(weights.dtype)
        return torch.dot(kept, weights[list(self._in_graph)])

    def extra_repr(self) -> str:
        """The terms and their weights."""
        pairs = zip(self.terms.names, self._weights, strict=True)
        return ", ".join(f"{name}={weight:g}" for name, weight in pairs)


def build(
    source: Source | CompositeConfig,
    *,
    key: str | None = None,
    registry: Registry | None = None,
    overrides: Iterable[str] = (),
) -> CompositeLoss:
    """A composite loss from a YAML file, a mapping, or a config that is loaded already.

    Args:
        source: The file, document, mapping or config.
        key: Where the loss is in the document: `model.criterion`. Without it, the key `loss`, or
            the whole document if it has `terms:`.
        registry: Where losses are looked up: what is installed, unless given.
        overrides: `path=value` each, as `loss.terms.seg.weight=0.3`; the value is YAML.

    Raises:
        ConfigError: The source is wrong; it carries every fault.

    >>> loss = build({"terms": {"fit": {"type": "mse", "inputs": ["prediction", "y"]}}})
    >>> out = loss(prediction=torch.tensor([1.0, 3.0]), y=torch.tensor([1.0, 1.0]))
    >>> out.total, out.terms["fit"]
    (tensor(2.), tensor(2.))
    """
    config = load_config(source, key=key, registry=registry, overrides=overrides)
    pairs = []
    for term in config.terms:
        if term.enabled:
            module = _built(term.definition, term.params, f"terms.{term.name}")
            _make_class_weights_transient(module, term.params)
            pairs.append((term, module))
    return CompositeLoss(pairs)


def create(name: str, /, **params: Any) -> nn.Module:
    """One loss as a plain module, called as torch's is.

    Args:
        name: The loss's name, as `lossreg list` shows it.
        params: Its parameters.

    Raises:
        UnknownLossError: No plugin has that name.
        DuplicateLossError: Several distributions claim it.
        PluginLoadError: Its plugin cannot be loaded.
        ConfigError: A parameter is unknown, missing or out of bounds.

    >>> create("smooth_l1", beta=0.5)
    SmoothL1Loss()
    """
    definition = Registry.installed()[name]
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
    return _built(definition, config, name)


def _built(definition: LossDefinition, config: LossConfig, path: str) -> nn.Module:
    """A third party's builder may raise anything; what it makes may not be a module."""
    author = getattr(definition.build, "__module__", definition.config.__module__)
    what = f"building '{definition.name}' (of {author})"
    try:
        module: object = definition.build(config)
    except Exception as error:
        message = f"{what} raised {described(error)}"
        raise ConfigError([Diagnostic(code="LR303", path=path, message=message)]) from error
    if not isinstance(module, nn.Module):
        message = f"{what} gave a {type(module).__name__}, not a module"
        raise ConfigError([Diagnostic(code="LR303", path=path, message=message)])
    return module


def _make_class_weights_transient(module: nn.Module, config: LossConfig) -> None:
    """Keep class weights out of a composite's state: the config holds them."""
    for name, buffer in list(module.named_buffers(recurse=False)):
        if name in type(config).model_fields:
            module.register_buffer(name, buffer, persistent=False)
