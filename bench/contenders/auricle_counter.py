"""A subscriber that counts, stream by stream, what an engine says it served and left out."""

from __future__ import annotations

from collections import Counter
from typing import Any

from protocol import Answer, serve  # type: ignore[import-not-found]

from auricle import Subscriber
from auricle.wire.messages import End, Message, Prediction, Skip

PATIENCE_S = 30.0
"""Longest time without a message, in seconds, before the engine is taken for dead."""


class Accounts:
    """Counts of what an engine publishes about its streams.

    Args:
        subscriber: Subscriber to everything.
    """

    def __init__(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber
        self._served: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()
        self._rungs: Counter[str] = Counter()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Count until `ends` streams have ended.

        Returns:
            Numbers: `served` and `left_out` windows by stream, predictions by rung as `rungs`, and
            `lost` messages.
        """
        ends = 0
        for message in self._subscriber:
            ends += isinstance(message, End)
            if ends == request["ends"]:
                break
            self._count(message)
        else:
            raise TimeoutError(f"no message for {PATIENCE_S:g} s")
        return {
            "served": self._served,
            "left_out": self._left_out,
            "rungs": self._rungs,
            "lost": self._subscriber.losses.total,
        }

    def _count(self, message: Message) -> None:
        if isinstance(message, Skip):
            self._left_out[message.stream] += message.count
        elif isinstance(message, Prediction):
            self._served[message.stream] += 1
            self._rungs[str(message.rung)] += 1


def prepare(settings: dict[str, Any]) -> tuple[dict[str, str], Answer]:
    """Subscribe to `address`, waiting up to `PATIENCE_S` seconds per message; see `Accounts`."""
    subscriber = Subscriber(settings["address"], timeout_s=PATIENCE_S)
    next(iter(subscriber))  # a heartbeat: the connection stands
    return {}, Accounts(subscriber).answer


if __name__ == "__main__":
    serve(prepare)
