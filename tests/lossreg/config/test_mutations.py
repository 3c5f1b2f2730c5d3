"""Valid documents in which one node is changed: the reported line is the changed line."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args, get_origin

import pytest
from pydantic import BaseModel, ValidationError

from lossreg import Registry
from yaml_faults import verdicts

REGISTRY = Registry.installed()
OPTIONAL = ("weight", "enabled", "inputs", "params")
NUMBERS = (0, 1, 2, 0.5, 1e-3, -0.5, -1, 255, -100, 1.5, 10.0, 2**31, -(2**63), 2**63, 10**30)
NOT_FINITE = {
    ".nan": float("nan"),
    ".inf": float("inf"),
    "-.inf": float("-inf"),
    "1" + "0" * 400: 10**400,
}
WORDS = ("one", "two", "half", "maximum")
WRONG_NUMBERS = ("heavy", "'2.0'", "true", "[1.0]", "{a: 1}", "", "yes", "012", "1_000", "1:30")
WRONG_BOOLS = ("1", "'true'", "yes", "off", "", "[true]", "maybe")
WRONG_MAPPINGS = ("3", "", "mse", "[mse]", "true", "'x: 1'")
WRONG_PATHS = ("3", "", "[a, b]", "a..b", "a.", "'a b'", "true", "'[0'")
BAD_NAMES = ("total", "a b", "a.b", "größe", "''", "a/b", "'[0]'")


@dataclass(eq=False)
class Entry:
    """A key, and its value: the text of a scalar or of a list in brackets, or more entries."""

    key: str
    value: str | list[Entry]
    role: str
    loss: str = ""
    line: int = 0


@dataclass
class Element:
    """One element of a class-weight list, a block's line."""

    text: str
    line: int = 0


@dataclass
class Sequence(Entry):
    elements: list[Element] = field(default_factory=list)


Mutable = Entry | Element


class Change(NamedTuple):
    """What was done, and the line that must be told: of an entry, or of none if all is well."""

    what: str
    at: Entry | Element | None


def _scalar(value: object) -> str:
    return "true" if value is True else "false" if value is False else str(value)


def _accepts(model: type[BaseModel], name: str, value: object) -> bool:
    try:
        model(**{name: value})
    except ValidationError:
        return False
    return True


def _kind(model: type[BaseModel], name: str) -> str:
    annotation = model.model_fields[name].annotation
    if get_origin(annotation) is Literal:
        return "choice"
    return {float: "float", int: "int", bool: "bool"}.get(annotation, "weights")  # type: ignore[arg-type]


def _fitting(model: type[BaseModel], name: str, *, fits: bool) -> list[str]:
    """Numbers of the parameter's type that are within its bounds, or beyond."""
    whole = _kind(model, name) == "int"
    typed = [each for each in NUMBERS if isinstance(each, int) or not whole]
    return [str(each) for each in typed if _accepts(model, name, each) is fits]


_PARAMETERS: dict[str, dict[str, tuple[str, list[str], list[str]]]] = {}
for _name in REGISTRY:
    _model = REGISTRY[_name].config
    _PARAMETERS[_name] = {}
    for _parameter in _model.model_fields:
        _kind_of = _kind(_model, _parameter)
        if _kind_of == "choice":
            _good = [
                each
                for each in get_args(_model.model_fields[_parameter].annotation)
                if each != "none"
            ]
            _bad = ["avg", "Mean", "none", "''"]
        elif _kind_of in ("float", "int"):
            _good = _fitting(_model, _parameter, fits=True)
            _bad = _fitting(_model, _parameter, fits=False)
        else:
            _good, _bad = ["true", "false"], []
        _PARAMETERS[_name][_parameter] = (_kind_of, _good, _bad)


