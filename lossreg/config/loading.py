"""From a source (a file, text, a mapping) to a checked config."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from lossreg.config.declare.objectives import (
    holds_terms,
    is_loss,
    is_map_of_objectives,
    is_map_of_terms,
    read_composite,
    read_experiment,
)
from lossreg.config.declare.search import Located, Search
from lossreg.config.faults.faults import ConfigPath, Faults, clipped, describe, path_text
from lossreg.config.faults.guesses import Guesses
from lossreg.config.grammar import COMPOSITE, DOCUMENT, EXPERIMENT
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
from lossreg.vocabulary.paths import PathError, ValuePath

__all__ = [
    "Examined",
    "Source",
    "examine",
    "load_config",
    "load_experiment",
    "load_kept_experiment",
]

Source: TypeAlias = "str | os.PathLike[str] | bytes | Mapping[str, object]"
"""A YAML file's path, a YAML document as bytes, or a mapping."""

_Severity: TypeAlias = Literal["error", "warning"]

_MOST_SHOWN = 3
_GUESSED_KEYS = 1_000  # search at most this many keys for a suggestion


class Examined(NamedTuple):
    """The result of reading a source.

    Attributes:
        loss: The composite, or None if the source has an error.
        experiment: The experiment, if the source is one and has no error.
        diagnostics: Errors and warnings, in the order of the text.
        objectives: How many objectives were read.
        document: The whole source with its overrides applied, or None if it has an error.
    """

    loss: CompositeConfig | None
    experiment: ExperimentConfig | None
    diagnostics: tuple[Diagnostic, ...]
    objectives: int = 0
    document: Node | None = None


