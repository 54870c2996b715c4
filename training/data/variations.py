"""More music for teachers to label, made from the music of the corpus.

A student learns a function, so any input that teachers can label teaches it, if both get the same
input: L. Beyer et al., "Knowledge distillation: A good teacher is patient and consistent" (CVPR
2022). A variation is made of mel frames: their powers are filtered, shifted over the bands,
stretched in time, and mixed with another track's. It is not what the same change of the audio would
give, and need not be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auricle.errors import TrainingError
from auricle.models.front_end import FRONT_ENDS, FrontEnd
from auricle.training.data.features import open_features
from auricle.training.data.manifest import Manifest, Track
from auricle.training.data.store import Rows, StoreWriter
from auricle.training.seeds import seeded_generator

Powers = NDArray[np.float32]

FILTER_DB: Final = 9.0
"""Most that a band is raised or lowered, by a curve through `FILTER_POINTS` random points."""

FILTER_POINTS: Final = 7

LOUDNESS_DB: Final = (-15.0, 6.0)
SHIFT_BANDS: Final = 4
STRETCH: Final = (0.8, 1.25)

MIXED: Final = 0.6
"""Share of the variations that another track is mixed into, at a level of `MIX_DB`."""

MIX_DB: Final = (-15.0, 3.0)


@dataclass(frozen=True, slots=True)
class Variation:
    """A change that makes another track of a track.

    Attributes:
        filter_db: Gain of each band in dB, (bands,), the loudness included.
        shift: Number of bands that each band moves up.
        stretch: Factor by which it becomes longer.
        partner: Index of the track that is mixed in, or None.
        mix_db: Level of that track, in dB against this one.
    """

    filter_db: NDArray[np.float64]
    shift: int
    stretch: float
    partner: int | None
    mix_db: float

    @classmethod
    def draw(cls, rng: np.random.Generator, n_bands: int, n_tracks: int) -> Variation:
        """Draw a variation for frames of `n_bands` bands, with one of `n_tracks` partners."""
        points = rng.uniform(-FILTER_DB, FILTER_DB, FILTER_POINTS)
        curve = np.interp(
            np.linspace(0, FILTER_POINTS - 1, n_bands), np.arange(FILTER_POINTS), points
        )
        return cls(
            filter_db=curve + rng.uniform(*LOUDNESS_DB),
            shift=int(rng.integers(-SHIFT_BANDS, SHIFT_BANDS + 1)),
            stretch=float(np.exp(rng.uniform(*np.log(STRETCH)))),
            partner=int(rng.integers(n_tracks)) if rng.random() < MIXED else None,
            mix_db=float(rng.uniform(*MIX_DB)),
        )

    def __call__(self, powers: Powers, partner: Powers | None) -> Powers:
        """The varied powers (frames, bands); a shorter partner is repeated."""
        mixed = _stretched(powers, self.stretch)
        if partner is not None:
            other = np.take(partner, np.arange(len(mixed)), axis=0, mode="wrap")
            level = 10 ** (self.mix_db / 10) * mixed.mean() / max(float(other.mean()), 1e-12)
            mixed = mixed + np.float32(level) * other
        shifted = np.take(mixed, np.arange(mixed.shape[1]) - self.shift, axis=1, mode="clip")
        return shifted * (10 ** (self.filter_db / 10)).astype(np.float32)


def vary(
    manifest: Manifest,
    features: Path,
    times: int,
    seed: int = 0,
    report: Callable[[Track], None] = lambda track: None,
) -> Manifest:
    """Add variations of the training tracks to the features of a corpus.

    Args:
        manifest: Manifest of the corpus.
        features: Folder of `auricle.training.data.features`, (frames, bands) float16 by track;
            variations that it already has are skipped.
        times: Number of variations of each track.
        seed: Seed of the draws.
        report: Function called with each variation.

    Returns:
        The manifest with the variations added to its training part. They have no tags, since those
        of the original track may no longer apply.

    Raises:
        TrainingError: The folder has no features, or not those of a training track.
        OSError: They cannot be written.
    """
    store = open_features(features)
    front_end = FRONT_ENDS[store.about["front_end"]["name"]]
    tracks = [track for track in manifest.part("train") if track.track_id in store]
    if not tracks:
        raise TrainingError(f"{features}: no features of a training track")
    made: list[Track] = []
    with StoreWriter(features, store.width, store.about) as writer:
        for number in range(times):
            for index, track in enumerate(tracks):
                name = f"{track.track_id}~{seed}.{number}"
                rng = seeded_generator(seed, number, index)
                variation = Variation.draw(rng, front_end.n_mels, len(tracks))
                if name not in writer.done:
                    writer.add(name, _varied(store, tracks, track, variation, front_end))
                varied = Track(name, track.path, track.duration_s * variation.stretch, part="train")
                made.append(varied)
                report(varied)
    return Manifest([*manifest, *made])


def _varied(
    store: Mapping[str, Rows],
    tracks: Sequence[Track],
    track: Track,
    variation: Variation,
    front_end: FrontEnd,
) -> NDArray[np.float32]:
    partner = None
    if variation.partner is not None:
        partner = powers(store[tracks[variation.partner].track_id], front_end)
    return compressed(variation(powers(store[track.track_id], front_end), partner), front_end)


def powers(mel: Rows | Powers, front_end: FrontEnd) -> Powers:
    """Band powers before the compression, (frames, bands) float32; rounding below 0 is clipped."""
    values = mel.astype(np.float32)
    grown = np.exp(values) if front_end.log == "ln" else np.power(np.float32(10), values)
    linear: Powers = (grown - np.float32(front_end.offset)) / np.float32(front_end.gain)
    return np.maximum(linear, 0)


def compressed(values: Powers, front_end: FrontEnd) -> NDArray[np.float32]:
    """Compress powers (frames, bands) as the front end does; the inverse of `powers`."""
    inside = np.float32(front_end.offset) + np.float32(front_end.gain) * values
    mel: Powers = np.log(inside) if front_end.log == "ln" else np.log10(inside)
    return mel


def _stretched(values: Powers, factor: float) -> Powers:
    """Frames interpolated linearly at places `1 / factor` apart."""
    places = np.linspace(0, len(values) - 1, max(1, round(len(values) * factor)))
    before = (
        np.minimum(places.astype(np.int64), len(values) - 2)
        if len(values) > 1
        else np.zeros(1, np.int64)
    )
    after = np.minimum(before + 1, len(values) - 1)
    part = (places - before).astype(np.float32)[:, None]
    between: Powers = values[before] * (1 - part) + values[after] * part
    return between
