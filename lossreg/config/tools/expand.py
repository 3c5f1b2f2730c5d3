"""A document with every default written out: what is trained, whatever a later release assumes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lossreg.config.fingerprint import fingerprint, in_words
from lossreg.config.grammar import GROUP, TERM
from lossreg.config.models import Weight
from lossreg.config.read.nodes import Node
from lossreg.config.read.python import from_python
from lossreg.config.read.writing import yaml_text
from lossreg.vocabulary.routes import Route, is_schedule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lossreg.config.declare.tree import Declared
    from lossreg.config.loading import Examined
    from lossreg.config.models import CompositeConfig, TermConfig
    from lossreg.vocabulary.schedules import Schedule

__all__ = ["expanded"]


def expanded(examined: Examined, release: str) -> str:
    """The text of a document in which every default of its objectives is written.

    Expanding the result gives the same text.

    Args:
        examined: The document, without a fault.
        release: The version of lossreg, for the header.
    """
    assert examined.document is not None  # noqa: S101 - the caller has looked
    configs = _configs(examined)
    root = examined.document.copy()
    for name, declared in examined.declared.items():
        terms = {term.name: term for term in configs[name].terms}
        root = _replaced(root, _steps(declared), _mapping(declared, terms, ""))
    return "\n".join([*_header(configs, release), yaml_text(root)])


def _configs(examined: Examined) -> Mapping[str, CompositeConfig]:
    if examined.loss is not None:
        return {"": examined.loss}
    return examined.by_name


def _header(configs: Mapping[str, CompositeConfig], release: str) -> list[str]:
    origins = {
        term.origin.release or term.origin.module: None
        for config in configs.values()
        for term in config.terms
        if term.origin is not None
    }
    lines = [f"# Expanded by lossreg {release}, with the losses of {', '.join(sorted(origins))}."]
    for name, config in configs.items():
        of = f" of {name}" if name else ""
        lines.append(f"# fingerprint{of}: {fingerprint(in_words(config))}")
    return lines


def _steps(declared: Declared) -> list[str | int]:
    """The keys that lead to an objective."""
    steps: list[str | int] = []
    path: Any = declared.path
    while not isinstance(path, str):
        path, step = path
        steps.append(step)
    return [*([path] if path else []), *reversed(steps)]


def _replaced(root: Node, steps: list[str | int], inner: Node) -> Node:
    if not steps:
        return inner
    twin = root.copy()
    twin.value[steps[0]] = _replaced(twin.value[steps[0]], steps[1:], inner)
    return twin


def _mapping(declared: Declared, terms: Mapping[str, TermConfig], prefix: str) -> Node:
    """A composite, a group or a term with its defaults; keys in the order of the grammar."""
    written, values = declared.node.value, {}
    term = terms.get(prefix + declared.name) if declared.construct is TERM else None
    inner = f"{prefix}{declared.name}/" if declared.construct is GROUP else prefix
    for name, key in declared.construct.keys.items():
        if key.reads == "terms":
            named = ((child.name, child) for child in declared.get(name) if child is not None)
            values[name] = _node({child: _mapping(tree, terms, inner) for child, tree in named})
        elif term is not None and key.reads == "params":
            values[name] = _plain(_parameters(term))
        elif term is not None and key.reads == "inputs":
            values[name] = _inputs(declared, term)
        elif name in written:
            values[name] = _as_read(declared.values.get(name), written[name])
        elif isinstance(key.default, bool | int | float | str) and _applies(name, declared):
            values[name] = Node(key.default)
    return _node(values)


def _applies(name: str, declared: Declared) -> bool:
    """Whether a key with a default may stand in a mapping as it is."""
    if name == "class_dim":
        return declared.loss is not None and bool(declared.loss.definition.with_classes)
    if name == "within_row":
        divisor = declared.get("divide_by")
        return divisor is not None and divisor.counts_rows
    return True


def _node(values: dict[str, Node]) -> Node:
    node = Node(values)
    node.keys = dict.fromkeys(values, (None, 0, 0))
    return node


def _plain(value: Any) -> Node:
    return from_python(value)


def _as_read(value: Any, written: Node) -> Node:
    """What was read at a key, with its defaults; or else as it is written."""
    if isinstance(value, Route):
        return _plain(_route(value))
    if isinstance(value, Weight):
        return _weight(value, written)
    if isinstance(value, dict):  # derived names
        return _plain({name: _route(route) for name, route in value.items()})
    return written


def _weight(weight: Weight, written: Node) -> Node:
    """One mapping's own weight, which is a product with nothing."""
    if weight.schedules:
        return _plain(_schedule(weight.schedules[0]))
    if weight.learned is not None:
        return _plain({"learned": weight.learned.form, "initial": weight.learned.initial})
    if weight.routes:
        route = _route(weight.routes[0])
        return _plain(route if isinstance(route, dict) else {"from": route})
    return written


def _parameters(term: TermConfig) -> dict[str, Any]:
    return {
        name: value.tolist() if hasattr(value, "tolist") else value
        for name, value in term.params.model_dump().items()
    }


def _inputs(declared: Declared, term: TermConfig) -> Node:
    """Each input by name; a constant, and a list of paths, stays as it is written."""
    routes = declared.get("inputs") or {}
    written = declared.node.value.get("inputs")
    values: dict[str, Node] = {}
    for place, argument in enumerate(term.inputs):
        own = None
        if written is not None:
            is_list = isinstance(written.value, list)
            own = written.value[place] if is_list else written.value[argument]
        if own is None:
            values[argument] = Node(argument)
        elif isinstance(own.value, list) or (
            isinstance(own.value, dict) and "constant" in own.value
        ):
            values[argument] = own
        else:
            values[argument] = _plain(_route(routes[argument]))
    return _node(values)


def _route(route: Route) -> Any:
    if not route.transforms and route.dims is None and not route.gradient:
        return str(route.path)
    written: dict[str, Any] = {"from": str(route.path)}
    if route.transforms:
        written["apply"] = [_transform(*transform) for transform in route.transforms]
    if route.dims is not None:
        written["dims"] = list(route.dims)
    if route.gradient:
        written["gradient"] = True
    return written


def _transform(name: str, arguments: tuple[tuple[str, Any], ...]) -> Any:
    written = {key: _argument(value) for key, value in arguments if value is not None}
    return {name: written} if written else name


def _argument(value: Any) -> Any:
    if isinstance(value, Route):
        return _route(value)
    if is_schedule(value):
        return _schedule(value)
    return list(value) if isinstance(value, tuple) else value


def _schedule(schedule: Schedule) -> dict[str, Any]:
    return {"schedule": schedule.name, **schedule.model_dump()}
