"""Ending a command by a signal: in order at first, at once if asked again."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

PATIENCE_S = 1.0
"""Time after which another signal ends the process. Before, it is the same signal, passed on by
whatever started this process."""


def catch_interrupts(
    patience_s: float = PATIENCE_S, raise_signal: Callable[[int], None] = signal.raise_signal
) -> threading.Event:
    """Set an event at SIGINT and SIGTERM, so that the command can end in order.

    Another signal ends the process, which may be busy for minutes: compiling for a GPU, say.

    Args:
        patience_s: Seconds after the first signal within which others are ignored.
        raise_signal: Ends the process.

    Returns:
        The event.
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
