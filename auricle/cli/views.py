"""Showing what an engine publishes, as JSON Lines or as plain lines, with latencies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec
import numpy as np

from auricle.cli.output import say
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
"""Most labels in the line of a prediction."""


class View(Protocol):
    """Shows messages to the user.

    Attributes:
        shows_totals: Whether it shows the numbers of predictions and lost messages itself.
    """

    shows_totals: bool

    def show(self, message: Message, lost: Mapping[str, int]) -> None:
        """Show a message.

        Args:
            message: Message to show.
            lost: Number of messages found to be lost since the last call, by topic.
        """

    def tick(self, silent_s: float, trouble: str | None) -> None:
        """Update the view as time passes; called several times per second.

        Args:
            silent_s: Seconds since the last message.
            trouble: Why nothing is received; None if unknown.
        """

    def close(self) -> None:
        """Close the view; nothing is shown afterwards."""


class LatencyTable:
    """Latencies of predictions from the sound to this program, by stage.

    Attributes:
        predictions: Number of predictions counted.
    """

    def __init__(self) -> None:
        self._histograms: dict[str, Histogram] = {}
        self.predictions = 0

    def add(self, message: Message) -> None:
        """Count a prediction; other messages and retained ones are ignored."""
        if not isinstance(message, Prediction) or message.retained:
            return
        self.predictions += 1
        total = message.latency.get("total", 0.0) + message.transport_s
        stages = {**message.latency, "transport": message.transport_s, "total": total}
        for stage, seconds in stages.items():
            self._histograms.setdefault(stage, Histogram()).record(seconds)

    def percentiles(self, stage: str) -> list[float]:
        """Percentiles 50, 95 and 99 and the longest latency of a stage, in ms."""
        histogram = self._histograms[stage]
        return [1000 * seconds for seconds in (*histogram.percentiles(), histogram.longest_s)]

    def __str__(self) -> str:
        """The table in ms; empty without predictions."""
        if not self._histograms:
            return ""
        lines = [f"{'latency, ms':<12} {'p50':>8} {'p95':>8} {'p99':>8} {'max':>8}"]
        for stage in (*(each for each in self._histograms if each != "total"), "total"):
            lines.append(f"{stage:<12} " + " ".join(f"{ms:8.2f}" for ms in self.percentiles(stage)))
        return "\n".join(lines)


def totals(latencies: LatencyTable, lost: int) -> str:
    """The numbers of predictions received and of messages lost, in words."""
    return f"{latencies.predictions} predictions, {lost} messages lost"


class JsonView:
    """Prints one JSON object per message; losses are objects of type `lost`."""

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
        say(self._encode(content).decode())


class PlainView:
    """Prints one line per message, for logs and pipes; heartbeats are left out."""

    shows_totals = False

    def show(self, message: Message, lost: Mapping[str, int]) -> None:
        for topic, count in lost.items():
            say(f"{topic}: {count} messages lost")
        if not isinstance(message, Heartbeat):
            say(f"{message.topic}  {describe(message)}")

    def tick(self, silent_s: float, trouble: str | None) -> None:
        pass

    def close(self) -> None:
        pass


def describe(message: Message) -> str:
    """A message as one line, without its topic; times are in seconds of the source."""
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
    End: lambda message: f"the stream ended after {message.seconds:.2f} s",
    State: _state,
    Heartbeat: lambda message: f"up for {message.uptime:.0f} s",
    Array: _array,
}


def remarks(message: Computed) -> str:
    """The flags of a result, and its rung on the overload ladder unless that is 0."""
    rung = [f"rung {message.rung}"] if message.rung else []
    return " ".join(f"[{flag}]" for flag in [*message.flags, *rung])
