"""Listening to an engine until something ends it, and what is said of it afterwards."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from auricle.cli.views import LatencyTable, View, totals
from auricle.wire.client import Subscriber
from auricle.wire.messages import End, Error, Heartbeat, Message

TICK_S = 0.1
"""Seconds between two looks at the time, at signals and at the display."""

PATIENCE_S = 1.0
"""Seconds without a message before `listen` reports that it is waiting."""


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
    """Show messages until something ends it.

    Args:
        subscriber: Source of the messages.
        view: Where they are shown; it is closed at the end.
        until_end: Whether the end or the error of a stream ends it.
        duration_s: Longest time.
        count: Most messages, heartbeats not counted.
        stop: Ends it when set.
        over: Asked when nothing has come for a moment: whether nothing more can come.
        waiting: Called, while nothing has come yet, once after a second and whenever the reason
            changes, with the reason if it is known.

    Returns:
        The latencies, and the last message; None if none came.
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
            # Not with every message: drawing takes longer than receiving.
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
    """Reports that nothing comes, and why, as far as that is known; no reason twice in a row."""

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
    """Lines about all that was heard: predictions, losses unless `view` shows them, latencies.

    Args:
        view: Where the messages were shown.
        latencies: Latencies of the predictions.
        lost: Messages that were lost.
    """
    lines = [] if view.shows_totals else [totals(latencies, lost)]
    return lines + str(latencies).splitlines()
