from __future__ import annotations

import math

import pytest

from lossreg.config.read.scalars import resolve


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("Null", None),
        ("NULL", None),
        ("true", True),
        ("True", True),
        ("TRUE", True),
        ("false", False),
        ("False", False),
        ("FALSE", False),
        ("0", 0),
        ("-0", 0),
        ("+12", 12),
        ("-19", -19),
        ("0o14", 12),
        ("0x1F", 31),
        ("0xff", 255),
        ("1.", 1.0),
        (".5", 0.5),
        ("-.5", -0.5),
        ("0.1", 0.1),
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        ("+1.5e+2", 150.0),
        ("00.5", 0.5),
        (".inf", math.inf),
        ("+.INF", math.inf),
        ("-.Inf", -math.inf),
    ],
)
def test_the_core_schema(text: str, value: object) -> None:
    found, rewrite = resolve(text)
    assert found == value
    assert type(found) is type(value)
    assert rewrite == ""


@pytest.mark.parametrize("text", ["1e-400", "-1.5E-999", ".001e-400", "+9e-324000"])
def test_what_is_not_written_as_0_is_never_0(text: str) -> None:
    value, _ = resolve(text)
    assert isinstance(value, float)
    assert 0 < abs(value) < 1e-300
    assert (value < 0) == text.startswith("-")


@pytest.mark.parametrize("text", ["0e-400", "-0.0", ".0e5", "00.00", "+0.", "0e0"])
def test_what_is_written_as_0_is_0(text: str) -> None:
    assert resolve(text) == (0.0, "")


@pytest.mark.parametrize("text", [".nan", ".NaN", ".NAN"])
def test_nan(text: str) -> None:
    value, _ = resolve(text)
    assert isinstance(value, float)
    assert math.isnan(value)


@pytest.mark.parametrize(
    ("text", "rewrite"),
    [
        *[(text, "true") for text in ("yes", "Yes", "YES", "on", "On", "ON")],
        *[(text, "false") for text in ("no", "No", "NO", "off", "Off", "OFF")],
        ("012", "12"),
        ("-007", "-7"),
        ("1_000", "1000"),
        ("1_000.5", "1000.5"),
        ("0b101", "5"),
        ("-0b1_1", "-3"),
        ("+0x1F", "31"),
        ("-0x1F", "-31"),
        ("12:30", "a plain number"),
        ("1:30:00.5", "a plain number"),
        ("2024-01-31", "a plain number"),
        ("2024-01-31 12:00:00", "a plain number"),
        ("2024-01-31T12:00:00Z", "a plain number"),
    ],
)
def test_what_yaml_1_1_reads_otherwise_is_a_string_that_says_what_to_write(
    text: str, rewrite: str
) -> None:
    assert resolve(text) == (text, rewrite)


@pytest.mark.parametrize(
    "text",
    [
        "nil",
        "None",
        "tRUE",
        "y",
        "n",
        "inf",
        "nan",
        "NaN",
        ".Nan",
        ".",
        "-",
        "+",
        "e3",
        "1e",
        "1.2.3",
        "0x",
        "0xg",
        "0o8",
        "0b",
        "0b2",
        "1 000",
        "1,5",
        "١٢",
        "12:99",
        "mean",
        "heads.seg.logits",
        "größe",
    ],
)
def test_everything_else_is_a_string(text: str) -> None:
    assert resolve(text) == (text, "")


@pytest.mark.parametrize("digits", ["1" * 5_000, "0" * 5_000, "0x" + "f" * 5_000, "9" * 10**6])
def test_what_python_would_not_read_as_a_number_is_a_string(digits: str) -> None:
    assert resolve(digits) == (digits, "")
