"""Histograms of times, with the same relative precision from microseconds to hours.

The idea is that of HdrHistogram (Gil Tene): the width of each bucket is a fixed part of its octave.
A histogram takes 10 kB, allocated up front, so that the memory of an engine does not grow with what
it has measured.
"""

from __future__ import annotations

import math
import threading
from array import array
from collections.abc import Mapping, Sequence

import numpy as np

UNIT_S = 1e-6
"""Seconds below which all times share one bucket."""

OCTAVES = 40
"""Number of octaves above `UNIT_S`; longer times, over twelve days, share the last bucket."""

PARTS = 64
"""Buckets per octave: a percentile is at most 1.6 % too high."""

MOST = 2**32 - 1
"""Largest count of a bucket."""

PERCENTILES = (50.0, 95.0, 99.0)
"""Percentiles of a summary, in percent."""


class Histogram:
    """Counts times in buckets by their length.

    Only one thread at a time may record. Any thread may read without a lock: buckets only grow, so
    the worst it sees is a total without the time that is being recorded.

    Attributes:
        count: Number of times recorded.
        longest_s: Longest time recorded, in seconds, exact.
    """

    def __init__(self) -> None:
        self.count = 0
        self.longest_s = 0.0
        self._counts = array("I", bytes(4 * OCTAVES * PARTS))

    def record(self, seconds: float) -> None:
        """Count a time in seconds; a negative one counts as 0."""
        self.add(_bucket(seconds), seconds)

    def add(self, bucket: int, seconds: float) -> None:
        """Count a time in seconds whose bucket is already known."""
        # A full bucket stays full instead of overflowing.
        self._counts[bucket] = min(self._counts[bucket] + 1, MOST)
        self.count += 1
        if seconds > self.longest_s:
            self.longest_s = seconds

    def percentiles(self, wanted: Sequence[float] = PERCENTILES) -> list[float]:
        """Percentiles of the recorded times.

        Args:
            wanted: Percentiles to compute, 0 to 100.

        Returns:
            A time in seconds for each, at most 1.6 % too high; 0 if nothing was recorded.
        """
        reached = np.cumsum(self._counts)
        # The first bucket up to which this share of the times lies.
        places = np.searchsorted(reached, np.ceil(reached[-1] * np.asarray(wanted) / 100).clip(1))
        return [min(_upper(int(place)), self.longest_s) for place in places]

    def beyond(self, seconds: float) -> int:
        """Number of times longer than `seconds`; those in the same bucket are not counted."""
        return sum(self._counts[_bucket(seconds) + 1 :])

    def summary(self) -> dict[str, float]:
        """Summary of the times: `p50`, `p95`, `p99` and `max` in seconds, and `count`."""
        p50, p95, p99 = self.percentiles()
        return {"p50": p50, "p95": p95, "p99": p99, "max": self.longest_s, "count": self.count}


def _bucket(seconds: float) -> int:
    units = seconds / UNIT_S
    if units < 1:
        return 0
    fraction, octave = math.frexp(units)  # 0.5 <= fraction < 1
    return min(int((octave + 2 * fraction - 2) * PARTS), OCTAVES * PARTS - 1)


def _upper(bucket: int) -> float:
    """Upper end of a bucket, in seconds."""
    octave, part = divmod(bucket, PARTS)
    return math.ldexp(1 + (part + 1) / PARTS, octave) * UNIT_S


class Latencies:
    """Latencies by stage, for each stream and for all streams together.

    Any thread may call any method; a lock guards the histograms.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: dict[str, Histogram] = {}
        self._streams: dict[str, dict[str, Histogram]] = {}

    def record(self, stream: str, latency: Mapping[str, float]) -> None:
        """Count the latencies of one message of a stream, in seconds by stage."""
        with self._lock:
            own = self._streams.setdefault(stream, {})
            for stage, seconds in latency.items():
                bucket = _bucket(seconds)
                for histograms in (self._all, own):
                    if stage not in histograms:
                        histograms[stage] = Histogram()
                    histograms[stage].add(bucket, seconds)

    def summary(self, stream: str | None = None) -> dict[str, dict[str, float]]:
        """`Histogram.summary` by stage, in seconds, of one stream or of all streams together."""
        with self._lock:
            histograms = self._all if stream is None else self._streams.get(stream, {})
            return {stage: histogram.summary() for stage, histogram in histograms.items()}

    def of_all(self, stage: str) -> Histogram:
        """The live histogram of a stage over all streams, in seconds; only to be read."""
        with self._lock:
            return self._all.get(stage, Histogram())

    def forget(self, stream: str) -> None:
        """Drop the histograms of a stream; its latencies still count in those of all streams."""
        with self._lock:
            self._streams.pop(stream, None)
