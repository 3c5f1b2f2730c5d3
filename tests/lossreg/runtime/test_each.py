"""Groups that are repeated over lists give what is written by hand in torch."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - everyone's name for it
from torch import Tensor

import lossreg
from lossreg.errors import InputError
from properties import leaves

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DOUBLE = torch.float64
L1 = {"type": "l1", "inputs": ["fake", "real"]}
PAIR = {"fake": "g", "real": "r"}


def random(*shape: int, seed: int = 0, grad: bool = False) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=DOUBLE).requires_grad_(grad)


def build(
    each: dict[str, Any], terms: dict[str, Any] | None = None, **group: Any
) -> lossreg.CompositeLoss:
    terms = {"l1": L1} if terms is None else terms
    config = {"terms": {"f": {"each": each, "terms": terms, **group}}}
    return lossreg.build(config).double()


def maps(rows: int = 4, seed: int = 0) -> dict[str, Any]:
    """Feature maps of three layers, of different sizes."""
    sizes = ((rows, 4, 9), (rows, 8, 5), (rows, 1, 3))
    return {
        "g": [random(*size, seed=seed + place, grad=True) for place, size in enumerate(sizes)],
        "r": [random(*size, seed=seed + 10 + place) for place, size in enumerate(sizes)],
    }


def assert_equal(
    loss: lossreg.CompositeLoss,
    values: Callable[[], dict[str, Any]],
    by_hand: Callable[[dict[str, Any]], Tensor],
) -> None:
    """The total and every gradient, in float64; once more after the first batch."""
    for _ in range(2):
        own, other = values(), values()
        total, expected = loss(own).total, by_hand(other)
        torch.testing.assert_close(total, expected, rtol=1e-12, atol=1e-14)
        total.backward()
        expected.backward()
        pairs = list(zip(leaves(own), leaves(other), strict=True))
        assert pairs
        for leaf, twin in pairs:
            if twin.grad is None or leaf.grad is None:
                assert all(one.grad is None or not one.grad.any() for one in (leaf, twin))
            else:
                torch.testing.assert_close(leaf.grad, twin.grad, rtol=1e-12, atol=1e-14)


def errors(values: dict[str, Any]) -> list[Tensor]:
    return [(fake - real).abs().mean() for fake, real in zip(values["g"], values["r"], strict=True)]


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


def test_gradients_stop_where_detach_and_frozen_say_so() -> None:
    def values() -> dict[str, Any]:
        found = maps()
        for real in found["r"]:
            real.requires_grad_()
        return found

    frozen = {
        "frozen": ["r"],
        "terms": {"f": {"each": {"over": PAIR, "combine": "sum"}, "terms": {"l1": L1}}},
    }
    detached = build({"over": PAIR, "combine": "sum"}, {"l1": {**L1, "detach": ["target"]}})
    for loss in (lossreg.build(frozen), detached):
        own = values()
        loss(own).total.backward()
        assert all(fake.grad is not None and fake.grad.any() for fake in own["g"])
        assert all(real.grad is None for real in own["r"])


def test_a_frozen_tensor_of_which_a_list_is_made() -> None:
    each = {"over": {"h": {"from": "hs", "apply": ["unbind"]}, "y": "ys"}, "combine": "sum"}
    terms = {"f": {"each": each, "terms": {"fit": {"type": "mse", "inputs": ["y", "h"]}}}}
    hs, ys = random(3, 2, 4, grad=True), [random(2, 4, seed=n, grad=True) for n in (1, 2, 3)]
    lossreg.build({"frozen": ["hs"], "terms": terms})(hs=hs, ys=ys).total.backward()
    assert hs.grad is None
    assert all(y.grad is not None for y in ys)


def test_a_target_that_requires_a_gradient_is_warned_of_once() -> None:
    values = maps()
    for real in values["r"]:
        real.requires_grad_()
    loss = build({"over": PAIR, "combine": "sum"})
    with pytest.warns(lossreg.ConfigWarning, match=r"term 'f/l1\[0\]', 'target'") as found:
        loss(values)
    assert len(found) == 1
    loss(values)


def test_a_transform_makes_the_list_and_others_change_its_elements() -> None:
    each = {"over": {"h": {"from": "hs", "apply": [{"unbind": 1}]}}, "combine": "sum"}
    route = {"from": "h", "apply": [{"sub": "base"}, {"mul": {"from": "h", "apply": ["sigmoid"]}}]}
    loss = build(each, {"fit": {"type": "mse", "inputs": [route, {"constant": 0.5}]}})

    def values() -> dict[str, Any]:
        return {"hs": random(4, 3, 2, grad=True), "base": random(4, 2, seed=7, grad=True)}

    def by_hand(values: dict[str, Any]) -> Tensor:
        elements = values["hs"].unbind(1)
        return sum((((h - values["base"]) * h.sigmoid() - 0.5) ** 2).mean() for h in elements)

    assert_equal(loss, values, by_hand)


def test_paths_of_elements_one_by_one() -> None:
    each = {
        "over": {"head": ["a.logits", {"from": "b", "apply": [{"mul": 2.0}]}]},
        "combine": "sum",
    }
    loss = build(each, {"fit": {"type": "mse", "inputs": ["head", "y"]}})
    a, b, y = random(3, 2), random(3, 2, seed=1), random(3, 2, seed=2)
    expected = F.mse_loss(a, y) + F.mse_loss(2 * b, y)
    torch.testing.assert_close(loss(a={"logits": a}, b=b, y=y).total, expected)


def test_groups_around_and_inside() -> None:
    inner = {
        "from": "layer",
        "weight": 0.5,
        "terms": {"fit": {"type": "mse", "inputs": ["p", "y"]}},
    }
    each = {"over": {"layer": "layers"}, "combine": "sum"}
    group = {
        "from": "model",
        "each": each,
        "terms": {"inner": inner, "far": {"type": "mse", "inputs": ["layer.p", "y"]}},
    }
    loss = lossreg.build({"terms": {"outer": {"weight": 3.0, "terms": {"g": group}}}})
    layers = [{"p": random(2, 3, seed=n), "y": random(2, 3, seed=n + 5)} for n in range(2)]
    y = random(2, 3, seed=9)
    out = loss(model={"layers": layers, "y": y})
    near = sum(F.mse_loss(layer["p"], layer["y"]) for layer in layers)
    far = sum(F.mse_loss(layer["p"], y) for layer in layers)
    assert list(out.terms) == ["outer/g/inner/fit", "outer/g/far"]
    torch.testing.assert_close(out.total, 1.5 * near + 3 * far)


def test_what_is_the_same_for_every_element_is_computed_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []
    softmax = torch.Tensor.softmax

    def counted(*args: Any, **kwargs: Any) -> Tensor:
        calls.append(args[0].shape)
        return softmax(*args, **kwargs)

    monkeypatch.setattr(torch.Tensor, "softmax", counted)
    monkeypatch.setattr(torch, "softmax", counted)
    target = {"from": "y", "apply": [{"softmax": -1}]}
    route = {"from": "h", "apply": [{"softmax": -1}]}
    terms = {name: {"type": name, "inputs": [route, target]} for name in ("mse", "l1")}
    loss = build({"over": {"h": "hs"}, "combine": "sum"}, terms)
    hs = [random(2, 3, seed=n) for n in range(4)]
    loss(hs=hs, y=random(2, 3, seed=9))
    assert len(calls) == len(hs) + 1


def test_each_elements_value_is_there_to_be_logged() -> None:
    values = maps()
    loss = build({"over": PAIR, "combine": "sum", "weights": [1, 0, 2]})
    found = loss.terms(values, elements=True)
    one, two, three = errors(values)
    torch.testing.assert_close(
        found, {"f/l1": one + 2 * three, "f/l1[0]": one, "f/l1[1]": two, "f/l1[2]": three}
    )
    assert list(loss.terms(values)) == ["f/l1"]
    with pytest.raises(ValueError, match="ask for one of the two"):
        loss.terms(values, elements=True, weighted=True)


def test_the_elements_of_a_pooled_term_are_their_own_means() -> None:
    values = maps()
    found = build({"over": PAIR, "combine": "pooled"}).terms(values, elements=True)
    for place, error in enumerate(errors(values)):
        torch.testing.assert_close(found[f"f/l1[{place}]"], error)


def test_half_precision_is_added_up_in_single_precision() -> None:
    fakes = [torch.full((4,), 1.0, dtype=torch.bfloat16) for _ in range(300)]
    reals = [torch.zeros(4, dtype=torch.bfloat16) for _ in range(300)]
    out = build({"over": PAIR, "combine": "sum"})(g=fakes, r=reals)
    assert out.total.dtype == torch.float32
    assert out.total == 300


def test_a_copy_and_a_pickle_give_the_same() -> None:
    values, loss = maps(), build({"over": PAIR, "combine": "pooled"})
    expected = loss(values).total
    for other in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert other(values).total == expected
    with pytest.raises(InputError):
        copy.deepcopy(loss)(g=values["g"], r=values["r"][:1])
