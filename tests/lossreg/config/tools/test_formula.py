"""The formula of an objective: nothing that changes the objective is invisible in it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lossreg.cli.render.objective import as_dict, objective_page, objective_text
from lossreg.config.declare.weights import FORMS
from lossreg.config.fingerprint import in_words
from lossreg.config.grammar import EACH, TERM
from lossreg.config.loading import Examined, examine
from lossreg.config.read.files import read_file
from lossreg.config.read.nodes import Node
from lossreg.config.tools.formula import objectives
from lossreg.registry import Registry
from lossreg.vocabulary.arguments import REQUIRED, Argument
from lossreg.vocabulary.schedules import SCHEDULES
from lossreg.vocabulary.transforms import TRANSFORMS

ROOT = Path(__file__).parents[4]
CORPUS = ROOT / "tests" / "lossreg" / "config" / "corpus" / "good"
REGISTRY = Registry.installed()
FILES = [
    *sorted((ROOT / "configs").glob("*.yaml")),
    *(
        CORPUS / f"{name}.yaml"
        for name in (
            *("active", "class-dim", "composite_groups", "composite_schedules", "derive", "dims"),
            *("composite_transforms", "divide_by", "each", "gradients", "null-parameters"),
            *("transforms-of-several-tensors", "weights"),
        )
    ),
]
# What a term may have beside what it has; the ones that a file refuses are passed over.
ADDED: list[dict[str, Any]] = [
    *({"weight": weight} for weight in (2, -3, 0.1, 1e-12, {"from": "lam"}, {"from": "exp(x)"})),
    *(
        {"weight": {"from": "lam", "apply": [transform]}}
        for transform in ("exp", {"mul": -2}, {"pow": 2}, {"div": 2}, {"sub": "other"}, "detach")
    ),
    *({"weight": {"learned": form, "initial": at}} for form in FORMS for at in (0, 1)),
    *({"maximize": True, "weight": weight} for weight in (1, 2)),
    *({"class_dim": dim} for dim in (-1, 2)),
    *({"detach": names} for names in (["target"], ["input"], ["input", "target"])),
    *({"mask": mask} for mask in ("m", "exp(m)", {"from": "m", "dims": [0]})),
    {"mask": {"from": "m", "apply": ["logical_not"]}},
    *({"ignore": value} for value in (-1, 255, float("nan"))),
    *({"optional": value} for value in (True, False)),
    *(
        {"divide_by": form, "within_row": within}
        for form in ("rows", "kept_rows", {"rows": "image"})
        for within in ("sum", "mean")
    ),
    *({"divide_by": form} for form in ("kept", "entries", "weights")),
    *({"divide_by": {form: "image"}} for form in ("entries", "number")),
    *(
        {"sample_weight": weight, "divide_by": "kept"}
        for weight in ("w", {"from": "w", "gradient": True}, {"from": "w", "dims": [0]})
    ),
    *(
        {"active": times}
        for times in (
            {"from_step": 7},
            {"until_step": 7},
            {"every_steps": 7},
            {"every_steps": 7, "times_every": True},
            {"from_step": 3, "every_steps": 7},
            {"from_epoch": 7},
            {"until_epoch": 7},
            {"every_epochs": 7},
        )
    ),
    *(
        {"weight": {"schedule": "linear", "start": 1, "end": 2, "steps": 3, "unit": unit}}
        for unit in ("step", "epoch")
    ),
]
# And a group's `each`.
ADDED_TO_EACH: list[dict[str, Any]] = [
    *({"pick": part} for part in ({"step": 1}, {"step": 2}, {"start": 1}, {"end": -1})),
    *({"weights": weights} for weights in ({"sum_to_one": False}, {"zero": [0]}, {"zero": [-1]})),
    *({"weights": {"decay": decay, "towards": "last"}} for decay in (0.5, 1.0)),
    {"weights": {"decay": 1.0, "towards": "first", "sum_to_one": True}},
]


def plain(node: Node) -> Any:
    """The value that a node holds."""
    if isinstance(node.value, dict):
        return {key: plain(child) for key, child in node.value.items()}
    return [plain(child) for child in node.value] if isinstance(node.value, list) else node.value


def read(document: Any) -> Examined | None:
    """A document that has one objective or several, without a fault; else None."""
    examined = examine(document, registry=REGISTRY)
    if examined.document is None:
        examined = examine(document, registry=REGISTRY, several=True)
    return None if examined.document is None else examined


def words_of(examined: Examined) -> str:
    """What decides whether two documents are one objective."""
    configs = {"": examined.loss} if examined.loss is not None else examined.by_name
    return json.dumps({name: in_words(config) for name, config in configs.items()}, sort_keys=True)


def forms_of(examined: Examined) -> dict[str, str]:
    """Each form in which a document is shown."""
    formulas = objectives(examined)
    return {
        "60 columns": "\n".join(objective_text(formula, 60) for formula in formulas),
        "100 columns": "\n".join(objective_text(formula, 100) for formula in formulas),
        "Markdown": "\n".join(map(objective_page, formulas)),
        "JSON": json.dumps([as_dict(formula) for formula in formulas]),
    }


def text_of(terms: dict[str, Any]) -> str:
    examined = read({"terms": terms})
    assert examined is not None, terms
    return forms_of(examined)["100 columns"]


def changed(value: Any) -> Iterator[Any]:
    """Each value that differs from this one in one place."""
    if isinstance(value, dict):
        for key, member in value.items():
            yield {name: other for name, other in value.items() if name != key}
            for new in changed(member):
                yield {**value, key: new}
            if isinstance(member, dict):
                added = ADDED if "type" in member else ADDED_TO_EACH if key == "each" else ()
                yield from ({**value, key: {**member, **keys}} for keys in added)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield value[:index] + value[index + 1 :]
            for new in changed(item):
                yield [*value[:index], new, *value[index + 1 :]]
        yield value[::-1]
    elif isinstance(value, str):
        yield from other_words(value)
    elif value is not None:
        yield from (not value, *(() if value is True or value is False else (value + 1, -value)))


def other_words(word: str) -> Iterator[str]:
    """What may stand for a word: a path, or another of the same words of the language."""
    keys = (*TERM.keys.values(), *EACH.keys.values())
    for names in ({choice for key in keys for choice in key.choices}, FORMS, SCHEDULES, TRANSFORMS):
        if word in names:
            yield from names
    yield from (f"{word}2", f"{word}.x", f"'{word}'", "epoch" if word == "step" else "step")


# Together they have most keys; the others are varied in the night.
BY_DAY = ("ppo", "multi_task_uncertainty", "derive", "dims", "raft")


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(file, id=file.stem, marks=[pytest.mark.nightly] * (file.stem not in BY_DAY))
        for file in FILES
    ],
)
def test_different_objectives_never_look_the_same(file: Path) -> None:
    document = plain(read_file(file)[1])
    seen: set[str] = set()
    texts: set[tuple[str, str]] = set()
    for variant in (document, *changed(document)):
        examined = read(variant)
        if examined is None or (words := words_of(examined)) in seen:
            continue
        seen.add(words)
        forms = forms_of(examined)
        for form in ("100 columns", "Markdown"):
            text = forms[form]
            assert (form, text) not in texts, text
            texts.add((form, text))
    assert len(seen) > 20


def test_a_key_that_the_formula_has_no_words_for_is_shown_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = {"fit": {"type": "mse", "inputs.input": "p", "remark": "in metres"}}
    monkeypatch.setattr("lossreg.config.tools.formula.in_words", lambda _: words)
    text = text_of({"fit": {"type": "mse", "inputs": ["p", "target"]}})
    assert "\n  remark     in metres" in text
    assert "inputs.input" not in text


@pytest.mark.parametrize(
    "file", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda file: file.stem
)
def test_a_file_is_shown_with_all_that_it_declares(file: Path) -> None:
    examined = read(str(file))
    assert examined is not None
    configs = examined.by_name.values() if examined.loss is None else [examined.loss]
    forms = forms_of(examined)
    for term in (term for config in configs for term in config.terms):
        divisor = None if term.divide_by is None else term.divide_by.route
        routes = [*term.inputs.values(), term.mask, term.sample_weight, divisor]
        routes += () if term.each is None else term.each.routes
        paths = [path for route in routes if route is not None for path in route.paths]
        for text in forms.values():
            plain_text = " ".join(text.replace("\\", "").split())
            for said in (term.name, *map(str, paths), *term.params.model_fields_set):
                assert said in plain_text
    for columns in (60, 100):
        for line in forms[f"{columns} columns"].splitlines():
            # A single word is never broken.
            assert len(line) <= columns or " " not in line.strip()


def numbers_of(argument: Argument) -> Any:
    """A value that an argument of a transform takes."""
    values = (3, "float64", True, [1, 2], "tensor")
    for value in values:
        if argument.kind.accepts(tuple(value) if isinstance(value, list) else value):
            return value
    assert argument.kind.is_routed
    return "tensor"


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_transform_is_shown_with_its_arguments(name: str) -> None:
    definition = TRANSFORMS[name]
    needed = {a.name: numbers_of(a) for a in definition.arguments if a.default is REQUIRED}
    every = {argument.name: numbers_of(argument) for argument in definition.arguments}
    if name == "slice":
        every["end"] = 7
    if name == "clamp":
        every["min"], needed = -1, {"min": -1}
    texts = []
    for arguments in (needed, every):
        applied = [{name: arguments} if arguments else name]
        if definition.returns == "list":
            applied.append("stack")
        route = {"from": "given", "apply": applied}
        text = text_of({"fit": {"type": "value", "inputs": [route]}}).splitlines()[0]
        assert definition.sign in text
        assert definition.sign or name in text
        for argument, value in arguments.items():
            default = {a.name: a.default for a in definition.arguments}[argument]
            words = str(value).lower() if isinstance(value, bool) else str(value)
            assert value == default or words in text
        texts.append(text)
    assert len(set(texts)) == 1 + (needed != every)


POINTS: dict[str, Any] = {"points": [[0, 0.5], [10, 2.0]], "between": "lines"}


def scheduled(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {"fit": {"type": "mse", "weight": {"schedule": name, **fields}}}


@pytest.mark.parametrize("name", SCHEDULES)
def test_each_field_of_a_schedule_is_in_its_words(name: str) -> None:
    numbers = itertools.count(1)
    fields = {
        field: next(numbers) * (0.125 if info.annotation is float else 11)
        for field, info in SCHEDULES[name].model_fields.items()
        if info.annotation in (int, float)
    }
    fields |= POINTS if name == "piecewise" else {}
    others = {field: value * 1.5 for field, value in fields.items() if isinstance(value, float)}
    others |= {field: value + 1 for field, value in fields.items() if isinstance(value, int)}
    variants = [fields, *({**fields, field: value} for field, value in others.items())]
    variants += [{**variant, "unit": "epoch"} for variant in variants]
    texts, words = set(), set()
    for variant in variants:
        terms = scheduled(name, variant)
        examined = read({"terms": terms})
        assert examined is not None
        words.add(words_of(examined))
        texts.add(text_of(terms))
    assert len(texts) == len(words) > 1


def test_piecewise_names_its_points_and_what_is_between() -> None:
    ways = {"lines": "in straight lines", "steps": "in jumps"}
    for between, way in ways.items():
        text = text_of(scheduled("piecewise", {**POINTS, "between": between}))
        assert f"w(t)  {way} through 0.5 at step 0, 2 at step 10" in text


def test_a_path_that_looks_like_a_formula_is_quoted() -> None:
    schedule = {"schedule": "linear", "start": 0, "end": 1, "steps": 9}
    terms = {
        "fit": {"type": "mse", "weight": schedule, "inputs": ["t", "exp(x)"]},
        "abs": {"type": "l1", "inputs": ["a-b", "3"]},
    }
    assert text_of(terms).splitlines()[:2] == ["L = w(t) · mse('t', 'exp(x)')", "  + l1(a-b, '3')"]


def test_a_long_parameter_stands_in_the_details() -> None:
    weights = [float(index) for index in range(1, 100)]
    text = text_of({"seg": {"type": "cross_entropy", "params": {"weight": weights}}})
    assert text.splitlines()[0] == "L = cross_entropy(input, target; weight=…)"
    assert " 97, 98, 99]" in text
