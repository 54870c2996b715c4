"""A subscriber that times every message: Auricle's own, or bare pyzmq and msgpack."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from protocol import Answer, serve  # type: ignore[import-not-found]

PATIENCE_S = 20.0
"""Longest silence, in seconds, before the publisher is taken for dead."""

Received = Iterator[tuple[dict[str, Any], int]]
"""Messages, each with how many are known to be lost before it."""


class Accounts:
    """Accounts of all messages since the first: received, lost, and their latencies.

    Args:
        received: The messages; `bench.measures.wire` describes them.
    """

    def __init__(self, received: Received) -> None:
        self._messages = received
        self._received = self._lost = 0

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Receive the messages of a `round`, up to its last.

        Returns:
            `latencies_us` in microseconds of messages other than the last, and `seconds` from the
            first to the last of these; `activations` of the last; `lost`, number of messages known
            to be lost by their numbers; `unaccounted`, number of messages since the start that were
            neither received nor known to be lost.
        """
        # Monotonic time is one for all processes of a machine.
        stamps, latencies, lost_before = [], [], self._lost
        for message, missing in self._messages:
            now = time.monotonic_ns()
            self._lost += missing
            unaccounted = message["index"] - self._received - self._lost
            self._received += 1
            if message["rung"] != request["round"]:
                continue  # the last message of the round before, sent again
            if "last" in message["flags"]:
                break
            stamps.append(now)
            latencies.append((now - message["span"][0]) / 1e3)
        else:
            raise TimeoutError(f"no message for {PATIENCE_S:g} s")
        return {
            "latencies_us": latencies,
            "seconds": (stamps[-1] - stamps[0]) / 1e9 if stamps else 0.0,
            "activations": message["activations"],
            "lost": self._lost - lost_before,
            "unaccounted": unaccounted,
        }


def prepare(settings: dict[str, Any]) -> tuple[dict[str, str], Answer]:
    """Settings: `address`, `topic`, `bare`. Requests and answers: see `Accounts`."""
    received = _bare(settings) if settings["bare"] else _subscribed(settings)
    return {}, Accounts(received).answer


def _subscribed(settings: dict[str, Any]) -> Received:
    from auricle import Subscriber
    from auricle.wire.messages import Prediction

    topic = settings["topic"]
    heartbeat = "_engine/heartbeat"
    subscriber = Subscriber(settings["address"], [topic, heartbeat], timeout_s=PATIENCE_S)
    next(iter(subscriber))  # a heartbeat: the connection stands

    def messages() -> Received:
        counted = 0
        for message in subscriber:
            if isinstance(message, Prediction):
                # By topic: a lost heartbeat is not a lost prediction.
                lost = subscriber.losses.lost[topic]
                fields = {
                    "index": message.index,
                    "rung": message.rung,
                    "flags": message.flags,
                    "span": message.span,
                    "activations": message.activations,
                }
                yield fields, lost - counted
                counted = lost

    return messages()


def _bare(settings: dict[str, Any]) -> Received:
    import msgpack
    import zmq

    socket: Any = zmq.Context.instance().socket(zmq.SUB)
    socket.connect(settings["address"])
    socket.subscribe(settings["topic"])

    def messages() -> Received:
        expected = 0
        while socket.poll(round(PATIENCE_S * 1000)):
            _, data = socket.recv_multipart()
            message = msgpack.unpackb(data)
            yield message, message["seq"] - expected
            expected = message["seq"] + 1

    return messages()


if __name__ == "__main__":
    serve(prepare)
