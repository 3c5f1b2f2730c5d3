"""Groups that are repeated over lists give what is written by hand in torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - everyone's name for it
from torch import Tensor

from repeated import DOUBLE, PAIR, assert_equal, build, errors, maps, random

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@pytest.mark.parametrize("combine", ["sum", "mean", "pooled"])
def test_feature_maps_over_all_layers(combine: str) -> None:
    def by_hand(values: dict[str, Any]) -> Tensor:
        if combine == "pooled":
            pairs = zip(values["g"], values["r"], strict=True)
            return torch.cat([(fake - real).abs().flatten() for fake, real in pairs]).mean()
        total = torch.stack(errors(values)).sum()
        return total if combine == "sum" else total / 3

    assert_equal(build({"over": PAIR, "combine": combine}), maps, by_hand)


def test_lists_of_lists_tuples_and_mappings_of_layers() -> None:
    def nested(kind: Callable[[Sequence[Tensor]], Any]) -> Callable[[], dict[str, Any]]:
        def values() -> dict[str, Any]:
            first, second = maps(), maps(seed=20)
            return {name: [kind(first[name]), kind(second[name])] for name in ("g", "r")}

        return values

    def by_hand(values: dict[str, Any]) -> Tensor:
        def layers(maps: Any) -> list[Tensor]:
            return list(maps.values() if isinstance(maps, dict) else maps)

        return torch.stack(
            [
                (fake - real).abs().mean()
                for fakes, reals in zip(values["g"], values["r"], strict=True)
                for fake, real in zip(layers(fakes), layers(reals), strict=True)
            ]
        ).sum()

    loss = build({"over": PAIR, "nested": 2, "combine": "sum"})
    for kind in (list, tuple, lambda tensors: dict(zip("abc", tensors, strict=True))):
        assert_equal(loss, nested(kind), by_hand)


def test_mappings_are_paired_by_key() -> None:
    values = maps()
    fakes = dict(zip("abc", values["g"], strict=True))
    reals = dict(zip("cba", reversed(values["r"]), strict=True))
    loss = build({"over": PAIR, "combine": "sum"})
    torch.testing.assert_close(loss(g=fakes, r=reals).total, sum(errors(values)))
    assert list(loss.terms({"g": fakes, "r": reals}, elements=True)) == [
        "f/l1",
        *[f"f/l1[{key}]" for key in "abc"],
    ]


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({"decay": 0.8, "towards": "last"}, [0.64, 0.8, 1.0]),
        ({"decay": 0.8, "towards": "first"}, [1.0, 0.8, 0.64]),
        ({"decay": 0.5, "towards": "first", "zero": [-1], "sum_to_one": True}, [2 / 3, 1 / 3, 0]),
        ({"zero": [0, 2]}, [0, 1, 0]),
        ({"sum_to_one": True}, [1 / 3, 1 / 3, 1 / 3]),
        ([1, 0.5, 2], [1.0, 0.5, 2.0]),
    ],
    ids=str,
)
@pytest.mark.parametrize("combine", ["sum", "mean", "pooled"])
def test_weights_multiply_values_and_no_divisor(
    weights: Any, expected: list[float], combine: str
) -> None:
    def by_hand(values: dict[str, Any]) -> Tensor:
        if combine != "pooled":
            pairs = zip(expected, errors(values), strict=True)
            total = torch.stack([weight * error for weight, error in pairs]).sum()
            return total if combine == "sum" else total / 3
        count = sum(fake.numel() for fake in values["g"])
        triples = zip(expected, values["g"], values["r"], strict=True)
        return (
            torch.stack([w * (fake - real).abs().sum() for w, fake, real in triples]).sum() / count
        )

    assert_equal(build({"over": PAIR, "weights": weights, "combine": combine}), maps, by_hand)


def test_a_part_of_each_list_is_picked() -> None:
    each = {"over": PAIR, "pick": {"real": {"start": 2, "step": 3}, "fake": {"end": -1}}}
    loss = build({**each, "combine": "sum"})
    fakes = [random(2, 3, seed=place, grad=True) for place in range(4)]
    reals = [random(2, 3, seed=place + 9) for place in range(9)]
    expected = sum((fakes[place] - reals[2 + 3 * place]).abs().mean() for place in range(3))
    torch.testing.assert_close(loss(g=fakes, r=reals).total, expected)


def test_an_element_of_weight_0_is_not_computed() -> None:
    values = maps()
    values["g"][2] = torch.full((4, 1, 3), torch.nan, dtype=DOUBLE)
    each = {"over": PAIR, "weights": {"zero": [-1]}}
    for combine, divisor in (("sum", 1), ("mean", 3)):
        loss = build({**each, "combine": combine})
        torch.testing.assert_close(loss(values).total, sum(errors(values)[:2]) / divisor)
    assert build({**each, "combine": "pooled"})(values).total.isfinite()


SET = {
    "ce": {
        "type": "cross_entropy",
        "inputs": ["layer.logits", "layer.classes"],
        "class_dim": -1,
        "params": {"weight": [1.0, 0.5, 0.1]},
    },
    "boxes": {
        "divide_by": {"number": "num_boxes"},
        "terms": {"l1": {"type": "l1", "weight": 5.0, "inputs": ["layer.boxes", "boxes"]}},
    },
}


def decoder(layers: int = 3) -> dict[str, Any]:
    return {
        "num_boxes": 6.0,
        "boxes": random(5, 4, seed=90),
        "layers": [
            {
                "logits": random(2, 7, 3, seed=place, grad=True),
                "classes": torch.arange(14).reshape(2, 7) % 3,
                "boxes": random(5, 4, seed=30 + place, grad=True),
            }
            for place in range(layers)
        ],
    }


def test_auxiliary_layers_read_their_own_and_the_steps_tensors() -> None:
    def by_hand(values: dict[str, Any]) -> Tensor:
        total = torch.zeros((), dtype=DOUBLE)
        weight = torch.tensor([1.0, 0.5, 0.1], dtype=DOUBLE)
        for layer in values["layers"]:
            logits = layer["logits"].transpose(1, 2)
            total = total + F.cross_entropy(logits, layer["classes"], weight)
            total = total + 5 * (layer["boxes"] - values["boxes"]).abs().sum() / 6
        return total / 3

    assert_equal(build({"over": {"layer": "layers"}, "combine": "mean"}, SET), decoder, by_hand)


@pytest.mark.parametrize("layers", [1, 3, 6])
def test_what_is_logged_and_saved_does_not_depend_on_the_length(layers: int) -> None:
    loss = build({"over": {"layer": "layers"}, "combine": "mean"}, SET)
    out = loss(decoder(layers))
    assert list(out.terms) == list(out.weights) == ["f/ce", "f/boxes/l1"]
    assert loss.state_dict() == {}
    assert (
        loss.fingerprint == build({"over": {"layer": "layers"}, "combine": "mean"}, SET).fingerprint
    )


def test_the_fingerprint_tells_lists_apart() -> None:
    each = {"over": PAIR, "combine": "sum"}
    others = [
        {**each, "combine": "mean"},
        {**each, "over": {**PAIR, "real": "other"}},
        {**each, "nested": 2},
        {**each, "pick": {"end": 2}},
        {**each, "weights": [1.0]},
        {**each, "weights": {"decay": 0.5, "towards": "last"}},
    ]
    found = {build(other).fingerprint for other in (each, *others)}
    assert len(found) == len(others) + 1
    assert build({**each, "over": dict(reversed(PAIR.items()))}).fingerprint in found


def test_masks_sample_weights_and_divisors_of_elements() -> None:
    term = {
        "type": "mse",
        "inputs": ["layer.p", "y"],
        "mask": "layer.valid",
        "sample_weight": "w",
        "ignore": "nan",
    }

    def values() -> dict[str, Any]:
        y = random(6, 3, seed=5)
        y[1, 2] = torch.nan
        return {
            "y": y,
            "w": torch.rand(6, generator=torch.Generator().manual_seed(1), dtype=DOUBLE),
            "layers": [
                {
                    "p": random(6, 3, seed=place, grad=True),
                    "valid": torch.arange(6) % (place + 2) > 0,
                }
                for place in range(3)
            ],
        }

    def parts(values: dict[str, Any]) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
        found = []
        for layer in values["layers"]:
            keep = layer["valid"][:, None] & ~values["y"].isnan()
            square = (layer["p"] - values["y"].nan_to_num()) ** 2
            w = keep * values["w"][:, None]
            found.append(((w * square).sum(), w.sum(), keep.sum(), keep.any(1).sum()))
        return found

    each = {"over": {"layer": "layers"}}
    for place, divide_by in ((1, "weights"), (2, "kept"), (3, "kept_rows")):

        def pooled(values: dict[str, Any], place: int = place) -> Tensor:
            found = parts(values)
            return sum(part[0] for part in found) / sum(part[place] for part in found)

        def mean(values: dict[str, Any], place: int = place) -> Tensor:
            return sum(part[0] / part[place] for part in parts(values)) / 3

        terms = {"fit": {**term, "divide_by": divide_by}}
        assert_equal(build({**each, "combine": "pooled"}, terms), values, pooled)
        assert_equal(build({**each, "combine": "mean"}, terms), values, mean)


@pytest.mark.parametrize(
    ("number", "pooled"),
    [
        ("count", lambda sums, _: sum(sums) / 7),  # one divisor for all, once
        ("layer.count", lambda sums, counts: sum(sums) / sum(counts)),
    ],
)
def test_a_divisor_from_a_path(number: str, pooled: Callable[..., Tensor]) -> None:
    term = {"type": "l1", "inputs": ["layer.p", "y"], "divide_by": {"number": number}}

    def values() -> dict[str, Any]:
        layers = [
            {"p": random(4, 2, seed=place, grad=True), "count": place + 2.0} for place in (0, 1)
        ]
        return {"y": random(4, 2, seed=9), "count": 7.0, "layers": layers}

    def sums(values: dict[str, Any]) -> tuple[list[Tensor], list[float]]:
        layers = values["layers"]
        found = [(layer["p"] - values["y"]).abs().sum() for layer in layers]
        return found, [layer["count"] for layer in layers]

    each = {"over": {"layer": "layers"}}
    loss = build({**each, "combine": "pooled"}, {"fit": term})
    assert_equal(loss, values, lambda values: pooled(*sums(values)))

    def mean(values: dict[str, Any]) -> Tensor:
        found, counts = sums(values)
        counts = [7.0, 7.0] if number == "count" else counts
        return sum(one / count for one, count in zip(found, counts, strict=True)) / 2

    assert_equal(build({**each, "combine": "mean"}, {"fit": term}), values, mean)
