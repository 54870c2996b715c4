"""Curves: latency by percentile, and the time of a segment against the hop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bench.drawings.canvas import GREY, OTHER, OURS, error_bars, legend, middle, note, picture
from bench.report import Figure, Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

PERCENTILES = {1: "0", 2: "50", 10: "90", 100: "99", 1000: "99.9", 10000: "99.99"}
"""Ticks: the label of the percentile by how rare what exceeds it is."""


def backbone(report: Report) -> Picture:
    """Time of a segment in ms against the hop in frames, with and without shared work."""
    drawn, (axes,) = picture(report, "The closer segments follow, the more work they share")
    lines: dict[str, dict[int, Figure]] = {}
    for name, figures in report.rows.items():
        hop = figures.get("hop")
        if isinstance(hop, int):
            lines.setdefault(name.partition(", ")[2], {})[hop] = figures["ms a segment"]
    for (name, points), colour in zip(lines.items(), (OTHER, OURS), strict=False):
        y = list(points.values())
        axes.errorbar(
            list(points),
            [middle(each) for each in y],
            yerr=error_bars(y),
            marker="o",
            capsize=3,
            color=colour,
            label=name,
        )
    axes.set(xlim=(0, None), ylim=(0, None))
    axes.set(xlabel="mel frames from one segment to the next", ylabel="ms a segment")
    legend(axes, "lower right")
    return drawn


def latency(report: Report) -> Picture:
    """Latency of one stream in ms by percentile, beside the inference that is part of it."""
    drawn, (axes,) = picture(
        report, "From the last sample of a segment to a subscriber, one stream in real time"
    )
    hops = list(dict.fromkeys(name.partition(":")[0] for name in report.series))
    for hop, colour in zip(hops, (OURS, OTHER), strict=False):
        total, inference = report.series[f"{hop}: total"], report.series[f"{hop}: inference"]
        every = f"a segment every {hop.removeprefix('hop ')} frames"
        _percentiles(axes, total, colour, "-", f"{every}: the whole way")
        _percentiles(axes, inference, colour, ":", f"{every}: its inference")
    _percentile_axis(axes, "ms")
    return drawn


def wire(report: Report) -> Picture:
    """Latency of messages in microseconds by percentile, beside that of bare sockets."""
    drawn, (axes,) = picture(report, "A prediction from one process to another over TCP")
    for (name, values), colour in zip(report.series.items(), (OURS, GREY), strict=False):
        _percentiles(axes, values, colour, "-", name)
    _percentile_axis(axes, "us")
    highest: Mapping[str, float] = {name: max(values) for name, values in report.series.items()}
    # A single message of thousands decides how high the axis would be.
    shown = 2 * max(float(np.percentile(values, 99)) for values in report.series.values())
    if max(highest.values(), default=0.0) > shown:
        axes.set_ylim(0, shown)
        slowest = ", ".join(f"{value:.0f} us ({name})" for name, value in highest.items())
        note(axes, f"slowest of all: {slowest}")
    return drawn


def _percentiles(axes: Axes, values: Sequence[float], colour: str, style: str, label: str) -> None:
    """Values against the share of events that exceed them, so that the tail is to be seen."""
    ordered = np.sort(np.asarray(values, np.float64))
    exceeding = 1 - (np.arange(len(ordered)) + 0.5) / len(ordered)
    axes.plot(1 / exceeding, ordered, color=colour, linestyle=style, label=label)


def _percentile_axis(axes: Axes, unit: str) -> None:
    axes.set_xscale("log")
    rarest = axes.dataLim.x1
    ticks = {at: label for at, label in PERCENTILES.items() if at <= rarest}
    axes.set_xticks(list(ticks), labels=list(ticks.values()))
    axes.set_xticks([], minor=True)
    axes.set_xlim(0.9, 1.1 * rarest)
    axes.set(xlabel="percentile of predictions", ylabel=f"latency, {unit}", ylim=(0, None))
    legend(axes)
