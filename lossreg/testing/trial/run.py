"""A trial: each term by itself, forward and backward on the CPU, and then the whole objective."""

from __future__ import annotations

import math
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Generator, Tensor

from lossreg.errors import InputError, LossregError, described
from lossreg.names import closest
from lossreg.runtime.building import build
from lossreg.runtime.lookup import MISSING
from lossreg.runtime.plan import DETACHING, TARGETS
from lossreg.testing.trial.asked import LIMIT, WordError, nested, within_limit
from lossreg.testing.trial.filling import filled, in_words
from lossreg.testing.trial.readings import at_path, readings
from lossreg.testing.trial.results import (
    Gradient,
    ObjectiveTrial,
    TermTrial,
    Trial,
    TriedTensor,
)
from lossreg.testing.trial.wanted import Wanted, both, by_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lossreg.config.models import CompositeConfig, TermConfig
    from lossreg.testing.trial.asked import Asked
    from lossreg.testing.trial.readings import Reading
    from lossreg.vocabulary.paths import ValuePath

__all__ = ["try_out"]


def try_out(
    configs: Mapping[str, CompositeConfig],
    asked: Sequence[Asked],
    sizes: Mapping[str, int],
    *,
    seed: int = 0,
) -> Trial:
    """Run objectives forward and backward on tensors of given shapes, on the CPU.

    The values follow from the domains of the arguments that read them.

    Args:
        configs: The objectives by name.
        asked: The values of the step.
        sizes: The size of each letter.
        seed: Seeds the values, and the losses that draw numbers when they are built.

    Raises:
        WordError: The tensors are too large.
    """
    within_limit(asked, sizes)
    with torch.device("cpu"):
        blanks = {one.path: _blank(one, sizes) for one in asked}
        empty = nested(blanks)
        terms = [_as_active(term) for config in configs.values() for term in _enabled(config)]
        every = [reading for term in terms for reading in readings(term, empty)]
        for reading in every:
            _refuse_large(reading, blanks, empty)
        wanted = _by_leaf(by_path(every, empty), blanks, empty)
        leaves = _leaves(asked, sizes, wanted, every, seed)
        values = nested(leaves)
        objectives = []
        for name, config in configs.items():
            own = list(_enabled(config))
            tried = [_try_term(config, term, values, leaves, seed) for term in own]
            objectives.append(_try_whole(name, config, own, tried, values, seed))
    unused = _unused(configs, objectives, leaves, values)
    tensors = [_tried(one, sizes, wanted.get(one.path, Wanted()), unused) for one in asked]
    missing = dict.fromkeys(
        path for term in terms if not term.optional for path in _missing(term, values)
    )
    return Trial(sizes, tuple(tensors), tuple(objectives), tuple(missing))


def _refuse_large(reading: Reading, blanks: Mapping[ValuePath, Any], values: Any) -> None:
    """Refuse indicators of so many classes that they would not fit the limit.

    Raises:
        WordError: They would not.
    """
    owner = _owner(reading.route.path, blanks, values)
    blank = None if owner is None else blanks[owner]
    for name, arguments in reading.route.transforms:
        if name == "one_hot" and isinstance(blank, Tensor):
            classes = dict(arguments)["classes"]
            if blank.numel() * classes * torch.int64.itemsize > LIMIT:
                raise WordError(
                    f"term '{reading.term.name}': 'one_hot' of '{owner}', {tuple(blank.shape)}, "
                    f"with {classes} classes would have more than 1 GiB, all that a trial takes"
                )


def _unused(
    configs: Mapping[str, CompositeConfig],
    objectives: Sequence[ObjectiveTrial],
    leaves: Mapping[ValuePath, Any],
    values: Any,
) -> dict[ValuePath, str]:
    """Why each leaf is unused that is."""
    readers: dict[ValuePath, str] = {}
    used: set[ValuePath] = set()
    lacking: list[str] = []
    for objective in objectives:
        left_out = {term.name: term.left_out for term in objective.terms if term.left_out}
        for term in configs[objective.name].terms:
            read = _read(term, leaves, values)
            if term.enabled and term.name not in left_out:
                used |= read
                lacking += _missing(term, values)
                continue
            lacking += left_out.get(term.name, ())
            why = "which is left out" if term.enabled else "which is not enabled"
            readers |= dict.fromkeys(read, f"only the term '{term.name}' reads it, {why}")
    reasons = {}
    for path in leaves:
        if path not in used:
            meant = closest(str(path), lacking)
            nothing = "nothing reads it" + (f"; did you mean '{meant}'?" if meant else "")
            reasons[path] = readers.get(path, nothing)
    return reasons


