"""Time saved by leaving out patches of a transformer, and closeness of its output."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bench.drawings.canvas import GREY, OTHER, OURS, error_bars, legend, middle, picture
from bench.report import Figure, Report
from bench.timing import Spread
from bench.untrained import NOTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

STYLES = ("-", "--", ":")
"""Styles of lines, by the number of rows that are left out."""

Row = dict[str, Figure]


def patchout(report: Report) -> Picture:
    """Time of a segment in ms against the columns kept; with trained weights, also the loss."""
    closeness = NOTE not in report.notes
    drawn, panels = picture(
        report,
        "30 s through MAEST on one thread, by the patches that are kept",
        panels=2 if closeness else 1,
        height=6.5 if closeness else 4.5,
    )
    for (label, colour, style), rows in _lines(report):
        _line(panels[0], rows, "ms", colour, style, label)
        if closeness:
            lost = [{**row, "lost": 1 - middle(row.get("cosine"))} for row in rows]
            _line(panels[1], lost, "lost", colour, style, None)
    if report.reference:
        taken = middle(report.rows[report.reference]["ms"])
        panels[0].axhline(taken, color=GREY, label=report.reference)
    panels[0].set(yscale="log", ylabel="ms for 30 s")
    panels[0].yaxis.set_major_formatter("{x:g}")
    if closeness:
        panels[1].set(ylabel="1 - cosine to all patches", ylim=(0, None))
    _columns_axis(panels[-1], report)
    legend(panels[0])
    return drawn


def _lines(report: Report) -> Iterator[tuple[tuple[str, str, str], list[Row]]]:
    """Rows by model and by rows left out, each with a label, a colour and a style."""
    settings: dict[tuple[str, int], list[Row]] = {}
    for row in report.rows.values():
        model, out = row.get("model"), row.get("rows out")
        if isinstance(model, str) and isinstance(out, int):
            settings.setdefault((model, out), []).append(row)
    models = list(dict.fromkeys(model for model, _ in settings))
    dropped = list(dict.fromkeys(out for _, out in settings))
    for (model, out), rows in settings.items():
        colour = (OTHER, OURS, GREY)[models.index(model) % 3]
        style = STYLES[dropped.index(out) % len(STYLES)]
        yield (
            (f"{model}, {out} rows left out" if out else f"{model}, all rows", colour, style),
            rows,
        )


def _line(
    axes: Axes, rows: list[Row], column: str, colour: str, style: str, label: str | None
) -> None:
    figures = [row[column] for row in rows]
    spread = [each for each in figures if isinstance(each, Spread)]
    axes.errorbar(
        range(len(rows)),
        [middle(each) for each in figures],
        yerr=error_bars(figures) if spread else None,
        color=colour,
        linestyle=style,
        marker="o",
        markersize=4,
        label=label,
    )


def _columns_axis(axes: Axes, report: Report) -> None:
    every = dict.fromkeys(row["keep every"] for row in report.rows.values() if "keep every" in row)
    labels = ["all" if each == 1 else f"every {each}th" for each in every]
    labels = [each.replace("2th", "2nd").replace("3th", "3rd") for each in labels]
    axes.set_xticks(range(len(labels)), labels=labels)
    axes.set_xlabel("columns kept")
