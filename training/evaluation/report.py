"""Results as a Markdown table, as JSON, and as plots."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from auricle.training.evaluation.comparison import Result
from auricle.training.evaluation.ranks import corrected_ranks

TITLES: Final = {
    "roc_auc": "ROC-AUC",
    "average_precision": "average precision",
    "accuracy": "normalised accuracy",
}


def markdown(results: Sequence[Result]) -> str:
    """A table per task, with a row per model and a column per metric; learning curves below.

    Figures are mean ± standard deviation over runs; with one run only, the figure stands alone and
    the head of the table says so. With several runs of each model, models are ranked by
    the first metric: rank, and corrected rank as in `auricle.training.evaluation.ranks`.
    """
    parts = []
    for task in _distinct(result.task for result in results):
        of_task = [result for result in results if result.task == task]
        whole = [result for result in of_task if result.examples is None]
        curve = [result for result in of_task if result.examples is not None]
        parts += [f"### {task}", _notes(of_task)]
        parts += [_table(whole)] if whole else []
        parts += [_curve_table(curve)] if curve else []
    return "\n\n".join(parts) + "\n"


def as_json(results: Sequence[Result]) -> str:
    """All results with every value."""
    rows = [
        {
            "task": result.task,
            "model": result.model,
            "metric": result.metric,
            "examples": result.examples,
            "mean": result.mean,
            "deviation": result.deviation,
            "values": result.values,
            "left_out": result.left_out,
        }
        for result in results
    ]
    return json.dumps(rows, indent=1, ensure_ascii=False) + "\n"


def figure(result: Result) -> str:
    """Mean ± deviation, in as many digits as such figures deserve.

    >>> figure(Result("genres", "a model", "roc_auc", (0.875, 0.885)))
    '0.880 ± 0.007'
    """
    deviation = result.deviation
    return f"{result.mean:.3f}" + ("" if deviation is None else f" ± {deviation:.3f}")


def bar_plot(results: Sequence[Result], file: Path) -> None:
    """Bars of each task's first metric by model, with deviations, into a PNG. Raises OSError."""
    tasks = _distinct(result.task for result in results)
    drawing, axes = _figure(columns=len(tasks))
    for axis, task in zip(axes, tasks, strict=True):
        rows = _first_metric([result for result in results if result.task == task])
        axis.barh(
            [result.model for result in rows],
            [result.mean for result in rows],
            xerr=[result.deviation or 0 for result in rows],
            capsize=3,
        )
        axis.invert_yaxis()
        axis.set(title=task, xlabel=TITLES.get(rows[0].metric, rows[0].metric), xlim=(0, 1))
    drawing.savefig(file, dpi=120)


def curve_plot(results: Sequence[Result], file: Path) -> None:
    """Learning curves, the first metric of each task against tracks a class, into a PNG.

    Raises:
        OSError: It cannot be written.
    """
    tasks = _distinct(result.task for result in results)
    drawing, axes = _figure(columns=len(tasks))
    for axis, task in zip(axes, tasks, strict=True):
        rows = _first_metric([result for result in results if result.task == task])
        for model in _distinct(result.model for result in rows):
            points = [result for result in rows if result.model == model]
            axis.errorbar(
                [result.examples for result in points],
                [result.mean for result in points],
                yerr=[result.deviation or 0 for result in points],
                marker="o",
                capsize=3,
                label=model,
            )
        axis.set(
            title=task, xlabel="tracks a class", ylabel=TITLES.get(rows[0].metric, rows[0].metric)
        )
        axis.set_xscale("log")
        axis.legend()
    drawing.savefig(file, dpi=120)


def _table(results: Sequence[Result]) -> str:
    models, names = _distinct(r.model for r in results), _distinct(r.metric for r in results)
    cells = {(result.model, result.metric): figure(result) for result in results}
    header = ["model", *(TITLES.get(name, name) for name in names)]
    rows = [_row(model, names, cells) for model in models]
    ranks = _ranks(_first_metric(results))
    if ranks:
        header += ["rank", "corrected"]
        rows = [[*row, *both] for row, both in zip(rows, ranks, strict=True)]
    return _markdown_table(header, rows)


def _ranks(results: Sequence[Result]) -> list[tuple[str, str]]:
    """Rank and corrected rank of each result; none if they are not of several runs each."""
    runs = {len(result.values) for result in results}
    if len(results) < 2 or len(runs) > 1 or runs == {1}:
        return []
    means = [result.mean for result in results]
    deviations = [result.deviation or 0.0 for result in results]
    corrected = corrected_ranks(means, deviations, runs.pop())
    ranks = [1 + _count_above(mean, means) for mean in means]
    return [(str(rank), str(other)) for rank, other in zip(ranks, corrected, strict=True)]


def _count_above(mean: float, means: Sequence[float]) -> int:
    return sum(other > mean for other in means)


def _curve_table(results: Sequence[Result]) -> str:
    first = _first_metric(results)
    counts = sorted({result.examples or 0 for result in first})
    cells = {(result.model, result.examples): figure(result) for result in first}
    metric = TITLES.get(first[0].metric, first[0].metric)
    header = [f"{metric} of", *(f"{count} a class" for count in counts)]
    models = _distinct(result.model for result in first)
    return _markdown_table(header, [_row(model, counts, cells) for model in models])


def _row(model: str, columns: Sequence[Any], cells: Mapping[tuple[str, Any], str]) -> list[str]:
    return [model, *(cells.get((model, column), "-") for column in columns)]


def _notes(results: Sequence[Result]) -> str:
    runs = sorted({len(result.values) for result in results})
    times = " or ".join(map(str, runs))
    notes = (
        "One run; no deviation is known."
        if runs == [1]
        else f"Mean ± standard deviation of {times} runs."
    )
    left_out = _distinct(name for result in results for name in result.left_out)
    return notes + (f" Left out, in one run at least: {', '.join(left_out)}." if left_out else "")


def _markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---", *("---:" for _ in header[1:])], *rows]
    return "\n".join(map(_markdown_line, lines))


def _markdown_line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _first_metric(results: Sequence[Result]) -> list[Result]:
    return [result for result in results if result.metric == results[0].metric]


def _distinct(values: Any) -> list[str]:
    return list(dict.fromkeys(values))


def _figure(columns: int) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(5 * columns, 4), layout="constrained")
    return drawing, drawing.subplots(1, columns, squeeze=False)[0]
