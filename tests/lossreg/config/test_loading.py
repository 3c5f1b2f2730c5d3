from __future__ import annotations

import warnings
from collections import OrderedDict
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any

import pytest

import lossreg
from lossreg.config import CompositeConfig, examine, load_config, load_experiment
from lossreg.config.models import Weight
from lossreg.errors import ConfigError, ConfigWarning
from lossreg.plugin import Field, LossConfig, LossDefinition, LossInput, Reduction, hookimpl
from lossreg.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator

TERMS = {"terms": {"fit": {"type": "mse"}}}
TEXT = "terms:\n  fit: {type: mse}\n"


def faults(source: Any, **arguments: Any) -> list[tuple[str, int | None, int | None]]:
    found = examine(source, **arguments).diagnostics
    return [(each.code, each.line, each.column) for each in found]


@pytest.mark.parametrize(
    "source",
    [
        TEXT.encode(),
        TERMS,
        {"loss": TERMS},
        OrderedDict(TERMS),
        MappingProxyType(TERMS),
        {"loss": TERMS, "model": {"depth": 3}, "optimizer": None},
        b'{"loss": {"terms": {"fit": {"type": "mse"}}}}',
    ],
    ids=lambda value: type(value).__name__,
)
def test_takes_documents_and_mappings(source: Any) -> None:
    config = load_config(source)
    assert [(term.name, term.type, term.weight) for term in config.terms] == [
        ("fit", "mse", Weight(1.0))
    ]


def test_takes_paths(tmp_path: Path) -> None:
    path = tmp_path / "loss.yaml"
    path.write_text(TEXT)
    assert load_config(path) == load_config(str(path))


def test_a_loaded_config_is_taken_as_it_is() -> None:
    config = load_config(TERMS)
    assert load_config(config) is config
    for arguments in ({"key": "loss"}, {"overrides": ["a=1"]}):
        with pytest.raises(TypeError, match="neither key nor overrides"):
            load_config(config, **arguments)


@pytest.mark.parametrize("source", [None, 1, 1.5, True, [TERMS], (TEXT,), {"a"}, object(), open])
def test_another_source_is_a_config_error(source: Any) -> None:
    with pytest.raises(ConfigError) as raised:
        load_config(source)
    (found,) = raised.value.diagnostics
    assert found.code == "LR101"
    assert found.message.startswith("expected a path, a mapping or a document as bytes, found ")


def test_a_file_that_is_not_there_is_a_config_error(tmp_path: Path) -> None:
    for source in (tmp_path / "none.yaml", "none.yaml", "", "a\0b", TEXT, "x" * 10_000, tmp_path):
        with pytest.raises(ConfigError) as raised:
            load_config(source)
        (found,) = raised.value.diagnostics
        assert (found.code, found.line) == ("LR001", None)
        assert found.file == str(Path(source))


@pytest.mark.parametrize("key", ["model.criterion", "models[0].loss", "models[-1].loss"])
def test_a_key_leads_to_the_loss(key: str) -> None:
    document = {"model": {"criterion": TERMS}, "models": [{"loss": TERMS}], "terms": 3}
    assert [term.name for term in load_config(document, key=key).terms] == ["fit"]


@pytest.mark.parametrize(
    ("key", "place", "message"),
    [
        ("model.criterio", (2, 3), "there is no 'criterio' under 'model'"),
        ("modle", (1, 1), "there is no 'modle' in the document; did you mean 'model'?"),
        ("nothing.here", (1, 1), "there is no 'nothing' in the document"),
        ("model[0]", (1, 1), "there is no element 0 under 'model'"),
        ("list[3]", (4, 1), "there is no element 3 under 'list'"),
        ("list[-3]", (4, 1), "there is no element -3 under 'list'"),
        ("model.criterion.terms.fit.type.x", (3, 18), "there is no 'x' under"),
        ("a..b", (None, None), "the key the string 'a..b' is not a path"),
        ("", (None, None), "the key an empty string is not a path"),
    ],
)
def test_a_key_that_leads_nowhere(key: str, place: tuple[int, int], message: str) -> None:
    text = "model:\n  criterion:\n    terms: {fit: {type: mse}}\nlist: [1, 2]\n"
    (found,) = examine(text.encode(), key=key).diagnostics
    assert found.code == "LR109"
    assert message in found.message
    assert (found.line, found.column) == place or found.line == place[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\n", [("LR109", 1, 1)]),
        ("[]\n", [("LR109", 1, 1)]),
        ("terms\n", [("LR109", 1, 1)]),
        ("{}\n", [("LR109", 1, 1)]),
        ("loss:\n", [("LR101", 1, 6)]),
        ("loss: {}\n", [("LR102", 1, 1)]),
        ("loss: [1]\n", [("LR101", 1, 7)]),
    ],
)
def test_a_document_without_a_loss(text: str, expected: object) -> None:
    assert faults(text.encode()) == expected


def test_what_was_probably_meant_is_looked_for_among_the_first_keys_alone() -> None:
    document: dict[str, Any] = {f"key{index}": 1 for index in range(50_000)}
    document["lss"] = TERMS
    (found,) = examine(document).diagnostics
    assert (found.code, found.path) == ("LR109", "")
    assert "did you mean" in examine({"lss": TERMS}).diagnostics[0].message


def test_the_faults_of_reading_come_with_those_of_the_values() -> None:
    text = "terms:\n  a: !x {type: mse}\n  a: {type: l1}\n  b: {type: l3}\n"
    assert faults(text.encode()) == [("LR006", 2, 6), ("LR008", 3, 3), ("LR105", 4, 13)]


