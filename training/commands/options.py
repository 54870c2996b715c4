"""Options that `heads` and `evaluate` share: how classes are made, and heads are trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

_OPTIONS = (
    click.option(
        "--protocol",
        type=click.Choice(["thesis", "cola", "maest"]),
        default="cola",
        show_default=True,
        help="How heads are trained.",
    ),
    click.option(
        "--grid",
        is_flag=True,
        help="Try MAEST's 144 settings, and keep for each head the one that validates best.",
    ),
    click.option(
        "--min-tracks",
        type=click.IntRange(1),
        default=20,
        show_default=True,
        help="Tracks that a class needs.",
    ),
    click.option(
        "--min-artists",
        type=click.IntRange(1),
        default=5,
        show_default=True,
        help="Artists that a genre needs.",
    ),
    click.option(
        "--teacher",
        "teachers",
        multiple=True,
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="For vocal, electronic and energy: outputs of a model that votes; all must agree.",
    ),
    click.option(
        "--margin",
        type=click.FloatRange(0, 1),
        default=0.1,
        show_default=True,
        help="Least difference between its tags of one side and those of the other.",
    ),
)


def task_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add these options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
