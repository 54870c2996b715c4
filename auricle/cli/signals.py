"""Ending a command by a signal: cleanly at the first, immediately at the second."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

PATIENCE_S = 1.0
"""Seconds after the first signal from which another one ends the process. An earlier one is most
likely the same signal, passed on by the process that started this one."""


def catch_interrupts(
    patience_s: float = PATIENCE_S, raise_signal: Callable[[int], None] = signal.raise_signal
) -> threading.Event:
    """Set an event at SIGINT or SIGTERM, so that the command can end cleanly.

    A second signal ends the process immediately: it may be busy for minutes, compiling for a GPU.

    Args:
        patience_s: Seconds after the first signal during which others are ignored.
        raise_signal: Function that raises a signal, which ends the process.

    Returns:
        The event, which the main thread sets and any thread may wait for.
    """
    interrupted = threading.Event()
    first_s = 0.0

    def interrupt(number: int, frame: object) -> None:
        nonlocal first_s
        now = time.monotonic()
        if not interrupted.is_set():
            first_s = now
            interrupted.set()
        elif now - first_s >= patience_s:
            signal.signal(number, signal.SIG_DFL)
            raise_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    return interrupted


def call_on_hangup(function: Callable[[], None]) -> None:
    """Call a function at every SIGHUP, on a thread of its own; nothing where there is no SIGHUP."""
    if hasattr(signal, "SIGHUP"):
        # Not in the handler, which interrupts the main thread wherever that holds a lock.
        signal.signal(
            signal.SIGHUP,
            lambda number, frame: threading.Thread(target=function, name="reload").start(),
        )
