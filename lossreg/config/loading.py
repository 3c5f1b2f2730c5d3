"""From a source (a file, text, a mapping) to a checked config."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from lossreg.config.declare.objectives import read_composite, read_experiment
from lossreg.config.declare.search import Located, Search
from lossreg.config.faults.faults import (
    ConfigPath,
    Faults,
    clipped,
    describe,
    is_interpolation,
    path_text,
)
from lossreg.config.finding import find
from lossreg.config.grammar import EXPERIMENT
from lossreg.config.lower import lower
from lossreg.config.models import CompositeConfig, ExperimentConfig
from lossreg.config.read.documents import read_bytes
from lossreg.config.read.files import read_file
from lossreg.config.read.nodes import Node, SourceError
from lossreg.config.read.overrides import apply_override, overridden
from lossreg.config.read.python import from_python
from lossreg.errors import ConfigError, ConfigWarning, Diagnostic
from lossreg.names import closest
from lossreg.registry import Registry

if TYPE_CHECKING:
    from lossreg.config.declare.tree import Declared

__all__ = [
    "Examined",
    "Source",
    "examine",
    "load_config",
    "load_experiment",
    "load_kept_experiment",
    "load_objectives",
]

# A mapping first: jsonargparse makes a string of one where a string is allowed before it.
Source: TypeAlias = Mapping[str, object] | str | os.PathLike[str] | bytes
"""A YAML file's path, a YAML document as bytes, or a mapping."""

_Severity: TypeAlias = Literal["error", "warning"]


class Examined(NamedTuple):
    """The result of reading a source.

    Attributes:
        loss: The composite, or None if the source has an error.
        experiment: The experiment, if the source is one and has no error.
        diagnostics: Errors and warnings, in the order of the text.
        objectives: How many values were read as objectives; a word or a number is not one.
        document: The whole source with its overrides applied and the numbers of other files written
            out, or None if it has an error.
        by_name: The composites of a map of objectives, in the order of the source; empty if there
            is no map, or the source has an error.
        declared: The objectives that were asked for as they are written: those of `by_name`, or
            `loss` under the name "".
        is_read: Whether the source could be read at all.
        passed_over: How many interpolations were passed over.
    """

    loss: CompositeConfig | None
    experiment: ExperimentConfig | None
    diagnostics: tuple[Diagnostic, ...]
    objectives: int = 0
    document: Node | None = None
    by_name: Mapping[str, CompositeConfig] = MappingProxyType({})
    declared: Mapping[str, Declared] = MappingProxyType({})
    is_read: bool = True
    passed_over: int = 0


def examine(
    source: Source,
    *,
    key: str | None = None,
    registry: Registry | None = None,
    overrides: Iterable[str] = (),
    name: str = "<bytes>",
    every: bool = False,
    several: bool = False,
    interpolations: bool = False,
) -> Examined:
    """Read a source and find all its faults; a faulty config raises nothing.

    Args:
        source: A file, a document, or a mapping.
        key: Where the loss is in the document: `model.criterion`. Without it, the key `loss`, or
            the whole document if it has `terms:`.
        registry: Where losses are looked up; by default the installed plugins.
        overrides: Each is `path=value`, such as `loss.terms.seg.weight=0.3`; the value is YAML.
        name: The name of a document given as bytes.
        every: Whether to read every objective of the document, wherever it is, instead of only
            the one at the key.
        several: Whether a map of objectives is wanted instead of one: at the key, by default at
            `objectives`.
        interpolations: Whether values that hold `${...}`, or are `???`, are passed over. With such
            a value there is no fault, and no composite either.
    """
    faults = Faults(interpolations=interpolations)
    registry = Registry.installed() if registry is None else registry
    overrides = [overrides] if isinstance(overrides, str) else overrides
    examined, root = Examined(None, None, ()), None
    try:
        root = _root(source, name, faults)
        for override in overrides:
            apply_override(root, override, faults)
        examined = _examine(root, key, registry, faults, every=every, several=several)
        if root.document is not None and root.document.folder is not None:
            root.document.folder.write_out()
    except SourceError as error:
        for fault in error.document.faults if error.document is not None else ():
            faults.add_source_error(fault)
        faults.add_source_error(error)
        examined = examined._replace(is_read=root is not None)
    if faults.has_errors:
        nothing: Mapping[str, Any] = MappingProxyType({})
        examined = examined._replace(loss=None, experiment=None, by_name=nothing, declared=nothing)
        root = None
    return examined._replace(diagnostics=tuple(faults.sorted()), document=root)


