"""The numbers of streams that a machine held, from a report of `auricle bench streams`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.report import Report

LATE_PERCENT = 0.1
"""Share of late windows, in percent, below which a number of streams is held."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A number of streams, tried once.

    Attributes:
        run: Pass over all numbers, from 1.
        streams: Number of streams.
        raw: Number of streams that the model's sessions alone would serve at that time.
        late_percent: Share of windows that were published late or left out.
        p50_ms: Median latency, in ms.
        p99_ms: Latency that 1 % of the windows exceeded, in ms.
    """

    run: int
    streams: int
    raw: float
    late_percent: float
    p50_ms: float
    p99_ms: float

    @property
    def of_raw(self) -> float:
        """Number of streams as a share of what inference alone would serve."""
        return self.streams / self.raw

    @property
    def held(self) -> bool:
        """Whether fewer than `LATE_PERCENT` percent of the windows were late."""
        return self.late_percent < LATE_PERCENT


def steps(report: Report) -> list[list[Trial]]:
    """All trials, from the lowest number of streams to the highest, the runs of each together.

    The numbers of a step may differ from run to run: each is the same share of what inference alone
    did in that run.
    """
    by_run: dict[int, list[Trial]] = {}
    for name, row in report.rows.items():
        number, _, run = name.partition(" streams")
        figures = [row[column] for column in ("raw", "late %", "p50 ms", "p99 ms")]
        values = [float(each) for each in figures if isinstance(each, int | float)]
        trial = Trial(int(run.removeprefix(", run ") or 1), int(number), *values)
        by_run.setdefault(trial.run, []).append(trial)
    ordered = [sorted(trials, key=lambda trial: trial.streams) for trials in by_run.values()]
    return [list(step) for step in zip(*ordered, strict=True)]


def held_in_most(tried: Sequence[Sequence[Trial]]) -> list[Trial]:
    """The highest step that, like all below it, is held in the median; empty if none."""
    found: list[Trial] = []
    for step in tried:
        if median(trial.late_percent for trial in step) >= LATE_PERCENT:
            break
        found = list(step)
    return found


def held_in_all(tried: Sequence[Sequence[Trial]]) -> list[Trial]:
    """The highest step that, like all below it, is held in every run; empty if none."""
    found: list[Trial] = []
    for step in tried:
        if not all(trial.held for trial in step):
            break
        found = list(step)
    return found
