"""How the benchmarks measure: arms against each other, not against the clock.

In each round every arm runs once, in a new order, and its time is divided by the base's time of
that round. The tables show the median over the rounds and, in brackets, its quartiles. The base
runs a second time as "the same again": its difference from 1 is noise. There is one intra-op
thread; the garbage collector is off during timing; and glibc is kept from returning memory to the
system between steps, because that would be timed as well.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import random
import statistics
import sys
from collections.abc import Callable, Mapping
from time import perf_counter, process_time
from typing import NamedTuple

import torch

Arms = Mapping[str, Callable[[], object]]

AGAIN = "the same again (noise)"
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "17179869184"}


class Ratio(NamedTuple):
    """A time over the base's: quartiles over the rounds."""

    low: float
    median: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def begin(documentation: str | None, rounds: int) -> argparse.Namespace:
    """The command line's options, in a process whose memory and threads are pinned.

    glibc reads its variables when a process starts, so the process restarts itself with them.
    """
    summary = (documentation or "").partition("\n")[0]
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("--rounds", type=int, default=rounds, help=f"{rounds} unless given")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    options = parser.parse_args()
    if any(os.environ.get(name) != value for name, value in MALLOC.items()):
        command = [sys.executable, *sys.orig_argv[1:]]
        os.execve(sys.executable, command, {**os.environ, **MALLOC})  # noqa: S606 - this script
    torch.set_num_threads(1)
    random.seed(0)
    print(f"\n## {summary}\n")
    print(f"torch {torch.__version__}, Python {platform.python_version()}, {described(options)}")
    return options


def described(options: argparse.Namespace) -> str:
    """The device in words; for a GPU with the bandwidth of a copy, which bounds most losses."""
    if options.device == "cpu":
        return f"{os.cpu_count()}-core {platform.machine()} CPU, one thread"
    source = torch.empty(2**28, dtype=torch.uint8, device=options.device)
    target = torch.empty_like(source)
    copy = seconds(lambda: target.copy_(source), steps=20, device=options.device) / 20
    name = torch.cuda.get_device_name(options.device)
    return f"{name}, which copies {2 * source.numel() / copy / 1e9:,.0f} GB/s"


def wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def seconds(arm: Callable[[], object], *, steps: int, device: str) -> float:
    """The time of some steps, synchronised with a GPU before the first and after the last.

    On the CPU it is the process's own time, which other processes disturb less. Before, a tenth as
    many steps run untimed, because after another arm the caches are cold.
    """
    for _ in range(steps // 10):
        arm()
    clock = process_time if device == "cpu" else perf_counter
    wait(device)
    start = clock()
    for _ in range(steps):
        arm()
    wait(device)
    return clock() - start


def ratios(arms: Arms, rounds: int, *, steps: int = 1, device: str = "cpu") -> dict[str, Ratio]:
    """Each arm's time over that of the first, the base.

    Args:
        arms: The arms by name, at least two, which must compute the same.
        rounds: The number of rounds.
        steps: The number of steps of an arm in a round.
        device: `cpu`, `cuda`, or `processes` for arms that start processes.
    """
    base = next(iter(arms))
    timed = {base: arms[base], AGAIN: arms[base], **arms}
    for arm in timed.values():
        seconds(arm, steps=steps, device=device)
    times: dict[str, list[float]] = {name: [] for name in timed}
    order = list(timed)
    gc.collect()
    gc.disable()
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            times[name].append(seconds(timed[name], steps=steps, device=device))
        gc.collect()
    gc.enable()
    ratio_of = {}
    for name, of_arm in times.items():
        if name != base:
            over = [time / of_base for time, of_base in zip(of_arm, times[base], strict=True)]
            ratio_of[name] = Ratio(*statistics.quantiles(over, n=4))
    return ratio_of


def never_waits(step: Callable[[], object]) -> str:
    """Runs a step on a GPU with any synchronisation as an error."""
    step()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return "A step ran with `torch.cuda.set_sync_debug_mode('error')`: it does not wait."


def table(title: str, columns: Mapping[str, Mapping[str, object]]) -> str:
    """A Markdown table with a row for each arm and a column for each size."""
    rows = dict.fromkeys(name for column in columns.values() for name in column)
    lines = [
        f"\n### {title}\n",
        "| | " + " | ".join(columns) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    for name in rows:
        cells = " | ".join(str(column.get(name, "")) for column in columns.values())
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines)
