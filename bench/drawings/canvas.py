"""Common parts of all pictures: colours, a title with the finding, and where it was measured.

Matplotlib is imported when the first picture is made. Its `pyplot` is not used: that keeps figures,
and looks for a screen.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from auricle.errors import ConfigError, InputError
from bench.report import Figure, Report
from bench.timing import Spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

OURS, OTHER, THIRD, BAD, GREY = "#0072b2", "#e69f00", "#56b4e9", "#d55e00", "0.45"
"""Colours of Auricle, of its peer, of a second variant, of losses, and of references."""

Place = Literal["best", "upper left", "upper right", "lower right", "center left"]

SMALL = 8
"""Size of legends and notes, in points."""


def check() -> None:
    """See that pictures can be drawn: before an hour of measuring, not after it.

    Raises:
        ConfigError: Matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ConfigError(
            "plots need matplotlib; get it with: pip install 'auricle[bench]'"
        ) from None


def picture(
    report: Report, title: str, panels: int = 1, height: float = 4.0
) -> tuple[Picture, list[Axes]]:
    """A picture with panels above each other that share the horizontal axis.

    Args:
        report: Report that is drawn; the line at the bottom says where it was measured.
        title: Sentence on what is to be seen.
        panels: Number of panels.
        height: Height in inches; the width is 7.
    """
    check()
    from matplotlib.figure import Figure as Picture

    drawn = Picture(figsize=(7, height), layout="constrained")
    every = list(drawn.subplots(panels, sharex=True, squeeze=False)[:, 0])
    for axes in every:
        axes.grid(alpha=0.3)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    drawn.suptitle(title, fontsize=11, x=0.02, ha="left")
    drawn.supxlabel(_origin(report), fontsize=7, color=GREY, x=0.02, ha="left")
    return drawn, every


def save(drawn: Picture, path: Path) -> Path:
    """Write a picture as a PNG into a folder, which is made if necessary; returns its path.

    Raises:
        InputError: The file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn.savefig(path, dpi=120)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    return path


def legend(axes: Axes, place: Place = "best") -> None:
    """A small legend without a frame."""
    axes.legend(fontsize=SMALL, frameon=False, loc=place)


def legend_above(axes: Axes, columns: int) -> None:
    """A legend between the title and the panel, its entries side by side."""
    axes.legend(
        fontsize=SMALL, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=columns
    )


def note(axes: Axes, text: str) -> None:
    """A line of small text above a panel."""
    axes.set_title(text, fontsize=SMALL, loc="left", color=GREY)


def middle(figure: Figure) -> float:
    """A figure as a number: the median of a spread, NaN for words and for none."""
    if isinstance(figure, Spread):
        return figure.median
    return float(figure) if isinstance(figure, int | float) else float("nan")


def error_bars(figures: Sequence[Figure]) -> list[list[float]]:
    """Distances of the lowest and the highest run from the median, for Matplotlib's `yerr`."""
    spreads = [each for each in figures if isinstance(each, Spread)]
    if len(spreads) < len(figures):
        return [[0.0] * len(figures), [0.0] * len(figures)]
    return [
        [each.median - each.low for each in spreads],
        [each.high - each.median for each in spreads],
    ]


def _origin(report: Report) -> str:
    machine, commit = report.machine, report.commit
    cores = machine["usable_cores"] or machine["cores"]
    changes = " and uncommitted changes" if commit["dirty"] else ""
    place = f"{machine['cpu']}, {cores} cores; commit {(commit['hash'] or 'unknown')[:7]}{changes}"
    return f"auricle bench {report.name.partition('-')[0]}; {place}; {report.utc[:10]}"
