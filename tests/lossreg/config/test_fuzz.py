"""Bytes and structures made of anything: nothing but ConfigError comes out, nothing hangs."""

from __future__ import annotations

import contextlib
import datetime as dt
import enum
import random
import threading
import time
import warnings
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import lossreg
from lossreg.config import examine, load_experiment
from lossreg.errors import ConfigWarning
from yaml_faults import read_alike, verdicts

REGISTRY = lossreg.Registry.installed()
# A guard against a hang: each takes well under a second where nothing else runs.
HANG = 15.0

SEEDS = [
    """\
task: digits
seed: 0
trainer: {max_epochs: 2, accelerator: cpu}
loss:
  terms:
    classify:
      type: cross_entropy
      weight: 1.0   # the first
      inputs: {input: logits, target: labels}
      params: {label_smoothing: 0.1, weight: [1, 2.0, .5]}
    rebuild: &rebuild
      type: "smooth_l1"
      inputs: [decoder.pixels, image]
      params:
        beta: 5e-1
    again:
      <<: *rebuild
      weight: 0.1
""",
    """\
terms:
  ré\U0001f600: {type: mse, weight: "\\x31"}
  a:
    type: >-
      nll
    enabled: !!bool true
    params: {weight: [1, 2], ignore_index: -1}

  # the last
  b:
    type: kl_div
    params:
      reduction: |-
        batchmean
""",
]
SPECIALS = [
    *"-?:,[]{}#&*!|>'\"%@`~= \t\n\r\\",
    ": ",
    "- ",
    "? ",
    " #",
    "<<: ",
    "<<: [*rebuild, *rebuild]",
    "*rebuild",
    "&rebuild ",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "!!python/object/apply:os.system ",
    "!<x> ",
    "\r\n",
    "\x00",
    "\x85",
    "\u2028",
    "\ufeff",
    "\U0001f600",
    "\\uD800",
    "\\UFFFFFFFF",
    "1e999",
    ".nan",
    "0x",
    "012",
    "1" * 400,
    "null",
    "yes",
    "terms:\n",
    "type: mse\n",
    "'" * 7,
    "[" * 70,
    "  " * 40,
]


def mutated(rng: random.Random) -> bytes:
    data = bytearray(rng.choice(SEEDS).encode())
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(7):
            case 0 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                del data[at : at + rng.randrange(1, 30)]
            case 2:
                begin = rng.randrange(len(data) + 1)
                data[at:at] = data[begin : begin + rng.randrange(60)]
            case 3:
                data[at:at] = rng.randbytes(rng.randrange(1, 5))
            case 4:
                del data[at:]
            case _:
                special = rng.choice(SPECIALS).encode("utf-8", "surrogatepass")
                data[at : at + rng.choice((0, 1, len(special)))] = special
        if not data:
            break
    return bytes(data)


def read(source: Any, **arguments: Any) -> float:
    """The processor's seconds that it takes to load, or to refuse with a ConfigError."""
    begin = time.process_time()
    with warnings.catch_warnings(), contextlib.suppress(lossreg.ConfigError):
        warnings.simplefilter("ignore", ConfigWarning)
        lossreg.load_config(source, registry=REGISTRY, **arguments)
    return time.process_time() - begin


@pytest.mark.parametrize("count", [500, pytest.param(200_000, marks=pytest.mark.nightly)])
def test_bytes(count: int) -> None:
    for seed in range(count):
        source = mutated(random.Random(seed))
        begin = time.process_time()
        try:
            verdicts(source, every=True)
        except Exception as error:
            raise AssertionError(f"{seed}: {source!r}") from error
        assert time.process_time() - begin < HANG


# What a document is made of, where parsers read it each in their own way.
PIECES = [
    *"ab1-?:,[]{}#&*!|>'\"%@` \t\n\r\\.=<~",
    *(": ", "- ", " #", "\n  ", "\n ", "a: ", "---", "...", "!!str ", "!x ", "&a ", "*a", "'x'"),
    *('"x"', "|\n  ", ">-\n ", "{a: b}", "[a]", ": [", ": {", "\x85", "\u2028", "\xa0", "\\\n"),
]
BEGINNINGS = ("", "a: ", "x: {k: v, a: ", "a:\n  - b\n  - c: ", "[a, ", "{a: {b: ")


@pytest.mark.parametrize("count", [1_000, pytest.param(400_000, marks=pytest.mark.nightly)])
def test_short_documents_of_odd_pieces(count: int) -> None:
    accepted = 0
    for seed in range(count):
        rng = random.Random(seed)
        text = rng.choice(BEGINNINGS) + "".join(rng.choices(PIECES, k=rng.randrange(1, 8)))
        text += rng.choice(("", "", "}", "]", "}}", "\n"))
        accepted += read_alike(text)
    assert accepted > count / 10


def test_what_is_told_of_bytes_can_be_shown() -> None:
    for seed in range(1_500):
        source = mutated(random.Random(seed))
        for each in examine(source, registry=REGISTRY).diagnostics:
            assert each.line is None or each.line >= 1
            assert len(each.message) < 700
            assert each.message.isprintable(), (seed, each.message)
            str(each).encode()
            if each.source_line is not None and each.column is not None:
                assert each.column <= len(each.source_line) + 1
                assert each.end_column is not None
                assert each.column < each.end_column


