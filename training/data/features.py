"""Mel frames of a corpus, by the functions that the engine runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from auricle.errors import InputError, TrainingError
from auricle.models.front_end import FRONT_ENDS, FrontEnd
from auricle.nodes.signal.mel import mel_spectrogram
from auricle.nodes.signal.reading import read_samples
from auricle.parallel import as_completed, processes
from auricle.training.data.manifest import Track
from auricle.training.data.store import Rows, Store, StoreWriter


@dataclass(frozen=True, slots=True)
class Failure:
    """A track without features, and why."""

    track: Track
    reason: str


def compute_features(
    tracks: Sequence[Track],
    folder: Path,
    front_end: str = "musicnn",
    workers: int | None = None,
    report: Callable[[Track, bool], None] = lambda track, new: None,
) -> list[Failure]:
    """Write the mel frames of tracks into a store; those that it has already are left alone.

    Args:
        tracks: Tracks of a manifest.
        folder: Folder of the features; created if it does not exist.
        front_end: Name of one of `auricle.models.front_end.FRONT_ENDS`.
        workers: Processes; as many as there are cores, if None.
        report: Called with each track that is finished, in no order, and whether it was just
            computed; on this thread.

    Returns:
        The tracks that cannot be used.

    Raises:
        TrainingError: The folder has other features.
        OSError: They cannot be written; what was whole before stays.
    """
    chosen = FRONT_ENDS[front_end]
    failures: list[Failure] = []
    with StoreWriter(folder, chosen.n_mels, {"front_end": asdict(chosen)}) as writer:
        left = [track for track in tracks if track.track_id not in writer.done]
        for track in tracks:
            if track.track_id in writer.done:
                report(track, False)
        count = workers or os.cpu_count() or 1
        work = partial(_features, front_end=chosen)
        with processes(count) as pool:
            for track, result in as_completed(pool, work, left, 2 * count):
                if isinstance(result, str):
                    failures.append(Failure(track, result))
                else:
                    writer.add(track.track_id, result)
                report(track, True)
    return failures


def open_features(folder: Path) -> Store:
    """The mel frames of a corpus, (frames, bands) float16 by track.

    Raises:
        TrainingError: The folder has none, or they were made by another front end than its name
            says today.
    """
    store = Store(folder)
    described = store.about.get("front_end")
    if not isinstance(described, dict) or described.get("name") not in FRONT_ENDS:
        raise TrainingError(f"{folder}: not mel frames")
    if described != asdict(FRONT_ENDS[described["name"]]):
        raise TrainingError(
            f"{folder}: made by another front end {described['name']}; compute them again"
        )
    return store


def _features(track: Track, front_end: FrontEnd) -> Rows | str:
    """Mel frames, or the reason why they could not be computed."""
    try:
        samples = read_samples(track.path, front_end.sample_rate)
    except InputError as error:
        return str(error)
    if not samples.any():
        return f"{track.path}: {'silent' if len(samples) else 'nothing in it can be decoded'}"
    return mel_spectrogram(samples, front_end).astype(np.float16)
