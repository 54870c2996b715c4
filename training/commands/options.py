"""Options that `heads` and `evaluate` share: how classes are made, and heads are trained."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from auricle.training.data.manifest import Manifest
    from auricle.training.data.tasks import Task
    from auricle.training.evaluation.probe import Protocol

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


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """The values of these options; see the help of a command."""

    protocol: str
    grid: bool
    min_tracks: int
    min_artists: int
    teachers: tuple[Path, ...]
    margin: float

    def protocols(self) -> list[Protocol]:
        """The protocols by which heads are trained; several if the grid is searched."""
        from auricle.training.evaluation.probe import protocols_of

        return protocols_of(self.protocol, self.grid)

    def make_tasks(
        self, names: Iterable[str], corpus: Manifest, track_ids: Iterable[str]
    ) -> dict[str, Task]:
        """Tasks of some tracks of a corpus, by name.

        Raises:
            TrainingError: A task is unknown, or none of its tracks is left.
        """
        from auricle.training.data.manifest_tasks import only
        from auricle.training.data.outputs import Outputs
        from auricle.training.evaluation.material import Options, named_task

        kept = set(track_ids)
        teachers = [Outputs(folder) for folder in self.teachers]
        options = Options(self.min_tracks, self.min_artists, teachers, self.margin)
        return {name: only(named_task(name, corpus, options), kept) for name in names}


def task_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add these options to a command, which gets them as one argument, `task_options`."""

    @functools.wraps(command)
    def packed(*arguments: Any, **options: Any) -> Any:
        own = {field.name: options.pop(field.name) for field in fields(TaskOptions)}
        return command(*arguments, task_options=TaskOptions(**own), **options)

    for option in reversed(_OPTIONS):
        packed = option(packed)
    return packed
