"""A whole objective or experiment: nodes to a `CompositeConfig`, an `ExperimentConfig`."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from lossreg.config.diagnostics import describe
from lossreg.config.fields import check_keys, is_mapping, read_choice, read_whole_number
from lossreg.config.groups import read_terms
from lossreg.config.nodes import Node, Span
from lossreg.config.parameters import validated
from lossreg.config.schema import (
    TASKS,
    Checks,
    CompositeConfig,
    ExperimentConfig,
    OnNonFinite,
)
from lossreg.suggest import closest

if TYPE_CHECKING:
    from lossreg.config.diagnostics import ConfigPath, Faults
    from lossreg.registry import Registry

__all__ = ["COMPOSITE_KEYS", "EXPERIMENT_KEYS", "read_composite", "read_experiment"]

COMPOSITE_KEYS = ("checks", "on_nonfinite", "terms")
_FOREIGN_COMPOSITE_KEYS = {"losses": "terms", "components": "terms", "objectives": "terms"}
_EXAMPLE = "'fit: {type: mse}'"
EXPERIMENT_KEYS = ("task", "seed", "trainer", "loss")
_LARGEST_SEED = 2**32 - 1  # numpy's


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
    guessed = check_keys(node, path, COMPOSITE_KEYS, _FOREIGN_COMPOSITE_KEYS, faults)
    if "terms" not in node.value:
        if "terms" not in guessed:
            message = f"the key 'terms' is missing; under it each term has a name, as in {_EXAMPLE}"
            faults.add("LR102", path, message, key or node)
        return None
    terms, where = node.value["terms"], (path, "terms")
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


def read_experiment(
    root: Node, loss: CompositeConfig | None, faults: Faults
) -> ExperimentConfig | None:
    """The experiment around a loss that has been read already."""
    from lossreg.config.trainer import TrainerConfig

    for name, key in root.keys.items():
        # Other keys of a document are its owner's; a near miss is more likely a typo.
        meant = closest(name, [each for each in EXPERIMENT_KEYS if each not in root.value])
        # That there is no loss, and what was probably meant, has been noted.
        if name not in EXPERIMENT_KEYS and meant and meant != "loss":
            faults.add("LR104", name, f"unknown key; did you mean '{meant}'?", key)
    task = root.value["task"]
    if not isinstance(task.value, str) or task.value not in TASKS:
        meant = closest(task.value, TASKS)
        hint = f"; did you mean '{meant}'?" if meant else ""
        message = f"expected a task ({', '.join(TASKS)}), found {describe(task.value)}{hint}"
        faults.add("LR501", "task", message, task)
    seed = read_whole_number(
        root.value.get("seed", Node(0)), "seed", faults, least=0, most=_LARGEST_SEED
    )
    options = root.value.get("trainer", Node({}))
    trainer = None
    if is_mapping(options, "trainer", faults, wanted="options, each 'name: value'"):
        trainer = validated(TrainerConfig, options, owner="trainer", path="trainer", faults=faults)
    if loss is None or trainer is None or seed is None or faults.has_errors:
        return None
    return ExperimentConfig(task=task.value, seed=seed, trainer=trainer, loss=loss)
