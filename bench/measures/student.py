"""A student against the teachers whose labels it took over."""

from __future__ import annotations

from collections.abc import Sequence

from auricle.models import DEFAULT_MODEL
from auricle.models.registry import info
from bench.measures.backbone import COLUMN, ThroughNode, together
from bench.report import Report
from bench.timing import Measurement, Progress, Spread, alternate, ratios, silent

LEAST_SPEED = 10.0
"""Least factor by which a student has to be faster than its teachers together."""

TEACHERS = "teachers, whole segments"


def measure(
    model: str = DEFAULT_MODEL,
    teachers: Sequence[str] = ("musicnn-mtt", "musicnn-msd"),
    hops: Sequence[int] = (31, 62, 93),
    segments: int = 24,
    runs: int = 5,
    progress: Progress = silent,
) -> Report:
    """Time a segment takes, of all teachers together and of the student, each in a `Backbone` node.

    Args:
        model: The student, an installed model by name, or its folder.
        teachers: The teachers, as above.
        hops: Frames from one segment to the next.
        segments: Segments per round.
        runs: Number of measured rounds.
        progress: Function to call with a line of progress.
    """
    names = [info(each).name for each in teachers]
    report = Report(
        "student",
        "One segment through a student, and through its teachers together",
        {"model": info(model).name, "teachers": names, "segments": segments, "runs": runs},
        reference=TEACHERS,
    )
    contenders: dict[str, Measurement] = {}
    for hop in hops:
        contenders |= _at_hop(hop, model, teachers, segments)
    measured = alternate(contenders, runs, progress=progress)
    for name, seconds in measured.items():
        whole = measured[f"{name.partition(',')[0]}, {TEACHERS}"]
        times = ratios(whole, seconds)
        report.row(name, {COLUMN: Spread.of(seconds).scaled(1e3), "times teachers": times})
        if name.endswith(", student"):
            what = f"{name.partition(',')[0]}: times as fast as whole segments"
            report.target(what, times, at_least=LEAST_SPEED)
    report.notes.append("how closely a student follows its teachers: training/RESULTS.md")
    return report


def _at_hop(hop: int, model: str, teachers: Sequence[str], segments: int) -> dict[str, Measurement]:
    whole = [ThroughNode(each, hop, segments, shared=False) for each in teachers]
    shared = [ThroughNode(each, hop, segments, shared=True) for each in teachers]
    return {
        f"hop {hop}, {TEACHERS}": together(whole),
        f"hop {hop}, teachers, shared work": together(shared),
        f"hop {hop}, student": ThroughNode(model, hop, segments, shared=True),
    }
