"""What `divide_by` divides by, each form against sums written by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - everyone's name for it
from torch import Tensor, nn

import lossreg
from lossreg.errors import ConfigWarning, InputError

DOUBLE = torch.float64
ROWS, WIDTH = 5, 3
Written: TypeAlias = dict[str, Any]
# From the weighted loss, and the weights with those of the classes, both 0 where an entry is not
# kept; and which are kept.
Oracle: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]


def by_row(tensor: Tensor) -> Tensor:
    return tensor.reshape(tensor.shape[0], -1)


def averaged_rows(loss: Tensor, _: Tensor, kept: Tensor) -> Tensor:
    return by_row(loss).sum(1) / by_row(kept).sum(1).clamp(min=1)


FORMS: dict[str, tuple[Written, Oracle]] = {
    "weights": ({"divide_by": "weights"}, lambda loss, weight, _: loss.sum() / weight.sum()),
    "kept": ({"divide_by": "kept"}, lambda loss, _, kept: loss.sum() / kept.sum()),
    "entries": ({"divide_by": "entries"}, lambda loss, *_: loss.sum() / loss.numel()),
    "rows": ({"divide_by": "rows"}, lambda loss, *_: loss.sum() / loss.shape[0]),
    "kept_rows": (
        {"divide_by": "kept_rows"},
        lambda loss, _, kept: loss.sum() / by_row(kept).any(1).sum(),
    ),
    "rows, averaged": (
        {"divide_by": "rows", "within_row": "mean"},
        lambda *parts: averaged_rows(*parts).sum() / len(parts[0]),
    ),
    "kept_rows, averaged": (
        {"divide_by": "kept_rows", "within_row": "mean"},
        lambda *parts: averaged_rows(*parts).sum() / by_row(parts[2]).any(1).sum(),
    ),
    "rows of another": ({"divide_by": {"rows": "other"}}, lambda loss, *_: loss.sum() / 7),
    "rows of another, averaged": (
        {"divide_by": {"rows": "other"}, "within_row": "mean"},
        lambda *parts: averaged_rows(*parts).sum() / 7,
    ),
    "entries of another": ({"divide_by": {"entries": "other"}}, lambda loss, *_: loss.sum() / 14),
    "a number": ({"divide_by": {"number": "n"}}, lambda loss, *_: loss.sum() / 2.5),
    "a route": (
        {"divide_by": {"number": {"from": "counts", "apply": [{"slice": {"dim": 0, "end": 1}}]}}},
        lambda loss, *_: loss.sum() / 4,
    ),
}
EXTRA = {"other": torch.zeros(7, 2), "n": 2.5, "counts": torch.tensor([4.0, 9.0], dtype=DOUBLE)}


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def masked(shape: tuple[int, ...]) -> Tensor:
    """About half of the entries, and a row without any."""
    keep = random(*shape, seed=5) > 0
    keep[1] = False
    return keep


class Loss:
    """A loss with a batch, its unreduced value by torch, and how much each entry counts."""

    def __init__(
        self,
        name: str,
        batch: dict[str, Tensor],
        unreduced: Callable[[Tensor], Tensor],
        *,
        counts: Tensor | None = None,
        own: Tensor | None = None,
        params: dict[str, Any] | None = None,
    ) -> None:
        self.name, self.batch, self.params = name, batch, params or {}
        self.unreduced = unreduced
        shape = unreduced(batch["input"]).shape
        self.shape = tuple(shape)
        self.counts = torch.ones(shape, dtype=DOUBLE) if counts is None else counts
        self.own = torch.ones(shape, dtype=torch.bool) if own is None else own


TARGET = random(ROWS, WIDTH, seed=1)
LABELS = torch.tensor([[0, 2], [1, 1], [-100, 2], [2, 0], [-100, -100]])
CLASS_WEIGHTS = torch.tensor([0.5, 0.0, 4.0], dtype=DOUBLE)
LOGITS = random(ROWS, 3, 2, seed=2)
LOSSES = {
    "mse": Loss(
        "mse",
        {"input": random(ROWS, WIDTH, seed=0), "target": TARGET},
        lambda x: (x - TARGET) ** 2,
    ),
    "mse of vectors": Loss(
        "mse",
        {"input": random(ROWS, seed=0), "target": TARGET[:, 0]},
        lambda x: (x - TARGET[:, 0]) ** 2,
    ),
    "cross_entropy": Loss(
        "cross_entropy",
        {"input": LOGITS, "target": LABELS},
        lambda x: F.cross_entropy(x, LABELS, CLASS_WEIGHTS, reduction="none"),
        counts=CLASS_WEIGHTS[LABELS.clamp(min=0)] * (LABELS != -100),
        own=LABELS != -100,
        params={"weight": CLASS_WEIGHTS.tolist()},
    ),
    "value": Loss("value", {"input": random(ROWS, WIDTH, seed=3)}, lambda x: x),
}
CHOSEN: dict[str, Written] = {
    "all": {},
    "masked": {"mask": "m"},
    "weighted": {"sample_weight": "w"},
    "masked and weighted": {"mask": "m", "sample_weight": "w"},
    "masked and weighted rows": {"mask": "row_mask", "sample_weight": "row_weight"},
}


EVERY_DAY = [
    pytest.param(name, marks=[pytest.mark.nightly] * (name in ("masked", "weighted")))
    for name in CHOSEN
]


def step(loss: Loss) -> dict[str, Any]:
    return {
        **loss.batch,
        **EXTRA,
        "m": masked(loss.shape),
        "row_mask": masked((ROWS,)),
        "w": random(*loss.shape, seed=6).exp(),
        "row_weight": random(ROWS, seed=7).exp(),
    }


def oracle(loss: Loss, chosen: Written, divided: Oracle, batch: dict[str, Any]) -> Tensor:
    def spread(tensor: Tensor) -> Tensor:
        return tensor.reshape(tensor.shape + (1,) * (len(loss.shape) - tensor.dim()))

    kept, weight = loss.own, torch.ones((), dtype=DOUBLE)
    if "mask" in chosen:
        kept = kept & spread(batch[chosen["mask"]])
    if "sample_weight" in chosen:
        weight = spread(batch[chosen["sample_weight"]])
    unreduced = loss.unreduced(batch["input"])
    whole = (unreduced * weight * kept, (loss.counts * weight * kept).expand(loss.shape), kept)
    return divided(*whole)


def build(loss: Loss, **written: Any) -> lossreg.CompositeLoss:
    term = {"type": loss.name, "params": loss.params, **written}
    return lossreg.build({"terms": {"t": term}}).double()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("chosen", EVERY_DAY)
@pytest.mark.parametrize("name", LOSSES)
def test_each_form_is_the_sum_written_by_hand(name: str, chosen: str, form: str) -> None:
    loss, (written, divided) = LOSSES[name], FORMS[form]
    batch = step(loss)
    composite = build(loss, **CHOSEN[chosen], **written)
    leaf, expected_leaf = (batch["input"].clone().requires_grad_() for _ in range(2))
    total = composite({**batch, "input": leaf}).total
    expected = oracle(loss, CHOSEN[chosen], divided, {**batch, "input": expected_leaf})
    torch.testing.assert_close(total, expected, rtol=1e-14, atol=1e-15)
    total.backward()
    expected.backward()
    torch.testing.assert_close(leaf.grad, expected_leaf.grad, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("chosen", EVERY_DAY)
@pytest.mark.parametrize("name", LOSSES)
def test_micro_batches_add_up_to_the_one_big_batch(name: str, chosen: str, form: str) -> None:
    loss, (written, _) = LOSSES[name], FORMS[form]
    batch = step(loss)
    composite = build(loss, **CHOSEN[chosen], **written)
    whole, split = (batch["input"].clone().requires_grad_() for _ in range(2))
    composite({**batch, "input": whole}).total.backward()

    def part(rows: slice, source: Tensor) -> dict[str, Any]:
        share = (rows.stop - rows.start) / ROWS
        cut = {key: value[rows] for key, value in batch.items() if key not in EXTRA}
        # What does not come in rows adds up to the whole's.
        others = torch.zeros(4 if share > 0.5 else 3, 2)
        numbers = {"n": 2.5 * share, "counts": EXTRA["counts"] * share, "other": others}
        return {**cut, **numbers, "input": source[rows]}

    parts = [part(slice(0, 3), split), part(slice(3, ROWS), split)]
    known = [{key: value for key, value in each.items() if key != "input"} for each in parts]
    if name == "value" and "other" not in str(written) and "number" not in str(written):
        # A value has no target, so only its mask and its weights can be counted.
        if chosen == "all":
            with pytest.raises(InputError, match=r"write divide_by: \{rows: path\}"):
                composite.denominators(known)
            return
        if chosen.endswith("rows") and "rows" not in form:
            denominators = composite.denominators(known)
            with pytest.raises(InputError, match="expected the loss's shape"):
                composite(parts[0], denominators=denominators)
            return
    denominators = composite.denominators(known)
    for each in parts:
        composite(each, denominators=denominators).total.backward()
    torch.testing.assert_close(split.grad, whole.grad, rtol=1e-13, atol=1e-15)


def test_ctc_is_a_mean_of_labels_but_under_rows() -> None:
    batch = {
        "log_probs": random(6, 2, 4, seed=8).log_softmax(-1),
        "targets": torch.tensor([[1, 2, 3], [2, 1, 0]]),
        "input_lengths": torch.tensor([6, 5]),
        "target_lengths": torch.tensor([3, 2]),
    }
    losses = nn.CTCLoss(reduction="none")(*batch.values())

    def total(divide_by: Any, **more: Any) -> Tensor:
        term = {"type": "ctc", "divide_by": divide_by, **more}
        result: Tensor = lossreg.build({"terms": {"t": term}}).double()(**batch, n=8).total
        return result

    by_label = (losses / torch.tensor([3, 2])).sum()
    for form, expected in {"entries": by_label / 2, "rows": losses.sum() / 2}.items():
        torch.testing.assert_close(total(form), expected)
    torch.testing.assert_close(total({"number": "n"}), by_label / 8)
    torch.testing.assert_close(total({"rows": "input_lengths"}), losses.sum() / 2)


def test_an_unbatched_loss_is_one_row() -> None:
    loss = lossreg.build({"terms": {"t": {"type": "cross_entropy", "divide_by": "rows"}}})
    logits, target = torch.randn(3), torch.tensor(1)
    torch.testing.assert_close(
        loss(input=logits, target=target).total, F.cross_entropy(logits, target)
    )


def test_a_group_divides_its_terms_and_a_term_may_differ() -> None:
    term = {"type": "mse", "inputs": ["p", "y"]}
    document = {
        "terms": {
            "g": {
                "from": "deep",
                "divide_by": {"number": "n"},
                "terms": {"a": term, "b": {**term, "divide_by": "rows", "within_row": "mean"}},
            },
            "rows": {
                "divide_by": "rows",
                "within_row": "mean",
                "terms": {"c": term, "d": {**term, "within_row": "sum"}},
            },
        }
    }
    p, y = torch.tensor([[1.0, 3.0], [0.0, 2.0]]), torch.zeros(2, 2)
    out = lossreg.build(document)(deep={"p": p, "y": y}, p=p, y=y, n=7)
    wanted = {"g/a": 2.0, "g/b": 3.5, "rows/c": 3.5, "rows/d": 7.0}
    assert {name: float(value) for name, value in out.terms.items()} == wanted


@pytest.mark.parametrize(
    ("divide_by", "value", "message"),
    [
        ({"rows": "x"}, 3, "expected a tensor whose rows are counted, found a int"),
        ({"rows": "x"}, torch.tensor(3), "expected a tensor with rows, found one without dim"),
        ({"entries": "x"}, [1.0], "expected a tensor whose entries are counted, found a list"),
        ({"number": "x"}, torch.ones(2), r"expected one number, found \(2,\)"),
    ],
    ids=str,
)
def test_a_divisor_that_is_none_says_so(divide_by: Any, value: Any, message: str) -> None:
    loss = lossreg.build({"terms": {"t": {"type": "mse", "divide_by": divide_by}}})
    with pytest.raises(InputError, match=rf"term 't', 'divide_by' \(path 'x'\): {message}"):
        loss(input=torch.ones(2), target=torch.zeros(2), x=value)


def test_nothing_kept_is_a_zero_with_a_graph() -> None:
    leaf = torch.ones(2, requires_grad=True)
    for form in ("kept", "entries", "rows", "kept_rows"):
        loss = lossreg.build({"terms": {"t": {"type": "mse", "mask": "m", "divide_by": form}}})
        total = loss(input=leaf, target=torch.zeros(2), m=torch.zeros(2).bool()).total
        assert total == 0
        total.backward()
    assert leaf.grad is not None
    assert leaf.grad.tolist() == [0, 0]


def test_a_value_whose_micro_batches_are_averaged_is_warned_of_once() -> None:
    loss = lossreg.build({"terms": {"t": {"type": "value", "inputs": ["kl"]}}})
    assert loss.denominators([{}]).values.tolist() == [1]  # one part is the whole
    with pytest.warns(ConfigWarning, match="its micro-batches' means are averaged"):
        denominators = loss.denominators([{}, {}])
    assert denominators.values.tolist() == [2]
    assert loss.denominators([{}, {}]).values.tolist() == [2]
    said = lossreg.build(
        {"terms": {"t": {"type": "value", "inputs": ["kl"], "divide_by": {"rows": "image"}}}}
    )
    image = torch.ones(3, 2)
    assert said.denominators([{"image": image}, {"image": image[:1]}]).values.tolist() == [4]


def test_one_graph_serves_all_batches() -> None:
    forms = {name: form for name, (form, _) in FORMS.items()}
    terms = {
        name.replace(", ", "_").replace(" ", "_"): {
            "type": "mse",
            "mask": "m",
            "sample_weight": "w",
            **form,
        }
        for name, form in forms.items()
    }
    loss = lossreg.build({"checks": "never", "terms": terms}).double()
    torch._dynamo.reset()
    graph = torch.compile(loss, backend="aot_eager", fullgraph=True)
    for _ in range(2):
        batch = step(LOSSES["mse"])
        torch.testing.assert_close(graph(batch).total, loss(batch).total, rtol=1e-14, atol=0)
    assert math.isfinite(graph(batch).total)
