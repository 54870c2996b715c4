"""Reading the embeddings of tracks, for heads and retrieval.

Embeddings are a mapping from track id to an array (segments, size), float16 or float32, usually
mapped from a file that is larger than the memory: nothing here reads more of it than it needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.errors import TrainingError

Embeddings = Mapping[str, NDArray[Any]]
Array = NDArray[np.float32]


def segments(embeddings: Embeddings, track_id: str) -> NDArray[Any]:
    """Embeddings of one track, (segments, size).

    Raises:
        TrainingError: The track has no embeddings, or they have another shape.
    """
    if track_id not in embeddings:
        raise TrainingError(f"there are no embeddings of track {track_id!r}")
    array = embeddings[track_id]
    if array.ndim != 2 or not array.size:
        raise TrainingError(
            f"embeddings of {track_id!r} have the shape {array.shape}, not (segments, size)"
        )
    return array


def random_segments(
    embeddings: Embeddings, track_ids: Sequence[str], rng: np.random.Generator
) -> Array:
    """A random segment of each track, (tracks, size) float32; each call draws again."""
    arrays = [segments(embeddings, track_id) for track_id in track_ids]
    picks = rng.random(len(arrays))
    return _stack(
        [array[int(pick * len(array))] for array, pick in zip(arrays, picks, strict=True)],
        track_ids,
    )


def means(embeddings: Embeddings, track_ids: Sequence[str]) -> Array:
    """Mean of each track over its segments, (tracks, size) float32."""
    rows = [segments(embeddings, track_id).mean(axis=0, dtype=np.float32) for track_id in track_ids]
    return _stack(rows, track_ids)


def even_segments(
    embeddings: Embeddings, track_ids: Sequence[str], at_most: int | None = None
) -> tuple[Array, NDArray[np.intp]]:
    """Segments of each track, evenly spaced if it has more than `at_most`.

    Returns:
        Segments, (rows, size) float32, and the first row of each track, (tracks,).
    """
    blocks = []
    for track_id in track_ids:
        array = segments(embeddings, track_id)
        count = min(len(array), at_most or len(array))
        blocks.append(array[(np.arange(count) * 2 + 1) * len(array) // (2 * count)])
    starts = np.cumsum([0, *(len(block) for block in blocks[:-1])])
    rows = [row for block in blocks for row in block]
    return _stack(
        rows, [t for t, block in zip(track_ids, blocks, strict=True) for _ in block]
    ), starts


def _stack(rows: list[NDArray[Any]], track_ids: Sequence[str]) -> Array:
    """Raises TrainingError, which names the track, if lengths differ or a value is not finite."""
    for row, track_id in zip(rows, track_ids, strict=True):
        if len(row) != len(rows[0]):
            sizes = f"{track_id!r} are {len(row)} long, those of {track_ids[0]!r} {len(rows[0])}"
            raise TrainingError(f"embeddings of {sizes}")
    stacked = np.stack(rows).astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(stacked).all(axis=1))
    if bad.size:
        raise TrainingError(f"embeddings of {track_ids[bad[0]]!r} have values that are not finite")
    return stacked
