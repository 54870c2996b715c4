"""Batches of an epoch, cut from stored features.

A batch is made on demand, from nothing but the seed, the epoch and its number. So any of several
processes can make any of them, and a run continued after a kill sees what it would have seen.
"""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from auricle.training.data.store import Rows

Batch = dict[str, Tensor]

VALIDATION_EPOCH: Final = 1 << 31
"""Stands for the epoch where segments must be the same each time."""


class Batches(Protocol):
    """The batches of an epoch, each made when it is asked for, in any order and in any process."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Batch: ...


def batch_items(number: int, batch_size: int, n_items: int) -> slice:
    """The range of items in a batch; the last batch may have fewer than `batch_size`.

    Raises:
        IndexError: `number` is not that of a batch.
    """
    start = number * batch_size
    if not 0 <= start < n_items:
        raise IndexError(number)
    return slice(start, min(start + batch_size, n_items))


def cut(frames: Rows, start: int, size: int) -> NDArray[np.float32]:
    """Frames of a segment; a shorter track is repeated, as by MusiCNN's authors in training.

    Args:
        frames: (frames, bands), of a track.
        start: First frame of the segment.
        size: Frames of the segment.

    Returns:
        (size, bands)
    """
    if start + size <= len(frames):
        return frames[start : start + size].astype(np.float32)
    return np.take(frames, np.arange(start, start + size), axis=0, mode="wrap").astype(np.float32)


def random_start(frames: Rows, size: int, rng: np.random.Generator) -> int:
    """A frame that a segment of `size` frames may begin at; 0 in a shorter track."""
    return int(rng.integers(max(1, len(frames) - size + 1)))
