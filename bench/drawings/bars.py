"""Bars: speeds side by side, and where the time goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bench.drawings.canvas import (
    BAD,
    GREY,
    OTHER,
    OURS,
    SMALL,
    THIRD,
    error_bars,
    legend,
    legend_above,
    middle,
    picture,
)
from bench.report import Figure, Report, format_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

Bars = Mapping[str, Mapping[str, Figure]]
"""Figures by the bar's name in the legend, then by the group that it stands in."""


PROGRAMS = {"auricle": "Auricle", "essentia": "Essentia-TensorFlow"}
"""Names of the peers as people write them."""


def peers(report: Report) -> Picture:
    """Speed of whole pipelines, as a multiple of real time, by the hop in frames."""
    bars: dict[str, dict[str, Figure]] = {}
    errors = []
    for name, figures in report.rows.items():
        hop, _, program = name.partition(": ")
        program = PROGRAMS.get(program, program)
        group = f"a segment every {hop.removeprefix('hop ')} frames"
        bars.setdefault(program, {})[group] = figures["x real time"]
        errors.append(middle(figures["error"]))
    drawn, (axes,) = picture(report, "Tagging a file with the same weights on the same core")
    grouped(axes, bars, (OURS, OTHER, GREY), "x")
    axes.set_ylabel("times real time")
    agreement = f"activations of all agree within {format_number(max(errors))}"
    axes.set_xlabel(agreement, fontsize=SMALL, color=GREY)
    return drawn


def mel(report: Report) -> Picture:
    """Time of a mel frame in microseconds, by how many are computed at a time."""
    bars: dict[str, dict[str, Figure]] = {}
    for name, figures in report.rows.items():
        program, _, batch = name.partition(", ")
        if batch.endswith("at a time"):
            program = "Auricle" if program == "MelKernel" else program
            bars.setdefault(program, {})[batch] = figures["us a frame"]
    drawn, (axes,) = picture(report, "Computing a mel frame, by how many are computed at a time")
    grouped(axes, bars, (OURS, GREY), "")
    for name, style in (("Essentia, streaming", "--"), ("MelSpectrogram, blocks of 20 ms", ":")):
        if name in report.rows:
            colour, label = (OTHER, name) if style == "--" else (OURS, "Auricle's node in a graph")
            y = middle(report.rows[name]["us a frame"])
            axes.axhline(y, color=colour, linestyle=style, label=label)
    axes.set_ylabel("us a frame")
    legend(axes, "upper right")
    return drawn


def student(report: Report) -> Picture:
    """Time of a segment in ms of a student and of its teachers, by the hop in frames."""
    bars: dict[str, dict[str, Figure]] = {}
    for name, figures in report.rows.items():
        hop, _, models = name.partition(", ")
        group = f"every {hop.removeprefix('hop ')} frames"
        bars.setdefault(models, {})[group] = figures["ms a segment"]
    ours, teachers = report.settings["model"], " and ".join(report.settings["teachers"])
    drawn, (axes,) = picture(report, f"A segment through {ours}, and through {teachers} together")
    grouped(axes, bars, (GREY, OTHER, OURS), "")
    axes.set_ylabel("ms a segment")
    return drawn


def pipeline(report: Report) -> Picture:
    """Shares of the parts of a pipeline in its time, in percent."""
    parts = {
        "decoding": THIRD,
        "mel": OTHER,
        "inference": OURS,
        "the rest": BAD,
    }
    shares = {name: middle(report.rows[name]["% of the time"]) for name in parts}
    speed = format_number(middle(report.rows["whole pipeline"]["x real time"]))
    title = f"Where the time goes when a file is tagged, {speed} times as fast as it plays"
    drawn, (axes,) = picture(report, title, height=2.2)
    stacked(axes, shares, parts, "%")
    axes.set(xlabel="% of the time", xlim=(0, 100))
    return drawn


def heads(report: Report) -> Picture:
    """Time in ms that heads add to a segment."""
    alone = middle(report.rows["backbone alone"]["ms a segment"])
    node = middle(report.rows["... the heads node alone"]["ms a segment"])
    count = report.settings["heads"]
    share = format_number(100 * node / alone)
    title = f"{count} heads add {share} % to a segment"
    drawn, (axes,) = picture(report, title, height=2.2)
    colours = {"backbone": OURS, f"{count} heads": OTHER}
    stacked(axes, {"backbone": alone, f"{count} heads": node}, colours, "ms")
    axes.set(xlabel="ms a segment", xlim=(0, None))
    return drawn


def grouped(axes: Axes, bars: Bars, colours: Sequence[str], unit: str) -> None:
    """Groups of bars with their values above them, and whiskers from the lowest to the highest run.

    Args:
        axes: Panel that they are drawn in.
        bars: Figures; all bars have the same groups.
        colours: A colour for each bar of a group.
        unit: Unit behind the values, without a space.
    """
    groups = list(next(iter(bars.values())))
    width = 0.8 / len(bars)
    for number, (name, figures) in enumerate(bars.items()):
        values = list(figures.values())
        x = [at + (number - (len(bars) - 1) / 2) * width for at in range(len(groups))]
        drawn = axes.bar(
            x,
            [middle(each) for each in values],
            width * 0.95,
            yerr=error_bars(values),
            capsize=2,
            color=colours[number],
            label=name,
        )
        labels = [f"{format_number(middle(each))}{unit}" for each in values]
        axes.bar_label(drawn, labels=labels, fontsize=SMALL, padding=2)
    axes.set_xticks(range(len(groups)), labels=groups)
    axes.grid(visible=False, axis="x")
    axes.margins(y=0.12)
    legend_above(axes, len(bars))


def stacked(axes: Axes, parts: Mapping[str, float], colours: Mapping[str, str], unit: str) -> None:
    """One horizontal bar of parts, named with their values in the legend.

    Args:
        axes: Panel that it is drawn in.
        parts: Value of each part by its name, in `unit`.
        colours: Colour of each part by its name.
        unit: Unit written behind the values, such as ms or %.
    """
    left = 0.0
    for name, value in parts.items():
        label = f"{name}: {format_number(value)} {unit}"
        axes.barh([0], [value], left=left, color=colours[name], label=label)
        left += value
    axes.set_yticks([])
    axes.grid(visible=False, axis="y")
    legend_above(axes, len(parts))
