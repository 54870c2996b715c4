"""An engine in a separate process, with as many streams as a measurement asks for."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bench.audio import clip
from bench.workers import CONTENDERS, Worker

SOUND_S = 1800.0
"""Seconds of sound that every stream plays, if nothing else is asked for."""

RAW_S = 3.0
"""Seconds for which inference alone is measured."""

SETTLE_S = 1.0
"""Seconds given to threads that close streams after these have ended."""


class Fleet:
    """Interface to `contenders/auricle_engine.py`.

    Args:
        worker: The engine's process.
        raw_s: Seconds for which inference alone is measured.

    Attributes:
        address: Address on which the engine publishes.
        running: Number of streams.
    """

    def __init__(self, worker: Worker, raw_s: float = RAW_S) -> None:
        self._worker, self._raw_s = worker, raw_s
        self.address = worker.versions["address"]
        self.running = 0

    def raw(self) -> float:
        """Segments per second of the model's sessions alone, with one thread per worker."""
        return float(self._worker.ask(do="raw", seconds=self._raw_s)["segments_per_s"])

    def grow(self, streams: int) -> dict[str, Any]:
        """Add streams until `streams` are running.

        Returns:
            `rss_mb`, the resident memory in MB, and `rung`.
        """
        more, self.running = streams - self.running, streams
        return self._worker.ask(do="add", count=more)

    def rss_mb(self, streams: int, seconds: float) -> float:
        """Resident memory in MB with `streams` streams, after they ran for `seconds`.

        No more than these may be running already.
        """
        self.grow(streams)
        return float(self.measure(seconds)["looks"][-1]["rss_mb"])

    def shrink(self, streams: int) -> dict[str, Any]:
        """Remove streams until `streams` are left.

        Returns:
            `rss_mb`, the resident memory in MB, `rung`, and the counts of segments of the streams
            that ended.
        """
        self.running = streams
        answer = self._worker.ask(do="remove", left=streams)
        time.sleep(SETTLE_S)
        return answer

    def measure(self, seconds: float) -> dict[str, Any]:
        """Counts of segments and latencies in seconds, over `seconds`; see `auricle_engine.py`."""
        return self._worker.ask(do="measure", seconds=seconds)


@contextmanager
def fleet(
    model: str,
    hop_size: int,
    sound_s: float = SOUND_S,
    raw_s: float = RAW_S,
    kind: type[Fleet] = Fleet,
) -> Iterator[Fleet]:
    """An engine without streams; each stream that is added plays the same WAV.

    Args:
        model: Name of an installed model, or its folder.
        hop_size: Frames from one segment to the next.
        sound_s: Seconds of sound that every stream plays.
        raw_s: Seconds for which inference alone is measured.
        kind: Class of the engine's interface.
    """
    with clip(None, sound_s) as path:
        settings = {"model": model, "hop_size": hop_size, "file": str(path)}
        script = CONTENDERS / "auricle_engine.py"
        with Worker("the engine", Path(sys.executable), script, settings, threads=1) as worker:
            yield kind(worker, raw_s)


def slope(looks: Sequence[dict[str, Any]], after_s: float) -> float:
    """Growth of memory in MB per hour, by least squares, from `after_s` seconds on."""
    points = [(look["at_s"], look["rss_mb"]) for look in looks if look["at_s"] >= after_s]
    if len(points) < 2:
        return 0.0
    at_s, megabytes = np.array(points).T
    return float(np.polyfit(at_s - at_s[0], megabytes, 1)[0]) * 3600
