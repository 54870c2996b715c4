"""A student against the teachers whose labels it took over."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from auricle.models import DEFAULT_MODEL
from auricle.models.registry import info
from bench.measures.backbone import COLUMN, through_node
from bench.report import Report
from bench.timing import Measurement, Spread, Progress, alternate, ratios, silent

LEAST_SPEED = 10.0
"""How many times as fast as its teachers together a student has to be to be worth having."""


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
        teachers: Models likewise.
        hops: Frames from one segment to the next.
        segments: How many make a round.
        runs: Rounds that count.
        progress: Called with a line that says how far it is.
    """
    outputs: dict[tuple[int, bool], NDArray[np.float32]] = {}

    def together(models: Sequence[str], hop: int, shared: bool) -> Measurement:
        parts = [through_node(each, hop, shared, segments, outputs) for each in models]
        return lambda: sum(part() for part in parts)

    contenders: dict[str, tuple[Sequence[str], int, bool]] = {}
    for hop in hops:
        contenders[f"hop {hop}, teachers, whole segments"] = (teachers, hop, False)
        contenders[f"hop {hop}, teachers, shared work"] = (teachers, hop, True)
        contenders[f"hop {hop}, student"] = ((model,), hop, True)
    names = [info(each).name for each in teachers]
    report = Report(
        "student",
        "One segment through a student, and through its teachers together",
        {"model": info(model).name, "teachers": names, "segments": segments, "runs": runs},
        reference="teachers, whole segments",
    )
    measured = alternate(
        {name: together(*what) for name, what in contenders.items()}, runs, progress=progress
    )
    for name, (_, hop, _) in contenders.items():
        whole = measured[f"hop {hop}, teachers, whole segments"]
        report.row(
            name,
            {
                COLUMN: Spread.of(measured[name]).scaled(1e3),
                "times teachers": ratios(whole, measured[name]),
            },
        )
    for hop in hops:
        speed = ratios(
            measured[f"hop {hop}, teachers, whole segments"], measured[f"hop {hop}, student"]
        )
        report.target(
            f"hop {hop}: times as fast as whole segments", speed.median, at_least=LEAST_SPEED
        )
    report.notes.append("how much a student says what its teachers say: training/RESULTS.md")
    return report
