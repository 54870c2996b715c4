"""Auricle: one stream at full speed for days of stream time, with gaps."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from protocol import Answer, serve  # type: ignore[import-not-found]

from auricle.engine.graph import Graph
from auricle.engine.marks import Gap
from auricle.engine.node import Node, Source, Status
from auricle.engine.port import InputPort, OutputPort
from auricle.engine.scheduler import passes
from auricle.engine.stream import Stream
from auricle.nodes.aggregator import Aggregator
from auricle.nodes.backbone import Backbone
from auricle.nodes.mel_spectrogram import MelSpectrogram
from auricle.nodes.predictions import FLOAT32, Prediction
from bench.machine import resident_mb

RATE = 16000
BLOCK = 8000
GAPS_AN_HOUR = 60
SHORTEST_GAP_S, LONGEST_GAP_S = 0.001, 8.0


class Sound(Source):
    """Noise as loud as music, some of it lost.

    Args:
        total: Number of samples until it ends.

    Attributes:
        given: Number of samples so far.
        gaps: First sample of each gap, and the one after its last.
    """

    def __init__(self, total: int) -> None:
        super().__init__("input")
        self._out = self.add_output(OutputPort("audio", "Noise.", FLOAT32, rate=Fraction(RATE)))
        self._rng = np.random.default_rng(0)
        self._noise = self._rng.uniform(-0.3, 0.3, 600 * RATE).astype(np.float32)
        self._total = total
        self.given = 0
        self.gaps: list[tuple[int, int]] = []
        self._silent_until = 0
        self._gap_at = self._next_gap()

    def process(self) -> Status:
        stream = self._out.stream
        if self.given == self._total:
            stream.end()
            return Status.FINISHED
        count = min(BLOCK, self._total - self.given)
        if stream.room() < count:
            return Status.NO_ROOM
        if self._silent_until <= self.given and self._gap_at <= self.given:
            self._begin_gap(stream)
        self.given += stream.write(self._block(count))
        return Status.OK

    def _block(self, count: int) -> NDArray[np.float32]:
        """The next block: `count` samples of noise, or the rest of a gap."""
        if self._silent_until > self.given:
            return np.zeros(min(count, self._silent_until - self.given), np.float32)
        start = self.given % (len(self._noise) - BLOCK)
        return self._noise[start : start + count]

    def _begin_gap(self, stream: Stream) -> None:
        length = int(self._rng.uniform(SHORTEST_GAP_S, LONGEST_GAP_S) * RATE)
        place = (self.given, min(self.given + length, self._total))
        stream.mark(Gap(stream.start + place[0], stream.start + place[1], "hole", place))
        self.gaps.append(place)
        self._silent_until = place[1]
        self._gap_at = self._next_gap()

    def _next_gap(self) -> int:
        """Sample at which the next gap begins, if the one that has begun is over."""
        pause_s = self._rng.exponential(3600 / GAPS_AN_HOUR)
        return max(self.given, self._silent_until) + int(pause_s * RATE)


class Counter(Node):
    """Counts segments, skipped ones included, and checks the place of each.

    Args:
        hop_size: Mel frames from one segment to the next.
        segment_size: Mel frames of a segment.

    Attributes:
        segments: Number of segments, skipped ones included.
        misplaced: Number of segments whose place does not match their index.
        gaps: Places of the gaps that were reported.
    """

    def __init__(self, hop_size: int, segment_size: int) -> None:
        super().__init__("counter")
        self._in = self.add_input(InputPort("predictions", "Scores.", Prediction))
        self._hop_size, self._segment_size = hop_size, segment_size
        self.segments = self.misplaced = 0
        self.gaps: list[tuple[int, int]] = []

    def process(self) -> Status:
        reader = self._in.reader
        ended, count = reader.stream.ended, reader.windows()
        self.gaps += [mark.source for mark in reader.new_marks() if isinstance(mark, Gap)]
        if not count:
            return Status.FINISHED if ended else Status.NO_INPUT
        for token in range(reader.position, reader.position + count):
            first = self.segments * self._hop_size * 256
            span = (first, first + self._segment_size * 256)
            self.misplaced += reader.stream.span(token) != span
            self.segments += 1
        reader.gap()
        reader.release(count)
        return Status.OK


class Soak:
    """A graph that is run in steps, up to one stream time after another.

    Args:
        settings: `model`, `hop_size` in mel frames, `seconds` of stream time.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self._total = round(settings["seconds"] * RATE)
        self._sound = Sound(self._total)
        self._mel = MelSpectrogram("mel")
        self._backbone = Backbone(
            "backbone", model=settings["model"], hop_size=settings["hop_size"]
        )
        hop_size = self._backbone.inputs["mel"].hop_size
        self._counter = Counter(hop_size, self._backbone.segment_size)
        tags = Aggregator("tags", smoothing="median", window_s=5)
        edges = [("input", "mel"), ("mel", "backbone"), ("backbone.predictions", "tags")]
        edges.append(("tags.predictions", "counter"))
        nodes = [self._sound, self._mel, self._backbone, self._counter, tags]
        self._passes = passes(Graph("soak", nodes, edges))

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Continue until `until_s` seconds of stream time.

        Returns:
            `at_s` in stream time and `wall_s` in seconds, `rss_mb` in MB, and numbers of `samples`,
            `frames`, `segments` and `skipped` ones, `misplaced` segments, `gaps`, and `wrong_gaps`
            that were not reported, not made, or reported twice.
        """
        began = time.monotonic()
        over = self._run(round(request["until_s"] * RATE))
        made, reported = self._sound.gaps, self._counter.gaps
        repeated = len(reported) - len(set(reported))
        return {
            "at_s": self._sound.given / RATE,
            "wall_s": time.monotonic() - began,
            "over": over,
            "rss_mb": resident_mb(),
            "samples": self._sound.given,
            "frames": self._mel.outputs["mel"].stream.written,
            "segments": self._counter.segments,
            "skipped": self._backbone.counts["gap"],
            "misplaced": self._counter.misplaced,
            "gaps": len(made),
            "wrong_gaps": len(set(made) ^ set(reported)) + repeated,
        }

    def _run(self, until: int) -> bool:
        """Run until `until` samples were given; returns whether the stream has ended."""
        while self._sound.given < until or until >= self._total:
            if next(self._passes, None) is None:
                return True
        return False


def prepare(settings: dict[str, Any]) -> tuple[dict[str, str], Answer]:
    """See `Soak`."""
    return {}, Soak(settings).answer


if __name__ == "__main__":
    serve(prepare)
