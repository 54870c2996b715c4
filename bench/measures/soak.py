"""Days of one stream, at full speed and with gaps: whether memory stays flat and indices true."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.fleet import slope
from bench.report import Report
from bench.segments import Segments
from bench.timing import Progress, silent
from bench.workers import CONTENDERS, Worker

LOOK_S = 900.0
"""Stream time between two looks at memory, in seconds."""

WARM_PART = 1 / 12
"""Part of the time after which memory has to be flat."""


def measure(
    model: str = "musicnn-mtt",
    hop_size: int | None = None,
    hours: float = 24.0,
    progress: Progress = silent,
) -> Report:
    """One stream through mel frames, backbone and aggregator for `hours` of stream time.

    Gaps of a millisecond to eight seconds come once a minute on average.

    Args:
        model: Name of an installed model with the front end `musicnn`, or its folder.
        hop_size: Mel frames from one segment to the next; None for the model card's.
        hours: Hours of stream time.
        progress: Function to call with a line of progress.
    """
    segments = Segments.of(model, hop_size)
    looks = _looks(model, segments.hop_size, 3600 * hours, progress)
    report = Report(
        "soak",
        f"{hours:g} hours of one stream at full speed, with gaps",
        {"model": segments.card.name, "hop_size": segments.hop_size},
    )
    last = looks[-1]
    report.row(
        f"{hours:g} hours",
        {
            "x real time": last["at_s"] / sum(look["wall_s"] for look in looks),
            "segments": last["segments"],
            "skipped in gaps": last["skipped"],
            "gaps": last["gaps"],
            "rss MB": last["rss_mb"],
            "most MB": max(look["rss_mb"] for look in looks),
        },
    )
    growth = slope(looks, after_s=3600 * hours * WARM_PART)
    report.target("memory, MB an hour of stream time, after a twelfth of it", growth, at_most=1)
    _add_accounts(report, segments, last)
    report.series["hours"] = [look["at_s"] / 3600 for look in looks]
    report.series["rss MB"] = [look["rss_mb"] for look in looks]
    return report


def _looks(
    model: str, hop_size: int, seconds: float, progress: Progress
) -> Sequence[dict[str, Any]]:
    """Answers of `contenders/auricle_soak.py`, the last one at the end."""
    settings = {"model": model, "hop_size": hop_size, "seconds": seconds}
    script = CONTENDERS / "auricle_soak.py"
    look_s = min(LOOK_S, seconds / 20)
    looks: list[dict[str, Any]] = []
    with Worker("the engine", Path(sys.executable), script, settings, threads=1) as worker:
        at_s = 0.0
        while not (looks and looks[-1]["over"]):
            at_s = min(at_s + look_s, seconds)
            progress(f"{at_s / 3600:.2f} of {seconds / 3600:g} hours")
            looks.append(worker.ask(until_s=at_s))
    return looks


def _add_accounts(report: Report, segments: Segments, last: dict[str, Any]) -> None:
    """Everything is there once, at its place."""
    frames = segments.front_end.n_frames(last["samples"])
    expected = (frames - segments.size) // segments.hop_size + 1
    for what, wrong in {
        "mel frames that are missing or too many": abs(last["frames"] - frames),
        "segments that are missing or too many": abs(last["segments"] - expected),
        "segments at another place than their number says": last["misplaced"],
        "gaps that were reported wrongly or not at all": last["wrong_gaps"],
    }.items():
        report.target(what, wrong, at_least=0, at_most=0, correctness=True)
