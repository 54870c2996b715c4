"""A subscriber that counts, stream by stream, what an engine says it served and left out."""

from __future__ import annotations

from collections import Counter
from typing import Any

from protocol import Answer, serve  # type: ignore[import-not-found]

PATIENCE_S = 30.0
"""Longest silence, heartbeats included, before the engine is taken for dead."""


def prepare(settings: dict[str, Any]) -> tuple[dict[str, str], Answer]:
    """Settings: `address`. A request counts until so many streams have ended, `ends`."""
    from auricle import Subscriber

    subscriber = Subscriber(settings["address"], timeout_s=PATIENCE_S)
    next(iter(subscriber))  # a heartbeat: the connection stands

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        served: Counter[str] = Counter()
        left_out: Counter[str] = Counter()
        rungs: Counter[str] = Counter()
        ends = 0
        for message in subscriber:
            if message.kind == "skip":
                left_out[message.stream] += message.content["count"]
            elif message.kind == "end":
                ends += 1
                if ends == request["ends"]:
                    break
            elif message.kind != "heartbeat":
                served[message.stream] += 1
                rungs[str(message.content["rung"])] += 1
        else:
            raise TimeoutError(f"no message for {PATIENCE_S:g} s")
        return {
            "served": served,
            "left_out": left_out,
            "rungs": rungs,
            "lost": subscriber.losses.total,
        }

    return {}, answer


if __name__ == "__main__":
    serve(prepare)
