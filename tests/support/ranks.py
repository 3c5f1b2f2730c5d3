"""One rank of a gloo run on this machine: gradients of micro-batches against the big batch's.

As a script, with the rank, how many there are, a file to meet at, a folder for what is found, and
the seeds of the data.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

import lossreg
from losses_of_ranks import LOSSES_HELD
from lossreg.integrations.accumulation import mean_over_ranks, optimizer_steps
from lossreg.integrations.averaging import Average
from properties import ulps

MICRO_BATCHES = (1, 2, 4, 8)
ROWS, WIDTH, CLASSES, TRACK = 96, 4, 3, 5
TERMS: dict[str, Any] = {
    "classify": {
        "type": "cross_entropy",
        "inputs": ["logits", "labels"],
        "params": {"weight": [0.2, 1.0, 5.0], "label_smoothing": 0.1},
    },
    "follow": {
        "type": "smooth_l1",
        "inputs": ["track", "wanted"],
        "mask": "valid",
        "sample_weight": "importance",
        "divide_by": "weights",
        "weight": 0.5,
    },
    "aux": {
        "from": "deep.aux[0]",
        "weight": 2.0,
        "divide_by": {"number": "objects"},
        "terms": {"boxes": {"type": "l1", "inputs": ["track", "wanted"]}},
    },
    "distil": {
        "type": "kl_div",
        "inputs": [{"from": "logits", "apply": ["log_softmax"]}, "teacher"],
        "params": {"reduction": "batchmean"},
    },
    "whole": {"type": "mse", "inputs": ["track", "wanted"], "params": {"reduction": "sum"}},
}

Values = dict[str, Any]


class Network(nn.Module):
    """Two heads over a hidden layer."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(WIDTH, 8), nn.Tanh())
        self.logits = nn.Linear(8, CLASSES)
        self.track = nn.Linear(8, TRACK)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        hidden = self.trunk(x)
        return {"logits": self.logits(hidden), "track": self.track(hidden)}


def network(seed: int) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network().double()


