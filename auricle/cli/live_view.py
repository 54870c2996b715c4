"""Showing on a terminal what an engine publishes, redrawn in place."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from auricle.cli.board import Board, StreamView
from auricle.cli.keyboard import Keyboard
from auricle.cli.output import words
from auricle.cli.views import LatencyTable, PlainView, View, remarks, totals
from auricle.wire.messages import Message, Prediction

LOG_LINES = 6
"""Most events and other messages that are shown."""

ROWS = (10, 5)
"""Most labels of a head, the first number with which all heads fit on the screen."""

PANEL_WIDTH = 60
"""Least columns of a panel beside another."""

BORDER = 2
"""Lines that a panel has besides its rows."""

SILENT_S = 3.0
"""Seconds without a message after which an engine is called silent."""

STYLES = {"running": "green", "waiting": "yellow", "opening": "yellow", "failed": "red"}
"""Colours of the states of streams."""

KEYS = "q quit  p pause  s sort"


class LiveView:
    """Shows the strongest labels of every head as bars; of many streams, one line each.

    Labels keep their rows while they are among the strongest. Streams that have ended are dim.

    Args:
        stop: Event to set when the user asks to quit.
        console: Console to draw on; the terminal, if left out.
    """

    shows_totals = True

    def __init__(self, stop: threading.Event | None = None, console: Console | None = None) -> None:
        self._stop = stop or threading.Event()
        self._board = Board(LOG_LINES)
        self._latencies = LatencyTable()
        self._lost = 0
        self._silent_s = 0.0
        self._trouble: str | None = None
        self._paused = self._sorted = False
        self._keyboard = Keyboard()
        self._console = console or Console()
        self._live = Live(self._picture(), console=self._console, refresh_per_second=10)
        self._live.start()

    def show(self, message: Message, lost: Mapping[str, int]) -> None:
        self._lost += sum(lost.values())
        self._latencies.add(message)
        if not self._paused:
            self._board.take(message)

    def tick(self, silent_s: float, trouble: str | None) -> None:
        self._silent_s, self._trouble = silent_s, trouble
        for key in self._keyboard.pressed().lower():
            self.press(key)
        self._live.update(self._picture())

    def press(self, key: str) -> None:
        """Do what a key is for."""
        if key == "q":
            self._stop.set()
        elif key in "p ":
            self._paused = not self._paused
        elif key == "s":
            self._sorted = not self._sorted

    def close(self) -> None:
        self._keyboard.close()
        self._live.update(self._picture())
        self._live.stop()

    # -- The picture -------------------------------------------------------------------------

    def _picture(self) -> RenderableType:
        footer = self._footer()
        log = list(self._board.log)[-(self._console.height // 4) :]
        parts = [_one_line_each(log, "yellow"), *footer] if log else footer
        room = self._console.height - len(log) - len(footer) - 1
        streams = list(self._board.streams.values())
        return Group(self._panels(streams, room) or self._lines(streams, room), *parts)

    def _panels(self, streams: Sequence[StreamView], room: int) -> RenderableType | None:
        """A panel for each head, beside each other on a wide screen; None if they do not fit."""
        heads = [(stream, head) for stream in streams for head in stream.heads]
        columns = max(1, min(len(heads), self._console.width // PANEL_WIDTH))
        for most in ROWS:
            heights = [
                BORDER + min(most, len(stream.heads[head].activations)) for stream, head in heads
            ]
            places = _distribute(heights, columns, room)
            # Of streams without predictions there is no panel to see their state in.
            if places is not None and all(stream.heads for stream in streams):
                grid = Table.grid(expand=True)
                for _ in range(columns):
                    grid.add_column(ratio=1)
                cells = []
                for place in places:
                    cells.append(Group(*(self._panel(*heads[index], most) for index in place)))
                grid.add_row(*cells)
                return grid
        return None

    def _panel(self, stream: StreamView, head: str, most: int) -> RenderableType:
        prediction = stream.heads[head]
        place = f"{prediction.start:.2f} to {prediction.end:.2f} s  {remarks(prediction)}".rstrip()
        state = "" if stream.state == "running" else f"  {stream.state}"
        return Panel(
            self._bars(stream, prediction, most),
            title=words(f"{prediction.stream}/{head}{state}"),
            title_align="left",
            subtitle=words(place),
            subtitle_align="right",
            style=self._style(stream),
        )

    def _bars(self, stream: StreamView, prediction: Prediction, most: int) -> RenderableType:
        values, rows = dict(prediction.activations), stream.rows[prediction.head]
        labels = rows.update(prediction.activations, most)
        if self._sorted:
            labels = list(values)[:most]
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(no_wrap=True, overflow="ellipsis")
        table.add_column(width=5, no_wrap=True)
        table.add_column(ratio=1)
        # As wide as the longest so far, so that bars begin where they began.
        width = min(rows.width, self._console.width // 2)
        for label in labels:
            bar = ProgressBar(total=1, completed=values[label])
            table.add_row(words(label.ljust(width)), f"{values[label]:.2f}", bar)
        return table

    def _lines(self, streams: Sequence[StreamView], room: int) -> RenderableType:
        """A line for each stream."""
        if not streams:
            return words("waiting for the first message", style="dim")
        if self._sorted:
            streams = sorted(streams, key=lambda stream: stream.name)
        hidden = max(0, len(streams) - (room - 1))
        if hidden:
            streams = streams[: max(1, room - 2)]
            hidden = len(self._board.streams) - len(streams)
        table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
        table.add_column("STREAM", no_wrap=True)
        table.add_column("STATE", no_wrap=True)
        table.add_column("AT, s", no_wrap=True, justify="right")
        table.add_column("STRONGEST", no_wrap=True, overflow="ellipsis", ratio=1)
        for stream in streams:
            state = words(stream.state, style=STYLES.get(stream.state, ""))
            at = f"{stream.last.end:.1f}" if stream.last else ""
            style = self._style(stream)
            table.add_row(words(stream.name), state, at, _strongest(stream), style=style)
        if hidden:
            table.add_row(words(f"and {hidden} more", style="dim"))
        return table

    def _style(self, stream: StreamView) -> str:
        return "dim" if self._silent_s > SILENT_S or stream.over else "none"

    def _footer(self) -> list[RenderableType]:
        """Totals, latency, what is wrong with the engine, and the keys."""
        parts = [totals(self._latencies, self._lost)]
        if self._latencies.predictions:
            p50, p95, _, longest = self._latencies.percentiles("total")
            parts.append(f"latency p50 {p50:.1f} ms, p95 {p95:.1f} ms, max {longest:.1f} ms")
        lines: list[RenderableType] = []
        if self._silent_s > SILENT_S:
            why = f", {self._trouble}" if self._trouble else ""
            silent = f"the engine has been silent for {self._silent_s:.0f} s{why}"
            lines.append(_one_line_each([silent], "bold red"))
        if self._paused:
            lines.append(words("paused; p goes on", style="bold"))
        keys = f"{KEYS}  " if self._keyboard.works else ""
        lines.append(_one_line_each([keys + ", ".join(parts)], "dim"))
        return lines


def _strongest(stream: StreamView) -> Text:
    """The strongest labels of every head of a stream, or why it is not running."""
    if stream.state not in ("running", "finished", "stopped") and stream.why:
        return words(stream.why, style=STYLES.get(stream.state, ""))
    parts = []
    most = max(1, 4 // max(1, len(stream.heads)))
    for prediction in stream.heads.values():
        parts += [f"{label} {value:.2f}" for label, value in prediction.activations[:most]]
    last = stream.last
    return words("  ".join([*parts, remarks(last) if last else ""]).rstrip())


def _one_line_each(lines: Iterable[str], style: str) -> Text:
    """Lines that are cut off at the edge of the screen."""
    text = words("\n".join(lines), style=style)
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _distribute(heights: Sequence[int], columns: int, room: int) -> list[list[int]] | None:
    """Fill columns one after the other with panels of these heights.

    Returns:
        The numbers of the panels in each column; None if they do not fit into `room` lines, or
        there are none.
    """
    places: list[list[int]] = [[] for _ in range(columns)]
    column = used = 0
    share = sum(heights) / columns
    for index, height in enumerate(heights):
        full = used + height > room or (used + height / 2 > share and used)
        if full and column < columns - 1 and used:
            column, used = column + 1, 0
        if used + height > room:
            return None
        places[column].append(index)
        used += height
    return places if heights else None


def view_for_terminal(stop: threading.Event | None = None) -> View:
    """A `LiveView` if standard output is a terminal, a `PlainView` otherwise.

    Args:
        stop: Event to set when the user asks to quit.
    """
    return LiveView(stop) if sys.stdout.isatty() else PlainView()
