"""The node that hands segments to a program instead of a socket."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
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
        activations: Activations in [0, 1], by label; empty for a model without labels.
        embeddings: Embedding of the backbone, shape `(length,)`; None if it has none.
        flags: Reasons of the gaps that it touches.
        heads: Activations in [0, 1] by label, for each head by its name.
    """

    index: int
    start: float
    end: float
    activations: dict[str, float]
    embeddings: NDArray[np.float32] | None
    flags: tuple[str, ...] = ()
    heads: Mapping[str, dict[str, float]] = field(default_factory=dict)


class Collector(Sink):
    """Gathers what one backbone and the heads on it give, until it is taken.

    At least one input must be connected. `segments` must be called on the thread that runs the
    graph.
    """

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        self._embeddings = self.add_input(
            InputPort("embeddings", "Its embeddings.", FLOAT32, axes=None, optional=True)
        )
        self._heads = self.add_input(
            InputPort("heads", "Scores of the heads on it.", Prediction, optional=True)
        )
        self._predictions = self.add_input(
            InputPort("predictions", "Scores of the backbone.", Prediction, optional=True)
        )
        # What each connected input has given of the segments that are not complete yet.
        self._waiting: dict[str, deque[Any]] = {}
        self._places: deque[tuple[int, float, float, tuple[str, ...]]] = deque()

    def start(self) -> None:
        ports = [port for port in self.inputs.values() if port.readers]
        self._waiting = {port.name: deque() for port in ports}
        self._places.clear()

    def segments(self) -> Iterator[Segment]:
        """The segments that were completed since the last call, in their order."""
        while self._waiting and all(self._waiting.values()):
            values = {name: queue.popleft() for name, queue in self._waiting.items()}
            index, start, end, flags = self._places.popleft()
            yield Segment(
                index=index,
                start=start,
                end=end,
                activations=next(iter(_activations(values.get("predictions")).values()), {}),
                embeddings=values.get("embeddings"),
                flags=flags,
                heads=_activations(values.get("heads")),
            )

    def take(self, port: InputPort, reader: Reader, count: int) -> None:
        if port.name == next(iter(self._waiting)):
            self._places.extend(
                _place(reader, token) for token in range(reader.position, reader.position + count)
            )
        # Arrays are dead after this call.
        self._waiting[port.name].extend(reader.view(count).copy())


def _place(reader: Reader, token: int) -> tuple[int, float, float, tuple[str, ...]]:
    """Index, start, end and flags of a segment."""
    stream = reader.stream
    start, end = stream.seconds(token)
    return (
        token - stream.start,
        float(stream.clock.seconds_at(start)),
        float(stream.clock.seconds_at(end, end=True)),
        reader.gap_reasons(token, token + 1) + reader.remark_reasons(token, token + 1),
    )


def _activations(prediction: Prediction | None) -> dict[str, dict[str, float]]:
    """Activations by label, by the name of the head."""
    if prediction is None:
        return {}
    return {
        scores.head: dict(zip(scores.labels, scores.activations.tolist(), strict=True))
        for scores in prediction.scores
    }
