"""Retrieval among track means: are tracks of one artist, or of one release, near each other?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from auricle.errors import TrainingError

DEPTHS: Final = (1, 5, 10)
"""k of recall at k."""

_BLOCK: Final = 256


@dataclass(frozen=True, slots=True)
class Retrieval:
    """How well relevant tracks are found.

    Attributes:
        mean_average_precision: Average precision over the whole ranking, mean over queries.
        recall: By k, the share of a query's relevant tracks that are among its first k, mean over
            queries. A query with more than k relevant tracks cannot reach 1.
        queries: Number of queries.
        left_out: Number of tracks without any relevant one.
    """

    mean_average_precision: float
    recall: Mapping[int, float]
    queries: int
    left_out: int


def retrieve(
    vectors: NDArray[Any],
    groups: Sequence[Sequence[str]],
    *,
    excluded: Sequence[Sequence[str]] | None = None,
    max_queries: int = 10_000,
    seed: int = 0,
) -> Retrieval:
    """Take each track as a query, and rank all others by the cosine with it.

    Args:
        vectors: Vector of each track, (tracks, size).
        groups: Groups of each track (its artists, or its releases). A track is relevant to another
            if they share one.
        excluded: Groups of each track that a result must not share with the query: tracks that
            share one are taken out of its ranking.
            With releases here, songs of an artist must be found on other releases: those of one
            release share mastering and instruments, which are easier to hear than an artist is (the
            album effect).
        max_queries: Most queries; of more tracks, this many are drawn. All tracks are searched.
        seed: Seed of this draw.

    Raises:
        TrainingError: A vector is not finite, or no track has a relevant one.
    """
    import faiss

    if not np.isfinite(vectors).all():
        raise TrainingError(
            f"the vector of track {int(np.argmin(np.isfinite(vectors).all(axis=1)))} is not finite"
        )
    norms = np.linalg.norm(vectors.astype(np.float32), axis=1, keepdims=True)
    unit = np.ascontiguousarray(vectors / np.maximum(norms, 1e-12), np.float32)
    index = faiss.IndexFlatIP(unit.shape[1])
    index.add(unit)
    relatives = _relatives(groups, excluded)
    queries = np.array([track for track, (relevant, _) in enumerate(relatives) if relevant.size])
    if not queries.size:
        raise TrainingError(f"retrieval: none of {len(vectors)} tracks has a relevant one")
    left_out = len(vectors) - len(queries)
    if len(queries) > max_queries:
        queries = np.sort(np.random.default_rng(seed).choice(queries, max_queries, replace=False))
    precisions, recalls = [], []
    for start in range(0, len(queries), _BLOCK):
        block = queries[start : start + _BLOCK]
        _, rankings = index.search(unit[block], len(unit))
        for query, ranking in zip(block, rankings, strict=True):
            relevant, hidden = relatives[query]
            hits = _hits(ranking, relevant, hidden)
            precisions.append(np.mean(np.arange(1, len(hits) + 1) / (hits + 1)))
            recalls.append([np.mean(hits < depth) for depth in DEPTHS])
    recall = dict(zip(DEPTHS, np.mean(recalls, axis=0).tolist(), strict=True))
    return Retrieval(float(np.mean(precisions)), recall, len(queries), left_out)


def _hits(
    ranking: NDArray[np.int64], relevant: NDArray[np.intp], hidden: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Places, from 0, of the relevant tracks in a ranking without the hidden ones."""
    is_hidden, is_relevant = np.zeros((2, len(ranking)), bool)
    is_hidden[hidden] = True
    is_relevant[relevant] = True
    ranking = ranking[~is_hidden[ranking]]
    return np.flatnonzero(is_relevant[ranking])


def _relatives(
    groups: Sequence[Sequence[str]], excluded: Sequence[Sequence[str]] | None
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """For each track, those relevant to it, and those its ranking is without, itself among them."""
    members = _members(groups)
    barred = _members(excluded or [()] * len(groups))
    relatives = []
    for track, names in enumerate(groups):
        hidden = {track}.union(*(barred[name] for name in (excluded[track] if excluded else ())))
        relevant = set[int]().union(*(members[name] for name in names)) - hidden
        relatives.append((np.array(sorted(relevant), np.intp), np.array(sorted(hidden), np.intp)))
    return relatives


def _members(groups: Sequence[Sequence[str]]) -> dict[str, set[int]]:
    members: dict[str, set[int]] = {}
    for track, names in enumerate(groups):
        for name in names:
            members.setdefault(name, set()).add(track)
    return members
