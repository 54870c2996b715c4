"""Measuring how many streams one machine serves in real time, and what a stream costs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np

from bench.fleet import Fleet, fleet
from bench.held import LATE_PERCENT, held_in_most, steps
from bench.report import Figure, Report
from bench.segments import Segments
from bench.timing import Progress, silent

MODEL = "musicnn-mtt"
"""Model by default. Its report is called `streams`; other models' have the model behind it."""

PARTS = (0.4, 0.8, 0.85, 0.9)
"""Numbers of streams that are tried, as shares of what inference alone would do."""

WARM_UPS = 4
"""Times of two hops that streams are given to return to rung 0 before it counts."""

MEMORY_STEPS = 5
"""How many numbers of streams memory is measured at."""


class OpenFleet(Protocol):
    """Opens an engine for streams; see `bench.fleet.fleet`."""

    def __call__(self, model: str, hop_size: int) -> AbstractContextManager[Fleet]:
        """The engine of a model at a `hop_size` in mel frames."""


def measure(
    model: str = MODEL,
    hop_size: int | None = None,
    streams: Sequence[int] = (),
    seconds: float = 20.0,
    runs: int = 3,
    progress: Progress = silent,
    open_fleet: OpenFleet = fleet,
) -> Report:
    """Streams, each a file played in real time, more and more of them in one engine.

    A window is late if its prediction is published more than a hop after its last sample, or never.
    What is held is the largest number that, like all below it, has few enough of them in the median
    of the runs.

    Args:
        model: Name of an installed model, or its folder.
        hop_size: Mel frames from one segment to the next; None for the model card's.
        streams: Numbers of streams to try; if empty, `PARTS` of what inference alone would serve.
        seconds: Seconds measured at each number, after two hops or more.
        runs: Number of passes over all numbers.
        progress: Function to call with a line of progress.
        open_fleet: Opens the engine.
    """
    segments = Segments.of(model, hop_size)
    report = _report(segments, seconds, runs)
    memory: list[tuple[int, float]] = []
    for run in range(1, runs + 1):
        with open_fleet(model, segments.hop_size) as engine:
            trial = _Run(engine, segments.hop_s, seconds, report)
            progress("inference alone")
            trial.measure_raw()
            numbers = sorted(streams) or trial.shares_of_raw()
            if run == 1:
                progress("memory")
                memory = trial.memory(numbers[0])
            for number in numbers:
                progress(f"run {run} of {runs}: {number} streams")
                trial.hold(number, "" if runs == 1 else f", run {run}")
    _add_targets(report, memory)
    return report


def _report(segments: Segments, seconds: float, runs: int) -> Report:
    name = segments.card.name
    return Report(
        "streams" if name == MODEL else f"streams-{name}",
        "Streams in real time in one engine",
        {
            "model": name,
            "hop_size": segments.hop_size,
            "hop_s": segments.hop_s,
            "seconds": seconds,
            "runs": runs,
        },
        notes=["raw: streams that the model's sessions alone would do, before and after each row"],
    )


class _Run:
    """A pass over all numbers of streams, in its own engine.

    Args:
        engine: The engine, without streams.
        hop_s: Seconds from one segment to the next.
        seconds: Seconds measured at each number.
        report: Report that the rows are added to.
    """

    def __init__(self, engine: Fleet, hop_s: float, seconds: float, report: Report) -> None:
        self._engine, self._hop_s, self._seconds = engine, hop_s, seconds
        self._report = report
        self._raw = 0.0

    def measure_raw(self) -> float:
        """Measure how many streams inference alone would serve.

        Returns:
            Mean of this measurement and the previous one, so before and after whatever is compared
            with it, since the machine may be shared and slower at times.
        """
        before, self._raw = self._raw, self._engine.raw() * self._hop_s
        return (before + self._raw) / 2

    def shares_of_raw(self) -> list[int]:
        """Numbers of streams to try, shares of what inference alone would serve."""
        return [max(1, round(part * self._raw)) for part in PARTS]

    def memory(self, most: int) -> list[tuple[int, float]]:
        """Resident memory in MB by number of streams, from 1 to `most`; removes them all."""
        numbers = [round(number) for number in np.linspace(1, most, MEMORY_STEPS)]
        found = [(number, self._engine.rss_mb(number, 2 * self._hop_s)) for number in numbers]
        self._engine.shrink(0)
        return found

    def hold(self, number: int, suffix: str) -> None:
        """Add a row about `number` streams, with a suffix to its name; removes them all.

        They are measured for the seconds of this run, once they have returned to rung 0.
        """
        self._engine.grow(number)
        for _ in range(WARM_UPS):
            if not self._engine.measure(2 * self._hop_s)["looks"][-1]["rung"]:
                break  # the time that adding them took from the others is made up for
        found = self._engine.measure(self._seconds)
        self._engine.shrink(0)
        raw = self.measure_raw()
        figures = {"raw": raw, "of raw": number / raw, **_figures(found)}
        self._report.row(f"{number} streams{suffix}", figures)


def _figures(found: dict[str, Any]) -> dict[str, Figure]:
    """Columns of what was measured at one number of streams."""
    counts = found["streams"].values()
    offered = sum(each["offered"] for each in counts)
    missing = sum(each["hop"] + each["overload"] for each in counts)
    return {
        "windows": offered,
        "late %": 100 * (found["late"] + missing) / max(1, offered),
        "p50 ms": 1000 * found["latency"]["p50"],
        "p99 ms": 1000 * found["latency"]["p99"],
        "max ms": 1000 * found["latency"]["max"],
        "cores": found["cpu"],
        "rss MB": found["looks"][-1]["rss_mb"],
    }


def _add_targets(report: Report, memory: Sequence[tuple[int, float]]) -> None:
    held = [trial.of_raw for trial in held_in_most(steps(report))]
    what = f"streams with under {LATE_PERCENT} % late windows, of raw"
    report.target(what, float(np.median(held)) if held else 0.0, at_least=0.85)
    numbers, megabytes = np.array(memory).T
    if len(set(numbers)) > 1:
        per_stream = float(np.polyfit(numbers, megabytes, 1)[0])
        report.target("a stream more, MB", per_stream, at_most=3)
