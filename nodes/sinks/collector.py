"""The node that hands segments to a program instead of a socket."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.engine.node import Node, Status
from auricle.engine.port import InputPort
from auricle.nodes.predictions import FLOAT32, Prediction


@dataclass(frozen=True, slots=True)
class Segment:
    """What was heard in one segment.

    Attributes:
        index: Its number, from 0.
        start: Seconds from the start of the source to the first frame's centre.
        end: Seconds to the last sample that was needed.
        activations: By label.
        embeddings: Of the backbone, shape `(length,)`; None if it has none.
        flags: Reasons of the gaps that it touches.
    """

    index: int
    start: float
    end: float
    activations: dict[str, float]
    embeddings: NDArray[np.float32] | None
    flags: tuple[str, ...] = ()


class Collector(Node):
    """Gathers the predictions, and the embeddings if connected, of one backbone until they are
    taken.
    """

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        self._predictions = self.add_input(
            InputPort("predictions", "Scores of one backbone.", Prediction)
        )
        self._embeddings = self.add_input(
            InputPort("embeddings", "Its embeddings.", FLOAT32, axes=None, optional=True)
        )
        self._segments: list[Segment] = []

    def take(self) -> Iterator[Segment]:
        """The segments gathered since the last call."""
        segments, self._segments = self._segments, []
        yield from segments

    def process(self) -> Status:
        reader = self._predictions.reader
        others = self._embeddings.readers
        ended = reader.stream.ended
        count = min([reader.windows(), *(other.windows() for other in others)])
        reader.new_marks()
        if not count:
            return Status.FINISHED if ended else Status.NO_INPUT
        reader.gap()
        count, skip = reader.stretch(count)
        if skip is None:
            for row, prediction in enumerate(reader.view(count)):
                self._segments.append(self._segment(reader.position + row, prediction, row))
        for each in (reader, *others):
            each.release(count)
        return Status.OK

    def _segment(self, token: int, prediction: Prediction, row: int) -> Segment:
        reader = self._predictions.reader
        start, end = reader.stream.seconds(token)
        (scores,) = prediction.scores
        embeddings = None
        if self._embeddings.readers:
            # A copy: the ring writes over what was released.
            embeddings = self._embeddings.reader.view(row + 1)[row].copy()
        flags = tuple(
            dict.fromkeys(gap.reason for gap in reader.gaps if gap.start <= token < gap.stop)
        )
        activations = dict(zip(scores.labels, scores.activations.tolist(), strict=True))
        index = token - reader.stream.start
        return Segment(index, float(start), float(end), activations, embeddings, flags)
