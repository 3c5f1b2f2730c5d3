"""Every objective of a document is looked at, and no term outside of one is passed over."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from lossreg.config import examine, load_config, load_experiment
from lossreg.errors import ConfigError, ConfigWarning, UnknownLossError
from lossreg.registry import Registry

REGISTRY = Registry.installed()
LOSS = "loss: {terms: {fit: {type: mse, inputs: [a, b]}}}\n"


def told(text: str, **arguments: Any) -> list[str]:
    """The code and the path of all that is found, the warnings' codes in small letters."""
    found = examine(text.encode(), registry=REGISTRY, **arguments).diagnostics
    return [
        f"{each.code if each.severity == 'error' else each.code.lower()} {each.path}".strip()
        for each in found
    ]


def looked_at(text: str) -> int:
    return examine(text.encode(), registry=REGISTRY, every=True).objectives


ELSEWHERE = {
    "two under keys of their own": (
        "generator: {terms: {a: {type: l2, wieght: 3}}}\ndiscriminator: {terms: {a: {type: l2}}}\n",
        [
            "LR105 generator.terms.a.type",
            "LR104 generator.terms.a.wieght",
            "LR105 discriminator.terms.a.type",
        ],
    ),
    "beside the one at loss": (
        LOSS + "other: {terms: {a: {type: l2}}}\n",
        ["LR105 other.terms.a.type"],
    ),
    "LightningCLI's": (
        "model:\n  class_path: my.Net\n  init_args: {objective: {terms: {a: {type: l2}}}}\n",
        ["LR105 model.init_args.objective.terms.a.type"],
    ),
    "Hydra's": (
        "c:\n  _target_: lossreg.build\n  source: {terms: {a: {type: mse, inptus: [a, b]}}}\n",
        ["LR104 c.source.terms.a.inptus"],
    ),
    "a map of objectives": (
        "objectives:\n  one: {terms: {a: {type: mse}}}\n  two: {terms: {a: {type: l2}}}\n",
        ["LR105 objectives.two.terms.a.type"],
    ),
    "in a list": (
        "stages:\n  - {terms: {a: {type: mse}}}\n  - {terms: {a: {type: l2}}}\n",
        ["LR105 stages[1].terms.a.type"],
    ),
    "in a document that is a list": ("- {terms: {a: {type: l2}}}\n", ["LR105 [0].terms.a.type"]),
    "a group of terms": (
        "x: {terms: {g: {from: y, terms: {a: {type: l2, weight: 1}}}}}\n",
        ["LR105 x.terms.g.terms.a.type"],
    ),
    "a list of terms": ("x: {terms: [{type: mse, weight: 1}]}\n", ["LR101 x.terms"]),
    "losses that nobody knows": ("x: {terms: {a: {type: gan}}}\n", ["LR105 x.terms.a.type"]),
    "a misspelt type": (
        "x: {terms: {a: {typ: l2, weight: 1}}}\n",
        ["LR104 x.terms.a.typ", "LR105 x.terms.a.typ"],
    ),
    "misspelt terms": (
        "x: {trms: {a: {type: l2, weight: 1}}}\n",
        ["LR104 x.trms", "LR105 x.trms.a.type"],
    ),
    "terms by another name": (
        "x: {losses: {a: {type: mse, weight: a}}}\n",
        ["LR104 x.losses", "LR201 x.losses.a.weight"],
    ),
    "beside a foreign name": (
        "criterion: {terms: {a: {type: mse}}}\nx: {terms: {a: {type: l2}}}\n",
        ["LR109 criterion", "LR105 x.terms.a.type"],
    ),
    "in a document of something else that has tasks": (
        "task: segment\nx: {terms: {a: {type: l2}}}\n",
        ["LR105 x.terms.a.type"],
    ),
    "used twice": ("x: &x {terms: {a: {type: l2}}}\ny: *x\n", ["LR105 x.terms.a.type"]),
    "merged into another": (
        "x: &x {terms: {a: {type: l2}}}\nloss: {<<: *x, checks: never}\n",
        ["LR105 loss.terms.a.type"],
    ),
    "under a key that is not a string": ("1: {terms: {a: {type: l2}}}\n", ["LR007"]),
    "under a key that stands twice": ("x: 1\nx: {y: {terms: {a: {type: l2}}}}\n", ["LR008"]),
}


@pytest.mark.parametrize(("text", "expected"), ELSEWHERE.values(), ids=ELSEWHERE)
def test_an_objective_is_looked_at_wherever_it_is(text: str, expected: list[str]) -> None:
    assert told(text, every=True) == expected


def test_every_objective_is_counted() -> None:
    for text, count in {
        LOSS: 1,
        "terms: {a: {type: mse}}\n": 1,
        LOSS + "x: {terms: {a: {type: mse}}}\n": 2,
        "x: {y: [{terms: {a: {type: mse}}}, {terms: {b: {type: mse}}}]}\n": 2,
        "x: &x {terms: {a: {type: mse}}}\ny: *x\n": 1,
        "model: {depth: 3}\n": 0,
    }.items():
        assert looked_at(text) == count, text


