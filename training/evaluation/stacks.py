"""Several models' embeddings as one: side by side at the same time, and with fewer dimensions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.errors import TrainingError
from auricle.models.card import Card
from auricle.training.evaluation.embeddings import Array, Embeddings, segments


@dataclass(frozen=True, slots=True)
class Source:
    """Embeddings of one model, and their place in time.

    Segment i covers the seconds from `i * hop_s` to `i * hop_s + segment_s`.
    """

    embeddings: Embeddings
    hop_s: float
    segment_s: float

    @classmethod
    def of(cls, embeddings: Embeddings, card: Card, hop_size: int) -> Source:
        """Embeddings that were made `hop_size` frames apart by the model of a card.

        Raises:
            TrainingError: The card does not say how long frames or segments are.
        """
        front_end = card.front_end
        if front_end is None or card.segment_size is None:
            raise TrainingError(
                f"{card.name}: the card lacks its front end or the size of segments"
            )
        frame_s = front_end.hop_size / front_end.sample_rate
        return cls(embeddings, hop_size * frame_s, card.segment_size * frame_s)


class Stack(Mapping[str, NDArray[Any]]):
    """Embeddings of several models side by side, made when a track is asked for.

    A track has a row for each segment of the source with the longest hop (the first of them if
    several have it). From every other source comes the segment whose centre is nearest in time, the
    earlier one if two are; its last one, where a source ends before. So no row is invented between
    two segments, and a row covers windows of different length around one time.

    Tracks are those that all sources have.

    Args:
        sources: In the order in which they stand side by side.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = tuple(sources)
        self._slowest = max(self._sources, key=lambda source: source.hop_s)
        first, *others = self._sources
        self._known = set(first.embeddings).intersection(*(other.embeddings for other in others))
        self._ids = [track_id for track_id in first.embeddings if track_id in self._known]

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __contains__(self, track_id: object) -> bool:
        return track_id in self._known

    def __getitem__(self, track_id: str) -> NDArray[Any]:
        if track_id not in self._known:
            raise KeyError(track_id)
        slowest = self._slowest
        rows = np.arange(len(segments(slowest.embeddings, track_id)))
        centres_s = rows * slowest.hop_s + slowest.segment_s / 2
        parts = []
        for source in self._sources:
            array = segments(source.embeddings, track_id)
            # 1e-9: an exact tie goes to the earlier one whatever the rounding of the division.
            nearest = np.ceil((centres_s - source.segment_s / 2) / source.hop_s - 0.5 - 1e-9)
            parts.append(array[np.clip(nearest, 0, len(array) - 1).astype(np.intp)])
        return np.concatenate(parts, axis=1)


@dataclass(frozen=True, slots=True)
class Pca:
    """Principal components: (embedding - mean) @ components.

    Attributes:
        mean: (size,).
        components: (size, fewer), the strongest first.
    """

    mean: Array
    components: Array

    def __call__(self, embeddings: NDArray[Any]) -> Array:
        """Reduced embeddings, (rows, fewer)."""
        return np.asarray((embeddings.astype(np.float32) - self.mean) @ self.components)


def fit_pca(rows: Array, size: int) -> Pca:
    """The strongest `size` components of training tracks' embeddings, (tracks, size before).

    Raises:
        TrainingError: There are fewer tracks, or dimensions, than components.
    """
    from sklearn.decomposition import PCA

    if not 0 < size <= min(rows.shape):
        tracks, dimensions = rows.shape
        raise TrainingError(
            f"pca: {size} components of {tracks} training tracks with {dimensions} dimensions; "
            f"at most {min(rows.shape)} can be had"
        )
    fitted = PCA(size, svd_solver="full").fit(rows)
    return Pca(
        fitted.mean_.astype(np.float32), np.ascontiguousarray(fitted.components_.T, np.float32)
    )


class Reduced(Mapping[str, NDArray[Any]]):
    """Embeddings with fewer dimensions, made when a track is asked for."""

    def __init__(self, embeddings: Embeddings, pca: Pca) -> None:
        self._embeddings = embeddings
        self._pca = pca

    def __len__(self) -> int:
        return len(self._embeddings)

    def __iter__(self) -> Iterator[str]:
        return iter(self._embeddings)

    def __contains__(self, track_id: object) -> bool:
        return track_id in self._embeddings

    def __getitem__(self, track_id: str) -> NDArray[Any]:
        return self._pca(self._embeddings[track_id])
