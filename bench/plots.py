"""Plots, for what a curve says better than a table. Nothing is imported until one is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from auricle.errors import ConfigError
from bench.timing import Spread


def check() -> None:
    """Say what is missing before an hour of measuring, not after it.

    Raises:
        ConfigError: There is no matplotlib.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ConfigError(
            "plots need matplotlib; get it with: pip install 'auricle[bench]'"
        ) from None


def curves(
    path: Path,
    title: str,
    x_label: str,
    y_label: str,
    lines: Mapping[str, Sequence[tuple[float, Spread]]],
) -> Path:
    """Lines through the medians, with bars from the lowest to the highest, into a PNG; returns its
    path.

    Args:
        path: The file.
        title, x_label, y_label: Texts; the labels have the units.
        lines: Points by the line's name.
    """
    figure, axes = _figure(title, x_label, y_label)
    for name, points in lines.items():
        spreads = [spread for _, spread in points]
        medians = np.array([spread.median for spread in spreads])
        low = medians - [spread.low for spread in spreads]
        high = [spread.high for spread in spreads] - medians
        x = [at for at, _ in points]
        axes.errorbar(x, medians, yerr=[low, high], marker="o", markersize=3, capsize=2, label=name)
    axes.set_ylim(bottom=0)
    return _saved(figure, axes, path)


def percentile_curves(
    path: Path, title: str, y_label: str, values: Mapping[str, Sequence[float]]
) -> Path:
    """Values against the share of events that exceed them, so that the tail is to be seen; a PNG.

    Args:
        path: The file.
        title, y_label: Texts; the label has the unit.
        values: Single measurements by the line's name.
    """
    figure, axes = _figure(title, "percentile", y_label)
    for name, each in values.items():
        ordered = np.sort(np.asarray(each, np.float64))
        exceeding = 1 - (np.arange(len(ordered)) + 0.5) / len(ordered)
        axes.plot(1 / exceeding, ordered, label=name)
    axes.set_xscale("log")
    ticks = {1: "0", 2: "50", 10: "90", 100: "99", 1000: "99.9", 10000: "99.99"}
    axes.set_xticks(list(ticks), labels=list(ticks.values()))
    axes.set_xticks([], minor=True)
    axes.set_ylim(bottom=0)
    return _saved(figure, axes, path)


def accuracy_against_speed(
    path: Path, title: str, x_label: str, y_label: str, points: Mapping[str, tuple[float, float]]
) -> Path:
    """One named point for each variant, the error on a logarithmic scale; a PNG.

    Args:
        path: The file.
        title, x_label, y_label: Texts; `x` is the speed, `y` the error.
        points: Speed and error by name. An error of 0, which has no place on the scale, is drawn at
            the lower end and says so.
    """
    figure, axes = _figure(title, x_label, y_label)
    least = min((error for _, error in points.values() if error > 0), default=1.0)
    for name, (speed, error) in points.items():
        shown = max(error, least / 10)
        text = name if error > 0 else f"{name} (0)"
        axes.plot([speed], [shown], marker="o", linestyle="none", label=text)
    axes.set_yscale("log")
    axes.set_xlim(left=0)
    return _saved(figure, axes, path)


def stacked(
    path: Path,
    title: str,
    x_label: str,
    panels: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]],
    marks: Mapping[str, float] | None = None,
) -> Path:
    """Panels above each other that share the horizontal axis, each from 0 on, into a PNG; returns
    its path.

    Args:
        path: The file.
        title, x_label: Texts; the label has the unit.
        panels: By the label of the vertical axis, with its unit: points by the line's name.
        marks: Places on the horizontal axis by name, dashed through all panels.
    """
    check()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 2 + 2.2 * len(panels)), layout="constrained")
    every = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for axes, (y_label, lines) in zip(every, panels.items(), strict=True):
        for name, points in lines.items():
            x, y = zip(*points, strict=True)
            axes.plot(x, y, marker="o", markersize=3, label=name)
        for name, place in (marks or {}).items():
            axes.axvline(place, color="0.3", linestyle="--", linewidth=1, label=name)
        axes.set_ylabel(y_label)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        if len(lines) > 1 or marks:
            axes.legend(fontsize=8)
    every[0].set_title(title, fontsize=10)
    every[-1].set_xlabel(x_label)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return path


def _figure(title: str, x_label: str, y_label: str) -> tuple[Any, Any]:
    check()
    # Not pyplot: that keeps figures, and looks for a screen.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(alpha=0.3)
    return figure, axes


def _saved(figure: Any, axes: Any, path: Path) -> Path:
    axes.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return path