def _term(rng: random.Random, name: str, *, enabled: bool) -> Entry:
    loss = rng.choice(list(REGISTRY))
    definition = REGISTRY[loss]
    entries = [Entry("type", loss, "type")]
    if not enabled or rng.random() < 0.3:
        entries.append(Entry("enabled", _scalar(enabled), "enabled"))
    if rng.random() < 0.6:
        entries.append(Entry("weight", rng.choice(("1.0", "2", "1e-3", "0.5")), "weight"))
    if rng.random() < 0.7:
        names = [each.name for each in definition.inputs]
        paths = rng.sample(("y", "x.y", "'heads.seg[0]'", '"hidden[-1]"', "a.b.c", "t"), len(names))
        if rng.random() < 0.5:
            entries.append(Entry("inputs", f"[{', '.join(paths)}]", "input list"))
        else:
            pairs = list(zip(names, paths, strict=True))
            rng.shuffle(pairs)
            arguments = [Entry(argument, path, "input") for argument, path in pairs]
            entries.append(Entry("inputs", arguments, "inputs"))
    chosen = [each for each in _PARAMETERS[loss] if rng.random() < 0.6]
    if chosen:
        entries.append(
            Entry("params", [_parameter_of(rng, loss, each) for each in chosen], "params")
        )
    rng.shuffle(entries)
    return Entry(name, entries, "term")


def _parameter_of(rng: random.Random, loss: str, name: str) -> Entry:
    kind, good, _ = _PARAMETERS[loss][name]
    if kind == "weights":
        numbers = [Element(rng.choice(("1.0", "2", "0.5"))) for _ in range(rng.randrange(2, 5))]
        return Sequence(name, "", kind, loss, elements=numbers)
    return Entry(name, rng.choice(good), kind, loss)


class Document:
    """A valid document, its entries on lines of their own, comments and blank lines between."""

    def __init__(self, rng: random.Random) -> None:
        count = rng.randrange(1, 5)
        terms = [
            _term(rng, f"{rng.choice(WORDS)}_{index}", enabled=index == 0 or rng.random() < 0.9)
            for index in range(count)
        ]
        rng.shuffle(terms)
        self.terms = Entry("terms", terms, "terms")
        self.root = Entry("", [self.terms], "root")
        if rng.random() < 0.5:
            self.loss = Entry("loss", [self.terms], "loss")
            others = [
                Entry("model", [Entry("depth", "3", "foreign")], "foreign"),
                Entry("data", "mnist", "foreign"),
            ]
            kept = [self.loss, *others[: rng.randrange(3)]]
            rng.shuffle(kept)
            self.root.value = kept
        self.layout = rng.random()

    def walk(self) -> list[tuple[Entry, Mutable]]:
        """Every node that can be changed, with the entry around it."""
        found: list[tuple[Entry, Mutable]] = []

        def visit(entry: Entry) -> None:
            for child in entry.value if isinstance(entry.value, list) else ():
                found.append((entry, child))
                visit(child)
            if isinstance(entry, Sequence):
                found.extend((entry, each) for each in entry.elements)

        visit(self.root)
        return [pair for pair in found if getattr(pair[1], "role", "") != "foreign"]

    def text(self) -> str:
        """The document; notes the line of every entry."""
        rng, lines = random.Random(self.layout), []

        def between(indent: str) -> None:
            while rng.random() < 0.2:
                lines.append(rng.choice(("", f"{indent}# {{note: [1}}", "#", "  ")))

        def emit(entry: Entry, indent: str) -> None:
            between(indent)
            entry.line = len(lines) + 1
            key = f'"{entry.key}"' if rng.random() < 0.1 and "'" not in entry.key else entry.key
            value = entry.value if isinstance(entry.value, str) else ""
            note = "  # why: not" if rng.random() < 0.1 else ""
            lines.append(f"{indent}{key}:{' ' * bool(value)}{value}{note}")
            if isinstance(entry, Sequence) and not entry.value:
                for each in entry.elements:
                    between(indent)
                    each.line = len(lines) + 1
                    lines.append(f"{indent}  - {each.text}")
            elif isinstance(entry.value, list):
                for child in entry.value:
                    emit(child, indent + "  ")

        assert isinstance(self.root.value, list)
        for entry in self.root.value:
            emit(entry, "")
        return rng.choice(("\n", "\r\n")).join([*lines, ""])


