"""A subscriber that notes when each prediction arrived, on the clock that all processes share."""

from __future__ import annotations

import time
from typing import Any

from protocol import Answer, serve  # type: ignore[import-not-found]

from auricle import Subscriber
from auricle.wire.messages import End, Prediction

PATIENCE_S = 30.0
"""Longest time without a message, in seconds, before the engine is taken for dead."""


def prepare(settings: dict[str, Any]) -> tuple[dict[str, str], Answer]:
    """Subscribe to `address`. A request is answered once the stream has ended.

    The answer has the number of `lost` messages, and as `predictions`, of each, its `index`, `ns`,
    its arrival on the monotonic clock in nanoseconds, and `latency` by stage in seconds.
    """
    subscriber = Subscriber(settings["address"], timeout_s=PATIENCE_S)
    next(iter(subscriber))  # a heartbeat: the connection stands

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        predictions: list[dict[str, Any]] = []
        for message in subscriber:
            now = time.monotonic_ns()
            if isinstance(message, End):
                return {"predictions": predictions, "lost": subscriber.losses.total}
            if isinstance(message, Prediction):
                latency = {**message.latency, "transport": message.transport_s}
                predictions.append({"index": message.index, "ns": now, "latency": latency})
        raise TimeoutError(f"no message for {PATIENCE_S:g} s")

    return {}, answer


if __name__ == "__main__":
    serve(prepare)
