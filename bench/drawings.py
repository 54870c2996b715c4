"""Which curve each report has. A function takes the report and the folder, and returns the PNG's
path.
"""

from __future__ import annotations

from pathlib import Path

from bench.plots import accuracy_against_speed, curves, percentile_curves, stacked
from bench.report import Report
from bench.timing import Spread
from bench.untrained import NOTE


def backbone(report: Report, folder: Path) -> Path:
    """Time of a segment against the hop."""
    lines: dict[str, list[tuple[float, Spread]]] = {}
    for name, figures in report.rows.items():
        hop, spread = figures.get("hop"), figures.get("ms a segment")
        if isinstance(hop, int) and isinstance(spread, Spread):
            lines.setdefault(name.partition(", ")[2], []).append((hop, spread))
    return curves(
        folder / "backbone.png",
        "One segment",
        "frames from one segment to the next",
        "ms a segment",
        lines,
    )


def wire(report: Report, folder: Path) -> Path:
    """Latency by percentile."""
    return percentile_curves(folder / "wire.png", "Publisher to subscriber", "us", report.series)


def peers(report: Report, folder: Path) -> Path:
    """Difference from us against speed."""
    points = {}
    for name, figures in report.rows.items():
        speed, error = figures["x real time"], figures["error"]
        if isinstance(speed, Spread) and isinstance(error, float):
            points[name] = (speed.median, error)
    return accuracy_against_speed(
        folder / "peers.png",
        "Whole pipelines",
        "times real time",
        "largest difference of activations from auricle's",
        points,
    )


def latency(report: Report, folder: Path) -> Path:
    """Latency by percentile."""
    return percentile_curves(
        folder / "latency.png", "Last sample to subscriber, one stream", "ms", report.series
    )


def streams(report: Report, folder: Path) -> Path:
    """Latency and late windows against the number of streams."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for name, figures in report.rows.items():
        if "streams" in name:
            for column in ("p50 ms", "p99 ms", "late %"):
                value = figures[column]
                assert isinstance(value, float)
                lines.setdefault(column, []).append((int(name.split()[0]), value))
    return stacked(
        folder / f"{report.name}.png",
        "Streams in real time, every run",
        "streams",
        {
            "latency, ms": {name: sorted(lines[name]) for name in ("p50 ms", "p99 ms")},
            "late %": {"late": sorted(lines["late %"])},
        },
    )


def overload(report: Report, folder: Path) -> Path:
    """Rung and memory over the time."""
    at = report.series["seconds"]
    panels = {
        name: {name: list(zip(at, report.series[name], strict=True))} for name in ("rung", "rss MB")
    }
    return stacked(folder / "overload.png", report.title, "seconds", panels)


def soak(report: Report, folder: Path) -> Path:
    """Memory over the hours."""
    points = list(zip(report.series["hours"], report.series["rss MB"], strict=True))
    return stacked(
        folder / "soak.png", report.title, "hours of stream time", {"rss MB": {"memory": points}}
    )


def patchout(report: Report, folder: Path) -> Path:
    """Closeness to the whole model against speed; the speed of what it is compared with."""
    marks: dict[str, float] = {}
    panels: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for name, figures in report.rows.items():
        speed = figures.get("x real time")
        if name == report.reference and isinstance(speed, Spread):
            marks[name] = speed.median
        # Both are 0 where nothing is lost, so that the axes can begin there.
        for column, label in {
            "cosine": "1 - cosine of embeddings",
            "top 5": "part of top 5 lost",
        }.items():
            value = figures.get(column)
            if isinstance(speed, Spread) and isinstance(value, float):
                line = f"{figures['model']}, {figures['rows out']} rows out"
                panels.setdefault(label, {}).setdefault(line, []).append((speed.median, 1 - value))
    title = "Columns kept: every 1, 2, 3, 5, 10; against the whole model"
    if NOTE in report.notes:
        title += ", random weights"
    return stacked(folder / "patchout.png", title, "times real time, one thread", panels, marks)
