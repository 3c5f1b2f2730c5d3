"""From a source (a file, text, a mapping) to a checked config."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeAlias

from lossreg.config.diagnostics import ConfigPath, Faults, clipped, describe, path_text
from lossreg.config.guesses import Guesses
from lossreg.config.nodes import Node, SourceError, Span
from lossreg.config.objectives import (
    COMPOSITE_KEYS,
    EXPERIMENT_KEYS,
    holds_terms,
    is_loss,
    read_composite,
    read_experiment,
)
from lossreg.config.overrides import apply_override, overridden
from lossreg.config.schema import CompositeConfig, ExperimentConfig
from lossreg.config.source import from_python, read_bytes, read_file
from lossreg.errors import ConfigError, ConfigWarning, Diagnostic
from lossreg.inputs import Path as ValuePath
from lossreg.inputs import PathError
from lossreg.registry import Registry
from lossreg.suggest import closest

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

_LOSS_KEYS = ("loss", "terms")
_GUESSED_KEYS = 1_000  # among so many, what was meant is looked for
_FOREIGN_LOSS_KEYS = {"criterion", "criterions", "loss_fn", "losses", "objective", "objectives"}


class Examined(NamedTuple):
    """What came of reading a source.

    Attributes:
        loss: The composite, or None if the source has an error.
        experiment: The experiment, if the source is one and has no error.
        diagnostics: Errors and warnings, in the order of the text.
        document: The whole source with its overrides applied, or None if it has an error.
    """

    loss: CompositeConfig | None
    experiment: ExperimentConfig | None
    diagnostics: tuple[Diagnostic, ...]
    document: Node | None = None


def examine(
    source: Source,
    *,
    key: str | None = None,
    registry: Registry | None = None,
    overrides: Iterable[str] = (),
    name: str = "<bytes>",
) -> Examined:
    """Read a source and find all that is wrong with it; raises nothing for a config's reason.

    Args:
        source: A file, a document, or a mapping.
        key: Where the loss is in the document: `model.criterion`. Without it, the key `loss`, or
            the whole document if it has `terms:`.
        registry: Where losses are looked up: what is installed, unless given.
        overrides: `path=value` each, as `loss.terms.seg.weight=0.3`; the value is YAML.
        name: What to call a document given as bytes.
    """
    faults = Faults()
    registry = Registry.installed() if registry is None else registry
    loss = experiment = root = None
    try:
        root = _root(source, name, faults)
        for override in overrides:
            apply_override(root, override, faults)
        found = _find_loss(root, key, faults)
        if found is not None:
            path, node, at = found
            _refuse_stray_overrides(root, path_text(path), faults)
            loss = read_composite(node, path, at, registry, faults)
        if key is None and isinstance(root.value, dict) and "task" in root.value:
            experiment = read_experiment(root, loss, faults)
    except SourceError as error:
        for each in error.document.faults if error.document is not None else ():
            faults.add_source_error(each)
        faults.add_source_error(error)
    if faults.has_errors:
        loss = experiment = root = None
    return Examined(
        loss=loss, experiment=experiment, diagnostics=tuple(faults.sorted()), document=root
    )


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
    for each in document.faults:
        faults.add_source_error(each)
    return root


def _find_loss(
    root: Node, key: str | None, faults: Faults
) -> tuple[ConfigPath, Node, Span | None] | None:
    """The loss's path, its mapping, and the key it stands under."""
    if not isinstance(root.value, dict):
        message = f"expected a mapping with 'loss:' or 'terms:', found {describe(root.value)}"
        faults.add("LR109", "", message, root)
        return None
    if key is not None:
        return _follow(root, key, faults)
    if "loss" in root.value:
        return "loss", root.value["loss"], root.keys["loss"]
    if "terms" in root.value:
        if "task" not in root.value:
            return "", root, None
        return _misplaced(root, "terms", faults)
    return _guess_loss(root, faults)


def _guess_loss(root: Node, faults: Faults) -> tuple[ConfigPath, Node, Span | None] | None:
    """What was probably meant to be the loss of a document that has none, after noting that."""
    for name, at in islice(root.keys.items(), _GUESSED_KEYS):
        node = root.value[name]
        meant = "loss" if name in _FOREIGN_LOSS_KEYS else None
        if meant is None and isinstance(node.value, dict):
            meant = closest(name, _LOSS_KEYS)
        if meant == "terms" and "task" in root.value:
            return _misplaced(root, name, faults)
        if meant:
            where = ("", name)
            faults.add("LR109", where, f"there is no loss here; did you mean '{meant}'?", at)
            # One run finds what else is wrong.
            if meant == "terms":
                guesses = Guesses(root, COMPOSITE_KEYS)
                guesses.written = {"terms": name}
                return ("", guesses.applied("", faults), None) if holds_terms(node) else None
            return (where, node, at) if is_loss(node) else None
    message = "expected 'loss:' or 'terms:'; for a loss elsewhere, say at which key it is"
    faults.add("LR109", "", message, root)
    return None


