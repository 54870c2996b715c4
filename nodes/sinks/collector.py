"""The node that hands segments to a program instead of a socket."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.engine.port import InputPort
from auricle.engine.reader import Reader
from auricle.engine.sink import Sink
from auricle.nodes.predictions import FLOAT32, Prediction


@dataclass(frozen=True, slots=True)
class Segment:
    """Results for one segment.

    Attributes:
        index: Number of the segment, from 0.
        start: Seconds from the start of the source to the first frame's centre.
        end: Seconds from the start of the source to the last sample that was needed.
        activations: Activations in [0, 1], by label.
        embeddings: Embedding of the backbone, shape `(length,)`; None if it has none.
        flags: Reasons of the gaps that it touches.
    """

    index: int
    start: float
    end: float
    activations: dict[str, float]
    embeddings: NDArray[np.float32] | None
    flags: tuple[str, ...] = ()


class Collector(Sink):
    """Gathers predictions, and embeddings if connected, of one backbone until they are taken.

    `segments` must be called on the thread that runs the graph.
    """

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        # The embeddings first, so that they are there when their predictions are taken.
        self._embeddings = self.add_input(
            InputPort("embeddings", "Its embeddings.", FLOAT32, axes=None, optional=True)
        )
        self.add_input(InputPort("predictions", "Scores of one backbone.", Prediction))
        self._segments: list[Segment] = []
        self._vectors: deque[NDArray[np.float32]] = deque()

    def segments(self) -> Iterator[Segment]:
        """The segments gathered since the last call, in their order."""
        segments, self._segments = self._segments, []
        yield from segments

    def take(self, port: InputPort, reader: Reader, count: int) -> None:
        if port is self._embeddings:
            self._vectors.extend(reader.view(count).copy())
        else:
            for row, prediction in enumerate(reader.view(count)):
                self._segments.append(self._segment(reader, reader.position + row, prediction))

    def _segment(self, reader: Reader, token: int, prediction: Prediction) -> Segment:
        start, end = reader.stream.seconds(token)
        (scores,) = prediction.scores
        return Segment(
            index=token - reader.stream.start,
            start=float(start),
            end=float(end),
            activations=dict(zip(scores.labels, scores.activations.tolist(), strict=True)),
            embeddings=self._vectors.popleft() if self._embeddings.readers else None,
            flags=reader.gap_reasons(token, token + 1),
        )