def _deleted(document: Document, parent: Entry, node: Mutable) -> Change:
    siblings: list[Any] = parent.elements if isinstance(parent, Sequence) else parent.value  # type: ignore[assignment]
    siblings.remove(node)
    if isinstance(node, Element):
        return Change("delete an element", None if siblings else parent)
    at: Entry | None = None
    if node.role in ("type", "input"):
        at = parent
    elif node.role == "term":
        at = None if any(_is_enabled(each) for each in siblings) else parent
    elif (not siblings and node.role not in ("terms", "loss")) or parent.role == "loss":
        at = parent  # a key without a value
    elif node.role in ("terms", "loss"):
        # Nothing surrounds it: the document's first key stands for it, or the file.
        at = siblings[0] if siblings else document.root
    return Change(f"delete {node.role}", at)


def _is_enabled(term: Entry) -> bool:
    return not any(each.role == "enabled" and each.value == "false" for each in term.value)  # type: ignore[union-attr]


def _renamed(rng: random.Random, node: Entry) -> Change:
    if node.role == "term":
        node.key = rng.choice(BAD_NAMES)
    else:
        at = rng.randrange(len(node.key))
        node.key = node.key[:at] + node.key[at] + node.key[at:]
    return Change(f"rename {node.role}", node)


_WRONG: dict[str, tuple[str, ...]] = {
    "loss": WRONG_MAPPINGS,
    "terms": WRONG_MAPPINGS,
    "term": WRONG_MAPPINGS,
    "params": WRONG_MAPPINGS,
    "inputs": ("3", "", "y", "true", "'[a, b]'"),
    "input list": ("3", "", "y", "true", "{}", "[a, b, c, d, e]", "[[a]]"),
    "input": WRONG_PATHS,
    "type": ("3", "", "[mse]", "{name: mse}", "true", "''"),
    "weight": WRONG_NUMBERS,
    "enabled": WRONG_BOOLS,
    "bool": WRONG_BOOLS,
    "float": WRONG_NUMBERS,
    "int": (*WRONG_NUMBERS, "1.0", "0.5"),
    "choice": ("3", "", "[mean]", "true", "{a: 1}"),
    "weights": ("2.0", "true", "{a: 1}", "'[1.0]'", "all"),
}


def _retyped(rng: random.Random, node: Mutable) -> Change:
    if isinstance(node, Element):
        node.text = rng.choice(WRONG_NUMBERS)
        return Change("retype an element", node)
    node.value = rng.choice(_WRONG[node.role])
    return Change(f"retype {node.role} as {node.value!r}", node)


def _duplicated(rng: random.Random, parent: Entry, node: Mutable) -> Change:
    if isinstance(node, Element):
        assert isinstance(parent, Sequence)
        parent.elements.append(Element(node.text))
        return Change("repeat an element", None)
    siblings = parent.value
    assert isinstance(siblings, list)
    twin: Entry = (
        Sequence(node.key, "", node.role, elements=[Element("1.0")])
        if isinstance(node, Sequence)
        else Entry(node.key, _copied(node.value), node.role)
    )
    siblings.insert(rng.randrange(siblings.index(node) + 1, len(siblings) + 1), twin)
    return Change(f"repeat {node.role}", twin)


def _copied(value: str | list[Entry]) -> str | list[Entry]:
    if isinstance(value, str):
        return value
    return [
        Sequence(each.key, each.value, each.role, elements=[Element("1.0")])
        if isinstance(each, Sequence)
        else Entry(each.key, _copied(each.value), each.role)
        for each in value
    ]


