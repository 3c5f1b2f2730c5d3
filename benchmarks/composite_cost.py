"""What checks and non-finite attribution cost: forward and backward of five terms.

    python benchmarks/composite_cost.py [--device cuda]

Ratios to the composite with `checks: never` and `on_nonfinite: ignore`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import arms
import lossreg
import objectives

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

SIZES = {(32, 10): (5, 10), (1024, 1000): (2, 1)}
"""For each shape, the rounds for each requested round, and the steps in a round."""

ARMS = {
    "baseline": ("never", "ignore"),
    "`checks: first`": ("first", "ignore"),
    "`checks: always`": ("always", "ignore"),
    "`on_nonfinite: raise`": ("never", "raise"),
    "both defaults (`first`, `raise`)": ("first", "raise"),
    "`always` and `raise`": ("always", "raise"),
}
"""Each arm's `checks` and `on_nonfinite`."""

TERMS = objectives.terms(5)


def training(checks: str, action: str, values: dict[str, Tensor]) -> Callable[[], None]:
    options = {"checks": checks, "on_nonfinite": action, "terms": TERMS}
    loss = lossreg.build(options).to(values["logits"].device)

    def step() -> None:
        loss(values).total.backward()
        values["logits"].grad = values["prediction"].grad = None
        loss.step()

    return step


def main() -> None:
    options = arms.begin(__doc__, rounds=20)
    columns = {}
    for shape, (rounds, steps) in SIZES.items():
        values = objectives.batch(*shape, options.device)
        timed = {name: training(*settings, values) for name, settings in ARMS.items()}
        name = f"{shape[0]:,} x {shape[1]:,}"
        columns[name] = arms.ratios(
            timed, options.rounds * rounds, steps=steps, device=options.device
        )
    print(arms.table("Five terms", columns))


if __name__ == "__main__":
    main()
