"""A whole objective, as it is written, and the experiment around one."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from lossreg.config.declare.fields import is_mapping, read_whole_number
from lossreg.config.declare.groups import read_terms
from lossreg.config.declare.keys import as_meant
from lossreg.config.declare.parameters import validated
from lossreg.config.declare.tree import Declared
from lossreg.config.declare.values import read_values
from lossreg.config.faults.faults import clipped, describe
from lossreg.config.faults.guesses import Guesses
from lossreg.config.grammar import COMPOSITE, EXPERIMENT, TERM
from lossreg.config.models import ExperimentConfig
from lossreg.config.read.nodes import MOST_FAULTS, Node, Span
from lossreg.config.read.overrides import overridden
from lossreg.errors import DuplicateNameError, PluginLoadError, UnknownNameError
from lossreg.registry import TASKS

if TYPE_CHECKING:
    from lossreg.config.faults.faults import ConfigPath, Faults
    from lossreg.config.models import CompositeConfig
    from lossreg.plugin import TaskDefinition
    from lossreg.registry import Definitions, Registry

__all__ = [
    "holds_terms",
    "is_loss",
    "is_map_of_objectives",
    "is_map_of_terms",
    "read_composite",
    "read_experiment",
]

_EXAMPLE = "'fit: {type: mse}'"
_LARGEST_SEED = 2**32 - 1  # numpy's
_MOST_LISTED = 3


def read_composite(
    node: Node, path: ConfigPath, key: Span | None, registry: Registry, faults: Faults
) -> Declared | None:
    """The composite in a mapping with `terms:`, as it is written; None if it is not a composite.

    Args:
        node: The mapping.
        path: Its place.
        key: Where its key is written, if it has one.
        registry: Where losses are looked up.
        faults: Takes the faults.
    """
    if not is_mapping(node, path, faults, wanted="a mapping with 'terms:'"):
        return None
    place: ConfigPath = (path, "terms")
    strays = _stray_terms(node)
    if strays:
        message = f"the key 'terms' is missing; put {_listed(strays)} under it"
        faults.add("LR102", path, message, key or node)
        node, place = _gathered(node, strays), path
    node = as_meant(COMPOSITE, node, path, faults)
    if "terms" not in node.value:
        message = f"the key 'terms' is missing; under it each term has a name, as in {_EXAMPLE}"
        faults.add("LR102", path, message, key or node)
        return None
    terms = node.value["terms"]
    if not is_mapping(terms, place, faults, wanted=f"terms by name, such as {_EXAMPLE}"):
        return None
    composite = Declared(COMPOSITE, "", node, path, key)
    composite.terms_path = place
    composite.put("terms", read_terms(terms, place, registry, faults))
    read_values(composite, faults)
    return composite


def is_loss(node: Node) -> bool:
    """Whether a misplaced mapping is a loss: it has terms, even if malformed."""
    return isinstance(node.value, dict) and (_has_terms(node) or bool(_stray_terms(node)))


def is_map_of_terms(node: Node) -> bool:
    """Whether a mapping has only terms, so that it belongs under `terms:`."""
    return isinstance(node.value, dict) and node.value.keys() == set(_stray_terms(node)) != set()


def is_map_of_objectives(node: Node) -> bool:
    """Whether a mapping has objectives by name: a value has `terms:`, and none is a term."""
    if not isinstance(node.value, dict) or _has_terms(node):
        return False
    values = list(islice(node.value.values(), MOST_FAULTS))
    if any(isinstance(v.value, dict) and "type" in v.value for v in values):
        return False
    return any(map(is_loss, values))


def holds_terms(node: Node) -> bool:
    """Whether a mapping has terms by name."""
    return any(map(_is_term, islice(node.value.values(), MOST_FAULTS)))


def _is_term(node: Node) -> bool:
    if not isinstance(node.value, dict):
        return False
    if "type" in node.value or "terms" in node.value:
        return True
    return "type" in Guesses.of(TERM, node).written


def _has_terms(node: Node) -> bool:
    if "terms" in node.value:
        return True
    written = Guesses.of(COMPOSITE, node).written.get("terms")
    # A term's name may look like a typo of `terms`.
    return written is not None and not _is_term(node.value[written])


def _stray_terms(node: Node) -> list[str]:
    """The names of terms that are where the key 'terms' should be."""
    if _has_terms(node):
        return []
    names = [
        name
        for name, child in node.value.items()
        if isinstance(child.value, dict) and name not in COMPOSITE.keys and name not in TERM.keys
    ]
    return names if any(_is_term(node.value[name]) for name in names[:MOST_FAULTS]) else []


def _listed(names: list[str], quote: str = "'") -> str:
    shown = [f"{quote}{clipped(name)}{quote}" for name in names[:_MOST_LISTED]]
    return ", ".join(shown) + (", …" if len(names) > _MOST_LISTED else "")


def _gathered(node: Node, strays: list[str]) -> Node:
    """A mapping with its stray terms under the key that they lack."""
    whole, terms = node.copy(), Node({}, *node.span)
    for name in strays:
        terms.value[name] = whole.value.pop(name)
        terms.keys[name] = whole.keys.pop(name)
    whole.value["terms"], whole.keys["terms"] = terms, node.span
    return whole


def read_experiment(
    root: Node, loss: CompositeConfig | None, registry: Registry, faults: Faults
) -> ExperimentConfig | None:
    """The experiment around a loss that has been read already."""
    from lossreg.config.declare.trainer import TrainerConfig

    # Other keys of a document are its owner's; a near miss is more likely a typo. That there is no
    # loss, and what was probably meant, has been noted.
    guesses = Guesses.of(EXPERIMENT, root)
    guesses.written.pop("loss", None)
    noted = overridden(root)
    guesses.note((name for name in guesses.written.values() if name not in noted), "", faults)
    root = guesses.applied("", faults)
    task = root.value["task"]
    tasks = registry.of(TASKS)
    definition = _read_task(task, tasks, faults)
    seed = read_whole_number(
        root.value.get("seed", Node(0)), ("", "seed"), faults, least=0, most=_LARGEST_SEED
    )
    options = root.value.get("trainer", Node({}))
    trainer = None
    if is_mapping(options, ("", "trainer"), faults, wanted="options, each 'name: value'"):
        where = ("", "trainer")
        trainer = validated(TrainerConfig, options, owner="trainer", path=where, faults=faults)
    if loss is None or definition is None or trainer is None or seed is None or faults.has_errors:
        return None
    origin = tasks.origin(task.value)
    return ExperimentConfig(task.value, definition, origin, seed, trainer, loss)


def _read_task(
    node: Node, tasks: Definitions[TaskDefinition], faults: Faults
) -> TaskDefinition | None:
    """The definition of a task that is named, after noting what is wrong with it."""
    expected = f"expected a task ({_listed(list(tasks), quote='')})"
    if not isinstance(node.value, str):
        faults.add("LR501", "task", f"{expected}, found {describe(node.value)}", node)
        return None
    try:
        return tasks[node.value]
    except UnknownNameError as error:
        hint = error.hint("").removeprefix("; ")
        message = f"{expected}, found {describe(node.value)}" + (f"; {hint}" if hint else "")
        faults.add("LR501", "task", message, node)
    except DuplicateNameError as error:
        faults.add("LR302", "task", str(error), node)
    except PluginLoadError as error:
        faults.add("LR301", "task", str(error), node)
    return None
