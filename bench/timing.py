"""Timing: warm-up, rounds in which the contenders take turns, medians and spreads.

A machine that others use is faster in one minute than in the next. So contenders are measured in
rounds, each of which has every contender once, and what counts is the ratio within a round.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from auricle.errors import ConfigError

Measurement = Callable[[], float]
"""Does some work once and returns the measured figure, mostly in seconds."""

Progress = Callable[[str], None]
"""Function called with a line on the progress of a measurement."""


def silent(line: str) -> None:
    """Report no progress."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The figures of several runs.

    Attributes:
        median: Middle value; of an even number the mean of the middle two.
        low: Smallest value.
        high: Largest value.
        runs: Number of runs.
    """

    median: float
    low: float
    high: float
    runs: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of at least one value, in the unit of the values."""
        return cls(float(median(values)), float(min(values)), float(max(values)), len(values))

    def scaled(self, factor: float) -> Spread:
        """The spread in another unit, such as ms from seconds; `factor` is positive."""
        return Spread(self.median * factor, self.low * factor, self.high * factor, self.runs)

    def inverse(self, amount: float = 1.0) -> Spread:
        """The spread of `amount` over the values: seconds for an amount of work become a rate."""
        return Spread(amount / self.median, amount / self.high, amount / self.low, self.runs)


def timed(work: Callable[[], object], times: int = 1) -> Measurement:
    """A measurement of the seconds that one call of `work` takes, from `times` calls in a row."""

    def measure() -> float:
        began = time.perf_counter_ns()
        for _ in range(times):
            work()
        return (time.perf_counter_ns() - began) / 1e9 / times

    return measure


def calls_for(work: Callable[[], object], seconds: float) -> int:
    """Number of calls of `work` that take about `seconds`, at least one; calls it to find out."""
    calls = 1
    while True:
        taken = timed(work, calls)() * calls
        if taken >= seconds / 10:
            return max(1, round(calls * seconds / taken))
        calls *= 4


def alternate(
    measurements: Mapping[str, Measurement],
    runs: int,
    warm_up: int = 1,
    progress: Progress = silent,
) -> dict[str, list[float]]:
    """Measure contenders in turn.

    Each round has every contender once, and begins with another one than the round before, so that
    no contender always follows the same one.

    Args:
        measurements: Measurements by the contender's name.
        runs: Number of measured rounds.
        warm_up: Rounds before them that do not count: code is compiled, files and weights get into
            caches.
        progress: Function to call before each measurement, with a line that names it.

    Returns:
        The values by name, in the order of the rounds.
    """
    names = list(measurements)
    measured: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-warm_up, runs):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            progress(f"{'warm-up' if number < 0 else f'run {number + 1} of {runs}'}: {name}")
            value = measurements[name]()
            if number >= 0:
                measured[name].append(value)
    return measured


def ratios(numerator: Sequence[float], denominator: Sequence[float]) -> Spread:
    """The spread of `numerator / denominator`, round by round; both have the same unit."""
    return Spread.of([a / b for a, b in zip(numerator, denominator, strict=True)])


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """`p50`, `p95`, `p99` and `max` of at least one value, in its unit; linearly interpolated."""
    p50, p95, p99 = np.percentile(np.asarray(values, np.float64), [50, 95, 99]).tolist()
    return {"p50": p50, "p95": p95, "p99": p99, "max": float(max(values))}


def parse_cores(text: str | None) -> tuple[int, ...]:
    """The numbers in a list of cores.

    Args:
        text: A list such as `0` or `0,1`; None for the first core that this process may use.

    Raises:
        ConfigError: The list is invalid, or names a core that this process may not use.
    """
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if text is None:
        return tuple(usable[:1]) or (0,)
    try:
        cores = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        raise ConfigError(
            f"cores={text!r}; numbers with commas between them are needed, as in 0,1"
        ) from None
    if usable and not set(cores) <= set(usable):
        raise ConfigError(f"cores={text!r}; usable cores are: {', '.join(map(str, usable))}")
    return cores


@contextmanager
def pinned(cores: Sequence[int]) -> Iterator[bool]:
    """Keep this process, its threads and those that it starts, on some cores.

    Args:
        cores: Numbers of the cores; none to leave it where it is.

    Yields:
        Whether it is so: macOS cannot pin a process.
    """
    if not cores or not hasattr(os, "sched_setaffinity"):
        yield False
        return
    before = os.sched_getaffinity(0)
    _move_threads(set(cores))
    try:
        yield True
    finally:
        _move_threads(before)


def _move_threads(cores: set[int]) -> None:
    # The call moves one thread, and the pools of BLAS and ONNX Runtime have threads already.
    for entry in Path("/proc/self/task").iterdir():
        try:
            os.sched_setaffinity(int(entry.name), cores)
        except ProcessLookupError:  # a thread that has just ended
            continue
