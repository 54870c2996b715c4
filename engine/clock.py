"""When a sample was captured, and how far the source's clock is off ours.

The truth is the index of the sample. A source notes in its clock, block by block, which index had
arrived at which monotonic time; seconds, UTC and drift are derived from that.
"""

from __future__ import annotations

import bisect
import time
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

BUCKET_S = 1
"""Observations of one second are reduced to the promptest one: delays only ever add."""

BUCKETS = 900
"""Seconds over which drift is estimated. Millisecond jitter over 15 minutes is about 1 ppm."""

BUCKETS_NEEDED = 10
"""Seconds of observations before a drift is reported at all."""

BUCKETS_TRUSTED = 60
"""Seconds of observations after which they say better than those before an outage when samples are
due: fewer would let every outage move that a little further."""

DRIFT_EVERY = 30
"""Seconds for which an estimate of the drift is kept."""

MOST_JUMPS = 100
"""Most places left out that are remembered; only recent tokens are asked for."""

LARGEST_ERROR_PPM = 10.0
"""Standard error of a drift above which it is unknown."""

LARGEST_DRIFT_PPM = 1000.0
"""Drift beyond what any clock has: the source is not one that keeps time."""


class SourceClock:
    """Maps sample indices of one source to time.

    One thread observes, the one that captures the source; any thread may ask.

    Args:
        sample_rate: Nominal rate of the source, Hz. Set by the source once it is known.
        first_sample: Index of the source's first sample.
    """

    def __init__(self, sample_rate: int = 16000, first_sample: int = 0) -> None:
        self.sample_rate = sample_rate
        self.first_sample = first_sample
        # Written by `observe` alone. What belongs together is one tuple, replaced as a whole, so
        # that another thread sees the old one or the new one; `_noted` counts a row of
        # `_promptest` only once it is filled.
        self._begun_ns: int | None = None
        self._anchor: tuple[int, int, int] | None = None
        # Where samples were left out: seconds of the stream, and all samples left out until then.
        self._jumps: tuple[tuple[Fraction, int], ...] = ()
        self._due_s: float | None = None  # least delay, as it was known before the last outage
        self._promptest = np.zeros((BUCKETS, 2))  # elapsed seconds and least delay, by bucket
        self._noted = 0
        self._bucket = (-1, 0.0, 0.0)
        # Written by any thread that asks. Two that ask together write the same estimate twice.
        self._drift: tuple[int, float | None] | None = None

    def sample_at(self, seconds: Fraction, end: bool = False) -> int:
        """Index of the sample at `seconds` of the stream, rounded to the nearest.

        Args:
            seconds: Time in the stream.
            end: Whether a stretch ends there, which reaches up to samples that were left out.
        """
        return self.first_sample + round(seconds * self.sample_rate) + self._left_out(seconds, end)

    def seconds_at(self, seconds: Fraction, end: bool = False) -> Fraction:
        """Seconds from the start of the source; arguments are those of `sample_at`."""
        return seconds + Fraction(self._left_out(seconds, end), self.sample_rate)

    def leave_out(self, seconds: Fraction, samples: int) -> None:
        """Note that the stream goes on at `seconds` with a sample that many later in the source.

        Call it before that sample is written, in the order of time.
        """
        already = self._jumps[-1][1] if self._jumps else 0
        self._jumps = (*self._jumps[1 - MOST_JUMPS :], (seconds, already + samples))

    def _left_out(self, seconds: Fraction, end: bool) -> int:
        """Samples of the source that are not in the stream before `seconds` of it."""
        jumps = self._jumps
        if not jumps:
            return 0
        places = [at for at, _ in jumps]
        number = (bisect.bisect_left if end else bisect.bisect_right)(places, seconds)
        return jumps[number - 1][1] if number else 0

    def begin(self, monotonic_ns: int) -> None:
        """Note that nothing had arrived before `monotonic_ns`, even if more arrives at first.

        Args:
            monotonic_ns: Monotonic time in ns.
        """
        self._begun_ns = monotonic_ns

    def forget(self) -> None:
        """Forget what was observed: there was an outage, and later samples have another delay.

        Times are extrapolated from the last observation until the next.
        """
        self._due_s = self.least_delay_s
        self._noted, self._bucket, self._drift = 0, (-1, 0.0, 0.0), None

    def observe(self, sample: int, monotonic_ns: int) -> None:
        """Note that all samples before index `sample` had arrived at `monotonic_ns`."""
        self._anchor = (sample, monotonic_ns, time.time_ns() - time.monotonic_ns())
        elapsed_s = (sample - self.first_sample) / self.sample_rate
        delay_s = monotonic_ns / 1e9 - elapsed_s
        number, at_s, least_s = self._bucket
        if int(elapsed_s / BUCKET_S) == number:
            if delay_s < least_s:
                self._bucket = (number, elapsed_s, delay_s)
            return
        if number >= 0:
            self._promptest[self._noted % BUCKETS] = at_s, least_s
            self._noted += 1
        self._bucket = (int(elapsed_s / BUCKET_S), elapsed_s, delay_s)

    def monotonic_ns(self, sample: int) -> int:
        """Monotonic time, ns, at which `sample` had arrived.

        Extrapolated from the latest observation at the nominal rate, but not to before the
        beginning; the beginning, or else the present time, if nothing has been observed.
        """
        if self._anchor is None:
            return time.monotonic_ns() if self._begun_ns is None else self._begun_ns
        observed, at_ns, _ = self._anchor
        arrived_ns = at_ns + (sample - observed) * 1_000_000_000 // self.sample_rate
        return arrived_ns if self._begun_ns is None else max(arrived_ns, self._begun_ns)

    @property
    def least_delay_s(self) -> float | None:
        """Monotonic time at which the source began, judged by its promptest sample, in seconds.

        A sample is due this long after it was reached, counted in seconds of the source; that is
        the moment at which it would have arrived without any delay. Judged by the last `BUCKETS`
        seconds, or by those before an outage until enough is known since; None if nothing is.
        """
        if self._due_s is not None and self._noted < BUCKETS_TRUSTED:
            return self._due_s
        number, _, least_s = self._bucket
        return float(self._known()[:, 1].min(initial=least_s)) if number >= 0 else None

    def utc_ns(self, sample: int) -> int:
        """UTC at which `sample` had arrived, ns since 1970.

        Follows the system's clock when that is set.
        """
        offset_ns = self._anchor[2] if self._anchor else time.time_ns() - time.monotonic_ns()
        return self.monotonic_ns(sample) + offset_ns

    @property
    def drift_ppm(self) -> float | None:
        """How much faster than its nominal rate the source runs, ppm; None while unknown.

        The slope of the least delays of up to `BUCKETS` seconds since the last outage. It is
        unknown while their scatter allows another one, and for a source that does not keep time.
        Estimated again only every `DRIFT_EVERY` seconds of the source, since every heartbeat asks
        for it on every stream.
        """
        number = self._bucket[0]
        if self._noted < BUCKETS_NEEDED:
            return None
        drift = self._drift  # the thread that observes may forget it
        if drift is None or number - drift[0] >= DRIFT_EVERY:
            self._drift = drift = (number, self._estimate())
        return drift[1]

    def _estimate(self) -> float | None:
        at_s, delay_s = self._known().T
        if len(at_s) < BUCKETS_NEEDED:
            return None
        away_s = at_s - at_s.mean()
        spread = float((away_s**2).sum())
        slope = float((away_s * delay_s).sum()) / spread
        scatter = delay_s - delay_s.mean() - slope * away_s
        error = float(np.sqrt((scatter**2).sum() / (len(at_s) - 2) / spread))
        if 1e6 * error > LARGEST_ERROR_PPM or 1e6 * abs(slope) > LARGEST_DRIFT_PPM:
            return None
        return -1e6 * slope / (1 + slope)

    def _known(self) -> NDArray[np.float64]:
        return self._promptest[: self._noted].copy()  # another thread observes