def examine(
    source: Source,
    *,
    key: str | None = None,
    registry: Registry | None = None,
    overrides: Iterable[str] = (),
    name: str = "<bytes>",
    every: bool = False,
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
    """
    faults = Faults()
    registry = Registry.installed() if registry is None else registry
    overrides = [overrides] if isinstance(overrides, str) else overrides
    examined, root = Examined(None, None, ()), None
    try:
        root = _root(source, name, faults)
        for override in overrides:
            apply_override(root, override, faults)
        examined = _examine(root, key, registry, faults, every=every)
    except SourceError as error:
        for fault in error.document.faults if error.document is not None else ():
            faults.add_source_error(fault)
        faults.add_source_error(error)
    if faults.has_errors:
        examined, root = examined._replace(loss=None, experiment=None), None
    return examined._replace(diagnostics=tuple(faults.sorted()), document=root)


def _examine(
    root: Node, key: str | None, registry: Registry, faults: Faults, *, every: bool
) -> Examined:
    search = Search(registry)
    every = every and key is None
    asked = _find_loss(root, key, search, faults, every=every)
    objectives = [] if asked is None else [asked]
    if every:
        objectives += search.objectives(root, asked)
    if objectives:
        _refuse_stray_overrides(root, objectives, faults)
    read = [read_composite(*objective, registry, faults) for objective in objectives]
    configs = [None if composite is None else lower(composite, faults) for composite in read]
    loss = None if asked is None else configs[0]
    is_experiment = key is None and isinstance(root.value, dict) and "task" in root.value
    if asked is None and objectives:
        is_experiment = False  # another system's document, which has its own key `task`
    if objectives or every:
        severity: _Severity = "error" if is_experiment else "warning"
        _note_lone_terms(root, objectives, search, faults, severity)
    experiment = read_experiment(root, loss, registry, faults) if is_experiment else None
    return Examined(loss, experiment, (), len(objectives))


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


def _find_loss(
    root: Node, key: str | None, search: Search, faults: Faults, *, every: bool
) -> Located | None:
    """The objective at the key, or by default the document's own; None after noting its absence.

    If every objective is read and the document has others, the absence is not a fault.
    """
    if isinstance(root.value, dict):
        if key is not None:
            return _follow(root, key, faults)
        if "loss" in root.value:
            return Located(root.value["loss"], "loss", root.keys["loss"])
        if "terms" in root.value:
            is_whole = "task" not in root.value
            return Located(root, "", None) if is_whole else _misplaced(root, "terms", faults)
        for name in islice(root.keys, _GUESSED_KEYS):
            meant = _meant(name, root)
            if meant is not None:
                return _guessed(name, meant, root, faults)
    _note_no_loss(root, search, faults, every=every)
    return None


def _meant(name: str, root: Node) -> str | None:
    """The key (`loss` or `terms`) that was probably meant, in a document without a loss."""
    node = root.value[name]
    if name == "objectives" and is_map_of_objectives(node):
        return None
    if name in DOCUMENT.foreign:
        return "terms" if is_map_of_terms(node) else "loss"
    return closest(name, DOCUMENT.names) if isinstance(node.value, dict) else None


def _guessed(name: str, meant: str, root: Node, faults: Faults) -> Located | None:
    """Guess the misspelt loss key and note it, so that one run finds the other faults, too."""
    node, key = root.value[name], root.keys[name]
    if meant == "terms" and ("task" in root.value or name in DOCUMENT.foreign):
        return _misplaced(root, name, faults)
    # In a document that is not lossreg's, a scalar's key may name anything.
    path: ConfigPath = ("", name) if isinstance(node.value, dict | list) else ""
    faults.add("LR109", path, f"there is no loss here; did you mean '{meant}'?", key)
    if meant == "loss":
        return Located(node, path, key) if is_loss(node) else None
    guesses = Guesses(root, COMPOSITE.names)
    guesses.written = {"terms": name}
    return Located(guesses.applied("", faults), "", None) if holds_terms(node) else None


def _misplaced(root: Node, name: str, faults: Faults) -> Located:
    """Note terms at the root of a document; give the loss that they belong to."""
    key = root.keys[name]
    if name in DOCUMENT.foreign:
        message = "these are terms; put them under 'loss:', and there under 'terms:'"
    else:
        message = "an experiment has its loss under 'loss:'; put 'terms' there, one level deeper"
    faults.add("LR109", ("", name), message, key)
    faults.read_as("", name, "terms")
    loss = Node({"terms": root.value[name]}, *root.span)
    loss.keys["terms"] = key
    return Located(loss, "", None)


def _note_no_loss(root: Node, search: Search, faults: Faults, *, every: bool) -> None:
    """Note that a document has no objective, or only ones that must be given by key."""
    expected = "expected 'loss:' or 'terms:'"
    task = root.value.get("task") if isinstance(root.value, dict) else None
    if task is not None and search.may_be_task(task.value):
        faults.add("LR109", "task", f"{expected} beside 'task:'", root.keys["task"])
        return
    others = search.objectives(root)
    dropped = root.document.dropped if root.document is not None else ()
    if every and (others or any(map(search.holds_objective, dropped))):
        return
    if not isinstance(root.value, dict):
        expected = f"expected a mapping with 'loss:' or 'terms:', found {describe(root.value)}"
    if others:
        shown = [f"'{clipped(path_text(other.path))}'" for other in others[:_MOST_SHOWN]]
        more = ", …" if len(others) > _MOST_SHOWN else ""
        hint = f"for an objective elsewhere, give its key: {', '.join(shown)}{more}"
    else:
        hint = "if the loss is elsewhere, give its key"
    faults.add("LR109", "", f"{expected}; {hint}", root)


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


def _follow(root: Node, key: str, faults: Faults) -> Located | None:
    try:
        steps = ValuePath.parse(str(key)).steps
    except PathError:
        faults.add(
            "LR109", "", f"the key {describe(key)} is not a path; write it as model.criterion"
        )
        return None
    path: ConfigPath = ""
    node, key_span = root, None
    for step in steps:
        children = node.value
        if isinstance(children, dict) and isinstance(step, str) and step in children:
            node, key_span = children[step], node.keys[step]
        elif (
            isinstance(children, list)
            and isinstance(step, int)
            and -len(children) <= step < len(children)
        ):
            node, key_span = children[step], None
        else:
            names = islice(children if isinstance(children, dict) else (), _GUESSED_KEYS)
            meant = closest(step, names)
            wanted = f"'{clipped(step)}'" if isinstance(step, str) else f"element {step}"
            under = f"under '{clipped(path_text(path))}'" if path else "in the document"
            message = f"there is no {wanted} {under}"
            if meant:
                guess = (path, meant)
                message += f"; did you mean '{clipped(path_text(guess))}'?"
                faults.add("LR109", guess, message, node.keys[meant])
            else:
                faults.add("LR109", "", message, key_span or node)
            return None
        path = (path, step)
    return Located(node, path, key_span)


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
    for diagnostic in examined.diagnostics:
        warnings.warn(str(diagnostic), ConfigWarning, stacklevel=2)
    return examined.loss


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
