"""Calling functions later, on one thread for all of them."""

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
"""Takes a timer back; does nothing if it has gone off."""


class After(Protocol):
    """Calls a function later; `Timers.after` in a service, a list in a test."""

    def __call__(self, seconds: float, function: Callable[[], None]) -> Cancel:
        """Call `function` after so many seconds, unless it is cancelled before."""


class Timers:
    """Functions to call, each at its time, on a thread that runs while there are any.

    Any thread may set a timer, cancel one, or close. The lock guards the heap; functions are called
    without it.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None
        self._closed = False

    def after(self, seconds: float, function: Callable[[], None]) -> Cancel:
        """Call `function` after so many seconds, unless it is cancelled, or this closed, before."""
        with self._condition:
            number = next(self._numbers)
            heapq.heappush(self._heap, (time.monotonic() + seconds, number, function))
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="timers", daemon=True)
                self._thread.start()
            self._condition.notify()
        return lambda: self._cancel(number)

    def close(self) -> None:
        """Call nothing more, and wait for the function that is being called."""
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
            except Exception:  # one that fails must not keep the others from being called
                log.exception("a timer failed")

    def _next(self) -> Callable[[], None] | None:
        """Wait for the next timer; None if there is none left, or this was closed."""
        with self._condition:
            while self._heap and not self._closed:
                wait_s = self._heap[0][0] - time.monotonic()
                if wait_s <= 0:
                    return heapq.heappop(self._heap)[2]
                self._condition.wait(wait_s)
            self._thread = None
            return None
