"""Batches of an epoch, cut from stored features.

A batch is made on demand, from nothing but the seed, the epoch and its number, so any process of
several can make any of them, and a run that goes on after a kill sees what it would have seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from auricle.training.data.catalogue import Catalogue
from auricle.training.data.outputs import Outputs
from auricle.training.data.store import Rows
from auricle.training.sampling.pairs import alike

Batch = dict[str, Tensor]

VALIDATION_EPOCH: Final = 1 << 31
"""Stands for the epoch where segments must be the same each time."""


def random_of(seed: int, epoch: int, *more: int) -> np.random.Generator:
    """The random numbers of one thing in one epoch."""
    return np.random.default_rng([seed, epoch, *more])


def cut(frames: Rows, start: int, size: int) -> NDArray[np.float32]:
    """`size` frames from `start`; a track that is shorter goes round, as MusiCNN's do in training."""
    if start + size <= len(frames):
        return frames[start : start + size].astype(np.float32)
    return np.take(frames, np.arange(start, start + size), axis=0, mode="wrap").astype(np.float32)


def random_cut(frames: Rows, size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """`size` frames from anywhere."""
    return cut(frames, int(rng.integers(max(1, len(frames) - size + 1))), size)


class TagBatches(Dataset[Batch]):
    """Random segments of tracks with their tags: `mel` (batch, frames, bands), `targets` (batch,
    classes).

    Args:
        features: Mel frames.
        track_ids: Of the items, in the order of the epoch; a track may come several times.
        targets: For each item, (items, classes).
        segment_size: Frames.
        batch_size: Items of a batch; the last may have fewer.
        seed, epoch: Of the random segments.
        taught: A teacher's outputs; adds `taught`, its activations where the segment lies, (batch,
            classes).
    """

    def __init__(
        self,
        features: Mapping[str, Rows],
        track_ids: Sequence[str],
        targets: NDArray[np.bool_],
        segment_size: int,
        batch_size: int,
        seed: int,
        epoch: int,
        taught: Outputs | None = None,
    ) -> None:
        self._features = features
        self._track_ids = track_ids
        self._targets = targets
        self._size = segment_size
        self._batch_size = batch_size
        self._key = (seed, epoch)
        self._taught = taught

    def __len__(self) -> int:
        return -(-len(self._track_ids) // self._batch_size)

    def __getitem__(self, number: int) -> Batch:
        if not 0 <= number < len(self):
            raise IndexError(number)
        rng = random_of(*self._key, number)
        items = range(
            number * self._batch_size, min((number + 1) * self._batch_size, len(self._track_ids))
        )
        mel, taught = [], []
        for item in items:
            track_id = self._track_ids[item]
            frames = self._features[track_id]
            start = int(rng.integers(max(1, len(frames) - self._size + 1)))
            mel.append(cut(frames, start, self._size))
            if self._taught is not None:
                taught.append(_said(self._taught, track_id, start, self._size))
        batch = {
            "mel": torch.from_numpy(np.stack(mel)),
            "targets": torch.from_numpy(self._targets[items.start : items.stop].astype(np.float32)),
        }
        if taught:
            batch["taught"] = torch.from_numpy(np.stack(taught))
        return batch


def _said(outputs: Outputs, track_id: str, start: int, size: int) -> NDArray[np.float32]:
    """Mean of a teacher's activations over its segments whose middles lie in a segment; at least
    the next.
    """
    rows = outputs.activations[track_id]
    middle = outputs.segment_size / 2
    first = max(0, int(np.ceil((start - middle) / outputs.hop_size)))
    last = max(first, int((start + size - middle) // outputs.hop_size))
    chosen = rows[min(first, len(rows) - 1) : last + 1]
    return np.asarray(chosen.astype(np.float32).mean(axis=0))


class PairBatches(Dataset[Batch]):
    """Random segments of pairs of tracks: for each association (2, batch, frames, bands), anchors
    first.

    Beside `artist` there is `artist alike`, (batch, batch): which positives belong to which
    anchors.

    Batches are full, since a contrast depends on how many there are to choose from; the rest is
    left out, and so is what one association has more than another.

    Args:
        features: Mel frames.
        track_ids: What pairs are indices of.
        catalogue: Of these tracks.
        pairs: For each association, (pairs, 2).
        segment_size, batch_size, seed, epoch: As for `TagBatches`.
    """

    def __init__(
        self,
        features: Mapping[str, Rows],
        track_ids: Sequence[str],
        catalogue: Catalogue,
        pairs: Mapping[str, NDArray[np.int64]],
        segment_size: int,
        batch_size: int,
        seed: int,
        epoch: int,
    ) -> None:
        self._features = features
        self._track_ids = track_ids
        self._catalogue = catalogue
        self._pairs = pairs
        self._size = segment_size
        self._batch_size = batch_size
        self._key = (seed, epoch)

    def __len__(self) -> int:
        return min(len(pairs) for pairs in self._pairs.values()) // self._batch_size

    def __getitem__(self, number: int) -> Batch:
        if not 0 <= number < len(self):
            raise IndexError(number)
        rng = random_of(*self._key, number)
        batch: Batch = {}
        for association in self._pairs:
            segments = [
                [
                    random_cut(self._features[self._track_ids[track]], self._size, rng)
                    for track in side
                ]
                for side in self._sides(association, number)
            ]
            batch[association] = torch.from_numpy(np.stack(segments))
            batch[f"{association} alike"] = torch.from_numpy(self.alike(association, number))
        return batch

    def alike(self, association: str, number: int) -> NDArray[np.bool_]:
        """Of a batch, see `auricle.training.sampling.pairs.alike`."""
        return alike(self._catalogue, association, *self._sides(association, number))

    def without_negatives(self) -> tuple[str, ...]:
        """Associations of which in every batch all positives belong to all anchors."""
        batches = range(len(self))
        return tuple(
            name for name in self._pairs if all(self.alike(name, batch).all() for batch in batches)
        )

    def _sides(self, association: str, number: int) -> NDArray[np.int64]:
        """Anchors and positives of a batch, (2, batch)."""
        chosen = slice(number * self._batch_size, (number + 1) * self._batch_size)
        return self._pairs[association][chosen].T


class TaughtBatches(Dataset[Batch]):
    """Segments with what teachers say of them.

    `mel` (batch, frames, bands); `activations` (batch, classes), those of all teachers side by
    side; and `embeddings 0`, `embeddings 1`, ... of each teacher, if asked for.

    Args:
        features: Mel frames.
        items: (items, 2): index of the track, and of the teachers' segment.
        track_ids: What these are indices of.
        teachers: With the same segments.
        batch_size: Items of a batch; the last may have fewer.
        embeddings: Whether to add them.
    """

    def __init__(
        self,
        features: Mapping[str, Rows],
        items: NDArray[np.int64],
        track_ids: Sequence[str],
        teachers: Sequence[Outputs],
        batch_size: int,
        embeddings: bool = True,
    ) -> None:
        self._features = features
        self._items = items
        self._track_ids = track_ids
        self._teachers = teachers
        self._batch_size = batch_size
        self._embeddings = embeddings

    def __len__(self) -> int:
        return -(-len(self._items) // self._batch_size)

    def __getitem__(self, number: int) -> Batch:
        if not 0 <= number < len(self):
            raise IndexError(number)
        items = self._items[number * self._batch_size : (number + 1) * self._batch_size]
        chosen = [(self._track_ids[track], int(segment)) for track, segment in items]
        size, hop = self._teachers[0].segment_size, self._teachers[0].hop_size

        def rows(of: Mapping[str, Rows]) -> NDArray[np.float32]:
            return np.stack([of[track_id][segment] for track_id, segment in chosen]).astype(
                np.float32
            )

        mel = np.stack(
            [cut(self._features[track_id], segment * hop, size) for track_id, segment in chosen]
        )
        activations = np.concatenate(
            [rows(teacher.activations) for teacher in self._teachers], axis=1
        )
        batch = {"mel": torch.from_numpy(mel), "activations": torch.from_numpy(activations)}
        for index, teacher in enumerate(self._teachers if self._embeddings else ()):
            batch[f"embeddings {index}"] = torch.from_numpy(rows(teacher.embeddings))
        return batch
