"""Timers: calling functions later, on one thread for all of them."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

log = logging.getLogger(__name__)

Cancel = Callable[[], None]
"""Function that cancels a timer; does nothing if it has gone off."""


class After(Protocol):
    """Function that calls another one later: `Timers.after` in a service, a list in tests."""

    def __call__(self, seconds: float, function: Callable[[], None]) -> Cancel:
        """Call `function` after `seconds`, unless it is cancelled first."""


class Timers:
    """Calls functions, each at its time, on a thread that runs while any are waiting.

    Any thread may set or cancel a timer, or close them all. The lock of the condition guards every
    field; functions are called with it released, so they may set timers themselves.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None
        self._closed = False

    def after(self, seconds: float, function: Callable[[], None]) -> Cancel:
        """Call `function` after `seconds`, unless it is cancelled or all timers are closed first.

        Args:
            seconds: Time to wait, in seconds.
            function: Function to call, on the thread of the timers; it must not wait for long.

        Returns:
            A function that cancels the timer.
        """
        with self._condition:
            number = next(self._numbers)
            heapq.heappush(self._heap, (time.monotonic() + seconds, number, function))
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="timers", daemon=True)
                self._thread.start()
            self._condition.notify()
        return lambda: self._cancel(number)

    def close(self) -> None:
        """Drop all timers, and wait for the function that is being called, if any."""
        with self._condition:
            self._closed = True
            self._condition.notify()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _cancel(self, number: int) -> None:
        with self._condition:
            self._heap = [timer for timer in self._heap if timer[1] != number]
            heapq.heapify(self._heap)
            self._condition.notify()

    def _run(self) -> None:
        while (function := self._next()) is not None:
            try:
                function()
            except Exception:  # a failing function must not prevent the others
                log.exception("a timer failed")

    def _next(self) -> Callable[[], None] | None:
        """Wait for the next timer; None if none is left, or all were closed."""
        with self._condition:
            while self._heap and not self._closed:
                wait_s = self._heap[0][0] - time.monotonic()
                if wait_s <= 0:
                    return heapq.heappop(self._heap)[2]
                self._condition.wait(wait_s)
            self._thread = None
            return None