def test_the_faults_of_reading_are_told_even_if_it_stops() -> None:
    text = "terms:\n  a: {type: mse}\n  a: {type: l1}\n  b: [\n"
    assert faults(text.encode()) == [("LR008", 3, 3), ("LR003", 5, 1)]


def test_warnings_warn(tmp_path: Path) -> None:
    path = tmp_path / "loss.yaml"
    path.write_text("terms:\n  fit: {type: mse, weight: -1}\n")
    with pytest.warns(ConfigWarning, match=r"loss\.yaml:2:28.*maximised.*LR904"):
        load_config(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [each.severity for each in examine(path).diagnostics] == ["warning"]


def test_the_name_of_bytes_stands_in_the_diagnostics() -> None:
    (found,) = examine(b"a: 1\n", name="<stdin>").diagnostics
    assert str(found).startswith("<stdin>:1:1: ")


def test_a_config_error_is_a_value_error_with_every_fault() -> None:
    with pytest.raises(ValueError, match="LR201") as raised:
        load_config(b"terms:\n  a: {type: mse, weight: x}\n  b: {type: l3}\n")
    assert isinstance(raised.value, ConfigError)
    assert [each.code for each in raised.value.diagnostics] == ["LR201", "LR105"]


EXPERIMENT = "task: digits\nseed: 3\ntrainer: {max_epochs: 2}\nloss:\n  terms: {fit: {type: mse}}\n"


def test_an_experiment() -> None:
    experiment = load_experiment(EXPERIMENT.encode(), overrides=["seed=4", "trainer.max_steps=5"])
    assert (experiment.task, experiment.seed) == ("digits", 4)
    assert (experiment.trainer.max_epochs, experiment.trainer.max_steps) == (2, 5)
    assert experiment.loss == load_config(EXPERIMENT.encode())


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("digits", "digit"), ("LR501", 1, 7)),
        (("digits", "[1]"), ("LR501", 1, 7)),
        (("seed: 3", "seed: -1"), ("LR202", 2, 7)),
        (("seed: 3", "seed: 4294967296"), ("LR202", 2, 7)),
        (("seed: 3", "seed: 1.0"), ("LR201", 2, 7)),
        (("seed:", "sed:"), ("LR104", 2, 1)),
        (("{max_epochs: 2}", "[1]"), ("LR101", 3, 10)),
        (("max_epochs", "epochs"), ("LR103", 3, 11)),
        (("loss:", "los:"), ("LR109", 4, 1)),
    ],
)
def test_a_wrong_experiment(change: tuple[str, str], expected: tuple[str, int, int]) -> None:
    text = EXPERIMENT.replace(*change)
    assert faults(text.encode()) == [expected]
    with pytest.raises(ConfigError):
        load_experiment(text.encode())


def test_an_objective_is_no_experiment(tmp_path: Path) -> None:
    path = tmp_path / "loss.yaml"
    path.write_text(TEXT)
    for source in (path, TEXT.encode(), TERMS):
        with pytest.raises(ConfigError, match="'task' is missing"):
            load_experiment(source)


def test_the_public_loader_is_this_one() -> None:
    assert lossreg.load_config is load_config
    assert isinstance(load_config(TERMS), CompositeConfig)


class Needy(LossConfig):
    gamma: float


class Unreduced(LossConfig):
    reduction: Reduction = "none"


class Doubtful(LossConfig):
    gamma: float = 9.0

    def suspicions(self) -> Iterator[tuple[str, str]]:
        yield "gamma", f"{self.gamma:g} is much"


class Mutable(LossConfig):
    scales: dict[str, float] = Field(default_factory=dict)


def made_up(config: type[LossConfig]) -> Registry:
    """A registry with one made-up loss."""
    definition = LossDefinition(
        name="focal",
        config=config,
        build=print,
        inputs=(LossInput(name="input", meaning="logits"),),
        summary="made up",
    )
    module = ModuleType("acme_focal")
    vars(module)["lossreg_losses"] = hookimpl(lambda: [definition], specname="lossreg_losses")
    return Registry([]).with_plugins(module)


@pytest.mark.parametrize(
    ("config", "code", "places"),
    [
        (Needy, "LR102", [(2, 3), (3, 3), (5, 4)]),
        (Unreduced, "LR207", [(2, 6), (3, 6), (5, 12)]),
        (Doubtful, "LR901", [(2, 3), (3, 3), (4, 3)]),
    ],
)
def test_defaults_that_are_wrong_are_told_of_each_term(
    config: type[LossConfig], code: str, places: list[tuple[int, int]]
) -> None:
    registry = made_up(config)
    text = b"terms:\n  a: {type: focal}\n  b: {type: focal}\n  c: {type: focal,\n   params: {}}\n"
    found = examine(text, registry=registry).diagnostics
    assert [(each.code, each.line, each.column) for each in found] == [
        (code, *place) for place in places
    ]
    assert [each.path.split(".")[1] for each in found] == ["a", "b", "c"]


def test_each_term_has_defaults_of_its_own() -> None:
    found = examine(b"terms: {a: {type: focal}, b: {type: focal}}", registry=made_up(Mutable))
    assert found.loss is not None
    first, second = (vars(term.params) for term in found.loss.terms)
    assert first == second
    assert first["scales"] is not second["scales"]


def test_terms_without_parameters_have_the_defaults_and_modules_of_their_own() -> None:
    text = b"terms: {a: {type: mse}, b: {type: mse}, c: {type: mse, params: {reduction: sum}}}"
    loss = load_config(text)
    assert [term.params.model_dump()["reduction"] for term in loss.terms] == ["mean", "mean", "sum"]
    terms = lossreg.build(loss).terms
    assert len({id(each) for each in terms.children()}) == len(list(terms.children())) == 3
