"""A corpus whose embeddings are clusters: a genre is a place, and an artist a place near it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auricle.training.data.manifest import PARTS, Manifest, Track
from auricle.training.data.tasks import Task

SIZE = 12
GENRES = ("jazz", "rock", "techno")

Store = dict[str, NDArray[np.float16]]


def corpus(
    artists: int = 9, tracks: int = 6, noise: float = 0.3, seed: int = 0
) -> tuple[Manifest, Store]:
    """Artists of one genre each in turn, with two releases each; a track has 3 to 6 segments."""
    rng = np.random.default_rng(seed)
    genres = rng.normal(0, 1, (len(GENRES), SIZE))
    listed, store = [], {}
    for artist in range(artists):
        genre = artist % len(GENRES)
        place = genres[genre] + rng.normal(0, 0.3, SIZE)
        for number in range(tracks):
            track = Track(
                f"{artist}-{number}",
                Path(f"{artist}-{number}.flac"),
                60.0,
                artists=(f"artist {artist}",),
                releases=(f"release {artist}-{number % 2}",),
                genres=(GENRES[genre],),
                part=PARTS[artist // len(GENRES) % 3],
            )
            listed.append(track)
            segments = place + rng.normal(0, noise, (int(rng.integers(3, 7)), SIZE))
            store[track.track_id] = segments.astype(np.float16)
    return Manifest(listed), store


def single(manifest: Manifest) -> Task:
    """The genres as a task with one class a track, in the manifest's parts."""
    targets = {track.track_id: (GENRES.index(track.genres[0]),) for track in manifest}
    splits = {track.track_id: track.part for track in manifest}
    return Task("genre", GENRES, targets, multilabel=False, parts=splits)