def _out_of_range(rng: random.Random, node: Mutable) -> Change | None:
    if isinstance(node, Element):
        node.text = rng.choice(("-1.0", *NOT_FINITE))
        return Change(f"an element of {node.text:.9}", node)
    if node.role == "type":
        # A misspelt loss is read as the one that is meant, so it must be the term's own.
        own = f"{node.value}_loss"
        node.value = rng.choice((own, "l3", "no_such_one", "x" * 200, "lossreg:no_such_one"))
        return Change("an unknown loss", node)
    wrong = []
    if node.role in ("weight", "float"):
        config = REGISTRY[node.loss].config if node.loss else None
        wrong = [
            text
            for text, value in NOT_FINITE.items()
            if config is None or not _accepts(config, node.key, value)
        ]
    if node.loss:
        wrong += _PARAMETERS[node.loss][node.key][2]
    if not wrong:
        return None
    node.value = rng.choice(wrong)
    return Change(f"{node.role} of {node.value:.20}", node)


def _change(rng: random.Random, document: Document) -> Change:
    while True:
        parent, node = rng.choice(document.walk())
        match rng.choice(("delete", "rename", "retype", "repeat", "out of range")):
            case "delete":
                return _deleted(document, parent, node)
            case "rename" if isinstance(node, Entry):
                return _renamed(rng, node)
            case "retype":
                return _retyped(rng, node)
            case "repeat":
                return _duplicated(rng, parent, node)
            case "out of range":
                changed = _out_of_range(rng, node)
                if changed is not None:
                    return changed


def _error_lines(text: str) -> list[int | None]:
    found = verdicts(text.encode()).diagnostics
    return sorted({each.line for each in found if each.severity == "error"}, key=str)


@pytest.mark.parametrize("cases", [300, pytest.param(100_000, marks=pytest.mark.nightly)])
def test_the_changed_line_is_the_reported_line(cases: int) -> None:
    seen: dict[str, int] = {}
    for seed in range(cases):
        rng = random.Random(seed)
        document = Document(rng)
        before = document.text()
        assert _error_lines(before) == [], f"{seed}:\n{before}"
        what, at = _change(rng, document)
        text = document.text()
        assert text != before
        expected = [] if at is None else [at.line or None]
        assert _error_lines(text) == expected, f"{seed}, {what}:\n{text}"
        kind = f"{what.split(' ')[0]} {'valid' if at is None else 'wrong'}"
        seen[kind] = seen.get(kind, 0) + 1
    assert {"delete valid", "delete wrong", "rename wrong", "retype wrong", "repeat wrong"} <= set(
        seen
    )


@pytest.mark.parametrize("cases", [200, pytest.param(20_000, marks=pytest.mark.nightly)])
def test_misspelt_keys_hide_no_other_fault(cases: int) -> None:
    hidden = 0
    for seed in range(cases):
        rng = random.Random(seed)
        document = Document(rng)
        entries = [node for _, node in document.walk() if isinstance(node, Entry)]
        keys = [each for each in entries if each.role != "term" and len(each.key) > 1]
        changed = rng.sample(keys, min(len(keys), rng.randrange(2, 6)))
        for entry in changed:
            _renamed(rng, entry)
        bounded = [
            each for each in entries if each.loss and each.role in ("float", "int", "choice")
        ]
        if bounded:
            entry = rng.choice(bounded)
            entry.value = rng.choice(_WRONG[entry.role])
            changed.append(entry)
            hidden += any(entry in _below(each) for each in changed[:-1])
        text = document.text()
        expected = sorted({entry.line for entry in changed}, key=str)
        assert _error_lines(text) == expected, f"{seed}:\n{text}"
    assert hidden > cases / 20


def _below(entry: Entry) -> list[Entry]:
    if isinstance(entry.value, str):
        return []
    return [found for each in entry.value for found in (each, *_below(each))]
