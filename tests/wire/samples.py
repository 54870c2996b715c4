"""A message of every type, for tests of what carries them."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
import numpy as np

from auricle.wire.codec import encode
from auricle.wire.messages import (
    VERSION,
    Array,
    End,
    Error,
    Event,
    Gap,
    Heartbeat,
    Message,
    Percentiles,
    Prediction,
    Skip,
    State,
)

PLACE: dict[str, Any] = {
    "span": (16000, 64000),
    "sample_rate": 16000,
    "start": 1.0,
    "end": 4.0,
    "utc": 1.7e9,
}
COMPUTED: dict[str, Any] = {
    **PLACE,
    "index": 2,
    "flags": ["gap:xrun"],
    "latency": {"capture": 0.01, "inference": 0.02},
}
HEAD = {"head": "tags", "model": "musicnn", "model_version": "1"}


def prediction(**changes: Any) -> Prediction:
    fields = {
        "stream": "demo",
        **COMPUTED,
        **HEAD,
        "activations": [("guitar", 0.75), ("piano", 0.5)],
    }
    return Prediction(**{**fields, **changes})


def event(**changes: Any) -> Event:
    what = {"label": "guitar", "change": "off", "activation": 0.25, "reason": "end"}
    when = {"at": 2.5, "at_sample": 40000, "at_utc": 1.7e9}
    return Event(**{"stream": "demo", **COMPUTED, **HEAD, **what, **when, **changes})


def gap(**changes: Any) -> Gap:
    return Gap(**{"stream": "demo", **PLACE, "reason": "xrun", "seconds": 0.125, **changes})


def skip(**changes: Any) -> Skip:
    what = {"reason": "overload", "seconds": 3.0, "count": 3}
    return Skip(**{"stream": "demo", **PLACE, **what, **changes})


def end(**changes: Any) -> End:
    return End(**{"stream": "demo", "reason": "finished", "seconds": 30.5, **changes})


def error(**changes: Any) -> Error:
    what = {"error": "input: the line was cut", "node": "input"}
    return Error(**{"stream": "demo", **what, **changes})


def state(**changes: Any) -> State:
    what = {"state": "waiting", "since": 1.7e9, "error": "no route to host", "retry_at": 1.7e9 + 5}
    return State(**{"stream": "demo", **what, **changes})


def heartbeat(**changes: Any) -> Heartbeat:
    figures = Percentiles(p50=0.01, p95=0.02, p99=0.03, max=0.04, count=5)
    fields: dict[str, Any] = {
        "version": "1.2.3",
        "uptime": 60.0,
        "rung": 1,
        "dropped": 2,
        "latency": {"total": figures},
        "streams": {"running": 3, "waiting": 1},
        "topics": 12,
        "last_seq": [("demo/prediction/tags", 3, 41)],
    }
    return Heartbeat(**{**fields, **changes})


def array(**changes: Any) -> Array:
    what = {"name": "mel", "count": 2, "rate": 62.5, "axes": ["token", "band"]}
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    return Array(**{"stream": "demo", **COMPUTED, **what, "values": values, **changes})


EVERY = (prediction, event, gap, skip, error, end, state, heartbeat, array)
"""Makers of one message of each type, in the order of `auricle.wire.messages.TYPES`."""


M = TypeVar("M", bound=Message)


def sent(message: M, seq: int = 0, topic_id: int = 1, **changes: Any) -> M:
    """A message as a server sends it."""
    envelope: dict[str, Any] = {"v": VERSION, "engine": "e" * 16, "published": 1.7e9}
    return msgspec.structs.replace(
        message, **{**envelope, "topic_id": topic_id, "seq": seq, **changes}
    )


def as_map(message: Message) -> dict[str, Any]:
    """The map of a message as it is on the wire."""
    content: dict[str, Any] = msgspec.msgpack.decode(encode(sent(message))[1])
    return content
