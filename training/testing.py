"""A small corpus of noise with features, for tests of objectives."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auricle.models.front_end import FRONT_ENDS
from auricle.training.data.manifest import Manifest, Part, Track
from auricle.training.data.material import Material
from auricle.training.data.outputs import Outputs
from auricle.training.data.store import Store, StoreWriter

GENRES: Final = ("ambient", "techno", "folk")

_FRONT_END: Final = FRONT_ENDS["musicnn"]
_PARTS: Final[tuple[Part, ...]] = ("train", "train", "validation")


def make_tracks(artists: int = 6) -> list[Track]:
    """Tracks of invented artists, without audio.

    Each artist has two releases with two tracks of 1 s, one genre, a label shared with others, and
    is in one part; every third artist is in validation.
    """
    return [
        Track(
            f"t{artist}-{number}",
            Path(f"/music/{artist}-{number}.ogg"),
            1.0,
            artists=(f"artist {artist}",),
            releases=(f"release {artist}-{number // 2}",),
            labels=(f"label {artist // 6}",),
            genres=(GENRES[artist // 3 % len(GENRES)],),
            part=_PARTS[artist % 3],
        )
        for artist in range(artists)
        for number in range(4)
    ]


def make_frames(index: int, track: Track) -> NDArray[np.float32]:
    """Noise of 35 to 89 mel frames, (frames, 96), louder in the bands of the track's genre."""
    rng = np.random.default_rng(index)
    mel = rng.uniform(0, 1, (int(rng.integers(35, 90)), _FRONT_END.n_mels))
    for genre in track.genres:
        band = 30 * GENRES.index(genre)
        mel[:, band : band + 30] += 1.5
    return mel.astype(np.float32)


def write_features(folder: Path, tracks: list[Track]) -> Store:
    """Write the frames of tracks as features; those that the folder has already are left alone."""
    with StoreWriter(folder, _FRONT_END.n_mels, {"front_end": asdict(_FRONT_END)}) as writer:
        for index, track in enumerate(tracks):
            if track.track_id not in writer.done:
                writer.add(track.track_id, make_frames(index, track))
    return Store(folder)


def make_material(folder: Path, artists: int = 6, teachers: tuple[Outputs, ...] = ()) -> Material:
    """A corpus of invented artists with features, (frames, 96) float16 by track.

    Args:
        folder: Folder for the features.
        artists: Number of artists, four tracks each.
        teachers: Outputs of other models, for objectives that learn from them.
    """
    tracks = make_tracks(artists)
    return Material(Manifest(tracks), write_features(folder, tracks), teachers)