def _examine(
    root: Node,
    key: str | None,
    registry: Registry,
    faults: Faults,
    *,
    every: bool,
    several: bool,
) -> Examined:
    search = Search(registry)
    found = find(root, key, search, faults, every=every, several=several)
    every = every and key is None
    objectives = list(found.objectives)
    if every:
        objectives += search.objectives(root, objectives)
    if objectives:
        _refuse_stray_overrides(root, objectives, faults)
        if found.around is not None:
            _refuse_stray_objectives(found.around, faults)
    trees, configs = _lowered(objectives, registry, faults)
    loss = configs[0] if found.objectives and not found.are_named else None
    is_experiment = key is None and isinstance(root.value, dict) and "task" in root.value
    if (found.are_named or not found.objectives) and objectives:
        is_experiment = False  # another system's document, which has its own key `task`
    # Which terms an interpolation puts into an objective is not known.
    if (objectives or every) and not any(_has_unknown_terms(o.node, faults) for o in objectives):
        severity: _Severity = "error" if is_experiment else "warning"
        _note_lone_terms(root, objectives, search, faults, severity)
    experiment = read_experiment(root, loss, registry, faults) if is_experiment else None
    by_name = {
        str(objective.path[1]): config
        for objective, config in zip(found.objectives, configs, strict=False)
        if found.are_named and config is not None
    }
    declared = {
        str(objective.path[1]) if found.are_named else "": tree
        for objective, tree in zip(found.objectives, trees, strict=False)
        if tree is not None
    }
    nodes = [root] if is_experiment else [objective.node for objective in objectives]
    return Examined(
        loss,
        experiment,
        (),
        sum(not isinstance(objective.node.value, str | int | float) for objective in objectives),
        by_name=by_name,
        declared=declared,
        passed_over=_count_interpolations(nodes) if faults.interpolations else 0,
    )


def _has_unknown_terms(objective: Node, faults: Faults) -> bool:
    """Whether an objective, or all its terms, is an interpolation that is passed over."""
    terms = objective.value.get("terms") if isinstance(objective.value, dict) else None
    return faults.passes_over(objective) or (terms is not None and faults.passes_over(terms))


def _count_interpolations(nodes: list[Node]) -> int:
    """How many values in nodes are interpolations; one with aliases counts once."""
    seen, count = set(map(id, nodes)), 0
    while nodes:
        value = nodes.pop().value
        count += is_interpolation(value)
        children = value.values() if isinstance(value, dict) else value
        for child in children if isinstance(value, dict | list) else ():
            if id(child) not in seen:
                seen.add(id(child))
                nodes.append(child)
    return count


def _lowered(
    objectives: Sequence[Located], registry: Registry, faults: Faults
) -> tuple[list[Declared | None], list[CompositeConfig | None]]:
    """Each objective as it is written, and its model; an alias of another has the same ones."""
    read: dict[int, tuple[Declared | None, CompositeConfig | None]] = {}
    for objective in objectives:
        if id(objective.node) not in read:
            composite = read_composite(*objective, registry, faults)
            config = None if composite is None else lower(composite, faults)
            read[id(objective.node)] = composite, config
    both = [read[id(objective.node)] for objective in objectives]
    return [tree for tree, _ in both], [config for _, config in both]


def _root(source: object, name: str, faults: Faults) -> Node:
    if isinstance(source, Mapping):
        return from_python(source)
    if isinstance(source, bytes):
        document, root = read_bytes(source, name)
    elif isinstance(source, str | os.PathLike):
        document, root = read_file(Path(source))
    else:
        message = f"expected a path, a mapping or a document as bytes, found {describe(source)}"
        raise SourceError("LR101", message)
    for fault in document.faults:
        faults.add_source_error(fault)
    return root


def _note_lone_terms(
    root: Node, objectives: Sequence[Located], search: Search, faults: Faults, severity: _Severity
) -> None:
    """Note terms outside the objectives, where nothing trains them."""
    made = [("", name) for name in overridden(root)] if objectives else []
    for lone in search.lone_terms(root, objectives):
        if lone.path in made:
            continue  # already noted
        near = (other for other in objectives if _around(other.path) == _around(lone.path))
        target = path_text((next(near, *objectives[:1]).path, "terms")) if objectives else "terms"
        what, it = "this looks like a term", "it"
        if "type" not in lone.node.value:
            what, it = "these look like terms", "them"
        message = f"{what}, but nothing trains {it} here; move {it} under '{clipped(target)}'"
        faults.add("LR905", lone.path, message, lone.key or lone.node, severity=severity)


def _around(path: ConfigPath) -> ConfigPath:
    return "" if isinstance(path, str) else path[0]


