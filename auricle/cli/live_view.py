"""Showing on a terminal what an engine publishes, redrawn in place."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table

from auricle.cli.output import words
from auricle.cli.views import LatencyTable, PlainView, View, describe, remarks, totals
from auricle.wire.messages import Array, End, Error, Heartbeat, Message, Prediction

MOST_PANELS = 4
"""Most heads that are shown as bars; more are shown as one line each."""

MOST_LINES = 40
"""Most heads that are shown at all, the most recent ones."""

SILENT_S = 3.0
"""Seconds without a message after which an engine is called silent."""


class LiveView:
    """Shows bars for the strongest labels of every head; those of ended streams are dim."""

    shows_totals = True

    def __init__(self) -> None:
        self._predictions: dict[str, Prediction] = {}
        self._ended: set[str] = set()  # streams
        self._log: deque[str] = deque(maxlen=6)
        self._latencies = LatencyTable()
        self._lost = 0
        self._silent_s = 0.0
        self._trouble: str | None = None
        self._live = Live(self._picture(), refresh_per_second=10)
        self._live.start()

    def show(self, message: Message, lost: Mapping[str, int]) -> None:
        self._lost += sum(lost.values())
        if isinstance(message, Prediction):
            name = f"{message.stream}/{message.head}"
            # The most recent one last, so that silent heads are the first to be left out.
            if len(self._predictions) >= MOST_LINES:
                self._predictions.pop(name, None)
            self._predictions[name] = message
            self._ended.discard(message.stream)
            self._latencies.add(message)
        elif not isinstance(message, (Heartbeat, Array)):
            self._log.append(f"{message.topic}  {describe(message)}")
            if isinstance(message, (End, Error)):
                self._ended.add(message.stream)

    def tick(self, silent_s: float, trouble: str | None) -> None:
        self._silent_s, self._trouble = silent_s, trouble
        self._live.update(self._picture())

    def close(self) -> None:
        self._live.update(self._picture())
        self._live.stop()

    def _picture(self) -> RenderableType:
        log, footer = (
            words("\n".join(self._log), style="yellow"),
            words(self._footer(), style="dim"),
        )
        if len(self._predictions) > MOST_PANELS:
            return Group(self._lines(), log, footer)
        panels = [self._panel(name, each) for name, each in self._predictions.items()]
        return Group(*panels, log, footer)

    def _panel(self, name: str, prediction: Prediction) -> RenderableType:
        place = f"{prediction.start:.2f} to {prediction.end:.2f} s  {remarks(prediction)}".rstrip()
        return Panel(
            _bars(prediction),
            title=words(name),
            title_align="left",
            subtitle=words(place),
            subtitle_align="right",
            style=self._style(prediction),
        )

    def _lines(self) -> RenderableType:
        """Many heads, one line each."""
        table = Table(box=None, pad_edge=False)
        table.add_column("stream/head", no_wrap=True)
        table.add_column("at, s", no_wrap=True, justify="right")
        table.add_column("labels", no_wrap=True)
        for name in sorted(list(self._predictions)[-MOST_LINES:]):
            prediction = self._predictions[name]
            labels = [f"{label} {value:.2f}" for label, value in prediction.activations[:4]]
            strongest = words("  ".join([*labels, remarks(prediction)]))
            table.add_row(
                words(name), f"{prediction.end:.1f}", strongest, style=self._style(prediction)
            )
        if (hidden := len(self._predictions) - MOST_LINES) > 0:
            table.caption = f"and {hidden} more"
        return table

    def _style(self, prediction: Prediction) -> str:
        silent = self._silent_s > SILENT_S
        return "dim" if silent or prediction.stream in self._ended else "none"

    def _footer(self) -> str:
        parts = [totals(self._latencies, self._lost)]
        if self._latencies.predictions:
            p50, p95, _, longest = self._latencies.percentiles("total")
            parts.append(f"latency p50 {p50:.1f} ms, p95 {p95:.1f} ms, max {longest:.1f} ms")
        if self._silent_s > SILENT_S:
            parts.append(f"the engine has been silent for {self._silent_s:.0f} s")
            if self._trouble:
                parts.append(self._trouble)
        return ", ".join(parts)


def _bars(prediction: Prediction) -> RenderableType:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=20, no_wrap=True, overflow="ellipsis")
    table.add_column(width=5)
    table.add_column(width=50)
    for label, activation in prediction.activations[:10]:
        bar = ProgressBar(total=1, completed=activation, width=50)
        table.add_row(words(label), f"{activation:.2f}", bar)
    return table


def view_for_terminal() -> View:
    """A `LiveView` if standard output is a terminal, a `PlainView` otherwise."""
    return LiveView() if sys.stdout.isatty() else PlainView()
