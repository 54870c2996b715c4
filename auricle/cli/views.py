"""Showing what an engine publishes: as JSON Lines, as lines, or live on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec
import numpy as np

from auricle.wire.histogram import Histogram
from auricle.wire.messages import (
    Array,
    Computed,
    End,
    Error,
    Event,
    Gap,
    Heartbeat,
    Message,
    Prediction,
    Skip,
    State,
)

MOST_WORDS = 5
"""Labels of a prediction in its line, at most."""


class View(Protocol):
    """Somewhere to show messages.

    Attributes:
        shows_totals: Whether it ends with how many predictions came and messages were lost.
    """

    shows_totals: bool

    def show(self, message: Message, lost: Mapping[str, int]) -> None:
        """Show a message, and how many are known to be lost since the last one, by topic."""

    def tick(self, silent_s: float, trouble: str | None) -> None:
        """Look at the time; called several times a second.

        Args:
            silent_s: Seconds since the engine was last heard.
            trouble: Why it is not heard, if that is known.
        """

    def close(self) -> None:
        """Stop showing."""


class LatencyTable:
    """Latencies of predictions from the sound to this listener, by stage.

    Attributes:
        predictions: How many there were.
    """

    def __init__(self) -> None:
        self._histograms: dict[str, Histogram] = {}
        self.predictions = 0

    def add(self, message: Message) -> None:
        """Take note of a prediction; other messages, and retained ones, are left out."""
        if not isinstance(message, Prediction) or message.retained:
            return
        self.predictions += 1
        total = message.latency.get("total", 0.0) + message.transport_s
        stages = {**message.latency, "transport": message.transport_s, "total": total}
        for stage, seconds in stages.items():
            self._histograms.setdefault(stage, Histogram()).record(seconds)

    def percentiles(self, stage: str) -> list[float]:
        """p50, p95, p99 and the longest, in ms."""
        histogram = self._histograms[stage]
        return [1000 * seconds for seconds in (*histogram.percentiles(), histogram.longest_s)]

    def __str__(self) -> str:
        """The table; empty if there was no prediction."""
        if not self._histograms:
            return ""
        lines = [f"{'latency, ms':<12} {'p50':>8} {'p95':>8} {'p99':>8} {'max':>8}"]
        for stage in (*(each for each in self._histograms if each != "total"), "total"):
            lines.append(f"{stage:<12} " + " ".join(f"{ms:8.2f}" for ms in self.percentiles(stage)))
        return "\n".join(lines)


def totals(latencies: LatencyTable, lost: int) -> str:
    """How many predictions came, and how many messages did not."""
    return f"{latencies.predictions} predictions, {lost} messages lost"


class JsonView:
    """One JSON object a message; what was lost is an object too."""

    shows_totals = False

    def __init__(self) -> None:
        self._encode = msgspec.json.Encoder(enc_hook=np.ndarray.tolist).encode

    def show(self, message: Message, lost: Mapping[str, int]) -> None:
        for topic, count in lost.items():
            self._line({"type": "lost", "topic": topic, "count": count})
        self._line(message)

    def tick(self, silent_s: float, trouble: str | None) -> None:
        pass

    def close(self) -> None:
        pass

    def _line(self, content: Any) -> None:
        _print(self._encode(content).decode())


class PlainView:
    """One line a message, for logs and pipes; heartbeats are left out."""

    shows_totals = False

    def show(self, message: Message, lost: Mapping[str, int]) -> None:
        for topic, count in lost.items():
            _print(f"{topic}: {count} messages lost")
        if not isinstance(message, Heartbeat):
            _print(f"{message.topic}  {describe(message)}")

    def tick(self, silent_s: float, trouble: str | None) -> None:
        pass

    def close(self) -> None:
        pass


def describe(message: Message) -> str:
    """A message in a few words."""
    return _DESCRIPTIONS[type(message)](message)


def _prediction(message: Prediction) -> str:
    labels = "  ".join(
        f"{label} {activation:.2f}" for label, activation in message.activations[:MOST_WORDS]
    )
    return f"{message.end:8.2f} s  {labels}  {remarks(message)}".rstrip()


def _event(message: Event) -> str:
    reason = f" ({message.reason})" if message.reason else ""
    what = f"{message.label} {message.change}  {message.activation:.2f}{reason}"
    return f"{message.at:8.2f} s  {what}"


def _array(message: Array) -> str:
    return f"{message.end:8.2f} s  {message.dtype} {tuple(message.shape)}"


def _state(message: State) -> str:
    return f"{message.state}: {message.error}" if message.error else message.state


_DESCRIPTIONS: Mapping[type[Message], Callable[[Any], str]] = {
    Prediction: _prediction,
    Event: _event,
    Gap: lambda message: f"{message.seconds:.3f} s lost: {message.reason}",
    Skip: lambda message: f"{message.count} segments skipped: {message.reason}",
    Error: lambda message: str(message.error),
    End: lambda message: f"the stream has ended after {message.seconds:.2f} s",
    State: _state,
    Heartbeat: lambda message: f"up for {message.uptime:.0f} s",
    Array: _array,
}


def remarks(message: Computed) -> str:
    """What to know about a prediction: its flags, and the rung unless it was computed in full."""
    rung = [f"rung {message.rung}"] if message.rung else []
    return " ".join(f"[{flag}]" for flag in [*message.flags, *rung])


def _print(text: str) -> None:
    # Flushed, since whoever reads a pipe of live messages wants them live.
    print(text, flush=True)
