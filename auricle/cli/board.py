"""What is known of the streams of an engine by the messages received, for a display."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from auricle.cli.views import describe
from auricle.wire.messages import Array, End, Error, Heartbeat, Message, Prediction, State

KEPT = 0.8
"""Part of the activation of a label left out at which another keeps its row."""

OVER = {"finished", "failed", "stopped"}
"""States of streams that send no more."""


class Rows:
    """The labels of one head that are shown, each in its row as long as it is among the strongest.

    Attributes:
        labels: Labels, from the first row down.
        width: Characters of the longest label that there was.
    """

    def __init__(self) -> None:
        self.labels: list[str] = []
        self.width = 0

    def update(self, activations: Sequence[tuple[str, float]], most: int) -> list[str]:
        """Choose the labels for the next prediction.

        Args:
            activations: Labels with their activations, strongest first.
            most: Number of rows.

        Returns:
            The labels, from the first row down.
        """
        values = dict(activations)
        self.width = max(self.width, *map(len, values)) if values else self.width
        strongest = [label for label, _ in activations[:most]]
        rows = [label for label in self.labels if label in values][:most]
        missing = [label for label in strongest if label not in rows]
        while missing and len(rows) < most:
            rows.append(missing.pop(0))
        weakest = sorted(set(rows) - set(strongest), key=values.__getitem__)
        for label, old in zip(missing, weakest, strict=False):
            if values[old] < KEPT * values[label]:
                rows[rows.index(old)] = label
        self.labels = rows
        return rows


class StreamView:
    """What is known of one stream.

    Attributes:
        name: Name of the stream.
        state: Last state that it is known to be in.
        why: Reason for that state; empty if there is none.
        heads: Last prediction of each head, in the order in which they were first heard.
        rows: Rows of each head.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = "running"
        self.why = ""
        self.heads: dict[str, Prediction] = {}
        self.rows: dict[str, Rows] = {}

    @property
    def over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state in OVER

    @property
    def last(self) -> Prediction | None:
        """Its latest prediction."""
        return max(self.heads.values(), key=lambda each: each.end, default=None)

    def take(self, message: Message) -> None:
        """Note what a message says of the stream."""
        if isinstance(message, Prediction):
            self.heads[message.head] = message
            self.rows.setdefault(message.head, Rows())
            if self.over:  # added again
                self.state, self.why = "running", ""
        elif isinstance(message, State):
            self.state, self.why = message.state, message.error or ""
        elif isinstance(message, Error):
            self.state, self.why = "failed", message.error
        elif isinstance(message, End):
            self.state, self.why = message.reason, ""


class Board:
    """The streams of an engine, in the order in which they were first heard of.

    Attributes:
        streams: Streams by name.
        log: The last messages that are neither predictions nor heartbeats, as lines.
    """

    def __init__(self, lines: int) -> None:
        self.streams: dict[str, StreamView] = {}
        self.log: deque[str] = deque(maxlen=lines)

    def take(self, message: Message) -> None:
        """Note what a message says."""
        if isinstance(message, Heartbeat | Array):
            return
        stream = self.streams.get(message.stream)
        if stream is None:
            stream = self.streams[message.stream] = StreamView(message.stream)
        stream.take(message)
        if not isinstance(message, Prediction):
            self.log.append(f"{message.topic}  {describe(message)}")