@pytest.mark.parametrize(
    "text",
    [
        "model: {depth: 3}\noptimizer: {type: adamw, params: {lr: 0.1}}\n",
        "site: {terms: {url: a, length: 3}}\n",
        "loan: {terms: 30}\n",
        "properties: {terms: {type: array, items: {type: string}}}\n",
        "array: {items: {first: {type: string}}}\n",
        "criterion: mse\n",
        "objective: binary:logistic\n",
        "names: {0: person, 1: car}\n",
        "path: !include other.yaml\n",
        "task: segment\nmodel: {depth: 3}\n",
        "[1, 2]\n",
    ],
)
def test_a_document_of_something_else_has_none(text: str) -> None:
    assert looked_at(text) == 0
    assert told(text, every=True)[0] == "LR109"


def test_what_objectives_are_made_of_is_none_itself() -> None:
    group = "layer: &layer {from: 'x[0]', terms: {a: {type: l1}}}\n"
    for text in (
        group + "loss: {terms: {one: *layer, two: {<<: *layer, from: 'x[1]'}}}\n",
        group + "loss: {terms: {one: {<<: *layer, weight: 2}}}\n",
        group + "one: {terms: {g: *layer}}\ntwo: {terms: {g: {<<: *layer, weight: 2}}}\n",
        "layers: {terms: &all {a: {type: l1}}}\nloss: {terms: {one: {from: x, terms: *all}}}\n",
        "term: &term {type: l1, weight: 2}\nloss: {terms: {one: *term}}\n",
        "term: &term {type: l1, weight: 2}\nloss: {terms: {one: {<<: *term, weight: 3}}}\n",
        "term: &term {type: l1, weight: 2}\nloss: {terms: {one: *term, two: {<<: *term}}}\n",
        "all: {one: &one {type: l1, weight: 2}}\nloss: {terms: {one: *one}}\n",
    ):
        assert told(text) == (["LR109"] if "loss" not in text else [])
        assert told(text, every=True) == [], text


def test_a_key_asks_for_one_objective_alone() -> None:
    text = "x: {terms: {a: {type: mse}}}\ny: {terms: {a: {type: l2}}}\n"
    assert told(text, key="x", every=True) == []
    assert told(text, key="y") == ["LR105 y.terms.a.type"]
    assert told(LOSS + text) == []
    assert told(text, key="z", every=True) == ["LR109"]


def test_what_can_be_read_with_a_key_is_named() -> None:
    text = "".join(f"x{index}: {{terms: {{a: {{type: mse}}}}}}\n" for index in range(2))
    (found,) = examine(text.encode()).diagnostics
    assert found.message == (
        "expected 'loss:' or 'terms:'; for an objective elsewhere, give its key: 'x0', 'x1'"
    )
    (found,) = examine(b"a: [{terms: {b: {type: mse}}}]").diagnostics
    assert found.message.endswith("give its key: 'a[0]'")
    load_config(b"a: [{terms: {b: {type: mse}}}]", key="a[0]")


def test_an_override_of_another_objective_is_read() -> None:
    text = LOSS + "x: {terms: {a: {type: mse}}}\n"
    override = ["x.terms.a.weight=b"]
    assert told(text, every=True, overrides=override) == ["LR201 x.terms.a.weight"]
    assert told(text, every=True, overrides=["y.terms.a.weight=b"]) == ["LR402 y"]
    assert told(text, overrides=["y={type: mse, weight: 1}"]) == ["LR402 y"]


# --- terms outside ------------------------------------------------------------------------------

REBUILD = "rebuild: {type: smooth_l1, weight: 5.0, inputs: [pixels, image]}\n"
OUTSIDE = {
    "one level too far": (LOSS + REBUILD, "rebuild"),
    "before the objective": (REBUILD + LOSS, "rebuild"),
    "parameters": (LOSS + "x: {type: smooth_l1, params: {beta: 1}}\n", "x"),
    "a mask": (LOSS + "x: {type: mse, mask: m}\n", "x"),
    "a distribution's": (LOSS + "x: {type: 'lossreg:mse', weight: 1}\n", "x"),
    "a misspelt key": (LOSS + "x: {type: mse, wieght: 1}\n", "x"),
    "several": (LOSS + "more: {a: {type: mse, weight: 1}, b: {type: l2, weight: 1}}\n", "more"),
    "a template that nothing uses": ("x: &x {type: mse, weight: 1}\n" + LOSS, "x"),
    "a number of the objective's": (
        "loss: {terms: {a: {type: mse, weight: &w 0.5}}}\nx: {type: l1, weight: *w}\n",
        "x",
    ),
}


