"""A small corpus with features, and recipes that learn from it in a moment."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.models.front_end import FRONT_ENDS
from auricle.training.data.manifest import Manifest, Part, Track
from auricle.training.data.material import Material
from auricle.training.data.outputs import Outputs
from auricle.training.data.store import Store, StoreWriter
from auricle.training.objectives import find_objective
from auricle.training.objectives.objective import Objective
from auricle.training.recipe import Recipe
from auricle.training.run.recipes import make_recipe

GENRES = ("ambient", "techno", "folk")
PARTS: tuple[Part, ...] = ("train", "train", "validation")

BASE: dict[str, Any] = {
    "about": "A test.",
    "segment_size": 40,
    "epochs": 3,
    "batch_size": 4,
    "optimizer": {"name": "adam", "lr": 3e-3},
}
RESNET = {"name": "resnet10", "widths": [2, 2, 4, 4, 8], "embedding_size": 8}
MAEST = {
    "name": "maest",
    "width": 8,
    "depth": 2,
    "n_heads": 2,
    "s_patchout_t": 1,
    "s_patchout_f": 2,
}
TAGS = {"kind": "tags", "least_tracks": 1}


def objective(chosen: Recipe, whole: Material) -> Objective[Any]:
    """The objective of a recipe, as `auricle.training.run.fit` makes it."""
    return find_objective(chosen.objective.kind)(chosen, whole)


def recipe(objective: dict[str, Any], network: dict[str, Any] = RESNET, **more: Any) -> Recipe:
    """Three epochs of batches of four, unless more is said."""
    return make_recipe({**BASE, "objective": objective, "network": network, **more})


def tracks(artists: int = 6) -> list[Track]:
    """Each artist has two releases of two tracks, one genre, a label with the next, and is in one
    part.
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
            part=PARTS[artist % 3],
        )
        for artist in range(artists)
        for number in range(4)
    ]


def frames(index: int, track: Track) -> NDArray[np.float32]:
    """Noise, louder in the bands of the genre."""
    rng = np.random.default_rng(index)
    mel = rng.uniform(0, 1, (int(rng.integers(35, 90)), 96))
    for genre in track.genres:
        band = 30 * GENRES.index(genre)
        mel[:, band : band + 30] += 1.5
    return mel.astype(np.float32)


def write_features(folder: Path, corpus: list[Track]) -> Store:
    with StoreWriter(folder, 96, {"front_end": asdict(FRONT_ENDS["musicnn"])}) as writer:
        for index, track in enumerate(corpus):
            if track.track_id not in writer.done:
                writer.add(track.track_id, frames(index, track))
    return Store(folder)


def material(folder: Path, artists: int = 6, teachers: tuple[Outputs, ...] = ()) -> Material:
    corpus = tracks(artists)
    return Material(Manifest(corpus), write_features(folder, corpus), teachers)
