"""Tasks made from the tags of a corpus: its genres, its artists."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from auricle.errors import TrainingError
from auricle.training.data import split
from auricle.training.data.manifest import Manifest, Track
from auricle.training.data.tasks import Task


def genre_task(manifest: Manifest, *, min_tracks: int = 20, min_artists: int = 5) -> Task:
    """The genres in the tags as a task with several classes a track.

    Args:
        manifest: The corpus; its parts become those of the task.
        min_tracks: Tracks that a genre needs to be a class.
        min_artists: Artists that it needs; with fewer, a head would learn their voice and
            mastering. Artists who appear on one track together count once (see `artist_groups`).

    Raises:
        TrainingError: No genre is left.
    """
    groups = artist_groups(manifest)
    genres = {
        track.track_id: tuple(sorted(set(map(normalised, track.genres)))) for track in manifest
    }
    holders: dict[str, list[str]] = {}
    for track_id, names in genres.items():
        for name in names:
            holders.setdefault(name, []).append(track_id)
    classes = sorted(
        name
        for name, ids in holders.items()
        if name and len(ids) >= min_tracks and len(set(map(groups.__getitem__, ids))) >= min_artists
    )
    if not classes:
        needs = f"has {min_tracks} tracks of {min_artists} artists"
        raise TrainingError(
            f"genres: none of {len(holders)} genres of {len(manifest)} tracks {needs}"
        )
    return _task("genres", classes, genres, manifest, multilabel=True)


def artist_task(manifest: Manifest, *, min_tracks: int = 20) -> Task:
    """Artists with at least `min_tracks` tracks; tracks of several artists are left out.

    Raises:
        TrainingError: Fewer than two are left.
    """
    holders: dict[str, list[str]] = {}
    for track in manifest:
        if len(track.artists) == 1:
            holders.setdefault(track.artists[0], []).append(track.track_id)
    classes = sorted(name for name, ids in holders.items() if len(ids) >= min_tracks)
    if len(classes) < 2:
        raise TrainingError(
            f"artists: {len(classes)} of {len(holders)} have {min_tracks} tracks; two must"
        )
    artists = {t.track_id: t.artists for t in manifest if len(t.artists) == 1}
    return _task("artists", classes, artists, manifest, multilabel=False)


def normalised(genre: str) -> str:
    """A genre without what spellings differ in: case, hyphens, spaces, `&` for "and".

    >>> normalised("Hip-Hop"), normalised("Drum & Bass")
    ('hip hop', 'drum and bass')
    """
    return " ".join(re.sub(r"[\W_]+", " ", genre.casefold().replace("&", " and ")).split())


def artist_groups(tracks: Iterable[Track]) -> dict[str, str]:
    """The number of each track's group, by track id.

    A group is the tracks that `auricle.training.data.split` keeps in one part.
    """
    tracks = list(tracks)
    groups = split.artist_groups(tracks)
    return {
        tracks[index].track_id: str(number)
        for number, group in enumerate(groups)
        for index in group
    }


def only(task: Task, track_ids: Iterable[str]) -> Task:
    """The task with these of its tracks.

    Raises:
        TrainingError: None is left.
    """
    kept = set(track_ids)
    targets = {track_id: target for track_id, target in task.targets.items() if track_id in kept}
    if not targets:
        raise TrainingError(f"{task.name}: none of its {len(task.targets)} tracks is there")
    return replace(task, targets=targets)


def _task(
    name: str,
    classes: list[str],
    names_of: Mapping[str, Iterable[str]],
    manifest: Manifest,
    *,
    multilabel: bool,
) -> Task:
    """A task of the tracks with at least one of the classes; of others nothing is known."""
    index = {name: column for column, name in enumerate(classes)}
    targets: dict[str, tuple[int, ...]] = {}
    for track_id, names in names_of.items():
        target = tuple(index[each] for each in names if each in index)
        if target:
            targets[track_id] = target
    parts = {track.track_id: track.part for track in manifest if track.track_id in targets}
    return Task(name, tuple(classes), targets, multilabel, parts)
