"""Days of one stream, at full speed and with gaps: whether memory stays flat and indices true."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from auricle.models.front_end import FRONT_ENDS
from auricle.models.registry import info
from bench.fleet import slope
from bench.report import Report
from bench.timing import Progress, silent
from bench.workers import CONTENDERS, Worker

LOOK_S = 900.0
"""Stream time between two looks at memory."""

WARM_PART = 1 / 12
"""Part of the time before memory has to be flat."""


def measure(
    model: str = "musicnn-mtt",
    hop_size: int | None = None,
    hours: float = 24.0,
    progress: Progress = silent,
) -> Report:
    """One stream through mel frames, backbone and aggregator for `hours` of its own time.

    Gaps of a millisecond to eight seconds come once a minute on average.

    Args:
        model, hop_size: As for a backbone, of the front end `musicnn`.
        hours: Of stream time.
        progress: Called with a line that says how far it is.
    """
    card = info(model)
    assert card.segment_size is not None
    hop = hop_size or card.segment_hop_size or 1
    seconds = 3600 * hours
    look_s = min(LOOK_S, seconds / 20)
    report = Report(
        "soak",
        f"{hours:g} hours of one stream at full speed, with gaps",
        {"model": card.name, "hop_frames": hop},
    )
    settings = {"model": model, "hop_frames": hop_size, "seconds": seconds}
    script = CONTENDERS / "auricle_soak.py"
    looks: list[dict[str, Any]] = []
    with Worker("the engine", Path(sys.executable), script, settings, threads=1) as worker:
        at_s = 0.0
        while not (looks and looks[-1]["over"]):
            at_s = min(at_s + look_s, seconds)
            progress(f"{at_s / 3600:.2f} of {hours:g} hours")
            looks.append(worker.ask(until_s=at_s))
    last = looks[-1]
    wall_s = sum(look["wall_s"] for look in looks)
    frames = FRONT_ENDS["musicnn"].n_frames(last["samples"])
    segments = (frames - card.segment_size) // hop + 1
    report.row(
        f"{hours:g} hours",
        {
            "x real time": last["at_s"] / wall_s,
            "segments": last["segments"],
            "skipped in gaps": last["skipped"],
            "gaps": last["gaps"],
            "rss MB": last["rss_mb"],
            "most MB": max(look["rss_mb"] for look in looks),
        },
    )
    growth = slope(looks, after_s=seconds * WARM_PART)
    report.target("memory, MB an hour of stream time, after a twelfth of it", growth, at_most=1)
    for what, wrong in {
        "mel frames that are missing or too many": abs(last["frames"] - frames),
        "segments that are missing or too many": abs(last["segments"] - segments),
        "segments at another place than their number says": last["misplaced"],
        "gaps that were told wrongly or not at all": last["wrong_gaps"],
    }.items():
        report.target(what, wrong, at_least=0, at_most=0, correctness=True)
    report.series["hours"] = [look["at_s"] / 3600 for look in looks]
    report.series["rss MB"] = [look["rss_mb"] for look in looks]
    return report
