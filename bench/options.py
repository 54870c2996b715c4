"""Common parts of the measurements' commands: their options, and the handling of a report."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from bench.report import Report

Measure = Callable[..., "Report"]
"""A command's body: takes its options and `progress`, and returns what it found."""

Decorator = Callable[[Any], Any]

HOP_SIZE = "Mel frames from one segment to the next"

model = click.option(
    "--model",
    default="musicnn-mtt",
    show_default=True,
    metavar="MODEL",
    help="Name of an installed model, or the folder of a model.",
)
hop_size = click.option(
    "--hop-size",
    type=click.IntRange(1),
    metavar="FRAMES",
    help=f"{HOP_SIZE}.  [default: as in the model's card]",
)
cores = click.option(
    "--cores", metavar="LIST", help="Cores for all contenders, such as 0,1.  [default: the first]"
)
environment = click.option(
    "--environment",
    type=click.Path(path_type=Path),
    help="Virtual environment made by `make peers`.  [default: $AURICLE_PEERS, or .venv-peers]",
)
file = click.argument("file", type=click.Path(path_type=Path), required=False)


def number(
    name: str,
    default: float,
    help: str,
    least: float = 1,
    target: str = "",
    most: float | None = None,
) -> Decorator:
    """An option that takes a number, whole if its default is.

    Args:
        name: The option, with its dashes.
        default: Default, which the help shows.
        help: Line of help, with the unit.
        least: Smallest number that is allowed.
        target: Name of the argument; that of the option, if empty.
        most: Largest number that is allowed.
    """
    whole = isinstance(default, int)
    kind = click.IntRange(int(least)) if whole else click.FloatRange(least, most)
    names = (name, target) if target else (name,)
    option: Decorator = click.option(
        *names, type=kind, default=default, show_default=True, help=help
    )
    return option


def several(name: str, target: str, help: str, *default: Any, kind: Any = None) -> Decorator:
    """An option that may be repeated.

    Args:
        name: The option, with its dashes.
        target: Name of the argument, which is a tuple.
        help: Line of help.
        default: Defaults, which the help shows if there are any.
        kind: Click's type of each.
    """
    option: Decorator = click.option(
        name,
        target,
        type=kind,
        multiple=True,
        default=default,
        show_default=bool(default),
        help=f"{help}. May be repeated.",
    )
    return option


def hop_sizes(*default: int) -> Decorator:
    """`--hop-size`, in mel frames, of a measurement that tries several."""
    return several("--hop-size", "hops", HOP_SIZE, *default, kind=click.IntRange(1))


def clip_seconds(default: float) -> Decorator:
    """`--seconds` of a measurement that makes a clip where no FILE is named."""
    return number("--seconds", default, "Length of the clip without FILE, in seconds.", 5.0)


def measurement(
    group: click.Group, example: str, runs: int | None = None, *, picture: bool = False
) -> Callable[[Measure], click.Command]:
    """Makes a subcommand of a function: adds the options that all have, and shows the report.

    Args:
        group: Command that it becomes a subcommand of.
        example: Command line for the help.
        runs: Default of `--runs`; None for what is measured once, over a long time.
        picture: Whether the report can be drawn.
    """

    def decorate(body: Measure) -> click.Command:
        @functools.wraps(body)
        def command(
            as_json: bool, save: bool, results: Path | None, plot: bool = False, **options: Any
        ) -> None:
            if plot:
                from bench.drawings.canvas import check

                check()
            report = body(progress=show_progress, **options)
            show_progress("")
            click.echo(json.dumps(report.as_dict()) if as_json else report.text())
            keep(report, results, save=save, plot=plot)
            fail_if_wrong(report)

        common = _common_options(runs, picture)
        for option in reversed(common):
            command = option(command)
        made = group.command(epilog=f"Example: {example}")(command)
        made.params = made.params[len(common) :] + made.params[: len(common)]
        return made

    return decorate


def _common_options(runs: int | None, picture: bool) -> list[Decorator]:
    options: list[Decorator] = (
        [] if runs is None else [number("--runs", runs, "Number of measured rounds.")]
    )
    options += [
        click.option(
            "--json", "as_json", is_flag=True, help="Print one JSON object instead of a table."
        ),
        click.option(
            "--save",
            is_flag=True,
            help="Write the JSON into bench/results, and compare it with the previous one.",
        ),
        click.option(
            "--results",
            type=click.Path(path_type=Path),
            help="Write the JSON into this folder instead.",
        ),
    ]
    if picture:
        options.append(click.option("--plot", is_flag=True, help="Draw a PNG beside the JSON."))
    return options


def keep(report: Report, results: Path | None, *, save: bool, plot: bool) -> None:
    """Write a report and its picture, where that is asked for, and say how it compares."""
    from bench.headlines import comparison
    from bench.report import results_folder

    folder = results or results_folder()
    if save or results:
        for line in comparison(folder / f"{report.name}.json", report):
            click.echo(line, err=True)
        click.echo(f"written: {report.save(folder)}", err=True)
    if plot:
        from bench.drawings import draw

        click.echo(f"written: {draw(report, folder)}", err=True)


def fail_if_wrong(report: Report) -> None:
    """End the command with an error if numbers are wrong.

    Raises:
        AuricleError: A target of correctness is missed.
    """
    if report.wrong:
        from auricle.errors import AuricleError

        missed = [
            f"{target.what} is {target.seen:.2g}, at most {target.at_most:g} is allowed"
            for target in report.wrong
        ]
        raise AuricleError(f"wrong numbers: {'; '.join(missed)}")


def show_progress(line: str) -> None:
    """Replace the line of progress on a terminal; an empty line takes it away."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{line}")
        sys.stderr.flush()
