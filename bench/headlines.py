"""The figures of a report by which two of its kind are compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from auricle.errors import InputError
from bench.report import Figure, Report, format_number
from bench.timing import Spread


@dataclass(frozen=True, slots=True)
class Headline:
    """A figure by which two reports are compared.

    Attributes:
        name: Row and column, or the target.
        value: The figure; of a spread its median.
        higher_is_better: Whether higher is better, as for a rate; if not, lower is, as for a time.
    """

    name: str
    value: float
    higher_is_better: bool

    def times_as_good(self, before: float) -> float | None:
        """Factor by which it is better than `before`, in the same unit; None if either is 0."""
        if not self.value or not before:
            return None
        return self.value / before if self.higher_is_better else before / self.value


@dataclass(frozen=True, slots=True)
class _Rule:
    """Headlines: a column of the rows that match, or the targets that match if it is None."""

    pattern: str
    column: str | None = None
    higher_is_better: bool = False

    def found(self, report: Report) -> Iterator[Headline]:
        if self.column is None:
            for target in report.targets:
                if fnmatchcase(target.what, self.pattern):
                    yield from self._headline(target.what, target.seen)
        else:
            for row, figures in report.rows.items():
                if fnmatchcase(row, self.pattern):
                    yield from self._headline(f"{row}: {self.column}", figures.get(self.column))

    def _headline(self, name: str, figure: Figure) -> Iterator[Headline]:
        value = figure.median if isinstance(figure, Spread) else figure
        if isinstance(value, int | float):
            yield Headline(name, float(value), self.higher_is_better)


_RULES = {
    "backbone": (_Rule("session.run, 1 thread", "ms a segment"), _Rule("hop *", "ms a segment")),
    "gpu": (_Rule("*, batch *", "segments/s", higher_is_better=True),),
    "heads": (_Rule("*heads*", "ms a segment"),),
    "latency": (
        _Rule("hop *: total", "p50 ms"),
        _Rule("hop *: total", "p95 ms"),
        _Rule("hop *: total", "p99 ms"),
    ),
    "mel": (_Rule("Mel*", "us a frame"),),
    "overload": (
        _Rule("*", "served", higher_is_better=True),
        _Rule("furthest stream *"),
        _Rule("seconds until rung 0 *"),
    ),
    "pairs": (_Rule("all four, *"), _Rule("peak memory, MB")),
    "patchout": (_Rule("* every 1, 0 rows out", "ms"), _Rule("* every 10, 4 rows out", "ms")),
    "peers": (
        _Rule("hop *: auricle", "x real time", higher_is_better=True),
        _Rule("hop *: times *", higher_is_better=True),
    ),
    "pipeline": (_Rule("whole pipeline", "x real time", higher_is_better=True),),
    "ring": (_Rule("Ring", "us a block"), _Rule("Stream", "us a block")),
    "soak": (_Rule("*", "x real time", higher_is_better=True), _Rule("memory, *")),
    "streams": (
        _Rule("streams with *", higher_is_better=True),
        _Rule("a stream more, MB"),
        _Rule("* streams*", "cores"),
        _Rule("* streams*", "p50 ms"),
        _Rule("* streams*", "p99 ms"),
        _Rule("* streams*", "late %"),
    ),
    "student": (_Rule("*, student", "ms a segment"),),
    "wire": (
        _Rule("Server to Subscriber", "p50 us"),
        _Rule("Server to Subscriber", "p99 us"),
        _Rule("Server to Subscriber", "messages/s", higher_is_better=True),
    ),
}


def headlines(report: Report) -> dict[str, Headline]:
    """The headlines of a report by name; empty for a report of an unknown name."""
    rules = _RULES.get(report.name) or _RULES.get(report.name.partition("-")[0], ())
    found = (headline for rule in rules for headline in rule.found(report))
    return {headline.name: headline for headline in found}


def comparison(path: Path, report: Report) -> list[str]:
    """Lines that compare a report with the one in a file; empty if the file has no report."""
    try:
        before = Report.load(path)
    except InputError:
        return []
    changes = " and uncommitted changes" if before.commit["dirty"] else ""
    commit = f"{(before.commit['hash'] or 'unknown')[:7]}{changes}"
    lines = [f"compared with {path.name} of {before.utc[:10]}, commit {commit}:"]
    if before.settings != report.settings:
        lines.append("  the settings differ")
    if before.machine["cpu"] != report.machine["cpu"]:
        lines.append("  the machines differ")
    shared = headlines(before)
    for name, headline in headlines(report).items():
        if name in shared:
            lines.append(f"  {_change(shared[name], headline)}")
    return lines


def _change(before: Headline, now: Headline) -> str:
    ratio = now.times_as_good(before.value)
    good = "" if ratio is None else f", {ratio:.2f} times as good"
    return f"{now.name}: {format_number(before.value)} -> {format_number(now.value)}{good}"
