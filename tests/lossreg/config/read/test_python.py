from __future__ import annotations

from collections import UserDict, UserList
from typing import Any

import numpy as np
import pytest
import torch

import lossreg
from lossreg.config.declare.parameters import plain
from lossreg.config.read.nodes import SourceError
from lossreg.config.read.python import from_python


def test_values_from_python() -> None:
    value = {"a": [1, (2.0, None)], "b": {"c": True}, "d": object}
    root = from_python(value)
    assert plain(root) == {"a": [1, [2.0, None]], "b": {"c": True}, "d": object}
    assert root.document is None


@pytest.mark.parametrize("key", [1, None, ("a",), 1.5, b"a", object()])
def test_keys_from_python_are_strings(key: object) -> None:
    with pytest.raises(SourceError, match="a key must be a string, not ") as raised:
        from_python({"a": {key: 1}})
    assert raised.value.code == "LR007"


def test_values_from_python_have_the_same_limits() -> None:
    cyclic_list: list[object] = []
    cyclic_list.append(cyclic_list)
    cyclic: dict[str, object] = {}
    cyclic["a"] = [cyclic]
    bomb: object = "x"
    for _ in range(30):
        bomb = [bomb] * 9
    for value, words in [
        (cyclic, "64 levels"),
        ({"a": cyclic_list}, "64 levels"),
        ({"a": bomb}, "100,000 values"),
        ({"a": [1.0] * 100_001}, "give long class weights as a tensor"),
    ]:
        with pytest.raises(SourceError, match=words) as raised:
            from_python(value)
        assert raised.value.code == "LR004"


def test_what_stands_for_mappings_and_lists_is_taken() -> None:
    # As OmegaConf's DictConfig and ListConfig are a Mapping and a Sequence.
    loss = UserDict({"terms": UserDict({"fit": UserDict({"type": "mse"})})})
    loss["terms"]["fit"]["inputs"] = UserList(["p", UserDict({"from": "q"})])
    config = lossreg.load_config(loss)
    assert [str(route) for route in config.terms[0].inputs.values()] == ["p", "q"]


def test_numbers_and_arrays_of_numpy_are_taken() -> None:
    term = {"type": "cross_entropy", "weight": np.float32(0.5), "inputs": ["p", "q"]}
    params = {"weight": np.array([1.0, 2.5]), "ignore_index": np.int64(7)}
    (fit,) = lossreg.load_config({"terms": {"fit": {**term, "params": params}}}).terms
    assert fit.weight.factor == 0.5
    assert fit.params.weight == (1.0, 2.5)
    assert fit.params.ignore_index == 7


def test_a_tensor_stays_a_tensor() -> None:
    tensor = torch.tensor([1.0, 2.5])
    value: Any = from_python({"weight": tensor}).value["weight"].value
    assert value is tensor


def test_a_single_override_need_not_be_a_list() -> None:
    objective = {"terms": {"fit": {"type": "mse"}}}
    assert (
        lossreg.load_config(objective, overrides="terms.fit.weight=2").terms[0].weight.factor == 2
    )
