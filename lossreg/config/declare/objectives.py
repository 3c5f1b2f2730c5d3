"""A whole objective or experiment: nodes to a `CompositeConfig`, an `ExperimentConfig`."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, get_args

from lossreg.config.declare.fields import check_keys, is_mapping, read_choice, read_whole_number
from lossreg.config.declare.groups import read_terms
from lossreg.config.declare.parameters import validated
from lossreg.config.declare.terms import FOREIGN_TERM_KEYS, TERM_KEYS
from lossreg.config.faults.faults import clipped, describe
from lossreg.config.faults.guesses import Guesses
from lossreg.config.models import (
    TASKS,
    Checks,
    CompositeConfig,
    ExperimentConfig,
    OnNonFinite,
)
from lossreg.config.read.nodes import MOST_FAULTS, Node, Span
from lossreg.config.read.overrides import overridden
from lossreg.names import closest

if TYPE_CHECKING:
    from lossreg.config.faults.faults import ConfigPath, Faults
    from lossreg.registry import Registry

__all__ = [
    "COMPOSITE_KEYS",
    "EXPERIMENT_KEYS",
    "FOREIGN_COMPOSITE_KEYS",
    "holds_terms",
    "is_loss",
    "is_map_of_objectives",
    "is_map_of_terms",
    "read_composite",
    "read_experiment",
]

COMPOSITE_KEYS = ("checks", "on_nonfinite", "terms")
FOREIGN_COMPOSITE_KEYS = {"losses": "terms", "components": "terms", "objectives": "terms"}
_EXAMPLE = "'fit: {type: mse}'"
_ELSEWHERE = dict.fromkeys(TERM_KEYS, "it belongs to a term: move it under one of 'terms'")
EXPERIMENT_KEYS = ("task", "seed", "trainer", "loss")
_LARGEST_SEED = 2**32 - 1  # numpy's
_MOST_STRAYS = 3


def read_composite(
    node: Node, path: ConfigPath, key: Span | None, registry: Registry, faults: Faults
) -> CompositeConfig | None:
    """The composite that a mapping with `terms:` declares.

    Args:
        node: The mapping.
        path: Its place.
        key: Where its key is written, if it has one.
        registry: Where losses are looked up.
        faults: Takes what is wrong; if an error does, the result is None.
    """
    if not is_mapping(node, path, faults, wanted="a mapping with 'terms:'"):
        return None
    where: ConfigPath = (path, "terms")
    strays = _stray_terms(node)
    if strays:
        message = f"the key 'terms' is missing; put {_listed(strays)} under it"
        faults.add("LR102", path, message, key or node)
        node, where = _gathered(node, strays), path
    node = check_keys(
        node, path, COMPOSITE_KEYS, FOREIGN_COMPOSITE_KEYS, faults, elsewhere=_ELSEWHERE
    )
    if "terms" not in node.value:
        message = f"the key 'terms' is missing; under it each term has a name, as in {_EXAMPLE}"
        faults.add("LR102", path, message, key or node)
        return None
    terms = node.value["terms"]
    if not is_mapping(terms, where, faults, wanted=f"terms by name, such as {_EXAMPLE}"):
        return None
    read = read_terms(terms, where, registry, faults)
    options = {
        name: read_choice(node, path, name, get_args(choices), faults)
        for name, choices in (("checks", Checks), ("on_nonfinite", OnNonFinite))
        if name in node.value
    }
    enabled = [each for each in read if each is None or each.enabled]
    if not enabled:
        message = "every term is disabled" if read else "expected at least one term, found none"
        faults.add("LR108", where, message, node.keys["terms"])
    known = tuple(each for each in read if each is not None)
    if len(known) < len(read) or None in options.values():
        return None
    if enabled and not any(each.weight.factor for each in known if each.enabled):
        message = "all weights are zero, so nothing is learnt"
        faults.add("LR903", where, message, node.keys["terms"], severity="warning")
    return CompositeConfig(terms=known, **options)


def is_loss(node: Node) -> bool:
    """Whether what stands in the wrong place is a loss: it has terms, if only after a fashion."""
    return isinstance(node.value, dict) and (_has_terms(node) or bool(_stray_terms(node)))


def is_map_of_terms(node: Node) -> bool:
    """Whether a mapping is what stands under `terms:`, and nothing else."""
    return isinstance(node.value, dict) and node.value.keys() == set(_stray_terms(node)) != set()


def is_map_of_objectives(node: Node) -> bool:
    """Whether each value of a mapping has `terms:`."""
    if not isinstance(node.value, dict):
        return False
    values = node.value.values()
    return bool(values) and all(isinstance(v.value, dict) and "terms" in v.value for v in values)


def holds_terms(node: Node) -> bool:
    """Whether a mapping has terms by name."""
    return any(map(_is_term, islice(node.value.values(), MOST_FAULTS)))


def _is_term(node: Node) -> bool:
    if not isinstance(node.value, dict):
        return False
    if "type" in node.value or "terms" in node.value:
        return True
    return "type" in Guesses(node, TERM_KEYS, FOREIGN_TERM_KEYS).written


def _has_terms(node: Node) -> bool:
    if "terms" in node.value:
        return True
    written = Guesses(node, COMPOSITE_KEYS, FOREIGN_COMPOSITE_KEYS).written.get("terms")
    # A term may bear a name that looks like a typo.
    return written is not None and not _is_term(node.value[written])


def _stray_terms(node: Node) -> list[str]:
    """The names of terms that stand where the key 'terms' should."""
    if _has_terms(node):
        return []
    found = [
        name
        for name, each in node.value.items()
        if isinstance(each.value, dict) and name not in COMPOSITE_KEYS and name not in TERM_KEYS
    ]
    return found if any(_is_term(node.value[name]) for name in found[:MOST_FAULTS]) else []


def _listed(names: list[str]) -> str:
    shown = [f"'{clipped(name)}'" for name in names[:_MOST_STRAYS]]
    return ", ".join(shown) + (", …" if len(names) > _MOST_STRAYS else "")


def _gathered(node: Node, strays: list[str]) -> Node:
    """A mapping with its stray terms under the key that they lack."""
    whole, terms = node.copy(), Node({}, *node.span)
    for name in strays:
        terms.value[name] = whole.value.pop(name)
        terms.keys[name] = whole.keys.pop(name)
    whole.value["terms"], whole.keys["terms"] = terms, node.span
    return whole


def read_experiment(
    root: Node, loss: CompositeConfig | None, faults: Faults
) -> ExperimentConfig | None:
    """The experiment around a loss that has been read already."""
    from lossreg.config.declare.trainer import TrainerConfig

    # Other keys of a document are its owner's; a near miss is more likely a typo. That there is no
    # loss, and what was probably meant, has been noted.
    guesses = Guesses(root, EXPERIMENT_KEYS)
    guesses.written.pop("loss", None)
    noted = overridden(root)
    guesses.note((each for each in guesses.written.values() if each not in noted), "", faults)
    root = guesses.applied("", faults)
    task = root.value["task"]
    if not isinstance(task.value, str) or task.value not in TASKS:
        meant = closest(task.value, TASKS)
        hint = f"; did you mean '{meant}'?" if meant else ""
        message = f"expected a task ({', '.join(TASKS)}), found {describe(task.value)}{hint}"
        faults.add("LR501", "task", message, task)
    seed = read_whole_number(
        root.value.get("seed", Node(0)), ("", "seed"), faults, least=0, most=_LARGEST_SEED
    )
    options = root.value.get("trainer", Node({}))
    trainer = None
    if is_mapping(options, ("", "trainer"), faults, wanted="options, each 'name: value'"):
        where = ("", "trainer")
        trainer = validated(TrainerConfig, options, owner="trainer", path=where, faults=faults)
    if loss is None or trainer is None or seed is None or faults.has_errors:
        return None
    return ExperimentConfig(task=task.value, seed=seed, trainer=trainer, loss=loss)
