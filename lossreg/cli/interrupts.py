"""Ctrl-C: one line and exit code 130, at any moment.

During an import, a KeyboardInterrupt can be swallowed, or leave a half-imported module that
crashes when it is imported again. So the signal's handler ends the process, except where
something must be written first.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from types import FrameType, TracebackType

__all__ = ["Interruptible", "leave_on_interrupt"]

# The variables from which Lightning reads this process's rank.
_RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")


def _is_first() -> bool:
    return next((os.environ[name] for name in _RANKS if name in os.environ), "0") == "0"


class _Leave:
    """A signal handler that ends the process."""

    def __init__(self) -> None:
        self._process = os.getpid()

    def __call__(self, _number: int, _frame: FrameType | None) -> NoReturn:
        # One process prints it for all ranks. Without a standard error, file descriptor 2 is a
        # file that the command opened.
        if os.getpid() == self._process and _is_first() and sys.stderr is not None:
            try:  # noqa: SIM105 - contextlib would be imported for it
                os.write(2, b"interrupted\n")
            except OSError:  # nobody reads it
                pass
        os._exit(130)


def leave_on_interrupt() -> None:
    """Let Ctrl-C end the process, unless the signal is ignored or has another handler."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    try:
        signal.signal(signal.SIGINT, _Leave())
    except ValueError:  # only the main thread can set a handler
        return
    # Registered first, so called last: right after it Python removes its handlers, and the signal
    # would kill a process whose work is done.
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)


class Interruptible:
    """A context in which Ctrl-C raises KeyboardInterrupt again, so that results can be saved."""

    def __init__(self) -> None:
        self._before = signal.getsignal(signal.SIGINT)

    def __enter__(self) -> None:
        if isinstance(self._before, _Leave):
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(self._before, _Leave):
            signal.signal(signal.SIGINT, self._before)
