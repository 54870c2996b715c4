"""Histograms of times, with the same relative precision from microseconds to hours.

The idea is that of HdrHistogram (Gil Tene): buckets that are a fixed part of their octave wide. Only buckets
that were hit take memory, a few kilobytes each for hundreds of streams.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence

UNIT_S = 1e-6
"""Times below this are one bucket."""

PARTS = 64
"""Buckets an octave: a percentile is at most 1.6 % above the truth."""

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
        self._counts: dict[int, int] = {}

    def record(self, seconds: float) -> None:
        """Count a time; a negative one counts as none."""
        self.add(_bucket(seconds), seconds)

    def add(self, bucket: int, seconds: float) -> None:
        """Count a time whose bucket is known."""
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        self.count += 1
        if seconds > self.longest_s:
            self.longest_s = seconds

    def percentiles(self, wanted: Sequence[float] = PERCENTILES) -> list[float]:
        """Times in seconds that `wanted` per cent of the recorded ones do not exceed; 0 if there are none."""
        buckets = sorted(self._counts.copy().items())
        total = sum(count for _, count in buckets)
        results = []
        for percent in wanted:
            left = math.ceil(total * percent / 100)
            bound = 0.0
            for bucket, count in buckets:
                bound = _upper(bucket)
                left -= count
                if left <= 0:
                    break
            results.append(min(bound, self.longest_s))
        return results

    def beyond(self, seconds: float) -> int:
        """How many were longer, as far as buckets tell: those of the same bucket are not."""
        bound = _bucket(seconds)
        return sum(count for bucket, count in self._counts.copy().items() if bucket > bound)

    def summary(self) -> dict[str, float]:
        """`p50`, `p95`, `p99` and `max` in seconds, and `count`."""
        p50, p95, p99 = self.percentiles()
        return {"p50": p50, "p95": p95, "p99": p99, "max": self.longest_s, "count": self.count}


def _bucket(seconds: float) -> int:
    units = seconds / UNIT_S
    fraction, octave = math.frexp(units if units > 0.5 else 0.5)  # 0.5 <= fraction < 1
    return octave * PARTS + int((fraction - 0.5) * 2 * PARTS)


def _upper(bucket: int) -> float:
    """Seconds below which the times of a bucket lie."""
    octave, part = divmod(bucket, PARTS)
    return math.ldexp(0.5 + (part + 1) / (2 * PARTS), octave) * UNIT_S


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
