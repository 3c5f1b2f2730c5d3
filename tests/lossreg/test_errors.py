from __future__ import annotations

import pickle

import pytest

from lossreg.errors import (
    ConfigError,
    ConfigWarning,
    Diagnostic,
    DuplicateLossError,
    InputError,
    LossregError,
    MissingExtraError,
    NonFiniteError,
    PluginLoadError,
    UnknownLossError,
    described,
    printable,
)


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("distribution", "version", "origin"),
    [("acme", "1.2", "acme 1.2"), (None, None, "no distribution")],
)
def test_a_plugin_error_names_where_the_plugin_came_from(
    distribution: str | None, version: str | None, origin: str
) -> None:
    error = PluginLoadError(
        "it is broken", name="odd", distribution=distribution, version=version, module="a.b"
    )
    assert str(error) == f"loss 'odd' ({origin}, a.b): it is broken"
    assert (error.loss, error.module, error.reason) == ("odd", "a.b", "it is broken")
    assert (error.distribution, error.version) == (distribution, version)


def test_a_duplicate_error_says_how_to_pick_one() -> None:
    error = DuplicateLossError(name="l1", distributions=("acme", "lossreg"))
    assert str(error) == (
        "loss 'l1' is claimed by acme and lossreg; write 'acme:l1' or 'lossreg:l1'"
    )
    assert (error.loss, error.distributions) == ("l1", ("acme", "lossreg"))


def test_an_unknown_loss_reads_without_the_quotes_of_a_key_error() -> None:
    error = UnknownLossError("l", suggestion="l1")
    assert str(error) == "unknown loss 'l'; did you mean 'l1'?"
    assert (error.loss, error.suggestion) == ("l", "l1")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "wrong [LR101]"),
        ({"path": "loss.terms"}, "loss.terms: wrong [LR101]"),
        ({"file": "a.yaml", "line": 3, "column": 7}, "a.yaml:3:7: wrong [LR101]"),
        (
            {"file": "a.yaml", "line": 3, "column": 7, "path": "loss.x"},
            "a.yaml:3:7  loss.x: wrong [LR101]",
        ),
    ],
)
def test_a_diagnostic_reads_as_place_path_message_and_code(
    fields: dict[str, object], text: str
) -> None:
    assert str(Diagnostic(code="LR101", message="wrong", **fields)) == text  # type: ignore[arg-type]


def test_a_config_error_holds_every_diagnostic() -> None:
    found = [Diagnostic(code="LR101", message="one"), Diagnostic(code="LR102", message="two")]
    error = ConfigError(iter(found))
    assert error.diagnostics == tuple(found)
    assert str(error) == "one [LR101]\ntwo [LR102]"


def test_an_input_error_carries_term_argument_and_path() -> None:
    error = InputError("wrong", term="fit", argument="input", path="a.b")
    assert (str(error), error.term, error.argument, error.path) == ("wrong", "fit", "input", "a.b")
    bare = InputError("wrong")
    assert (bare.term, bare.argument, bare.path) == (None, None, None)


def test_a_non_finite_error_carries_its_term() -> None:
    assert NonFiniteError("nan", term="fit").term == "fit"


def test_a_missing_extra_says_what_to_install() -> None:
    error = MissingExtraError("`lossreg run`", extra="experiments", missing="lightning")
    assert error.extra == "experiments"
    assert str(error) == (
        "`lossreg run` needs lightning, which is not installed: pip install 'lossreg[experiments]'"
    )


@pytest.mark.parametrize(
    "error",
    [
        PluginLoadError("why", name="a", distribution="d", version="1", module="m"),
        DuplicateLossError(name="a", distributions=("b", "c")),
        UnknownLossError("a", suggestion="b"),
        ConfigError([Diagnostic(code="LR101", message="one", path="x")]),
        InputError("why", term="t", argument="a", path="p"),
        NonFiniteError("why", term="t"),
        MissingExtraError("a", extra="b", missing="c"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_crosses_processes(error: Exception) -> None:
    twin = pickle.loads(pickle.dumps(error))
    assert type(twin) is type(error)
    assert str(twin) == str(error)
    assert vars(twin) == vars(error)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("why"), "ValueError: why"),
        (ValueError("one\n  two"), "ValueError: one two"),
        (ValueError(), "ValueError"),
        (UnprintableError(), "UnprintableError (whose message cannot be shown)"),
        (ValueError("x" * 1000), f"ValueError: {'x' * 299}…"),
    ],
    ids=["plain", "lines", "empty", "unprintable", "long"],
)
def test_a_foreign_exception_is_described_in_one_line(error: Exception, text: str) -> None:
    assert described(error) == text


# Control characters of both sets, marks of direction, separators, halves of characters.
@pytest.mark.parametrize(
    "char", "\x00\x07\x08\x1b\r\x7f\x85\x9b\u200e\u202e\u2066\u2028\ufeff\ud800"
)
def test_what_a_terminal_acts_upon_is_in_no_text(char: str) -> None:
    shown = "a\N{REPLACEMENT CHARACTER}b"
    assert printable(f"a{char}b") == shown
    assert printable(f"a{char}b\n", keep="\n") == f"{shown}\n"
    named = f"a{char}b"
    errors = (
        LossregError(named),
        PluginLoadError(named, name=None, distribution=named, version=named, module="m"),
        DuplicateLossError(name="l1", distributions=(named, "acme")),
        UnknownLossError("l1", unreadable=(named,)),
        ConfigError([Diagnostic(code="LR101", message=named, file=named, path=named)]),
        InputError(named),
        NonFiniteError(named, term="fit"),
        MissingExtraError(named, extra="e", missing=named),
        ConfigWarning(named),
    )
    for error in errors:
        assert shown in str(error)
        assert char not in str(error)
    assert described(ValueError(named)) == f"ValueError: {'a b' if char.isspace() else shown}"


def test_letters_of_every_script_stay() -> None:
    text = "größe, 損失, потеря, خسارة, e\u0301, 🔥"
    assert printable(text) == text


def test_a_diagnostic_is_one_line() -> None:
    found = Diagnostic(code="LR209", message="one\ntwo", file="a\nb.yaml")
    assert str(found) == "a\N{REPLACEMENT CHARACTER}b.yaml: one two [LR209]"