@pytest.mark.parametrize(("text", "path"), OUTSIDE.values(), ids=OUTSIDE)
def test_a_term_outside_the_objective_is_warned_of(text: str, path: str) -> None:
    assert told(text) == told(text, every=True) == [f"lr905 {path}"]
    with pytest.warns(ConfigWarning, match="nothing trains"):
        load_config(text.encode())


@pytest.mark.parametrize(("text", "path"), OUTSIDE.values(), ids=OUTSIDE)
def test_in_an_experiment_it_is_an_error(text: str, path: str) -> None:
    text = "task: digits\n" + text
    assert told(text) == told(text, every=True) == [f"LR905 {path}"]
    with pytest.raises(ConfigError, match="nothing trains"):
        load_experiment(text.encode())


def test_it_is_found_beside_all_that_the_objective_is_in() -> None:
    inner = "  criterion: {terms: {a: {type: mse}}}\n"
    for text, path in {
        f"model:\n{inner}  {REBUILD}": "model.rebuild",
        f"model:\n{inner}{REBUILD}": "rebuild",
        f"models:\n- depth: 1\n{inner}  {REBUILD}": "models[0].rebuild",
    }.items():
        key = "models[0].criterion" if "models" in text else "model.criterion"
        assert told(text, key=key) == told(text, every=True) == [f"lr905 {path}"]
        (found,) = examine(text.encode(), key=key).diagnostics
        assert found.message == (
            f"this looks like a term, but nothing trains it here; move it under '{key}.terms'"
        )


def test_what_an_objective_is_in_is_no_term() -> None:
    text = "model: {type: value, weight: 1, criterion: {terms: {a: {type: mse}}}}\n"
    assert told(text, every=True) == told(text, key="model.criterion") == []


def test_it_is_told_where_the_nearest_objective_has_its_terms() -> None:
    text = LOSS + "x:\n  y: {terms: {a: {type: mse}}}\n  z: {type: mse, weight: 1}\n"
    (found,) = examine(text.encode(), every=True).diagnostics
    assert (found.path, found.message[-14:]) == ("x.z", "under 'x.y.terms'"[-14:])


@pytest.mark.parametrize(
    "text",
    [
        "x: {type: smooth_l1}\n",
        "x: {type: adamw, weight: 1}\n",
        "x: {type: l2, weight: 1}\n",  # not installed: a penalty of the document's owner, say
        "x: {name: mse, weight: 1}\n",
        "x: {y: {type: mse, weight: 1}, depth: 3}\n",
        "x: {y: {z: {type: mse, weight: 1}}}\n",
        "x: mse\n",
        "x: [{type: mse, weight: 1}]\n",
        "x: {}\n",
    ],
)
def test_what_is_not_surely_a_term_is_its_owners(text: str) -> None:
    for whole in (LOSS + text, "task: digits\n" + LOSS + text):
        assert told(whole) == told(whole, every=True) == []


def test_without_an_objective_a_term_is_looked_for_everywhere() -> None:
    text = "a: {b: [{c: {type: mse, weight: 1}, d: 2}]}\n" + REBUILD
    assert told(text, every=True) == ["LR109", "lr905 a.b[0].c", "lr905 rebuild"]
    assert told(text) == ["LR109"]


def test_what_is_told_of_already_is_not_told_again() -> None:
    term = "{a: {type: mse, weight: 1}}\n"
    for every in (False, True):
        assert told("loss: " + term, every=every) == ["LR102 loss"]
        assert told("losses: " + term, every=every) == ["LR109 losses"]
        once = "&a {type: l1, weight: 2}\nloss: {terms: {one: {type: mse, <<: {}, <<: *a}}}\n"
        assert told("a: " + once, every=every) == ["LR008"]


def test_terms_and_objectives_under_another_name_are_told_apart() -> None:
    for every in (False, True):
        mixed = "objectives: {g: {terms: {a: {type: mse}}}, b: {type: mse, weight: 1}}\n"
        assert told(mixed, every=every) == ["LR109 objectives"]
        options = "criterion: {checks: first, a: {type: mse}}\n"
        assert told(options, every=every) == ["LR109 criterion", "LR102 criterion"]


def test_a_large_document_is_not_guessed_at_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def origin(_: Registry, name: str) -> None:
        asked.append(name)
        raise UnknownLossError(name, suggestion=None)

    monkeypatch.setattr(Registry, "origin", origin)
    text = "".join(f"k{i}: {{a: {{type: m{i}, weight: 1}}}}\n" for i in range(3_000))
    assert told(text, every=True) == ["LR109"]
    assert 0 < len(asked) <= 1_000


def test_a_mapping_of_python_is_looked_through_as_well() -> None:
    document = {"loss": {"terms": {"a": {"type": "mse"}}}, "x": {"type": "l1", "weight": 2.0}}
    assert [each.code for each in examine(document).diagnostics] == ["LR905"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_config(document["loss"])
