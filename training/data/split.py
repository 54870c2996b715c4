"""Parts of a corpus that share no artist."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from auricle.errors import TrainingError
from auricle.training.data.manifest import PARTS, Manifest, Part, Track
from auricle.training.data.tags import key

FRACTIONS: Final = (0.7, 0.15, 0.15)
"""Shares of train, validation and test in the duration."""

_SHARES: Final = (8, 4, 2, 1)
"""A group goes to validation or test if it is at most one of these of the part; the first that
fills both is taken. The finer it is, the more artists are in the small parts."""

_FILLED: Final = 0.25
"""Tolerated deviation of validation and test from their wished size, as a share of it."""


_GUESTS: Final = re.compile(r"\s[(\[]?(?:feat|ft|featuring)\b.*", re.IGNORECASE)
"""Guests in a credit, behind the artist. They do not join a track to others."""


def split(
    manifest: Manifest, fractions: tuple[float, float, float] = FRACTIONS, seed: int = 0
) -> Manifest:
    """The same tracks, each in a part; tracks that share an artist are in the same part.

    Sharing is transitive: A with B and B with C keeps A and C together. A track with artists also
    counts as by those of its release, so that "A", "A feat. B" and "A & C" on one release of A stay
    together.

    Tracks without an artist go with those of their releases that have none either, and a track with
    neither is on its own: it may still be by the artist of another.

    Args:
        manifest: Tracks; their present parts are ignored.
        fractions: Shares of the total duration in seconds, for train, validation and test. A part
            with 0 stays empty.
        seed: Seed of the split; the same seed gives the same split.

    Raises:
        TrainingError: There are fewer groups of tracks than parts.
    """
    groups = artist_groups(manifest.tracks)
    durations_s = [track.duration_s for track in manifest.tracks]
    sizes = [sum(map(durations_s.__getitem__, group)) for group in groups]
    wishes = {
        name: fraction * sum(sizes)
        for name, fraction in zip(PARTS, fractions, strict=True)
        if fraction
    }
    if len(groups) < len(wishes):
        hint = (
            "--fractions 80,20,0 asks for two parts"
            if len(groups) > 1
            else "--no-split puts all into train, which is too little for fit; add music by others"
        )
        raise TrainingError(
            f"{_counted(len(manifest), 'track')} by {_counted(len(groups), 'independent artist')} "
            f"cannot be split into {len(wishes)} parts that share none: {hint}"
        )
    order = list(range(len(groups)))
    random.Random(seed).shuffle(order)
    best: list[Part] = []
    worst = float("inf")
    for share in _SHARES:
        parts = _dealt(order, sizes, wishes, share)
        off = _worst(parts, sizes, wishes)
        if off < worst:
            best, worst = parts, off
        if worst <= _FILLED:
            break
    part_of = {index: part for group, part in zip(groups, best, strict=True) for index in group}
    return Manifest(
        replace(track, part=part_of[index]) for index, track in enumerate(manifest.tracks)
    )


def extended(manifest: Manifest, more: Iterable[Track]) -> Manifest:
    """A split corpus with more tracks in its training part.

    Tracks are left out if the corpus has their audio, or if they share an artist or a title with a
    track of another part. Where tags are missing, sharing cannot be detected.
    """
    held = [track for track in manifest if track.part != "train"]
    artists = {name for track in held for name in _artists(track)}
    titles = {key(track.title) for track in held}
    known = {track.sha256 for track in manifest}
    added = [
        replace(track, part="train")
        for track in more
        if track.sha256 not in known
        and key(track.title) not in titles
        and artists.isdisjoint(_artists(track))
    ]
    return Manifest([*manifest, *added])


def artist_groups(tracks: Sequence[Track]) -> list[list[int]]:
    """Indices of the tracks of each group that `split` keeps together, by their first track."""
    parents = list(range(len(tracks)))

    def root(index: int) -> int:
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    first_with: dict[tuple[str, str], int] = {}
    for index, track in enumerate(tracks):
        for name in _ties(track):
            parents[root(index)] = root(first_with.setdefault(name, index))
    groups: dict[int, list[int]] = {}
    for index in range(len(tracks)):
        groups.setdefault(root(index), []).append(index)
    return list(groups.values())


def _ties(track: Track) -> Iterable[tuple[str, str]]:
    """Keys by which a track is joined to others."""
    if track.artists:
        return [("artist", name) for name in _artists(track)]
    return [("release", key(name)) for name in track.releases]


def _artists(track: Track) -> set[str]:
    """Those of a track and of its releases, without guests, to be compared."""
    return {key(_GUESTS.sub("", name)) for name in track.artists + track.album_artists}


def _dealt(
    order: list[int], sizes: list[float], wishes: dict[Part, float], share: int
) -> list[Part]:
    """The part of each group: large ones in the largest part, others where most is lacking."""
    main = max(wishes, key=lambda name: wishes[name])
    filled = dict.fromkeys(wishes, 0.0)
    parts: list[Part] = [main] * len(sizes)
    # Large ones first, so that the small ones make up for what these have done to the main part.
    for group in sorted(
        order, key=lambda group: all(sizes[group] <= wish / share for wish in wishes.values())
    ):
        fitting = [
            name for name, wish in wishes.items() if name == main or sizes[group] <= wish / share
        ]
        parts[group] = min(fitting, key=lambda name: filled[name] / wishes[name])
        filled[parts[group]] += sizes[group]
    # Every part has a group, whatever their sizes.
    for name in wishes:
        if name not in parts:
            spare = [group for group in order if parts.count(parts[group]) > 1]
            parts[min(spare, key=lambda group: sizes[group])] = name
    return parts


def _worst(parts: list[Part], sizes: list[float], wishes: dict[Part, float]) -> float:
    """The largest deviation of a part from its wish, as a share of the wish."""
    return max(abs(_size(name, parts, sizes) / wish - 1) for name, wish in wishes.items())


def _size(name: Part, parts: list[Part], sizes: list[float]) -> float:
    return sum(size for part, size in zip(parts, sizes, strict=True) if part == name)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
