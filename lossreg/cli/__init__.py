"""The command line: one module for each verb; it parses, calls, prints and returns an exit code.

Exit codes: 0 fine, 1 a problem was found, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

# Nothing else is imported here: until `main` runs, Ctrl-C is not handled.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    try:
        if argv is None:
            from lossreg.cli.interrupts import leave_on_interrupt

            leave_on_interrupt()
        from lossreg.cli.command import run

        return run(argv)
    except KeyboardInterrupt:
        import os
        import sys

        if sys.stderr is not None:
            print("interrupted", file=sys.stderr, flush=True)
        if argv is None:
            # A half-imported module could crash in its clean-up.
            os._exit(130)
        return 130