def _refuse_stray_overrides(root: Node, objectives: Sequence[Located], faults: Faults) -> None:
    """Note overrides that created a key beside the objectives, where nothing reads it."""
    paths = (path_text(objective.path) for objective in objectives)
    read = tuple(path.partition(".")[0].partition("[")[0] for path in paths)
    if "" in read:
        return  # the whole document is the loss, whose reader notes every unknown key
    if isinstance(root.value, dict) and "task" in root.value:
        read += EXPERIMENT.names
    for name in overridden(root):
        if name not in read:
            meant = closest(name, read)
            hint = f"; did you mean '{meant}'?" if meant else ""
            message = f"this override creates the key '{clipped(name)}', which nothing reads{hint}"
            faults.add("LR402", ("", name), message, root.keys[name])


def _refuse_stray_objectives(around: Located, faults: Faults) -> None:
    """Note overrides that created an objective beside those of a map, instead of changing one."""
    made = overridden(around.node)
    known = [name for name in around.node.value if name not in made]
    for name in made:
        meant = closest(name, known)
        hint = f"did you mean '{meant}'?" if meant else f"there is {', '.join(known)}"
        message = f"this override creates the objective '{clipped(name)}'; {hint}"
        faults.add("LR402", (around.path, name), message, around.node.keys[name])


def load_config(
    source: Source | CompositeConfig,
    *,
    key: str | None = None,
    registry: Registry | None = None,
    overrides: Iterable[str] = (),
) -> CompositeConfig:
    """A checked composite from a YAML file, a mapping, or a config that is already loaded.

    Args:
        source: The file, document, mapping or config.
        key: Where the loss is in the document: `model.criterion`.
        registry: Where losses are looked up; by default the installed plugins.
        overrides: Each is `path=value`, such as `loss.terms.seg.weight=0.3`; the value is YAML.

    Raises:
        ConfigError: The source is wrong; the error holds every fault.
    """
    if isinstance(source, CompositeConfig):
        if key is not None or list(overrides):
            raise TypeError("a loaded config takes neither key nor overrides")
        return source
    examined = examine(source, key=key, registry=registry, overrides=overrides)
    if examined.loss is None:
        raise ConfigError(examined.diagnostics)
    _warn(examined)
    return examined.loss


def load_objectives(
    source: Source,
    *,
    key: str | None = None,
    registry: Registry | None = None,
    overrides: Iterable[str] = (),
) -> dict[str, CompositeConfig]:
    """The checked composites of a map of objectives, by name, in the order of the file.

    Args:
        source: The file, document or mapping.
        key: Where the map is in the document; by default `objectives`.
        registry: Where losses are looked up; by default the installed plugins.
        overrides: Each is `path=value`, such as `objectives.generator.terms.adv.weight=0.3`.

    Raises:
        ConfigError: The source is wrong; the error holds every fault of every objective.
    """
    examined = examine(source, key=key, registry=registry, overrides=overrides, several=True)
    if not examined.by_name:
        raise ConfigError(examined.diagnostics)
    _warn(examined)
    return dict(examined.by_name)


def _warn(examined: Examined) -> None:
    for diagnostic in examined.diagnostics:
        warnings.warn(str(diagnostic), ConfigWarning, stacklevel=3)


def load_experiment(
    source: Source, *, registry: Registry | None = None, overrides: Iterable[str] = ()
) -> ExperimentConfig:
    """A checked experiment, from a document with `task:`; otherwise like `load_config`.

    Raises:
        ConfigError: The source is wrong, or is not an experiment.
    """
    return load_kept_experiment(source, registry=registry, overrides=overrides)[0]


def load_kept_experiment(
    source: Source, *, registry: Registry | None = None, overrides: Iterable[str] = ()
) -> tuple[ExperimentConfig, Node]:
    """Like `load_experiment`, with the document to keep beside the results.

    Raises:
        ConfigError: The source is wrong, or is not an experiment.
    """
    examined = examine(source, registry=registry, overrides=overrides)
    if examined.experiment is not None and examined.document is not None:
        return examined.experiment, examined.document
    if examined.loss is None:
        raise ConfigError(examined.diagnostics)
    file = None if isinstance(source, Mapping | bytes) else os.fspath(source)
    message = (
        "the key 'task' is missing: this is an objective, not an experiment to run; put it under "
        "'loss:' beside a 'task:' (`lossreg list --kind task` names them), or train it yourself "
        "with lossreg.build"
    )
    raise ConfigError([Diagnostic(code="LR102", message=message, file=file)])
