"""Micro-batches on several gloo processes against the one big batch on one."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import ranks

SCRIPT = Path(ranks.__file__)
# What a rank says where it cannot do as it is asked: an old gloo, and FSDP2 on the CPU before
# torch 2.7.
UNABLE = ("does not support", "'Stream' object has no attribute 'record_event'")
# Of each parameter's gradient, in units of the last place of its largest entry.
MOST_ULPS = 8
NIGHTLY = pytest.mark.nightly
LAUNCHES = [
    pytest.param(2, (0,), id="2"),
    *(
        pytest.param(world, (0, 1, 2, 3, 4), id=f"{world}, all seeds", marks=NIGHTLY)
        for world in (1, 2, 3, 4)
    ),
]
LAUNCHED = pytest.mark.parametrize(("world", "seeds"), LAUNCHES)


@functools.cache
def launched(world: int, seeds: tuple[int, ...]) -> list[dict[str, float | str]]:
    """What each rank of one launch found: all cases run in it, for a launch takes seconds."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = [str(Path(folder, "meeting")), folder, *map(str, seeds)]
        running = [
            subprocess.Popen(
                [sys.executable, "-W", "error", str(SCRIPT), str(rank), str(world), *arguments],
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in range(world)
        ]
        try:
            told = [each.communicate(timeout=400)[1] for each in running]
        finally:
            for each in running:
                each.kill()
        assert [each.returncode for each in running] == [0] * world, "\n".join(told)
        files = [Path(folder, f"{rank}.json") for rank in range(world)]
        return [json.loads(file.read_text(encoding="utf-8")) for file in files]


def found(world: int, seeds: tuple[int, ...], case: str) -> list[float]:
    """Each rank's number of a case; fails where it raised."""
    numbers = []
    for rank, every in enumerate(launched(world, seeds)):
        number = every[case]
        if isinstance(number, str) and any(reason in number for reason in UNABLE):
            pytest.skip(f"this torch cannot: {number.strip().splitlines()[-1]}")
        assert isinstance(number, float), f"rank {rank}: {number}"
        numbers.append(number)
    return numbers


@LAUNCHED
@pytest.mark.parametrize("count", ranks.MICRO_BATCHES)
@pytest.mark.parametrize("case", ranks.TRAINED)
def test_gradients_are_those_of_the_big_batch(
    case: str, count: int, world: int, seeds: tuple[int, ...]
) -> None:
    assert max(found(world, seeds, f"{case} {count}")) <= MOST_ULPS


@LAUNCHED
@pytest.mark.parametrize("case", ranks.HELD)
def test_ranks_agree(case: str, world: int, seeds: tuple[int, ...]) -> None:
    assert found(world, seeds, case) == [0.0] * world
