"""Auricle: one stream at full speed for days of its own time, with gaps."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import Any

import numpy as np
from protocol import Answer, serve  # type: ignore[import-not-found]

RATE = 16000
BLOCK = 8000
GAPS_AN_HOUR = 60
LONGEST_GAP_S = 8.0


def prepare(settings: dict[str, Any]) -> tuple[dict[str, str], Answer]:
    """Settings: `model`, `hop_frames`, `seconds` of stream time. A request goes on to `until_s`.

    Answers: memory, and what was counted: `samples`, `frames`, `segments` (given and skipped),
    `misplaced` segments, `gaps`, and `wrong_gaps` that were not told, or not made, or told twice.
    """
    from auricle.engine.graph import Graph
    from auricle.engine.marks import Gap
    from auricle.engine.node import Node, Source, Status
    from auricle.engine.port import InputPort, OutputPort
    from auricle.engine.scheduler import passes
    from auricle.nodes.aggregator import Aggregator
    from auricle.nodes.backbone import Backbone
    from auricle.nodes.mel_spectrogram import MelSpectrogram
    from auricle.nodes.predictions import FLOAT32, Prediction
    from bench.machine import resident_mb

    total = round(settings["seconds"] * RATE)

    class Sound(Source):
        """Music's worth of noise, some of it lost."""

        def __init__(self) -> None:
            super().__init__("input")
            self.out = self.add_output(OutputPort("audio", "Noise.", FLOAT32, rate=Fraction(RATE)))
            self.rng = np.random.default_rng(0)
            self.noise = self.rng.uniform(-0.3, 0.3, 600 * RATE).astype(np.float32)
            self.given = self.silence = 0
            self.made: list[tuple[int, int]] = []
            self.gap_at = self.next_gap()

        def next_gap(self) -> int:
            return self.given + self.silence + int(self.rng.exponential(3600 / GAPS_AN_HOUR) * RATE)

        def process(self) -> Status:
            stream = self.out.stream
            if self.given == total:
                stream.end()
                return Status.FINISHED
            count = min(BLOCK, total - self.given)
            if stream.room() < count:
                return Status.NO_ROOM
            start = self.given % (len(self.noise) - BLOCK)
            block = self.noise[start : start + count]
            if not self.silence and self.gap_at <= self.given:
                self.silence = min(
                    int(self.rng.uniform(0.001, LONGEST_GAP_S) * RATE), total - self.given
                )
                place = (self.given, self.given + self.silence)
                stream.mark(Gap(stream.start + place[0], stream.start + place[1], "hole", place))
                self.made.append(place)
                self.gap_at = self.next_gap()
            if self.silence:
                count = min(count, self.silence)
                block = np.zeros(count, np.float32)
                self.silence -= count
            self.given += stream.write(block)
            return Status.OK

    class Counter(Node):
        """Counts segments, and looks at where each says it was."""

        def __init__(self, hop: int, size: int) -> None:
            super().__init__("counter")
            self.port = self.add_input(InputPort("predictions", "Scores.", Prediction))
            self.hop, self.size = hop, size
            self.segments = self.misplaced = 0
            self.told: list[tuple[int, int]] = []

        def process(self) -> Status:
            reader = self.port.reader
            ended, count = reader.stream.ended, reader.windows()
            self.told += [mark.source for mark in reader.new_marks() if isinstance(mark, Gap)]
            if not count:
                return Status.FINISHED if ended else Status.NO_INPUT
            for token in range(reader.position, reader.position + count):
                first = self.segments * self.hop * 256
                span = (first, first + (self.size - 1) * 256 + 256)
                self.misplaced += reader.stream.span(token) != span
                self.segments += 1
            reader.gap()
            reader.release(count)
            return Status.OK

    sound = Sound()
    mel = MelSpectrogram("mel")
    backbone = Backbone("backbone", model=settings["model"], hop_size=settings["hop_frames"])
    counter = Counter(backbone.inputs["mel"].hop_size, backbone.segment_size)
    tags = Aggregator("tags", smoothing="median", window_s=5)
    nodes = [sound, mel, backbone, tags, counter]
    edges = [("input", "mel"), ("mel", "backbone"), ("backbone.predictions", "tags")]
    graph = Graph("soak", nodes, [*edges, ("tags.predictions", "counter")])
    runs = passes(graph)

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        over = False
        began = time.monotonic()
        while sound.given < request["until_s"] * RATE:
            if next(runs, None) is None:
                over = True
                break
        if request["until_s"] * RATE >= total:
            for _ in runs:
                pass
            over = True
        return {
            "at_s": sound.given / RATE,
            "wall_s": time.monotonic() - began,
            "over": over,
            "rss_mb": resident_mb(),
            "samples": sound.given,
            "frames": mel.outputs["mel"].stream.written,
            "segments": counter.segments,
            "skipped": backbone.counts["gap"],
            "misplaced": counter.misplaced,
            "gaps": len(sound.made),
            "wrong_gaps": len(set(sound.made) ^ set(counter.told))
            + len(counter.told)
            - len(set(counter.told)),
        }

    return {}, answer


if __name__ == "__main__":
    serve(prepare)
