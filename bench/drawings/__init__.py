"""Pictures of reports, for what a picture says better than a table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bench.drawings.bars import heads, mel, peers, pipeline, student
from bench.drawings.canvas import save
from bench.drawings.curves import backbone, latency, wire
from bench.drawings.load import overload, soak, streams
from bench.drawings.patches import patchout
from bench.report import Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

DRAWINGS: dict[str, Callable[[Report], Picture]] = {
    "backbone": backbone,
    "heads": heads,
    "latency": latency,
    "mel": mel,
    "overload": overload,
    "patchout": patchout,
    "peers": peers,
    "pipeline": pipeline,
    "soak": soak,
    "streams": streams,
    "student": student,
    "wire": wire,
}
"""By the name of the bench: what draws its report."""


def can_draw(report: Report) -> bool:
    """Whether there is a picture for a report."""
    return report.name.partition("-")[0] in DRAWINGS


def draw(report: Report, folder: Path) -> Path:
    """Draw a report into `NAME.png` in a folder, and return its path.

    Raises:
        ConfigError: Matplotlib is not installed.
        InputError: The file cannot be written.
    """
    picture = DRAWINGS[report.name.partition("-")[0]](report)
    return save(picture, folder / f"{report.name}.png")
