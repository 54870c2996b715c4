"""The result of a measurement: rows of figures, targets, and where it was measured."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from auricle.errors import InputError
from bench import machine as here
from bench.timing import Spread

Figure = Spread | float | int | str | None
"""A figure of a table: a spread if it was measured several times; None if it is missing."""


@dataclass(frozen=True, slots=True)
class Target:
    """A bound on a figure, beside the figure that was measured.

    Attributes:
        what: Name of the figure, with its unit.
        seen: The figure; None if it could not be measured here.
        at_least: Lower bound, if there is one.
        at_most: Upper bound, if there is one.
        correctness: Whether it is about right numbers rather than about speed. A slow machine
            misses targets of speed; a wrong number is wrong everywhere, and the bench fails.
    """

    what: str
    seen: float | None
    at_least: float | None = None
    at_most: float | None = None
    correctness: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the bounds hold; None if nothing was seen. NaN meets no bound."""
        if self.seen is None:
            return None
        low = -math.inf if self.at_least is None else self.at_least
        high = math.inf if self.at_most is None else self.at_most
        return low <= self.seen <= high

    def __str__(self) -> str:
        bounds = {"at least": self.at_least, "at most": self.at_most}
        wanted = [
            f"{word} {format_number(each)}" for word, each in bounds.items() if each is not None
        ]
        seen = "not measured" if self.seen is None else format_number(self.seen)
        verdict = {True: "met", False: "MISSED", None: "-"}[self.met]
        return f"{verdict:<6}  {self.what}: {seen} ({' and '.join(wanted)})"


@dataclass
class Report:
    """A measurement's result.

    Attributes:
        name: Name of the subcommand, and of the file.
        title: Sentence on what was measured.
        settings: Settings of the measurement.
        reference: Name of the row that ratios refer to; empty without ratios.
        rows: Figures by row and column; the column's name has the unit.
        targets: Targets in the order of the table.
        notes: Notes for a reader of the figures.
        series: Lists of values by name, for pictures.
        utc: Time of the measurement, in ISO 8601.
        machine: Machine that it was measured on; see `bench.machine`.
        versions: Versions of what took part, by package; other environments add theirs.
        commit: Commit of the source tree, and whether files differ from it.
    """

    name: str
    title: str
    settings: dict[str, Any] = field(default_factory=dict)
    reference: str = ""
    rows: dict[str, dict[str, Figure]] = field(default_factory=dict)
    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    series: dict[str, list[float]] = field(default_factory=dict)
    utc: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    machine: dict[str, Any] = field(default_factory=here.machine)
    versions: dict[str, str | None] = field(default_factory=here.versions)
    commit: dict[str, Any] = field(default_factory=here.commit)

    def row(self, name: str, figures: Mapping[str, Figure]) -> None:
        """Add figures by column to the row of this name, which may be new."""
        self.rows.setdefault(name, {}).update(figures)

    def target(
        self,
        what: str,
        seen: Figure,
        *,
        at_least: float | None = None,
        at_most: float | None = None,
        correctness: bool = False,
    ) -> None:
        """Add a target; of a spread the median counts.

        Args:
            what: Name of the figure, with its unit.
            seen: The figure; None if it could not be measured here.
            at_least: Lower bound, in the unit of the figure.
            at_most: Upper bound, in the unit of the figure.
            correctness: Whether it is about right numbers rather than about speed.
        """
        assert not isinstance(seen, str), "words are no measurement"
        value = seen.median if isinstance(seen, Spread) else seen
        self.targets.append(Target(what, value, at_least, at_most, correctness))

    @property
    def wrong(self) -> list[Target]:
        """Targets of correctness that are missed."""
        return [target for target in self.targets if target.correctness and target.met is False]

    # -- on the screen -----------------------------------------------------------------------------

    def columns(self) -> list[str]:
        """Names of the columns, in the order in which rows brought them."""
        columns: dict[str, None] = {}
        for figures in self.rows.values():
            columns |= dict.fromkeys(figures)
        return list(columns)

    def text(self) -> str:
        """A table for people, without colours."""
        settings = [f"{key}={_setting(value)}" for key, value in self.settings.items()]
        lines = [self.title, ", ".join(settings), "", *self._table(), ""]
        if self.reference:
            lines.append(f"ratios against: {self.reference}")
        lines += [str(target) for target in self.targets]
        lines += [f"note: {note}" for note in self.notes]
        lines.append(self._place())
        return "\n".join(lines)

    def _table(self) -> list[str]:
        """The rows below a line of column names, in lines of equal widths."""
        columns = self.columns()
        cells = [["", *columns]]
        for row, values in self.rows.items():
            cells.append([row, *map(format_figure, map(values.get, columns))])
        first, *others = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = []
        for name, *figures in cells:
            right = map(str.rjust, figures, others)
            lines.append("  ".join([name.ljust(first), *right]).rstrip())
        return lines

    def _place(self) -> str:
        """One line about the machine, its load, the commit and the time of the measurement."""
        commit = f"commit {self.commit['hash'][:12]}" if self.commit["hash"] else "no commit"
        changes = " with changes" if self.commit["dirty"] else ""
        machine, load = self.machine, self.machine["load_average"][0]
        place = f"{machine['cpu']}, {machine['cores']} cores, load {load:.2f} at the start"
        return f"{place}; {commit}{changes}; {self.utc}"

    # -- in a file ---------------------------------------------------------------------------------

    def as_dict(self) -> dict[str, Any]:
        """A map for JSON, which `from_dict` reads: spreads are maps, targets have `met`."""
        content = asdict(self)
        content["targets"] = [{**asdict(target), "met": target.met} for target in self.targets]
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """The report that `as_dict` was called on."""
        rows: dict[str, dict[str, Figure]] = {}
        for name, row in content["rows"].items():
            rows[name] = {
                column: Spread(**value) if isinstance(value, dict) else value
                for column, value in row.items()
            }
        targets = []
        for target in content["targets"]:
            fields = dict(target)
            del fields["met"]
            targets.append(Target(**fields))
        return cls(**{**content, "rows": rows, "targets": targets})

    @classmethod
    def load(cls, path: Path) -> Self:
        """The report that `save` wrote to `path`.

        Raises:
            InputError: The file is missing, or is not a report.
        """
        try:
            return cls.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"{path}: not a report of `auricle bench`") from error

    def save(self, folder: Path) -> Path:
        """Write `<name>.json` into `folder`, which is made if necessary, and return its path.

        Raises:
            InputError: The file cannot be written.
        """
        path = folder / f"{self.name}.json"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(self.as_dict(), indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}") from error
        return path


def results_folder() -> Path:
    """Where results are kept: `bench/results`."""
    return here.CHECKOUT / "bench" / "results"


def format_number(value: float) -> str:
    """Three significant digits, without exponents in the usual range: `0.0123`, `41.2`, `1234`."""
    if isinstance(value, int) or value == 0:
        return str(round(value))
    if not 1e-3 <= abs(value) < 1e6:
        return f"{value:.2g}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def format_figure(figure: Figure) -> str:
    """A cell of the table; a spread as `median (low..high)`."""
    if figure is None:
        return "-"
    if isinstance(figure, str):
        return figure
    if isinstance(figure, Spread):
        low, high = format_number(figure.low), format_number(figure.high)
        return f"{format_number(figure.median)} ({low}..{high})"
    return format_number(figure)


def _setting(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