class Colour(enum.Enum):
    RED = 1


class Odd(str):
    __slots__ = ()


class Hostile:
    """Every question raises."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("compared")

    def __hash__(self) -> int:
        raise RuntimeError("hashed")

    def __bool__(self) -> bool:
        raise RuntimeError("asked")

    def __len__(self) -> int:
        raise RuntimeError("counted")

    def __repr__(self) -> str:
        raise RuntimeError("shown")


def cyclic_mapping() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found["terms"] = found
    return found


def cyclic_list() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


ODD_VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    10**5_000,
    -(2**63),
    1.5,
    float("nan"),
    float("inf"),
    -0.0,
    "",
    "mse",
    "a.b[0]",
    "\ud800",
    "\x00\x1b",
    "x" * 10**6,
    b"terms",
    bytearray(b"x"),
    1j,
    Decimal("0.5"),
    Colour.RED,
    Odd("mse"),
    Path("x"),
    dt.date(2024, 1, 31),
    object(),
    Hostile(),
    Hostile,
    len,
    threading.Lock(),
    {1, 2},
    frozenset(),
    range(3),
    iter(()),
    torch.ones(3),
    torch.ones(3, dtype=torch.int64),
    torch.tensor(1.0),
    torch.empty(0),
    torch.ones(2, 2, device="meta"),
    np.ones(3),
    np.float64(0.5),
    np.float32(0.5),
    np.int64(3),
    np.bool_(True),  # noqa: FBT003
    np.array(["a"]),
    np.array(None),
    [],
    [1.0, None],
    (),
    {},
    {"a": {"b": []}},
    {1: 2},
    {None: 1},
    {("a",): 1},
    {Odd("type"): "mse"},
    cyclic_mapping(),
    cyclic_list(),
]
KEYS = [
    *("loss", "terms", "task", "seed", "trainer", "type", "weight", "inputs", "params", "enabled"),
    *("input", "target", "reduction", "ignore_index", "label_smoothing", "max_epochs", "devices"),
    *("", "a b", "\ud800", "x" * 10_000, "self", "__class__", "model_config", "total", "größe"),
]


def structure(rng: random.Random, depth: int = 0) -> Any:
    """A loss's mapping, with something odd in some of its places."""
    if rng.random() < 0.12 or depth > 5:
        return rng.choice(ODD_VALUES)
    if rng.random() < 0.1:
        return [structure(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {
        rng.choice(KEYS): structure(rng, depth + rng.choice((1, 2, 3)))
        for _ in range(rng.randrange(5))
    }


def almost_good(rng: random.Random) -> Any:
    """A good config with one odd value."""
    config = yaml.safe_load(SEEDS[0])
    node: Any = config
    while True:
        places = list(node) if isinstance(node, dict) else range(len(node))
        place = rng.choice(list(places))
        if isinstance(node[place], dict | list) and node[place] and rng.random() < 0.8:
            node = node[place]
            continue
        if isinstance(node, dict) and rng.random() < 0.2:
            node[rng.choice([*KEYS, 1, None])] = node.pop(place)
        else:
            node[place] = rng.choice(ODD_VALUES)
        return config


@pytest.mark.parametrize("count", [500, pytest.param(100_000, marks=pytest.mark.nightly)])
def test_structures(count: int) -> None:
    for seed in range(count):
        rng = random.Random(seed)
        source = rng.choice((structure, almost_good, almost_good))(rng)
        key = rng.choice((None, None, None, "loss", "terms[0].a", "", "x..y"))
        overrides = rng.sample(OVERRIDES, rng.choice((0, 0, 1, 2)))
        try:
            assert read(source, key=key, overrides=overrides) < HANG
        except Exception as error:
            raise AssertionError(f"{seed}") from error


OVERRIDES: list[Any] = [
    "terms.a.type=mse",
    "loss.terms.classify.weight=2",
    "loss.terms[0]=1",
    "loss.terms.classify.params.weight[0]=x",
    "loss.terms.classify.params.weight[-9]=x",
    "loss=",
    "loss=[",
    "=",
    "",
    "a=\x00",
    "a=\ud800",
    "\ud800=1",
    "a" * 10_000 + "=1",
    "a=" + "x" * 10_000,
    ".".join("a" * 3_000) + "=1",
    "a" + "[0]" * 3_000 + "=1",
    "a=" + "[" * 300,
    "a=&a [*a]",
    "a: b=c: d",
    "a=b\nc=d",
    None,
    3,
    b"a=1",
]


@pytest.mark.parametrize("value", ODD_VALUES, ids=lambda value: type(value).__name__)
def test_any_object_as_a_source(value: Any) -> None:
    if isinstance(value, Odd | Path | str):
        value = f"nowhere/{value}" if isinstance(value, str) else value
    assert read(value) < HANG
    with pytest.raises(lossreg.ConfigError):
        load_experiment(value, registry=REGISTRY)


def test_an_override_may_be_anything() -> None:
    for each in OVERRIDES:
        assert read(SEEDS[0].encode(), overrides=[each]) < HANG


@pytest.mark.parametrize("key", ["a" * 10**6, "a" + "[0]" * 10**5, "a." * 10**5, "\ud800", "[0]"])
def test_a_key_may_be_anything(key: str) -> None:
    assert read(SEEDS[0].encode(), key=key) < HANG
