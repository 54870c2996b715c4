"""Measuring the time from the last sample of a segment to its prediction at a subscriber."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zmq
from numpy.typing import NDArray

from auricle.errors import InputError
from auricle.wire.codec import encode_map
from bench.audio import SAMPLE_RATE, music
from bench.report import Report
from bench.segments import Segments
from bench.timing import Progress, percentiles, silent
from bench.workers import CONTENDERS, Worker

MARGIN_MS = 5.0
"""Milliseconds that may come on top of the inference's own 99th percentile."""

STAGES = ("queue", "mel", "inference", "publish", "transport")

COLD = 2
"""Predictions of a run that are left out: the sessions have run once, the rest of the way has not.
"""


def measure(
    model: str = "musicnn-mtt",
    hops: Sequence[int] = (93, 16),
    seconds: float = 30.0,
    block_ms: float = 20.0,
    runs: int = 3,
    progress: Progress = silent,
) -> Report:
    """One stream in real time: this process pushes PCM, an engine hears it, a third one subscribes.

    The time runs from handing over the block with the last sample that a segment needs to holding
    its prediction. Mel frames are centred, so that sample lies half a window behind the middle of
    the segment's last frame.

    Args:
        model: Name of an installed model, or its folder.
        hops: Frames from one segment to the next, each measured for `seconds`.
        seconds: Seconds of audio per run.
        block_ms: Length of a block of audio, in ms.
        runs: Times that each hop is measured; all count.
        progress: Function to call with a line of progress.

    Raises:
        InputError: Fewer seconds than three segments take.
    """
    report = Report(
        "latency",
        "From the last sample of a segment to the subscriber's hands, one stream in real time",
        {
            "model": Segments.of(model).card.name,
            "seconds": seconds,
            "block_ms": block_ms,
            "runs": runs,
        },
    )
    samples = np.resize(music(), round(seconds * SAMPLE_RATE)).astype("<f4")
    for hop in hops:
        found = Latencies(Segments.of(model, hop), round(block_ms * SAMPLE_RATE / 1000))
        for run in range(runs):
            progress(f"run {run + 1} of {runs}: hop {hop}")
            with _listening(model, hop) as (listener, socket):
                sent_ns = _push(socket, samples, found.block)
                found.add(listener.answer(), sent_ns)
        if not found.total_ms:
            raise InputError(f"hop {hop}: no predictions in {seconds:g} s; more seconds are needed")
        _fill(report, hop, found)
    return report


@dataclass
class Latencies:
    """Latencies of one hop.

    Attributes:
        segments: The model's segments.
        block: Samples per block.
        total_ms: Whole latency in ms, by prediction.
        stages_ms: Stages in ms as reported by the engine, by prediction.
        p99_by_run: 99th percentile of the whole latency in ms, by run.
        lost: Messages that were lost.
    """

    segments: Segments
    block: int
    total_ms: list[float] = field(default_factory=list)
    stages_ms: dict[str, list[float]] = field(default_factory=lambda: {each: [] for each in STAGES})
    p99_by_run: list[float] = field(default_factory=list)
    lost: int = 0

    def add(self, heard: dict[str, Any], sent_ns: Sequence[int]) -> None:
        """Add a run.

        Args:
            heard: Answer of the subscriber.
            sent_ns: Monotonic time in ns at which each block was handed over.
        """
        self.lost += heard["lost"]
        first = len(self.total_ms)
        for prediction in heard["predictions"][COLD:]:
            block = self._last_sample(prediction["index"]) // self.block
            if block >= len(sent_ns):
                continue  # zeros complete the last frame, where the sound ends
            self.total_ms.append((prediction["ns"] - sent_ns[block]) / 1e6)
            for stage, values in self.stages_ms.items():
                values.append(1000 * prediction["latency"].get(stage, 0.0))
        if run := self.total_ms[first:]:
            self.p99_by_run.append(percentiles(run)["p99"])

    def _last_sample(self, index: int) -> int:
        """Number of the last sample that a segment needs."""
        frame = index * self.segments.hop_size + self.segments.size - 1
        front_end = self.segments.front_end
        return frame * front_end.hop_size + front_end.frame_size // 2 - 1


def _fill(report: Report, hop: int, found: Latencies) -> None:
    for stage, values in {**found.stages_ms, "total": found.total_ms}.items():
        figures = {f"{name} ms": value for name, value in percentiles(values).items()}
        report.row(f"hop {hop}: {stage}", figures)
    report.series[f"hop {hop}: total"] = found.total_ms
    report.series[f"hop {hop}: inference"] = found.stages_ms["inference"]
    report.target(
        f"hop {hop}: p99 of the total, ms, against the inference's p99 and {MARGIN_MS:g} ms",
        percentiles(found.total_ms)["p99"],
        at_most=percentiles(found.stages_ms["inference"])["p99"] + MARGIN_MS,
    )
    report.target(f"hop {hop}: messages lost", found.lost, at_most=0, correctness=True)
    by_run = f"{min(found.p99_by_run):.1f} to {max(found.p99_by_run):.1f} ms"
    report.notes.append(
        f"hop {hop}: {len(found.total_ms)} predictions, p99 of the total by run {by_run}"
    )


@contextmanager
def _listening(model: str, hop: int) -> Iterator[tuple[Worker, zmq.Socket[bytes]]]:
    """A subscriber to a new engine, and a socket that takes the engine's PCM."""
    python = Path(sys.executable)
    settings: dict[str, Any] = {"model": model, "hop_size": hop}
    with Worker("the engine", python, CONTENDERS / "auricle_live.py", settings, 1) as engine:
        addresses = engine.ask()
        script = CONTENDERS / "auricle_listener.py"
        settings = {"address": addresses["publish"]}
        with Worker("the subscriber", python, script, settings) as listener:
            listener.begin()
            context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
            try:
                socket = context.socket(zmq.PUSH)
                socket.connect(addresses["pcm"])
                yield listener, socket
            finally:
                context.destroy(linger=0)


def _push(socket: zmq.Socket[bytes], samples: NDArray[np.float32], block: int) -> list[int]:
    """Hand over the samples block by block, each when its last sample would have been heard.

    Returns:
        Monotonic time at which each block was handed over, in nanoseconds.
    """
    sent_ns = []
    began = time.monotonic()
    for number, first in enumerate(range(0, len(samples), block)):
        time.sleep(max(0.0, began + (first + block) / SAMPLE_RATE - time.monotonic()))
        header = {
            "sample_rate": SAMPLE_RATE,
            "channels": 1,
            "format": "f32le",
            "first_sample": first,
            "seq": number,
            "end": first + block >= len(samples),
        }
        sent_ns.append(time.monotonic_ns())
        socket.send_multipart([encode_map(header), samples[first : first + block].tobytes()])
    return sent_ns
