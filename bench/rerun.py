"""Repeating the measurements in `bench/results`, on a tree without changes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from auricle.errors import AuricleError, ConfigError
from bench.drawings import can_draw, draw
from bench.machine import commit
from bench.report import Report, results_folder
from bench.timing import Progress
from bench.workers import peers_python


@dataclass(frozen=True, slots=True)
class Step:
    """A report that can be measured again.

    Attributes:
        name: Name of the report.
        minutes: Duration on two cores that do nothing else.
        quick: Whether it runs if nothing else is asked for.
        needs: Requirement beyond what `make test` installs, if there is one.
        command: Arguments of `auricle bench`; its name, if empty.
    """

    name: str
    minutes: float
    quick: bool = True
    needs: str = ""
    command: tuple[str, ...] = ()

    def __str__(self) -> str:
        needs = f", needs {self.needs}" if self.needs else ""
        return f"{self.name:<24}about {self.minutes:g} min{needs}"


STEPS = (
    Step("ring", 0.5),
    Step("mel", 1, needs="make peers"),
    Step("backbone", 0.5),
    Step("heads", 0.5),
    Step("student", 1),
    Step("pipeline", 0.5),
    Step("wire", 1),
    Step("latency", 4),
    Step("peers", 2, needs="make peers"),
    Step("streams", 8, quick=False),
    Step(
        "streams-auricle-small",
        8,
        quick=False,
        command=(
            *("streams", "--model", "auricle-small"),
            *("--streams", "500", "--streams", "600", "--streams", "700", "--streams", "850"),
        ),
    ),
    Step("overload", 8, quick=False),
    Step("soak", 9, quick=False),
    Step("patchout", 10, quick=False, needs="torch: pip install 'auricle[train]'"),
    Step("pairs", 2, quick=False, needs="pyarrow: pip install 'auricle[train]'"),
)
"""In the order in which they run."""


def chosen(names: Sequence[str] = (), *, every: bool = False) -> list[Step]:
    """The steps of these names; without names the quick ones, or every one.

    Raises:
        ConfigError: A name is not that of a step.
    """
    known = {step.name: step for step in STEPS}
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(f"no report {unknown[0]!r}; reports are: {', '.join(known)}")
    if names:
        return [known[name] for name in names]
    return [step for step in STEPS if step.quick or every]


def launched(arguments: Sequence[str]) -> bool:
    """Run `auricle bench` in a separate process; returns whether it succeeded."""
    command = [sys.executable, "-m", "auricle", "bench", *arguments]
    return subprocess.run(command, check=False).returncode == 0


def run(
    steps: Sequence[Step], progress: Progress, launch: Callable[[Sequence[str]], bool] = launched
) -> None:
    """Run steps one after the other, and save and draw each.

    Args:
        steps: Steps to run.
        progress: Function to call with a line at the beginning and the end of each.
        launch: Runs `auricle bench` with some arguments, and returns whether it succeeded.

    Raises:
        ConfigError: Tracked files are changed, or something that is needed is missing.
        AuricleError: Some failed; the others are saved.
    """
    if commit()["dirty"] is not False:
        raise ConfigError("tracked files are changed, or this is not a checkout: commit them first")
    if any("peers" in step.needs for step in steps):
        # Without them `mel` would save a report that has no row of Essentia.
        peers_python()
    failed = []
    for step in steps:
        progress(str(step))
        began = time.monotonic()
        succeeded = launch([*(step.command or (step.name,)), "--save"])
        minutes = (time.monotonic() - began) / 60
        progress(f"{step.name}: {'done' if succeeded else 'FAILED'} in {minutes:.1f} min")
        if not succeeded:
            failed.append(step.name)
        elif can_draw(report := Report.load(results_folder() / f"{step.name}.json")):
            progress(f"written: {draw(report, results_folder())}")
    progress("now write the figures into the pages: auricle bench figures README.md docs/bench.md")
    if failed:
        raise AuricleError(f"failed: {', '.join(failed)}")
