"""An engine in a process of its own, with as many streams as a measurement asks for."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bench.audio import clip
from bench.workers import CONTENDERS, Worker

SOUND_S = 1800.0
"""Length of what every stream plays."""

RAW_S = 3.0

SETTLE_S = 1.0


class Fleet:
    """What `contenders/auricle_engine.py` offers.

    Attributes:
        address: Where the engine publishes.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.address = worker.versions["address"]
        self.running = 0

    def raw(self) -> float:
        """Segments a second of the model's sessions, a thread a worker, with nothing else."""
        return float(self._worker.ask(do="raw", seconds=RAW_S)["segments_per_s"])

    def grow(self, streams: int) -> dict[str, Any]:
        """Have so many streams in all; memory and rung."""
        more, self.running = streams - self.running, streams
        return self._worker.ask(do="add", count=more)

    def rss_mb(self, streams: int, seconds: float) -> float:
        """Resident memory with so many streams, no fewer than there are, after some seconds."""
        self.grow(streams)
        return float(self.measure(seconds)["looks"][-1]["rss_mb"])

    def shrink(self, streams: int) -> dict[str, Any]:
        """Have so few; memory, rung, and what those that are gone had counted."""
        self.running = streams
        answer = self._worker.ask(do="remove", left=streams)
        time.sleep(SETTLE_S)  # what closes them is still at work
        return answer

    def measure(self, seconds: float) -> dict[str, Any]:
        """Counts and latencies of a time, memory and rung during it."""
        return self._worker.ask(do="measure", seconds=seconds)


@contextmanager
def fleet(model: str, hop_frames: int | None, seconds: float | None = None) -> Iterator[Fleet]:
    """An engine without streams; each that comes plays the same WAV, of `seconds` or `SOUND_S`."""
    with clip(None, seconds or SOUND_S) as path:
        settings = {"model": model, "hop_frames": hop_frames, "file": str(path)}
        script = CONTENDERS / "auricle_engine.py"
        with Worker("the engine", Path(sys.executable), script, settings, threads=1) as worker:
            yield Fleet(worker)


def slope(looks: list[dict[str, Any]], after_s: float) -> float:
    """MB an hour by which memory grew, by least squares, from `after_s` on."""
    points = [(look["at_s"], look["rss_mb"]) for look in looks if look["at_s"] >= after_s]
    if len(points) < 2:
        return 0.0
    at_s, megabytes = np.array(points).T
    return float(np.polyfit(at_s - at_s[0], megabytes, 1)[0]) * 3600
