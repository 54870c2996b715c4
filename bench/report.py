"""What a measurement found: rows of figures, targets beside what was seen, and where it was
measured.
"""

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
"""A figure of a table: with its spread where it was measured several times; None where there is
none.
"""


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure should be, beside what it was.

    Attributes:
        what: The figure, with its unit.
        seen: None if it could not be measured here.
        at_least: Bound, if it should not be less.
        at_most: Bound, if it should not be more.
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
        """Whether the bounds hold; None if nothing was seen. NaN meets nothing."""
        if self.seen is None:
            return None
        low = -math.inf if self.at_least is None else self.at_least
        high = math.inf if self.at_most is None else self.at_most
        return low <= self.seen <= high

    def __str__(self) -> str:
        bounds = [("at least", self.at_least), ("at most", self.at_most)]
        asked = " and ".join(
            f"{word} {format_number(bound)}" for word, bound in bounds if bound is not None
        )
        seen = "not measured" if self.seen is None else format_number(self.seen)
        verdict = {True: "met", False: "MISSED", None: "-"}[self.met]
        return f"{verdict:<6}  {self.what}: {seen} ({asked})"


@dataclass
class Report:
    """A measurement's result.

    Attributes:
        name: Of the subcommand; the file is called so too.
        title: What was measured, in a sentence.
        settings: What was asked for.
        reference: Name of the row that ratios refer to; empty without.
        rows: By name; each has figures by column, and the column's name has the unit.
        targets: In the order of the table.
        notes: What a reader of the figures should know.
        series: Named lists of values that a plot needs beyond the rows.
        utc: When it was made.
        machine, versions, commit: Where, with what. Other environments add their versions.
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
        """Add figures to the row of this name, which is made if there is none."""
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
        """Add a target; of a spread its median counts."""
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
        return list(dict.fromkeys(column for figures in self.rows.values() for column in figures))

    def text(self) -> str:
        """A table for people, without colours."""
        columns = self.columns()
        cells = [["", *columns]]
        cells += [
            [name, *(format_figure(figures.get(column)) for column in columns)]
            for name, figures in self.rows.items()
        ]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            self.title,
            ", ".join(f"{key} {_setting(value)}" for key, value in self.settings.items()),
            "",
        ]
        for name, *figures in cells:
            right = (figure.rjust(width) for figure, width in zip(figures, widths[1:], strict=True))
            lines.append("  ".join([name.ljust(widths[0]), *right]).rstrip())
        lines.append("")
        if self.reference:
            lines.append(f"ratios against: {self.reference}")
        lines += [str(target) for target in self.targets]
        lines += [f"note: {note}" for note in self.notes]
        lines.append(self._place())
        return "\n".join(lines)

    def _place(self) -> str:
        """Where it was measured, in a line."""
        commit = (self.commit["hash"] or "no commit")[:12] + (
            " and changes" if self.commit["dirty"] else ""
        )
        load = self.machine["load_average"][0]
        cores = self.machine["cores"]
        return f"{self.machine['cpu']}, {cores} cores, load {load:.2f} at the start; {commit}; {self.utc}"

    # -- in a file ---------------------------------------------------------------------------------

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `from_dict` reads it. Spreads become maps, targets say whether they are met."""
        content = asdict(self)
        content["targets"] = [{**asdict(target), "met": target.met} for target in self.targets]
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """The report that `as_dict` was called on."""
        rows = {
            name: {
                key: Spread(**value) if isinstance(value, dict) else value
                for key, value in row.items()
            }
            for name, row in content["rows"].items()
        }
        targets = [
            Target(**{key: value for key, value in target.items() if key != "met"})
            for target in content["targets"]
        ]
        return cls(**{**content, "rows": rows, "targets": targets})

    @classmethod
    def load(cls, path: Path) -> Self:
        """The report that `save` wrote to `path`.

        Raises:
            InputError: It is missing, or is not a report.
        """
        try:
            return cls.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"{path}: not a report of `auricle bench`") from error

    def save(self, folder: Path) -> Path:
        """Write `<name>.json` into `folder`, which is made if need be, and return its path.

        Raises:
            InputError: It cannot be written.
        """
        path = folder / f"{self.name}.json"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(self.as_dict(), indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}") from error
        return path


def results_folder() -> Path:
    """Where results go if nobody says: `bench/results` of a checkout, else the working folder."""
    return here.CHECKOUT / "bench" / "results" if here.in_checkout() else Path()


def format_number(value: float) -> str:
    """Three digits that count, without exponents where people read none: `0.0123`, `41.2`, `1234`."""
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
