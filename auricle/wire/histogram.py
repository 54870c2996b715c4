"""Histograms of times, with the same relative precision from microseconds to hours.

The idea is that of HdrHistogram (Gil Tene): buckets that are a fixed part of their octave wide. A
histogram takes 10 kB, all at once, so that the memory of an engine does not grow with what it has
seen.
"""

from __future__ import annotations

import math
import threading
from array import array
from collections.abc import Mapping, Sequence

import numpy as np

UNIT_S = 1e-6
"""Times below this are one bucket."""

OCTAVES = 40
"""Times beyond so many, twelve days, are one bucket."""

PARTS = 64
"""Buckets an octave: a percentile is at most 1.6 % above the truth."""

MOST = 2**32 - 1
"""Times that a bucket can count."""

PERCENTILES = (50.0, 95.0, 99.0)


class Histogram:
    """Counts times by size. One thread records; any asks.

    Attributes:
        count: Times recorded.
        longest_s: The longest of them, exactly.
    """

    def __init__(self) -> None:
        self.count = 0
        self.longest_s = 0.0
        self._counts = array("I", bytes(4 * OCTAVES * PARTS))

    def record(self, seconds: float) -> None:
        """Count a time; a negative one counts as none."""
        self.add(_bucket(seconds), seconds)

    def add(self, bucket: int, seconds: float) -> None:
        """Count a time whose bucket is known."""
        # What years of one moment would bring is no more than a lot.
        self._counts[bucket] = min(self._counts[bucket] + 1, MOST)
        self.count += 1
        if seconds > self.longest_s:
            self.longest_s = seconds

    def percentiles(self, wanted: Sequence[float] = PERCENTILES) -> list[float]:
        """Times in seconds that `wanted` per cent of the recorded ones do not exceed.

        0 if there are none.
        """
        reached = np.cumsum(self._counts)
        # The first bucket that has been reached by so many.
        places = np.searchsorted(reached, np.ceil(reached[-1] * np.asarray(wanted) / 100).clip(1))
        return [min(_upper(int(place)), self.longest_s) for place in places]

    def beyond(self, seconds: float) -> int:
        """How many were longer, as far as buckets tell: those of the same bucket are not."""
        return sum(self._counts[_bucket(seconds) + 1 :])

    def summary(self) -> dict[str, float]:
        """`p50`, `p95`, `p99` and `max` in seconds, and `count`."""
        p50, p95, p99 = self.percentiles()
        return {"p50": p50, "p95": p95, "p99": p99, "max": self.longest_s, "count": self.count}


def _bucket(seconds: float) -> int:
    units = seconds / UNIT_S
    if units < 1:
        return 0
    fraction, octave = math.frexp(units)  # 0.5 <= fraction < 1
    return min(int((octave + 2 * fraction - 2) * PARTS), OCTAVES * PARTS - 1)


def _upper(bucket: int) -> float:
    """Seconds below which the times of a bucket lie."""
    octave, part = divmod(bucket, PARTS)
    return math.ldexp(1 + (part + 1) / PARTS, octave) * UNIT_S


class Latencies:
    """Latencies by stage, of every stream and of all together. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: dict[str, Histogram] = {}
        self._streams: dict[str, dict[str, Histogram]] = {}

    def record(self, stream: str, latency: Mapping[str, float]) -> None:
        """Take note of what a message of a stream says: seconds by stage."""
        with self._lock:
            own = self._streams.setdefault(stream, {})
            for stage, seconds in latency.items():
                bucket = _bucket(seconds)
                for histograms in (self._all, own):
                    if stage not in histograms:
                        histograms[stage] = Histogram()
                    histograms[stage].add(bucket, seconds)

    def summary(self, stream: str | None = None) -> dict[str, dict[str, float]]:
        """`Histogram.summary` by stage, of one stream, or of all together."""
        with self._lock:
            histograms = self._all if stream is None else self._streams.get(stream, {})
            return {stage: histogram.summary() for stage, histogram in histograms.items()}

    def of_all(self, stage: str) -> Histogram:
        """The histogram of a stage, of all streams together."""
        with self._lock:
            return self._all.get(stage, Histogram())

    def forget(self, stream: str) -> None:
        """Drop what is known of a stream alone."""
        with self._lock:
            self._streams.pop(stream, None)
