"""A subscriber that takes the time of every message: Auricle's own, or bare pyzmq and msgpack."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

from protocol import Answer, serve  # type: ignore[import-not-found]

PATIENCE_S = 20.0
"""Longest silence before the publisher is taken for dead."""


def prepare(settings: dict[str, Any]) -> tuple[dict[str, str], Answer]:
    """Settings: `address`, `topic`, `bare`. Requests: `round`, of which messages are taken up to
    the last.

    The last message of a round has `last`. Answers: `latencies_us` of messages other than the last,
    `values` and `lost` (known by their numbers) when the last had come, `seconds` from the first to
    the one before the last.
    """
    received = _bare(settings) if settings["bare"] else _subscribed(settings)

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        # Monotonic time is one for all processes of a machine.
        stamps, latencies, lost = [], [], 0
        for message, missing in received:
            now = time.monotonic_ns()
            if message["round"] != request["round"]:
                continue
            lost += missing
            if message["last"]:
                break
            stamps.append(now)
            latencies.append((now - message["sent_ns"]) / 1e3)
        else:
            raise TimeoutError(f"no message for {PATIENCE_S:g} s")
        return {
            "latencies_us": latencies,
            "lost": lost,
            "seconds": (stamps[-1] - stamps[0]) / 1e9 if stamps else 0.0,
            "values": message["values"],
        }

    return {}, answer


def _subscribed(settings: dict[str, Any]) -> Iterator[tuple[dict[str, Any], int]]:
    """Messages, each with how many are known to be lost before it."""
    from auricle import Subscriber

    topic = settings["topic"]
    heartbeat = "_engine/heartbeat"
    subscriber = Subscriber(settings["address"], [topic, heartbeat], timeout_s=PATIENCE_S)
    next(iter(subscriber))  # a heartbeat: the connection stands

    def messages() -> Iterator[tuple[dict[str, Any], int]]:
        missing = 0
        for message in subscriber:
            missing += message.lost
            if message.topic == topic:
                yield message.content, missing
                missing = 0

    return messages()


def _bare(settings: dict[str, Any]) -> Iterator[tuple[dict[str, Any], int]]:
    import msgpack
    import zmq

    socket: Any = zmq.Context.instance().socket(zmq.SUB)
    socket.connect(settings["address"])
    socket.subscribe(settings["topic"])

    def messages() -> Iterator[tuple[dict[str, Any], int]]:
        expected = itertools.count()
        while socket.poll(round(PATIENCE_S * 1000)):
            _, data = socket.recv_multipart()
            message = msgpack.unpackb(data)
            missing = 0
            while next(expected) != message["seq"]:
                missing += 1
            yield message, missing

    return messages()


if __name__ == "__main__":
    serve(prepare)
