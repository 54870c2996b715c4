"""Listening to an engine until an event ends it, and summarising what was received."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from auricle.cli.views import LatencyTable, View, totals
from auricle.wire.client import Subscriber
from auricle.wire.messages import End, Error, Heartbeat, Message

TICK_S = 0.1
"""Longest time between two checks of the clock, of signals and of the display, in s."""

PATIENCE_S = 1.0
"""Seconds without any message before `listen` reports that it is waiting."""


def listen(
    subscriber: Subscriber,
    view: View,
    *,
    until_end: bool = False,
    duration_s: float | None = None,
    count: int | None = None,
    stop: threading.Event | None = None,
    over: Callable[[], bool] = lambda: False,
    waiting: Callable[[str | None], None] = lambda trouble: None,
) -> tuple[LatencyTable, Message | None]:
    """Show messages until one of the conditions holds.

    Args:
        subscriber: Source of the messages.
        view: View that shows them; closed at the end.
        until_end: Whether to stop at the end or the error of a stream.
        duration_s: Seconds after which to stop; None for no limit.
        count: Number of messages after which to stop, heartbeats not counted; None for no limit.
        stop: Event that stops it; any thread may set it.
        over: Function to call while no message arrives; True if none can arrive any more.
        waiting: Function to call before the first message, once after a second and whenever the
            reason changes, with the reason for the wait; None if it is unknown.

    Returns:
        The latencies of the predictions, and the last message; None if none was received.
    """
    latencies, last = LatencyTable(), None
    patience = _Patience(subscriber, waiting)
    began = ticked = time.monotonic()
    try:
        while not (stop and stop.is_set()) and (count is None or count > 0):
            now = time.monotonic()
            if duration_s is not None and now - began >= duration_s:
                break
            message = subscriber.receive(TICK_S)
            # Not at every message, as drawing takes longer than receiving.
            if now - ticked >= TICK_S:
                ticked = now
                view.tick(subscriber.silent_s, subscriber.trouble)
            if message is None:
                if last is None:
                    patience.look(now - began)
                if over():
                    break
                continue
            last = message
            latencies.add(message)
            view.show(message, subscriber.newly_lost())
            if count is not None and not isinstance(message, Heartbeat):
                count -= 1
            if until_end and isinstance(message, (End, Error)):
                break
    finally:
        view.close()
    return latencies, last


class _Patience:
    """Reports that no message arrives, and why if that is known; no reason twice in a row."""

    def __init__(self, subscriber: Subscriber, waiting: Callable[[str | None], None]) -> None:
        self._subscriber = subscriber
        self._waiting = waiting
        self._reported = False
        self._trouble: str | None = None

    def look(self, waited_s: float) -> None:
        trouble = self._subscriber.trouble
        changed = trouble is not None and trouble != self._trouble
        if waited_s > PATIENCE_S and (changed or not self._reported):
            self._reported, self._trouble = True, trouble
            self._waiting(trouble)


def summary(view: View, latencies: LatencyTable, lost: int) -> list[str]:
    """Summarise what was received.

    Args:
        view: View that showed the messages.
        latencies: Latencies of the predictions.
        lost: Number of lost messages.

    Returns:
        Lines with the numbers of predictions and losses, unless the view shows them, and with a
        table of latencies in ms.
    """
    lines = [] if view.shows_totals else [totals(latencies, lost)]
    return lines + str(latencies).splitlines()