def _enabled(config: CompositeConfig) -> Iterator[TermConfig]:
    return (term for term in config.terms if term.enabled)


def _as_active(term: TermConfig) -> TermConfig:
    """The term, active at any time; a disabled one is not tried."""
    return term._replace(active=())


def _blank(one: Asked, sizes: Mapping[str, int]) -> Any:
    """Zeros of the shape, without memory of their own."""
    if one.number is not None:
        return one.number
    return torch.zeros((), dtype=getattr(torch, one.dtype)).expand(one.sizes(sizes))


def _owner(path: ValuePath, leaves: Mapping[ValuePath, Any], values: Any) -> ValuePath | None:
    """The leaf that is at a path, or that a path leads into."""
    steps: list[str | int] = []
    for step in path.steps:
        if isinstance(step, int) and step < 0:
            above = at_path(values, path._replace(steps=tuple(steps)))
            step += len(above) if isinstance(above, list) else 0  # noqa: PLW2901
        steps.append(step)
        if path._replace(steps=tuple(steps)) in leaves:
            return path._replace(steps=tuple(steps))
    return None


def _by_leaf(
    wanted: Mapping[ValuePath, Wanted], leaves: Mapping[ValuePath, Any], values: Any
) -> dict[ValuePath, Wanted]:
    by_leaf: dict[ValuePath, Wanted] = {}
    for path, one in wanted.items():
        owner = _owner(path, leaves, values)
        if owner is not None:
            by_leaf[owner] = both(by_leaf.get(owner, one), one)
    return by_leaf


def _leaves(
    asked: Sequence[Asked],
    sizes: Mapping[str, int],
    wanted: Mapping[ValuePath, Wanted],
    every: Sequence[Reading],
    seed: int,
) -> dict[ValuePath, Any]:
    generator = Generator().manual_seed(seed)
    leaves: dict[ValuePath, Any] = {}
    for one in asked:
        if one.number is not None:
            leaves[one.path] = one.number
            continue
        dtype = getattr(torch, one.dtype)
        leaves[one.path] = filled(
            one.sizes(sizes), dtype, wanted.get(one.path, Wanted()), generator
        )
    values = nested(leaves)
    for reading in every:
        owner = _owner(reading.route.path, leaves, values) if _is_trained(reading) else None
        if owner is not None and _is_float(leaves[owner]):
            leaves[owner].requires_grad_()
    return leaves


def _is_trained(reading: Reading) -> bool:
    """Whether a gradient is meant to reach the tensor."""
    return _has_gradient(reading) and not _is_detached(reading)


def _has_gradient(reading: Reading) -> bool:
    """Whether the tensor is differentiated, as far as nothing detaches it.

    Most targets are data: one has a gradient only if `detach` says that all is meant.
    """
    term, argument = reading.term, reading.argument
    if argument == "sample_weight":
        return term.sample_weight is not None and term.sample_weight.gradient
    if argument not in term.inputs or (argument in TARGETS and term.detach is None):
        return False
    return term.definition.input(argument).gradient


def _is_detached(reading: Reading) -> bool:
    return any(name in DETACHING for name, _ in reading.route.transforms)


def _missing(term: TermConfig, values: Any) -> list[str]:
    """The paths of a term that lead to nothing, without those of whole lists."""
    paths = (
        path
        for reading in readings(term, values)
        if reading.argument != "each"
        for path in reading.route.paths
    )
    return [str(path) for path in dict.fromkeys(paths) if at_path(values, path) is MISSING]


def _read(term: TermConfig, leaves: Mapping[ValuePath, Any], values: Any) -> set[ValuePath]:
    """The leaves that a term reads."""
    read = set()
    for reading in readings(term, values):
        for path in reading.route.paths:
            owner = _owner(path, leaves, values)
            if owner is not None:
                read.add(owner)
    return read