def samples(seed: int) -> Values:
    """Class labels and tracks of numbers, some of which do not count."""
    generator = torch.Generator().manual_seed(seed)

    def real(*shape: int) -> Tensor:
        return torch.randn(ROWS, *shape, generator=generator, dtype=torch.float64)

    values = {
        "x": real(WIDTH),
        "labels": torch.randint(CLASSES, (ROWS,), generator=generator),
        "wanted": real(TRACK),
        "valid": torch.rand(ROWS, TRACK, generator=generator) < 0.5,
        "importance": real().exp(),
        "teacher": real(CLASSES).softmax(-1),
        "objects": torch.randint(4, (ROWS,), generator=generator),
    }
    values["labels"][::5] = -100
    # Whoever gets the last rows has no target, and the first have nothing valid.
    values["labels"][-ROWS // 4 :] = -100
    values["valid"][: ROWS // 8] = False
    return values


def ragged(values: Values, parts: int, seed: int) -> list[Values]:
    """The rows in so many parts of one to many rows each."""
    generator = torch.Generator().manual_seed(seed)
    cuts = sorted((1 + torch.randperm(ROWS - 1, generator=generator)[: parts - 1]).tolist())
    sizes = [end - start for start, end in zip([0, *cuts], [*cuts, ROWS], strict=True)]
    split = {name: each.split(sizes) for name, each in values.items()}
    return [{name: each[i] for name, each in split.items()} for i in range(parts)]


def batch(values: Values, outputs: dict[str, Tensor] | None = None) -> Values:
    """A step's values; before the forward pass, without what the model computes."""
    here = {"wanted": values["wanted"], **(outputs or {})}
    return {
        **values,
        **(outputs or {}),
        "objects": int(values["objects"].sum()),
        "deep": {"aux": [here]},
    }


def composite() -> lossreg.CompositeLoss:
    return lossreg.build({"terms": TERMS}).double()


def gradients(model: nn.Module) -> list[Tensor]:
    found = [each.grad for each in model.parameters()]
    return [each.full_tensor() if hasattr(each, "full_tensor") else each for each in found]


def big_batch(seed: int, parts: list[Values]) -> list[Tensor]:
    """The gradients of all parts as one batch, without a denominator or a process group."""
    model, loss = network(seed), composite()
    values = {name: torch.cat([each[name] for each in parts]) for name in parts[0]}
    loss(batch(values, model(values["x"]))).total.backward()
    return gradients(model)


def apart(found: list[Tensor], expected: list[Tensor]) -> float:
    """In units of the last place of each parameter's largest gradient."""
    return max(
        ulps(each, wanted, of_largest=True) for each, wanted in zip(found, expected, strict=True)
    )


def train(
    model: nn.Module,
    mine: list[Values],
    without_sync: Callable[[], Any] = nullcontext,
    **how: Any,
) -> None:
    """The documented loop: denominators, then each micro-batch, the last one with a reduction."""
    loss = composite()
    denominators = loss.denominators([batch(each) for each in mine], **how)
    for index, each in enumerate(mine):
        last = index == len(mine) - 1
        with nullcontext() if last else without_sync():
            loss(batch(each, model(each["x"])), denominators=denominators).total.backward()


def parts_of(rank: int, world: int, count: int, seed: int) -> tuple[list[Values], list[Values]]:
    """All micro-batches, and those of one rank."""
    parts = ragged(samples(seed), world * count, seed)
    return parts, parts[rank * count : (rank + 1) * count]


def data_parallel(rank: int, world: int, count: int, seed: int) -> float:
    parts, mine = parts_of(rank, world, count, seed)
    model = DistributedDataParallel(network(seed))
    train(model, mine, model.no_sync)
    return apart(gradients(model), big_batch(seed, parts))


def always_synchronised(rank: int, world: int, count: int, seed: int) -> float:
    parts, mine = parts_of(rank, world, count, seed)
    model = DistributedDataParallel(network(seed))
    train(model, mine)
    return apart(gradients(model), big_batch(seed, parts))


def fully_sharded(rank: int, world: int, count: int, seed: int) -> float:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    parts, mine = parts_of(rank, world, count, seed)
    model = network(seed)
    mesh = init_device_mesh("cpu", (world,))
    for each in model.children():
        fully_shard(each, mesh=mesh)
    fully_shard(model, mesh=mesh)

    class WithoutSync:
        def __enter__(self) -> None:
            model.set_requires_gradient_sync(False)

        def __exit__(self, *_: object) -> None:
            model.set_requires_gradient_sync(True)

    train(model, mine, WithoutSync)
    return apart(gradients(model), big_batch(seed, parts))


def summed(rank: int, world: int, count: int, seed: int) -> float:
    """Gradients that are added up over ranks: `world_size=1`."""
    parts, mine = parts_of(rank, world, count, seed)
    model = network(seed)
    train(model, mine, world_size=1)
    for each in gradients(model):
        distributed.all_reduce(each)
    return apart(gradients(model), big_batch(seed, parts))


def in_optimizer_steps(rank: int, world: int, count: int, seed: int) -> float:
    """The shared loop, under a trainer that divides each total by 3."""
    parts, mine = parts_of(rank, world, count, seed)
    inner = network(seed)
    model, loss = DistributedDataParallel(inner), composite()
    (step,) = optimizer_steps(mine, count, known=batch, trainer_divides_by=3)
    for values in step:
        with nullcontext() if step.is_last else model.no_sync():
            out = step.compute(loss, batch(values, model(values["x"])))
            (out.total / 3).backward()
    big = {name: torch.cat([each[name] for each in parts]) for name in parts[0]}
    expected = loss(batch(big, inner(big["x"])))
    found = mean_over_ranks(step.summed())
    torch.testing.assert_close(found.log_dict(), detached(expected), rtol=1e-13, atol=1e-13)
    return apart(gradients(model), big_batch(seed, parts))


def detached(out: lossreg.LossOutput) -> dict[str, Tensor]:
    return {name: value.detach() for name, value in out.log_dict().items()}


def in_a_group(rank: int, world: int, count: int, seed: int) -> float:
    """All ranks but the first train; with one rank, that one."""
    members = list(range(1, world)) or [0]
    group = distributed.new_group(members)
    if rank not in members:
        return 0.0
    parts, mine = parts_of(members.index(rank), len(members), count, seed)
    model = DistributedDataParallel(network(seed), process_group=group)
    train(model, mine, model.no_sync, group=group)
    return apart(gradients(model), big_batch(seed, parts))


TRAINED = {
    each.__name__: each
    for each in (
        data_parallel,
        always_synchronised,
        fully_sharded,
        summed,
        in_optimizer_steps,
        in_a_group,
    )
}


def everyone(found: Any) -> list[Any]:
    """What each rank found."""
    every = [None] * distributed.get_world_size()
    distributed.all_gather_object(every, found)
    return every


def the_same_denominators(rank: int, world: int) -> None:
    parts, mine = parts_of(rank, world, 2, seed=0)
    found = composite().denominators([batch(each) for each in mine])
    assert found.world_size == world
    every = everyone(found.values.tolist())
    assert every == [every[0]] * world
    weights = torch.tensor([0.2, 1.0, 5.0]).double()
    labels = torch.cat([each["labels"] for each in parts])
    torch.testing.assert_close(found.values[0], weights[labels[labels >= 0]].sum())
    assert found.values[2:].tolist() == [int(samples(0)["objects"].sum()), ROWS, 1.0]


def a_rank_without_micro_batches(rank: int, world: int) -> None:
    _, mine = parts_of(rank, world, 2, seed=0)
    loss = lossreg.build(
        {"terms": {"a": TERMS["classify"], "b": {"type": "value", "divide_by": {"rows": "labels"}}}}
    )
    before = [batch(each) for each in mine] if rank else []
    found = loss.denominators(before).values
    counts = everyone(sum(int((each["labels"] >= 0).sum()) for each in before))
    assert found[1] == sum(everyone(sum(len(each["labels"]) for each in before)))
    assert bool(found[0]) == bool(sum(counts))


def the_same_keys_everywhere(rank: int, world: int) -> None:
    terms = {**TERMS, "rare": {"type": "l1", "inputs": ["track", "seldom"], "optional": True}}
    loss = lossreg.build({"terms": terms}).double()
    _, (mine,) = parts_of(rank, world, 1, seed=0)
    rare = {"seldom": mine["wanted"]} if rank == world - 1 else {}
    denominators = loss.denominators([{**batch(mine), **rare}])
    assert denominators.values[-1] == mine["wanted"].numel() or rank != world - 1
    out = loss({**batch(mine, network(0)(mine["x"])), **rare}, denominators=denominators)
    every = everyone(list(out.log_dict("train/")))
    assert "train/loss/rare" in every[0]
    assert every == [every[0]] * world


def totals_and_terms_add_up(rank: int, world: int) -> None:
    parts, mine = parts_of(rank, world, 2, seed=0)
    model, loss = network(0), composite()
    denominators = loss.denominators([batch(each) for each in mine])
    outs = [loss(batch(each, model(each["x"])), denominators=denominators) for each in mine]
    values = {name: torch.cat([each[name] for each in parts]) for name in parts[0]}
    expected = loss(batch(values, model(values["x"])))
    total = sum(everyone(sum(out.total.item() for out in outs))) / world
    assert abs(total - expected.total.item()) < 1e-13 * total
    for name, wanted in expected.terms.items():
        found = sum(everyone(sum(out.terms[name].item() for out in outs)))
        assert abs(found - wanted.item()) < 1e-13 * found


def a_validation_set_is_averaged_over_ranks(rank: int, world: int) -> None:
    parts, mine = parts_of(rank, world, 2, seed=0)
    terms = {name: TERMS[name] for name in ("classify", "follow", "distil")}
    model, loss = network(0), lossreg.build({"terms": terms}).double()
    average = Average(loss)
    for each in mine:
        average.add(batch(each, model(each["x"])))
    big = {name: torch.cat([each[name] for each in parts]) for name in parts[0]}
    found = average.mean()
    assert found is not None
    expected = detached(loss(batch(big, model(big["x"]))))
    torch.testing.assert_close(found.log_dict(), expected, rtol=1e-13, atol=1e-13)


def a_rank_outside_the_group_is_told_so(rank: int, world: int) -> None:
    group = distributed.new_group([0])
    loss, mine = composite(), batch(samples(0))
    if rank == 0:
        assert loss.denominators([mine], group).world_size == 1
        assert loss.denominators([mine], group, world_size=world).world_size == world
        return
    with pytest.raises(ValueError, match="not one of the group"):
        loss.denominators([mine], group)


class WithLoss(nn.Module):
    """A network and a loss that has weights of its own."""

    def __init__(self, **terms: Any) -> None:
        super().__init__()
        self.network = network(0)
        self.loss = lossreg.build({"terms": terms}).double()

    def forward(self, values: Values, denominators: Any = None) -> Tensor:
        outputs = self.network(values["x"])
        out = self.loss(batch(values, outputs), denominators=denominators)
        return out.total


OUTSIDE = "the learned weight of .* is outside of the forward pass"
LEARNED = {
    "classify": {**TERMS["classify"], "weight": {"learned": "log_variance", "initial": 0.3}},
    "distil": {**TERMS["distil"], "weight": {"learned": "kendall"}},
    "whole": TERMS["whole"],
}


def learned_weights_are_added_once(rank: int, world: int) -> None:
    parts, mine = parts_of(rank, world, 2, seed=0)
    inner = WithLoss(**LEARNED)
    model = DistributedDataParallel(inner)
    denominators = inner.loss.denominators([batch(each) for each in mine])
    for index, each in enumerate(mine):
        with nullcontext() if index == len(mine) - 1 else model.no_sync():
            model(each, denominators).backward()
    twin = WithLoss(**LEARNED)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", OUTSIDE)
        twin({name: torch.cat([each[name] for each in parts]) for name in parts[0]}).backward()
    assert apart(gradients(inner), gradients(twin)) <= 8


def a_rare_learned_weight_is_added_once(rank: int, world: int) -> None:
    """Only one micro-batch, of the last rank, has the term."""
    term = {"type": "mse", "inputs": ["track", "seldom"], "optional": True}
    rare = {**term, "weight": {"learned": "log_variance", "initial": 0.3}}
    parts, mine = parts_of(rank, world, 2, seed=0)
    for every in (parts[-1:], mine[-1:] if rank == world - 1 else []):
        for each in every:
            each["seldom"] = each["wanted"]
    model = WithLoss(whole=TERMS["whole"], rare=rare)
    denominators = model.loss.denominators([batch(each) for each in mine], world_size=1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", OUTSIDE)  # the ranks' gradients are added up below
        for each in mine:
            model(each, denominators).backward()
    found = [torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()]
    for each in found:
        distributed.all_reduce(each)
    twin = WithLoss(whole=TERMS["whole"], rare=rare)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", OUTSIDE)
        for index, each in enumerate(parts):
            # A sum, and a mean of one part, so the parts add up as they are.
            twin(each).backward()
            assert ("seldom" in each) == (index == len(parts) - 1)
    # Nothing reads the network's other head.
    pairs = [(each, p.grad) for each, p in zip(found, twin.parameters(), strict=True)]
    reached = [(each, wanted) for each, wanted in pairs if wanted is not None]
    assert len(reached) == len(pairs) - 2
    assert max(ulps(each, wanted, of_largest=True) for each, wanted in reached) <= 8


def a_learned_weight_outside_ddp_is_warned_of(rank: int, world: int) -> None:
    _, (mine,) = parts_of(rank, world, 1, seed=0)
    # A rank's own mean, which the last rank has only if some of its labels count.
    mine = {**mine, "labels": mine["labels"].clamp(min=0)}
    model = WithLoss(**LEARNED)
    if world == 1:
        model(mine)
        return
    with pytest.warns(lossreg.ConfigWarning, match="'classify', 'distil' is outside of the forw"):
        model(mine)
    model(mine)


HELD = {
    each.__name__: each
    for each in (
        the_same_denominators,
        a_rank_without_micro_batches,
        the_same_keys_everywhere,
        totals_and_terms_add_up,
        a_validation_set_is_averaged_over_ranks,
        a_rank_outside_the_group_is_told_so,
        learned_weights_are_added_once,
        a_rare_learned_weight_is_added_once,
        a_learned_weight_outside_ddp_is_warned_of,
        *LOSSES_HELD,
    )
}


def outcome(case: Callable[..., float | None], *arguments: int) -> float | str:
    """What a case gives, or the error it raised."""
    try:
        return case(*arguments) or 0.0
    except Exception:  # noqa: BLE001 - the test tells of it
        return traceback.format_exc()


def worst(found: list[float | str]) -> float | str:
    """The first error, or the largest number."""
    numbers = [each for each in found if not isinstance(each, str)]
    return (
        max(numbers) if len(numbers) == len(found) else next(e for e in found if e not in numbers)
    )


def run(rank: int, world: int, seeds: list[int]) -> Iterator[tuple[str, float | str]]:
    """Each case's name, and the distance or the error."""
    for name, held in HELD.items():
        yield name, outcome(held, rank, world)
    for name, trained in TRAINED.items():
        for count in MICRO_BATCHES:
            found = [outcome(trained, rank, world, count, seed) for seed in seeds]
            yield f"{name} {count}", worst(found)


def main(rank: int, world: int, meeting: str, folder: str, *seeds: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo",
        init_method=Path(meeting).as_uri(),
        rank=rank,
        world_size=world,
        timeout=dt.timedelta(seconds=60),
    )
    found = dict(run(rank, world, [int(each) for each in seeds]))
    Path(folder, f"{rank}.json").write_text(json.dumps(found), encoding="utf-8")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
