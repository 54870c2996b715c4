"""The node that runs a representation model on segments of mel frames."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from engine.errors import AuricleError, ConfigError
from engine.node import NodeParams
from engine.port import InputPort, OutputPort
from engine.stream import Axis
from engine.transform import Transform
from engine.wire import KIND
from models.errors import ModelError
from models.registry import find, info
from nodes.incremental import IncrementalInference
from nodes.mel import FRONT_ENDS
from nodes.mel_spectrogram import mel_axis
from nodes.predictions import FLOAT32, Prediction, Scores
from nodes.session import open_session, open_split_session

LEAST_DEADLINE_S = 0.5
"""However short the hop: a pause of the machine is no overload."""

LONGEST_DEADLINE_S = 10.0
"""However long the hop: as long as streams remember when their tokens came."""


class Backbone(Transform):
    """A model from segments of mel frames to embeddings and activations.

    Each segment is a view of the ring that goes into ONNX Runtime as it is; what overlapping segments share
    is computed once where the model allows it, as the frames come. With a live source that is ahead of the
    machine, segments are left out, never samples: see `engine.overload`. Segments that lie wholly in a gap
    are skipped too. All of that is counted by reason and marked.

    Raises:
        ConfigError: A model that is not there, or whose card does not say or have what is needed here.
    """

    class Params(NodeParams):
        """Parameters."""

        model: str = Field(description="An installed model by name, or its folder.")
        hop_size: int | None = Field(
            None, gt=0, description="Frames from one segment to the next; the card's."
        )
        kind: str = Field("tags", pattern=f"^{KIND}$", description="Name of its predictions.")
        top_k: int | None = Field(None, gt=0, description="Labels a prediction names, strongest first.")
        providers: tuple[str, ...] = Field(("cpu",), min_length=1, description="ONNX Runtime's, in order.")
        incremental: bool = Field(
            True, description="Compute what overlapping segments share once, where the model allows it."
        )
        threads: int = Field(1, gt=0, description="Threads that share one inference.")
        deadline_s: float | None = Field(
            None,
            gt=0,
            le=LONGEST_DEADLINE_S,
            description="Live: seconds after its last sample until which a segment has to be begun; the time "
            "from one segment to the next, but half a second at least and ten at most.",
        )

    stage = "inference"

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        try:
            self.card = info(self.params.model)
        except ModelError as error:
            raise ConfigError(str(error), node=name) from error
        front_end, segment_size = self.card.front_end, self.card.segment_size
        hop_size = self.params.hop_size or self.card.segment_hop_size
        if front_end is None or segment_size is None or hop_size is None:
            what = f"{self.card.name}: its card has no front_end and segment sizes; is it a backbone?"
            raise ConfigError(what, node=name)
        known = FRONT_ENDS[front_end.name]
        for field in ("sample_rate", "frame_size", "hop_size", "n_mels", "window", "compression"):
            said, has = getattr(front_end, field), getattr(known, field)
            if said != has:
                where = f"{self.card.name}: its card says {field}={said!r}"
                raise ConfigError(f"{where}, and the front end {known.name!r} has {has!r}", node=name)
        self.segment_size = segment_size
        hop_s = float(hop_size / known.rate)
        self.deadline_s = self.params.deadline_s or min(max(LEAST_DEADLINE_S, hop_s), LONGEST_DEADLINE_S)
        mel = self.add_input(
            InputPort(
                "mel",
                f"Segments of {segment_size} mel frames.",
                FLOAT32,
                (mel_axis(known),),
                known.rate,
                frame_size=segment_size,
                hop_size=hop_size,
                lag_s=self.deadline_s,
            )
        )
        self.add_output(
            OutputPort("predictions", "Scores of the model's own labels.", Prediction, follows=mel)
        )
        embeddings = self.card.output("embeddings")
        self._names = [(self.card.output("predictions") or self.card.io.outputs[0]).name]
        self._pooling = None
        if embeddings and self.card.embedding_size:
            self._names.append(embeddings.name)
            self._pooling = embeddings.pooling
            axes = (Axis("embedding", self.card.embedding_size),)
            self.add_output(OutputPort("embeddings", "What heads take.", FLOAT32, axes, follows=mel))
        self._scale = (front_end.mean, front_end.std)
        self._session: Any = None
        self._incremental: IncrementalInference | None = None

    def start(self) -> None:
        params, hop_size = self.params, self.inputs["mel"].hop_size
        try:
            folder = find(params.model)
            split = None
            if params.incremental:
                split = open_split_session(folder, hop_size, params.providers, params.threads)
            if split is not None:
                self._incremental = IncrementalInference(split, self.segment_size, hop_size)
            else:
                self._session = open_session(folder, params.providers, params.threads)
        except ConfigError as error:
            error.node = self.name
            raise
        except ModelError as error:
            raise AuricleError(str(error), node=self.name) from error

    def declined(self, count: int) -> tuple[int, str | None]:
        reader = self.reader
        for gap in reader.gaps:
            inside = (gap.stop - reader.position - self.segment_size) // reader.hop_size + 1
            if gap.start <= reader.position and inside > 0:
                return min(count, inside), "gap"
        if self.load is None or not self.live:
            return 1, None
        if left_out := self.load.leave_out(count):
            return left_out, "hop"
        self.rung = self.load.ladder.rung
        in_time = self.load.begin(self._late_s(), self.deadline_s)
        return 1, None if in_time else "overload"

    def _late_s(self) -> float:
        """Seconds since the last sample of the next segment came in."""
        reader = self.reader
        source, token = list(reader.stream.ancestry(reader.position + self.segment_size - 1))[-1]
        return (time.monotonic_ns() - source.committed(token).done_ns) / 1e9

    def anticipate(self) -> bool:
        if self._incremental is None or (self.load and self.live and not self.load.serves_next):
            return False
        began = time.monotonic_ns()
        done = self._incremental.advance(self.reader.position, self._scaled(self.reader.rest()))
        self.elsewhere_ns["inference"] += time.monotonic_ns() - began
        return done

    def compute(self, windows: NDArray[Any], outputs: dict[str, NDArray[Any]]) -> None:
        segment = self._scaled(windows)
        began = time.monotonic_ns()
        if self._incremental is not None:
            results = self._incremental.run(self._names, self.reader.position, segment)
        else:
            results = self._session.run(self._names, {self._session.get_inputs()[0].name: segment[None]})
        self.elsewhere_ns["inference"] += time.monotonic_ns() - began
        card, params = self.card, self.params
        scores = Scores(params.kind, card.name, card.version, card.classes, results[0][0], params.top_k)
        outputs["predictions"][0] = Prediction((scores,))
        if len(results) > 1:
            outputs["embeddings"][:] = _pooled(results[1]) if self._pooling else results[1]

    def _scaled(self, frames: NDArray[Any]) -> NDArray[Any]:
        """Frames as the model was trained on them."""
        mean, std = self._scale
        return frames if (mean, std) == (0.0, 1.0) else (frames - np.float32(mean)) / np.float32(std)

    def stop(self) -> None:
        self._session = self._incremental = None

    def statistics(self) -> dict[str, Any]:
        return {
            "model": self.card.name,
            "version": self.card.version,
            "incremental": self._incremental is not None,
        }


def _pooled(tokens: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors (segments, 3 * size) of tokens (segments, tokens, size), of which two are special."""
    parts = [tokens[:, 0], tokens[:, 1], tokens[:, 2:].mean(axis=1)]
    return np.concatenate(parts, axis=1)