def _misplaced(root: Node, name: str, faults: Faults) -> tuple[ConfigPath, Node, Span | None]:
    """The terms at the root of an experiment, as the loss that they belong to."""
    at = root.keys[name]
    message = "an experiment has its loss under 'loss:'; put 'terms' there, one level deeper"
    faults.add("LR109", ("", name), message, at)
    faults.read_as("", name, "terms")
    loss = Node({"terms": root.value[name]}, *root.span)
    loss.keys["terms"] = at
    return "", loss, None


def _refuse_stray_overrides(root: Node, loss: str, faults: Faults) -> None:
    """Note overrides that made a key beside the loss, which nothing would read."""
    if not loss:
        return  # the whole document is the loss, whose keys are all known
    read: tuple[str, ...] = (loss.partition(".")[0].partition("[")[0],)
    if "task" in root.value:
        read += EXPERIMENT_KEYS
    for name in overridden(root):
        if name not in read:
            meant = closest(name, read)
            hint = f"; did you mean '{meant}'?" if meant else ""
            message = f"the document has no '{clipped(name)}', and nothing would read it{hint}"
            faults.add("LR402", ("", name), message, root.keys[name])


def _follow(root: Node, key: str, faults: Faults) -> tuple[ConfigPath, Node, Span | None] | None:
    try:
        steps = ValuePath.parse(str(key)).steps
    except PathError:
        faults.add("LR109", "", f"the key {describe(key)} is no path; write it as model.criterion")
        return None
    path: ConfigPath = ""
    node, at = root, None
    for step in steps:
        children = node.value
        if isinstance(children, dict) and isinstance(step, str) and step in children:
            node, at = children[step], node.keys[step]
        elif (
            isinstance(children, list)
            and isinstance(step, int)
            and -len(children) <= step < len(children)
        ):
            node, at = children[step], None
        else:
            there = islice(children if isinstance(children, dict) else (), _GUESSED_KEYS)
            meant = closest(step, there)
            wanted = f"'{clipped(step)}'" if isinstance(step, str) else f"element {step}"
            under = f"under '{clipped(path_text(path))}'" if path else "in the document"
            message = f"there is no {wanted} {under}"
            if meant:
                where = (path, meant)
                message += f"; did you mean '{clipped(path_text(where))}'?"
                faults.add("LR109", where, message, node.keys[meant])
            else:
                faults.add("LR109", "", message, at or node)
            return None
        path = (path, step)
    return path, node, at


def load_config(
    source: Source | CompositeConfig,
    *,
    key: str | None = None,
    registry: Registry | None = None,
    overrides: Iterable[str] = (),
) -> CompositeConfig:
    """A checked composite from a YAML file, a mapping, or a config that is loaded already.

    Args:
        source: The file, document, mapping or config.
        key: Where the loss is in the document: `model.criterion`.
        registry: Where losses are looked up: what is installed, unless given.
        overrides: `path=value` each, as `loss.terms.seg.weight=0.3`; the value is YAML.

    Raises:
        ConfigError: The source is wrong; it carries every fault.
    """
    if isinstance(source, CompositeConfig):
        if key is not None or list(overrides):
            raise TypeError("a loaded config takes neither key nor overrides")
        return source
    examined = examine(source, key=key, registry=registry, overrides=overrides)
    if examined.loss is None:
        raise ConfigError(examined.diagnostics)
    for each in examined.diagnostics:
        warnings.warn(str(each), ConfigWarning, stacklevel=2)
    return examined.loss


def load_experiment(
    source: Source, *, registry: Registry | None = None, overrides: Iterable[str] = ()
) -> ExperimentConfig:
    """A checked experiment: a document with `task:`; otherwise as `load_config`.

    Raises:
        ConfigError: The source is wrong, or is no experiment.
    """
    return load_kept_experiment(source, registry=registry, overrides=overrides)[0]


def load_kept_experiment(
    source: Source, *, registry: Registry | None = None, overrides: Iterable[str] = ()
) -> tuple[ExperimentConfig, Node]:
    """An experiment as `load_experiment` gives it, and the document to keep beside its results.

    Raises:
        ConfigError: The source is wrong, or is no experiment.
    """
    examined = examine(source, registry=registry, overrides=overrides)
    if examined.experiment is not None and examined.document is not None:
        return examined.experiment, examined.document
    if examined.loss is None:
        raise ConfigError(examined.diagnostics)
    file = None if isinstance(source, Mapping | bytes) else os.fspath(source)
    message = "the key 'task' is missing: this is an objective, not an experiment to run"
    raise ConfigError([Diagnostic(code="LR102", message=message, file=file)])
