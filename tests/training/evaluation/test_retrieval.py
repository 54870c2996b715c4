"""Retrieval, by hand and against a plain loop."""

import numpy as np
import pytest

pytest.importorskip("faiss", reason="search is faiss'")

from auricle.errors import TrainingError
from auricle.training.evaluation.retrieval import DEPTHS, retrieve


def at(*degrees: float) -> np.ndarray:
    """Vectors of any length at these angles."""
    radians = np.radians(degrees)
    lengths = np.linspace(0.5, 3, len(degrees))[:, np.newaxis]
    return (np.column_stack([np.cos(radians), np.sin(radians)]) * lengths).astype(np.float32)


def test_by_hand() -> None:
    # From a (0): b (10), x (25), c (60), with b and c relevant: (1/1 + 2/3) / 2; recall 1/2, 1.
    # From b (10): a, x (15 away), c: the same. From c (60): x (35 away), b, a: (1/2 + 2/3) / 2;
    # recall 0, 1.
    found = retrieve(at(0, 10, 25, 60), [["g"], ["g"], ["other"], ["g"]])
    assert found.mean_average_precision == pytest.approx((5 / 6 + 5 / 6 + 7 / 12) / 3)
    assert found.recall == pytest.approx({1: (1 / 2 + 1 / 2 + 0) / 3, 5: 1, 10: 1})
    assert (found.queries, found.left_out) == (3, 1)


def test_same_release_is_taken_out_of_the_ranking() -> None:
    # a and b share a release. From a: x, c remain: 1/2. From b: the same. From c: x, b, a: 7/12.
    releases = [["r"], ["r"], ["s"], ["t"]]
    found = retrieve(at(0, 10, 25, 60), [["g"], ["g"], ["other"], ["g"]], excluded=releases)
    assert found.mean_average_precision == pytest.approx((1 / 2 + 1 / 2 + 7 / 12) / 3)


def test_a_track_whose_relatives_are_all_excluded_is_left_out() -> None:
    found = retrieve(at(0, 1, 2), [["g"], ["g", "h"], ["h"]], excluded=[["r"], ["r"], ["s"]])
    assert (found.queries, found.left_out) == (2, 1)


def test_equals_a_plain_loop() -> None:
    rng = np.random.default_rng(4)
    vectors = rng.normal(size=(600, 5)).astype(np.float32)
    groups = [
        [f"g{g}" for g in rng.choice(40, rng.integers(0, 3), replace=False)] for _ in range(600)
    ]
    releases = [[f"r{rng.integers(200)}"] for _ in range(600)]
    precisions, recalls = [], []
    for query in range(600):

        def cosine(other: int, query: int = query) -> float:
            a, b = vectors[query].astype(float), vectors[other].astype(float)
            return float(a @ b / np.sqrt((a @ a) * (b @ b)))

        others = [
            t for t in range(600) if t != query and not set(releases[t]) & set(releases[query])
        ]
        others.sort(key=cosine, reverse=True)
        hits = [place for place, t in enumerate(others, 1) if set(groups[t]) & set(groups[query])]
        if hits:
            precisions.append(np.mean([n / place for n, place in enumerate(hits, 1)]))
            recalls.append([sum(place <= k for place in hits) / len(hits) for k in DEPTHS])
    found = retrieve(vectors, groups, excluded=releases)
    assert found.queries == len(precisions)
    # 1e-4: float32 cosines may swap two neighbours of 600.
    assert found.mean_average_precision == pytest.approx(np.mean(precisions), abs=1e-4)
    assert list(found.recall.values()) == pytest.approx(np.mean(recalls, axis=0).tolist(), abs=1e-3)


def test_queries_are_drawn_when_there_are_many() -> None:
    vectors = np.random.default_rng(5).normal(size=(40, 3))
    groups = [[f"g{track % 7}"] for track in range(40)]
    drawn = [retrieve(vectors, groups, max_queries=7, seed=seed) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0].queries == 7


def test_nothing_to_find_is_an_error() -> None:
    with pytest.raises(TrainingError, match="none of 2 tracks has a relevant one"):
        retrieve(at(0, 1), [["a"], ["b"]])


def test_a_vector_that_is_not_finite_is_an_error() -> None:
    vectors = at(0, 1, 2)
    vectors[1, 0] = np.nan
    with pytest.raises(TrainingError, match="track 1 is not finite"):
        retrieve(vectors, [["a"]] * 3)