def _try_term(
    config: CompositeConfig,
    declared: TermConfig,
    values: Any,
    leaves: Mapping[ValuePath, Any],
    seed: int,
) -> TermTrial:
    term = _as_active(declared)
    inactive = [times for times in declared.active if not times.holds(0, 0, training=True)]
    tried = TermTrial(term.name, term.definition.name)
    missing = _missing(term, values)
    if term.optional and missing:
        return tried._replace(left_out=tuple(missing))
    found = readings(term, values)
    # Out of the graph a constant 0 would say nothing about the term's gradient.
    weight = term.weight._replace(factor=1.0) if term.weight.is_zero else term.weight
    alone = term._replace(weight=weight)
    checks = "first" if config.checks == "never" else config.checks
    single = config._replace(terms=(alone,), checks=checks)
    notes = [
        f"term '{term.name}' is not active at step 0 {when}; tried as if it were"
        for when in inactive
    ]
    with _watched(seed, notes):
        try:
            loss = build(single)
            out = loss(values)
            gradients = _gradients(found, out.total, leaves, values)
        except Exception as error:  # noqa: BLE001 - a plugin's loss may raise anything
            return _failed(tried, error)._replace(notes=tuple(notes))
    weighed = loss.weights[term.name]  # nan where only the step knows it
    weighed = float(out.weights[term.name]) if math.isnan(weighed) else weighed
    return tried._replace(
        value=float(out.terms[term.name]),
        weight=0.0 if term.weight.is_zero else weighed,
        gradients=gradients,
        notes=tuple(notes),
    )


def _failed(tried: TermTrial, error: Exception) -> TermTrial:
    message = str(error) if isinstance(error, LossregError) else described(error)
    tried = tried._replace(error=message)
    if isinstance(error, InputError):
        return tried._replace(argument=error.argument, path=error.path)
    return tried


def _gradients(
    found: Sequence[Reading], total: Tensor, leaves: Mapping[ValuePath, Any], values: Any
) -> tuple[Gradient, ...]:
    """For each argument with a gradient, whether one of its tensors gets it."""
    wanted: dict[str, list[tuple[ValuePath, bool]]] = {}
    for reading in found:
        owner = _owner(reading.route.path, leaves, values)
        is_index = (
            reading.argument in TARGETS and owner is not None and not _is_float(leaves[owner])
        )
        if owner is not None and _has_gradient(reading) and not is_index:
            wanted.setdefault(reading.argument, []).append((owner, _is_detached(reading)))
    attached = {path: leaf for path, leaf in leaves.items() if _requires_grad(leaf)}
    reached: dict[ValuePath, Tensor | None] = {}
    if attached and total.requires_grad:
        grads = torch.autograd.grad(total, list(attached.values()), allow_unused=True)
        reached = dict(zip(attached, grads, strict=True))
    return tuple(
        Gradient(
            argument,
            tuple(dict.fromkeys(str(path) for path, _ in tensors)),
            reached=any(
                reached.get(path) is not None and not detached for path, detached in tensors
            ),
            detached=all(detached for _, detached in tensors),
        )
        for argument, tensors in wanted.items()
    )


def _is_float(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and (leaf.is_floating_point() or leaf.is_complex())


def _requires_grad(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.requires_grad


def _try_whole(
    name: str,
    config: CompositeConfig,
    terms: Sequence[TermConfig],
    tried: Sequence[TermTrial],
    values: Any,
    seed: int,
) -> ObjectiveTrial:
    """The objective as it is declared, if each of its terms runs by itself."""
    result = ObjectiveTrial(name, tuple(tried), None)
    if any(term.error for term in tried) or all(term.left_out for term in tried):
        return result
    with _watched(seed, []):
        try:
            always = tuple(map(_as_active, terms))
            total = build(config._replace(terms=always))(values).total
            if total.requires_grad:
                total.backward()
        except Exception as error:  # noqa: BLE001 - a plugin's loss may raise anything
            message = str(error) if isinstance(error, LossregError) else described(error)
            return result._replace(error=message)
    return result._replace(total=float(total.detach()))


@contextmanager
def _watched(seed: int, notes: list[str]) -> Iterator[None]:
    """Draw numbers from the seed, leave the random states alone, and collect warnings."""
    with (
        torch.random.fork_rng(devices=[]),
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        torch.default_generator.manual_seed(seed)
        try:
            yield
        finally:
            notes += dict.fromkeys(str(warning.message) for warning in caught)


def _tried(
    one: Asked, sizes: Mapping[str, int], wanted: Wanted, unused: Mapping[ValuePath, str]
) -> TriedTensor:
    why = unused.get(one.path, "")
    if one.number is not None:
        return TriedTensor(str(one.path), (), "number", f"{one.number:g}", "", why)
    dtype = getattr(torch, one.dtype)
    guessed = ""
    if wanted.why_not:
        guessed = f"nothing says what '{wanted.why_not}' should be given"
    elif wanted.kind in ("class index", "place", "label sequence") and wanted.limit is None:
        guessed = "how many classes there are is not known"
    holds = in_words(dtype, wanted)
    return TriedTensor(str(one.path), one.sizes(sizes), one.dtype, holds, guessed, why)
