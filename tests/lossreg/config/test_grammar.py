"""What is said of keys comes from the grammar, all of it."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from lossreg.config import examine
from lossreg.config.grammar import COMPOSITE, GROUP, TERM, Construct
from lossreg.config.models import Checks, CompositeConfig, OnNonFinite

TERMS = {"fit": {"type": "mse"}}


@pytest.mark.parametrize(
    ("construct", "document"),
    [
        (COMPOSITE, {"loss": {"terms": TERMS, "far_off": 1}}),
        (TERM, {"terms": {"fit": {"type": "mse", "far_off": 1}}}),
        (GROUP, {"terms": {"both": {"terms": TERMS, "far_off": 1}}}),
    ],
    ids=repr,
)
def test_an_unknown_key_is_answered_with_all_there_are(
    construct: Construct, document: dict[str, Any]
) -> None:
    (fault,) = examine(document).diagnostics
    assert fault.code == "LR104"
    assert fault.message == f"unknown key; expected one of {', '.join(construct.names)}"


@pytest.mark.parametrize(("key", "choices"), [("checks", Checks), ("on_nonfinite", OnNonFinite)])
def test_the_model_has_the_choices_and_the_default_of_the_grammar(key: str, choices: Any) -> None:
    assert get_args(choices) == COMPOSITE.keys[key].choices
    assert CompositeConfig._field_defaults[key] == COMPOSITE.keys[key].default
