"""Timers that go off when a test says so, and states that a test waits for."""

from __future__ import annotations

import queue
from collections.abc import Callable

from auricle.service.streams import Stream


class ManualTimers:
    """Timers that go off when a test says so.

    Attributes:
        pauses: Seconds of all that were ever set.
        waiting: Functions of those that have neither gone off nor been cancelled.
    """

    def __init__(self) -> None:
        self.pauses: list[float] = []
        self.waiting: list[Callable[[], None]] = []

    def after(self, seconds: float, function: Callable[[], None]) -> Callable[[], None]:
        self.pauses.append(seconds)
        self.waiting.append(function)
        return lambda: self.waiting.remove(function)

    def go_off(self) -> None:
        """Let the oldest one go off."""
        self.waiting.pop(0)()


class States:
    """The states that streams come into, in order."""

    def __init__(self) -> None:
        self._queue: queue.Queue[tuple[str, str]] = queue.Queue()

    def __call__(self, stream: Stream) -> None:
        self._queue.put((stream.name, stream.state))

    def next(self, name: str = "test") -> str:
        """The next state of a stream; others are passed over."""
        while True:
            found, state = self._queue.get(timeout=500)
            if found == name:
                return state

    def next_few(self, count: int, name: str = "test") -> list[str]:
        return [self.next(name) for _ in range(count)]
