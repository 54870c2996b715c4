"""Many streams, more than can be served, and one for days."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

from bench.drawings.canvas import BAD, GREY, OURS, THIRD, legend, middle, note, picture
from bench.figures import span
from bench.held import LATE_PERCENT, Trial, held_in_all, steps
from bench.report import Report, format_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

WINDOWS = {"served": OURS, "longer hop": THIRD, "skipped": BAD}
"""Fates of a window, as in the table: served, left out by a longer hop, or skipped as too late."""


def streams(report: Report) -> Picture:
    """Latency in ms, and late windows in percent, against the number of streams."""
    tried = steps(report)
    every = held_in_all(tried)
    held = f"{span([trial.streams for trial in every])} streams" if every else "no number tried"
    title = f"{report.settings['model']} in real time: {held} held in every run"
    drawn, (latency, late) = picture(report, title, panels=2, height=5.5)
    _by_streams(latency, tried, "p99_ms", OURS, "99 % of windows come sooner")
    _by_streams(latency, tried, "p50_ms", THIRD, "half of the windows come sooner")
    hop_ms = 1000 * report.settings["hop_s"]
    latency.axhline(hop_ms, color=BAD, linestyle="--", label="a hop: what comes later is late")
    slowest = max(trial.p99_ms for step in tried for trial in step)
    latency.set(ylabel="latency, ms", ylim=(0, 1.1 * max(hop_ms, slowest)))
    note(latency, "dots: single runs; lines: their medians")
    _by_streams(late, tried, "late_percent", BAD, "late windows")
    late.axhline(LATE_PERCENT, color=GREY, linestyle=":", label=f"held: under {LATE_PERCENT} %")
    late.set(ylabel="late windows, %", ylim=(-1, None), xlabel="streams")
    raw = [trial.raw for step in tried for trial in step]
    for axes in (latency, late):
        label = "what inference alone would do" if axes is late else None
        axes.axvspan(min(raw), max(raw), color=GREY, alpha=0.2, linewidth=0, label=label)
        axes.set_xlim(0, 1.05 * max(raw))
        legend(axes, "center left")
    return drawn


def _by_streams(
    axes: Axes, tried: Sequence[Sequence[Trial]], figure: str, colour: str, label: str
) -> None:
    """A dot for each run, and a line through the medians of the steps."""
    x, y = [], []
    for step in tried:
        numbers, values = (
            [trial.streams for trial in step],
            [getattr(each, figure) for each in step],
        )
        axes.plot(numbers, values, "o", color=colour, markersize=4, alpha=0.5)
        x.append(median(numbers))
        y.append(median(values))
    axes.plot(x, y, color=colour, label=label)


def overload(report: Report) -> Picture:
    """Windows per second by fate, the rung, and the memory in MB, against time in seconds."""
    (name,) = report.rows
    load = format_number(report.settings["load"])
    title = f"{name.partition(',')[0]}: {load} times what inference alone would do"
    curves = [part for part in WINDOWS if f"{part} a second" in report.series]
    drawn, panels = picture(report, title, panels=3 if curves else 2, height=6.0)
    *windows, rung, memory = panels
    seconds = report.series["seconds"]
    for axes in windows:
        for part in curves:
            values = report.series[f"{part} a second"]
            axes.plot(seconds, values, color=WINDOWS[part], label=part)
        axes.set(ylabel="windows a second", ylim=(0, None))
    _sum_of_windows(panels[0], report)
    rung.step(seconds, report.series["rung"], where="post", color=OURS)
    highest = round(max(report.series["rung"]))
    rung.set(ylabel="rung (0: every window)", ylim=(-0.3, highest + 0.5))
    rung.set_yticks(range(highest + 1))
    memory.plot(seconds, report.series["rss MB"], color=OURS)
    memory.set(ylabel="memory, MB", ylim=(0, 1.3 * max(report.series["rss MB"])))
    memory.set(xlabel="seconds", xlim=(0, None))
    _mark_the_fall(panels, report)
    return drawn


def _sum_of_windows(axes: Axes, report: Report) -> None:
    (row,) = report.rows.values()
    offered = middle(row["offered"])
    parts = [f"{part} {100 * middle(row[part]) / offered:.1f} %" for part in WINDOWS]
    unaccounted = "; ".join(target.what for target in report.wrong) or "none unaccounted for"
    note(axes, f"{offered:.0f} windows: {', '.join(parts)}; {unaccounted}")


def _mark_the_fall(panels: Sequence[Axes], report: Report) -> None:
    """A line where the load falls, if the report continues beyond it, and the legend."""
    loaded_s = report.settings["seconds"]
    if report.series["seconds"][-1] > loaded_s + 1:
        for axes in panels:
            axes.axvline(loaded_s, color=GREY, linestyle="--", label="load falls")
    for axes in panels[:1]:
        if axes.get_legend_handles_labels()[0]:
            legend(axes)


def soak(report: Report) -> Picture:
    """Growth of memory in MB over hours of stream time, beside what is allowed."""
    ((name, row),) = report.rows.items()
    hours, megabytes = report.series["hours"], report.series["rss MB"]
    (growth,) = [each for each in report.targets if each.what.startswith("memory")]
    warm = next(at for at, hour in enumerate(hours) if hour >= hours[-1] / 12)
    drawn, (axes,) = picture(
        report,
        f"{name} of one stream: memory grows by {format_number(growth.seen or 0.0)} MB an hour",
        height=3.5,
    )
    axes.plot(hours, [each - megabytes[warm] for each in megabytes], color=OURS, label="measured")
    allowed = [(growth.at_most or 0.0) * (hour - hours[warm]) for hour in hours[warm:]]
    axes.plot(hours[warm:], allowed, color=BAD, linestyle="--", label="allowed")
    axes.set(xlabel="hours of stream time", xlim=(0, None))
    axes.set_ylabel("growth of memory, MB")
    right = f"{row['segments']} segments, each in its place; {row['gaps']} gaps, each reported once"
    verdict = "; ".join(f"WRONG: {target.what}" for target in report.wrong) or right
    note(axes, f"{megabytes[warm]:.0f} MB after {hours[warm]:.0f} hours; {verdict}")
    legend(axes, "upper left")
    return drawn
