"""Showing what an engine publishes: live on a terminal, as lines, or as JSON Lines."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from auricle.engine.histogram import Histogram
from auricle.wire.client import Message, Subscriber
from auricle.wire.codec import KINDS

if TYPE_CHECKING:
    from rich.console import RenderableType

MOST_BARS = 4
"""Topics shown as bars; more are shown as a line each."""

MOST_LINES = 40
"""Topics shown at all; the latest."""

SILENT_S = 3.0
"""Seconds without a heartbeat after which an engine is called silent."""

TICK_S = 0.1


class View(Protocol):
    """Somewhere to show messages."""

    def show(self, message: Message) -> None:
        """Show a message."""

    def tick(self, silent_s: float) -> None:
        """Called several times a second, with the time since the engine was last heard."""

    def close(self) -> None:
        """Stop showing."""


class LatencyTable:
    """Latencies of predictions from the sound to this listener, by stage."""

    def __init__(self) -> None:
        self._histograms: dict[str, Histogram] = {}
        self.predictions = 0

    def add(self, message: Message) -> None:
        """Take note of a prediction; other messages are left out."""
        latency = message.content.get("latency")
        is_prediction = message.kind not in KINDS and message.array is None
        if not (is_prediction and isinstance(latency, dict)) or message.content.get("retained"):
            return
        self.predictions += 1
        stages = {**latency, "transport": message.transport_s}
        stages["total"] = latency.get("total", 0.0) + message.transport_s
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
        for stage in sorted(self._histograms, key="total".__eq__):
            lines.append(f"{stage:<12} " + " ".join(f"{ms:8.2f}" for ms in self.percentiles(stage)))
        return "\n".join(lines)


class JsonView:
    """One JSON object a message; what was lost is an object too."""

    def show(self, message: Message) -> None:
        for topic, count in message.missing.items():
            _line(json.dumps({"kind": "lost", "topic": topic, "count": count}))
        content = {**message.content, "transport": message.transport_s}
        if message.array is not None:
            content["array"] = message.array.tolist()
        _line(json.dumps(content))

    def tick(self, silent_s: float) -> None:
        pass

    def close(self) -> None:
        pass


class PlainView:
    """One line a message, for logs and pipes."""

    def show(self, message: Message) -> None:
        for topic, count in message.missing.items():
            _line(f"{topic}: {count} messages lost")
        if message.kind != "heartbeat":
            _line(f"{message.topic}  {describe(message)}")

    def tick(self, silent_s: float) -> None:
        pass

    def close(self) -> None:
        pass


class LiveView:
    """Bars of the strongest labels of every stream, redrawn in place."""

    def __init__(self) -> None:
        from rich.live import Live

        self._predictions: dict[str, Message] = {}
        self._log: deque[str] = deque(maxlen=6)
        self._latencies = LatencyTable()
        self._lost = 0
        self._silent_s = 0.0
        self._live = Live(self._picture(), refresh_per_second=10)
        self._live.start()

    def show(self, message: Message) -> None:
        self._lost += message.lost
        if message.kind in KINDS:
            if message.kind != "heartbeat":
                self._log.append(f"{message.topic}  {describe(message)}")
        elif message.array is None:
            # The latest one last, so that those that have fallen silent are the first to be left
            # out.
            if len(self._predictions) >= MOST_LINES:
                self._predictions.pop(message.topic, None)
            self._predictions[message.topic] = message
            self._latencies.add(message)

    def tick(self, silent_s: float) -> None:
        self._silent_s = silent_s
        self._live.update(self._picture())

    def close(self) -> None:
        self._live.update(self._picture())
        self._live.stop()

    def _lines(self) -> RenderableType:
        """Many streams, a line each."""
        from rich.table import Table

        table = Table(box=None, pad_edge=False)
        for name in ("topic", "at, s", "labels"):
            table.add_column(name, no_wrap=True, justify="right" if name == "at, s" else "left")
        for topic in sorted(list(self._predictions)[-MOST_LINES:]):
            message = self._predictions[topic]
            labels = [
                f"{label} {activation:.2f}"
                for label, activation in list(message.values.items())[:4]
            ]
            table.add_row(
                topic,
                f"{message.content['end']:.1f}",
                "  ".join([*labels, _flags(message.content)]),
            )
        if (hidden := len(self._predictions) - MOST_LINES) > 0:
            table.caption = f"and {hidden} more"
        return table

    def _picture(self) -> RenderableType:
        from rich.console import Group
        from rich.panel import Panel
        from rich.text import Text

        panels: list[RenderableType] = []
        if len(self._predictions) > MOST_BARS:
            panels.append(self._lines())
        for topic, message in self._predictions.items() if not panels else ():
            place = _place(message)
            panels.append(
                Panel(
                    _bars(message),
                    title=topic,
                    title_align="left",
                    subtitle=place,
                    subtitle_align="right",
                )
            )
        footer = f"{self._latencies.predictions} predictions, {self._lost} messages lost"
        if self._latencies.predictions:
            p50, p95, _, longest = self._latencies.percentiles("total")
            footer += f", latency p50 {p50:.1f} ms, p95 {p95:.1f} ms, max {longest:.1f} ms"
        if self._silent_s > SILENT_S:
            footer += f", the engine is silent for {self._silent_s:.0f} s"
        return Group(*panels, Text("\n".join(self._log), style="yellow"), Text(footer, style="dim"))


def listen(
    subscriber: Subscriber,
    view: View,
    *,
    until_end: bool = False,
    duration_s: float | None = None,
    count: int | None = None,
    stop: threading.Event | None = None,
    over: Callable[[], bool] = lambda: False,
    waiting: Callable[[], None] = lambda: None,
) -> tuple[LatencyTable, Message | None]:
    """Show messages until something ends it.

    Args:
        subscriber: Where they come from.
        view: Where they are shown; it is closed at the end.
        until_end: Whether the end or the error of a stream ends it.
        duration_s: Longest time.
        count: Most messages, heartbeats not counted.
        stop: Ends it when set.
        over: Asked when nothing has come for a moment: whether nothing more can.
        waiting: Called once if nothing has come within a second.

    Returns:
        The latencies, and the message that was the last one; None if none came.
    """
    latencies, last = LatencyTable(), None
    began = ticked = time.monotonic()
    told = False
    try:
        while not (stop and stop.is_set()) and (count is None or count > 0):
            now = time.monotonic()
            passed_s = now - began
            if duration_s is not None and passed_s >= duration_s:
                break
            if last is None and not told and passed_s > 1:
                told = True
                waiting()
            message = subscriber.receive(TICK_S)
            if (
                now - ticked >= TICK_S
            ):  # not with every message: drawing takes longer than receiving
                ticked = now
                view.tick(subscriber.silent_s)
            if message is None:
                if over():
                    break
                continue
            last = message
            latencies.add(message)
            view.show(message)
            if count is not None and message.kind != "heartbeat":
                count -= 1
            if until_end and message.kind in ("end", "error"):
                break
    finally:
        view.close()
    return latencies, last


def view_for_terminal() -> View:
    """Live on a terminal, lines elsewhere."""
    return LiveView() if sys.stdout.isatty() else PlainView()


def describe(message: Message) -> str:
    """A message in a few words."""
    content = message.content
    match message.kind:
        case "events":
            reason = f" ({content['reason']})" if content.get("reason") else ""
            at, activation = content["at"], content["activation"]
            return f"{at:8.2f} s  {content['label']} {content['event']}  {activation:.2f}{reason}"
        case "gap":
            return f"{content['seconds']:.3f} s lost: {content['reason']}"
        case "skip":
            return f"{content['count']} segments skipped: {content['reason']}"
        case "error":
            return str(content["error"])
        case "end":
            return f"the stream has ended after {content['seconds']:.2f} s"
    if message.array is not None:
        return f"{content['end']:8.2f} s  {content['dtype']} {tuple(content['shape'])}"
    labels = "  ".join(
        f"{label} {activation:.2f}" for label, activation in list(message.values.items())[:5]
    )
    return f"{content['end']:8.2f} s  {labels}  {_flags(content)}".rstrip()


def _flags(content: dict[str, Any]) -> str:
    """What to know about a prediction, and the rung it was made on if not in full."""
    rung = [f"rung {content['rung']}"] if content.get("rung") else []
    return " ".join(f"[{flag}]" for flag in [*content.get("flags", ()), *rung])


def _bars(message: Message) -> RenderableType:
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    table = Table.grid(padding=(0, 1))
    table.add_column(width=20)
    table.add_column(width=5)
    table.add_column(width=50)
    for label, activation in list(message.values.items())[:10]:
        table.add_row(
            label, f"{activation:.2f}", ProgressBar(total=1, completed=activation, width=50)
        )
    return table


def _place(message: Message) -> str:
    content = message.content
    return f"{content['start']:.2f} to {content['end']:.2f} s  {_flags(content)}".rstrip()


def _line(text: str) -> None:
    # Flushed, since who reads a pipe of live messages wants them live.
    print(text, flush=True)
