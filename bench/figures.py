"""Markdown tables of figures, made from the reports in `bench/results`.

A page holds a table between two comments, `<!-- figures NAME -->` and `<!-- /figures -->`.
`auricle bench figures FILE...` writes the tables into pages, and a test checks that those of the
repository are up to date. `bench.quoted` says what is in which table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from auricle.errors import ConfigError
from bench.report import Report, format_number
from bench.timing import Spread

Quote = str | Callable[[Report], str]
"""Text with figures of a report: `{row | column}` stands for one of a row, `{target: NAME}` for
what was seen of the target whose name begins so, `{setting: NAME}` for a setting. Or a function
that makes the text.
"""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a table.

    Attributes:
        report: Name of the report that the figures come from.
        what: Text of the first column: what was measured.
        figure: The second column.
    """

    report: str
    what: Quote
    figure: Quote


Tables = Mapping[str, Sequence[Line]]
"""Tables by name."""


def lines_of(tables: Tables, name: str) -> Sequence[Line]:
    """The lines of the table of this name.

    Raises:
        ConfigError: The table is unknown.
    """
    if name not in tables:
        raise ConfigError(f"no table {name!r}; tables are: {', '.join(tables)}")
    return tables[name]


def table(lines: Iterable[Line], folder: Path) -> str:
    """The Markdown of a table, with a line below it that says where its figures come from.

    Args:
        lines: Lines of the table.
        folder: Folder of the reports.

    Raises:
        ConfigError: A report does not have a figure that is quoted.
        InputError: A report is missing or cannot be read.
    """
    reports: dict[str, Report] = {}
    rows = ["| what | figure |", "|---|---|"]
    for line in lines:
        if line.report not in reports:
            reports[line.report] = Report.load(folder / f"{line.report}.json")
        report = reports[line.report]
        rows.append(f"| {_filled(line.what, report)} | {_filled(line.figure, report)} |")
    return "\n".join([*rows, "", *_origins(reports.values())])


def updated(page: str, tables: Tables, folder: Path) -> str:
    """The text of a page with its tables made again.

    Raises:
        ConfigError: As `table`; a table that is not among `tables`; a comment without its end.
        InputError: A report is missing or cannot be read.
    """
    pattern = re.compile(r"(<!-- figures (\S+) -->\n)(?:.*?\n)??(<!-- /figures -->)", re.DOTALL)
    if len(pattern.findall(page)) != page.count("<!-- figures "):
        raise ConfigError("a comment <!-- figures NAME --> has no <!-- /figures --> after it")

    def made(found: re.Match[str]) -> str:
        return f"{found[1]}{table(lines_of(tables, found[2]), folder)}\n{found[3]}"

    return pattern.sub(made, page)


def span(values: Sequence[float]) -> str:
    """`low to high` of some figures, or the single value if all are equal."""
    low, high = (format_number(each) for each in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def _filled(quote: Quote, report: Report) -> str:
    if callable(quote):
        return quote(report)
    return re.sub(r"\{(.+?)\}", lambda found: _figure(report, found[1]), quote)


def _figure(report: Report, name: str) -> str:
    kind, _, rest = name.partition(": ")
    value: object
    if kind == "setting":
        value = report.settings.get(rest)
    elif kind == "target":
        value = next((each.seen for each in report.targets if each.what.startswith(rest)), None)
    else:
        row, _, column = name.partition(" | ")
        value = report.rows.get(row, {}).get(column)
    if isinstance(value, Spread):
        value = value.median
    if not isinstance(value, int | float):
        raise ConfigError(f"{report.name}.json has no figure {name!r}")
    return format_number(value)


def _origins(reports: Iterable[Report]) -> list[str]:
    """The machines, each with the commits that were measured on it."""
    by_machine: dict[str, list[Report]] = {}
    for report in reports:
        machine = report.machine
        cores, memory = machine["usable_cores"] or machine["cores"], machine["memory_gib"]
        name = f"{cores} cores of an {machine['cpu']}, {memory:.0f} GiB"
        by_machine.setdefault(name, []).append(report)
    return [f"Measured on {name}: {_commits(each)}." for name, each in by_machine.items()]


def _commits(reports: Iterable[Report]) -> str:
    by_commit: dict[str, list[str]] = {}
    for report in reports:
        commit = (report.commit["hash"] or "unknown")[:7]
        changed = " and uncommitted changes" if report.commit["dirty"] else ""
        by_commit.setdefault(f"commit {commit}{changed}", []).append(report.name)
    return "; ".join(f"{', '.join(names)} at {commit}" for commit, names in by_commit.items())
