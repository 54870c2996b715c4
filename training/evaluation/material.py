"""The input of `auricle-train heads` and `evaluate`: tasks by name, and models by their outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from auricle.errors import TrainingError
from auricle.training.data.manifest import Manifest
from auricle.training.data.manifest_tasks import artist_groups, artist_task, genre_task
from auricle.training.data.task_files import load_task
from auricle.training.data.tasks import Task
from auricle.training.data.teacher_tasks import OPPOSITES, Teacher, opposites_task
from auricle.training.evaluation.embeddings import Embeddings
from auricle.training.evaluation.folds import Fold, fixed_fold, stratified_folds
from auricle.training.evaluation.stacks import Source, Stack

if TYPE_CHECKING:
    from auricle.training.data.outputs import Outputs

STACK: Final = "stack"
"""Name of all models side by side."""


@dataclass(frozen=True, slots=True)
class Options:
    """How classes are made of tags and votes.

    Attributes:
        min_tracks: Tracks that a genre, or an artist, must have.
        min_artists: Artists that a genre must have.
        teachers: Outputs of the models that vote on what is vocal, and so on.
        margin: Least difference between the activations of two sides, from 0 to 1.
    """

    min_tracks: int
    min_artists: int
    teachers: Sequence[Outputs]
    margin: float


@dataclass(frozen=True, slots=True)
class Contender:
    """A model in a comparison: one training of it, or several from different seeds."""

    name: str
    trainings: tuple[Embeddings, ...]


def named_task(name: str, manifest: Manifest, options: Options) -> Task:
    """The task "genres", "artists", one of `OPPOSITES`, or that of a file.

    Its parts are the manifest's unless the file has some.

    Raises:
        TrainingError: The task is unknown, or cannot be made from this corpus.
    """
    if name == "genres":
        return genre_task(manifest, min_tracks=options.min_tracks, min_artists=options.min_artists)
    if name == "artists":
        return artist_task(manifest, min_tracks=options.min_tracks)
    if name in OPPOSITES:
        teachers = [Teacher(o.card.name, o.card.classes, o.activations) for o in options.teachers]
        if not teachers:
            raise TrainingError(
                f"{name}: needs teachers that vote; name their outputs with --teacher"
            )
        task = opposites_task(name, teachers, OPPOSITES[name], margin=options.margin)
    elif Path(name).is_file():
        task = load_task(Path(name))
    else:
        known = ", ".join(("genres", "artists", *OPPOSITES))
        raise TrainingError(f"no task {name!r}; tasks are {known}, and files that are there")
    return (
        task
        if task.parts
        else replace(task, parts={track.track_id: track.part for track in manifest})
    )


def folds_of(name: str, task: Task, manifest: Manifest, count: int) -> list[Fold]:
    """Folds that keep each artist's tracks together; if `count` is 0, the task's own parts as one.

    The artist task uses folds stratified by artist only; grouping by artist would hold the classes
    out.

    Args:
        name: Name of the task, as for `named_task`.
        task: A task whose tracks are all in the manifest.
        manifest: Manifest with the artists.
        count: Number of folds.

    Raises:
        TrainingError: The task has too few tracks or artists, an empty part, or tracks of another
            corpus.
    """
    if name == "artists":
        if not count:
            raise TrainingError(
                "artists: the parts of a manifest have no artist in common; give --folds 5"
            )
        return stratified_folds(task, count)
    return (
        [fixed_fold(task)]
        if not count
        else stratified_folds(task, count, groups=artist_groups(manifest))
    )


def tracks_of_all(outputs: Sequence[Outputs], manifest: Manifest) -> tuple[list[str], list[str]]:
    """Tracks with embeddings in all outputs, and a line on each output that lacks some.

    Raises:
        TrainingError: No track has embeddings in all outputs.
    """
    ids = [track.track_id for track in manifest]
    lines = []
    kept = set(ids)
    for output in outputs:
        have = {t for t in ids if t in output.embeddings and len(output.embeddings[t])}
        lacking = [track_id for track_id in ids if track_id not in have]
        kept &= have
        if lacking:
            of = f"{len(lacking)} of {len(ids)} tracks of the manifest, first {lacking[0]!r}"
            lines.append(f"{output.folder}: no embeddings of {of}")
    if not kept:
        raise TrainingError(
            lines[0] if len(outputs) == 1 and lines else "no track has embeddings by all models"
        )
    return [track_id for track_id in ids if track_id in kept], lines


def contenders(groups: Sequence[tuple[str, Sequence[Outputs]]], stack: bool) -> list[Contender]:
    """Models by name; with `stack` also all of them side by side, training by training.

    Raises:
        TrainingError: A name is used twice, or a stack is of one model or of models that were
            trained a different number of times.
    """
    names = [*(name for name, _ in groups), *([STACK] if stack else [])]
    for name in names:
        if names.count(name) > 1:
            raise TrainingError(f"two models are called {name!r}; give names: NAME=OUTPUTS")
    found = [_contender(name, trainings) for name, trainings in groups]
    if not stack:
        return found
    counts = {len(trainings) for _, trainings in groups}
    if len(groups) < 2 or len(counts) > 1:
        raise TrainingError("a stack takes two models or more, each trained as often as the others")
    trainings_of_each = [trainings for _, trainings in groups]
    stacks = [_stack(side_by_side) for side_by_side in zip(*trainings_of_each, strict=True)]
    return [*found, Contender(STACK, tuple(stacks))]


def _contender(name: str, trainings: Sequence[Outputs]) -> Contender:
    return Contender(name, tuple(training.embeddings for training in trainings))


def _stack(outputs: Sequence[Outputs]) -> Stack:
    """Embeddings of several models side by side."""
    return Stack([Source.of(each.embeddings, each.card, each.hop_size) for each in outputs])
