"""More streams than one machine can serve: windows served and left out, and whether they add up."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from bench.fleet import Fleet, fleet, slope
from bench.measures.streams import OpenFleet
from bench.report import Report
from bench.segments import Segments
from bench.timing import Progress, percentiles, silent
from bench.workers import CONTENDERS, Worker

RECOVERY_LOAD = 0.5
"""Streams that are left when the load falls, as a share of what inference alone would do."""

RECOVERY_S = 240.0
"""Longest wait for the ladder to come down, in seconds."""

LOOK_S = 1.0
"""Seconds between two looks while the ladder comes down."""

SERIES = {"served": "served", "hop": "longer hop", "overload": "skipped", "late": "late"}
"""Series of windows per second, by their outcome."""


class Counter(Protocol):
    """A subscriber in another process; see `contenders/auricle_counter.py`."""

    def begin(self, **request: Any) -> None:
        """Start counting."""

    def answer(self) -> dict[str, Any]:
        """Wait until as many streams have ended as were announced, and return the counts."""


class OpenCounter(Protocol):
    """Starts a subscriber that counts."""

    def __call__(self, address: str) -> AbstractContextManager[Counter]:
        """The subscriber to an address."""


def open_counter(address: str) -> Worker:
    """A subscriber that counts, in a separate process."""
    script = CONTENDERS / "auricle_counter.py"
    return Worker("the subscriber", Path(sys.executable), script, {"address": address})


def measure(
    model: str = "musicnn-mtt",
    hop_size: int | None = None,
    load: float = 2.0,
    seconds: float = 300.0,
    recovery_s: float = RECOVERY_S,
    progress: Progress = silent,
    open_fleet: OpenFleet = fleet,
    open_counter: OpenCounter = open_counter,
) -> Report:
    """An engine with `load` times the streams that inference alone would do; then fewer.

    Args:
        model: Name of an installed model, or its folder.
        hop_size: Mel frames from one segment to the next; None for the model card's.
        load: Streams, as a multiple of what inference alone would do.
        seconds: Time under load.
        recovery_s: Longest wait for rung 0 when load has fallen.
        progress: Function to call with a line of progress.
        open_fleet: Opens the engine.
        open_counter: Opens the subscriber.
    """
    segments = Segments.of(model, hop_size)
    with open_fleet(model, segments.hop_size) as engine:
        progress("inference alone")
        raw = engine.raw() * segments.hop_s
        number = max(2, round(load * raw))
        trial = _Trial(engine, number)
        with open_counter(engine.address) as counter:
            counter.begin(ends=number)
            progress(f"{number} streams for {seconds:g} s")
            trial.hold(seconds)
            left = max(1, round(RECOVERY_LOAD * raw))
            progress(f"{left} streams until rung 0")
            trial.recover(left, recovery_s)
            heard = counter.answer()
    report = Report(
        "overload",
        f"An engine with {load:g} times the streams that it can serve",
        {
            "model": segments.card.name,
            "hop_size": segments.hop_size,
            "load": load,
            "seconds": seconds,
        },
        series=_series(trial.measured),
    )
    _fill(report, trial, heard)
    report.target(
        "seconds until rung 0 with half the raw load", trial.recovered_s, at_most=recovery_s
    )
    return report


@dataclass
class _Trial:
    """Streams under load, and fewer afterwards.

    Attributes:
        engine: The engine, without streams at first.
        number: Streams under load.
        measured: Answers of the engine, with the seconds at which each measurement began.
        ended: Counts of every stream over its whole life, by its name.
        recovered_s: Seconds from the fall of the load to rung 0; None if it was not reached.
    """

    engine: Fleet
    number: int
    measured: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    ended: dict[str, dict[str, int]] = field(default_factory=dict)
    recovered_s: float | None = None

    def hold(self, seconds: float) -> None:
        """Add all streams, and measure for some seconds."""
        self.engine.grow(self.number)
        self.measured.append((0.0, self.engine.measure(seconds)))

    def recover(self, left: int, at_most_s: float) -> None:
        """End all streams but `left`, wait up to `at_most_s` for rung 0, and end the others."""
        loaded_s, fell = self.measured[0][1]["seconds"], time.monotonic()
        self.ended |= self.engine.shrink(left)["streams"]
        waited_s = 0.0
        while waited_s < at_most_s and self.recovered_s is None:
            at_s = loaded_s + time.monotonic() - fell
            self.measured.append((at_s, self.engine.measure(LOOK_S)))
            waited_s += LOOK_S
            if not self.measured[-1][1]["looks"][-1]["rung"]:
                self.recovered_s = waited_s
        self.ended |= self.engine.shrink(0)["streams"]


def _series(measured: Sequence[tuple[float, dict[str, Any]]]) -> dict[str, list[float]]:
    """Memory, rung and windows a second over the time."""
    series: dict[str, list[float]] = {"seconds": [], "rung": [], "rss MB": []}
    series |= {f"{name} a second": [] for name in SERIES.values()}
    for begins_s, found in measured:
        for look, later in pairwise(found["looks"]):
            series["seconds"].append(begins_s + look["at_s"])
            series["rung"].append(float(look["rung"]))
            series["rss MB"].append(look["rss_mb"])
            rates = _rates(look, later)
            for count, name in SERIES.items():
                series[f"{name} a second"].append(rates[count])
    return series


def _rates(look: Mapping[str, float], later: Mapping[str, float]) -> dict[str, float]:
    """Windows a second between two looks, by what became of them."""
    passed_s = later["at_s"] - look["at_s"]
    counts = ("offered", "hop", "overload", "late")
    rates = {count: (later[count] - look[count]) / passed_s for count in counts}
    return {**rates, "served": rates["offered"] - rates["hop"] - rates["overload"]}


def _fill(report: Report, trial: _Trial, heard: Mapping[str, Any]) -> None:
    _, found = trial.measured[0]
    streams = found["streams"].values()
    served = [each["offered"] - each["hop"] - each["overload"] for each in streams]
    report.row(
        f"{trial.number} streams, {found['seconds']:.0f} s",
        {
            "offered": sum(each["offered"] for each in streams),
            "served": sum(served),
            "longer hop": sum(each["hop"] for each in streams),
            "skipped": sum(each["overload"] for each in streams),
            "p50 ms": 1000 * found["latency"]["p50"],
            "p99 ms": 1000 * found["latency"]["p99"],
            "cores": found["cpu"],
            "rss MB": found["looks"][-1]["rss_mb"],
        },
    )
    _add_accounts(report, trial.ended, heard)
    mean = sum(served) / len(served)
    worst = max(abs(each - mean) / mean for each in served) * 100 if mean else 100.0
    report.target("furthest stream from the mean, %", worst, at_most=20)
    growth = _growth_percent(found)
    report.target("memory grown in the last two thirds of the time, %", growth, at_most=1)
    middle = percentiles(served)["p50"]
    report.notes.append(
        f"served by stream: {middle:.0f} in the middle, {min(served)} to {max(served)}"
    )


def _add_accounts(
    report: Report, ended: Mapping[str, Mapping[str, int]], heard: Mapping[str, Any]
) -> None:
    """Targets: each window is reported once, over the whole life of every stream."""
    wrong = sum(
        each["offered"] != heard["served"].get(name, 0) + heard["left_out"].get(name, 0)
        for name, each in ended.items()
    )
    what = "streams whose served and skipped are not what was offered"
    report.target(what, wrong, at_most=0, correctness=True)
    report.target("messages lost on the wire", heard["lost"], at_most=0, correctness=True)
    rungs = sorted(heard["rungs"].items())
    predictions = sum(count for _, count in rungs)
    shares = ", ".join(f"{rung}: {count / predictions:.0%}" for rung, count in rungs)
    report.notes.append(f"predictions by rung: {shares}")


def _growth_percent(found: Mapping[str, Any]) -> float:
    """Growth of memory in the last two thirds of the time, after its trend."""
    seconds, looks = found["seconds"], found["looks"]
    growth_mb = slope(looks, after_s=seconds / 3) * (seconds * 2 / 3) / 3600
    return float(100 * growth_mb / looks[-1]["rss_mb"])
