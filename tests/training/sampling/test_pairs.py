"""Pairs: the constraints of each association, one pair a track, no partner overlooked."""

from collections import Counter
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.errors import RecipeError

pytest.importorskip("pyarrow", reason="catalogues are read from Parquet files")
from auricle.training.data.catalogue import Catalogue
from auricle.training.data.csr import Csr
from auricle.training.sampling.pairs import ASSOCIATIONS, Association, alike, draw_pairs

KINDS = 5
"""Releases, artists and labels of random catalogues."""

TRACKS = st.lists(
    st.tuples(*[st.frozensets(st.integers(0, KINDS - 1), max_size=3)] * 3), min_size=0, max_size=40
)
SEEDS = st.integers(0, 2**32)
untimed = settings(deadline=None)  # the first call compiles
SHARED: tuple[Association, ...] = ("release", "artist", "label")

Shares = tuple[frozenset[int], frozenset[int], frozenset[int]]
"""Releases, artists and labels of a track."""


def catalogue_of(tracks: list[Shares]) -> Catalogue:
    """Of tracks as (releases, artists, labels)."""
    columns = 1 + max((number for track in tracks for part in track for number in part), default=0)
    return Catalogue(*(Csr.of_lists([track[k] for track in tracks], columns) for k in range(3)))


def complies(association: Association, one: Shares, other: Shares) -> bool:
    releases, artists, labels = (one[k] & other[k] for k in range(3))
    return bool(
        {
            "release": releases,
            "artist": artists and not releases,
            "label": labels and not artists,
        }[association]
    )


@untimed
@given(TRACKS, st.sampled_from(SHARED), SEEDS, st.integers(0, 100))
def test_pairs_comply_and_none_is_overlooked(
    tracks: list[Shares], association: Association, seed: int, epoch: int
) -> None:
    pairs = draw_pairs(catalogue_of(tracks), association, seed, epoch)
    assert pairs.shape[1:] == (2,)
    assert pairs.dtype == np.int64
    for anchor, positive in pairs:
        assert anchor != positive
        assert complies(association, tracks[anchor], tracks[positive])
    paired = pairs.flatten().tolist()
    assert len(set(paired)) == len(paired)
    left = [track for row, track in enumerate(tracks) if row not in paired]
    assert not any(
        complies(association, one, other) for i, one in enumerate(left) for other in left[:i]
    ), "two that comply were left alone"


@untimed
@given(TRACKS, SEEDS)
def test_a_release_pair_is_no_artist_pair(tracks: list[Shares], seed: int) -> None:
    catalogue = catalogue_of(tracks)
    found = [
        {frozenset(pair) for pair in draw_pairs(catalogue, association, seed, 0).tolist()}
        for association in ("release", "artist")
    ]
    assert not found[0] & found[1]


@untimed
@given(st.integers(0, 60), st.sampled_from(SHARED), SEEDS)
def test_the_one_legal_partner_is_found(n: int, association: Association, seed: int) -> None:
    """Where all but one of those that share something are barred, or nobody else shares it."""
    own = [frozenset({1 + i // 2}) for i in range(2 * n)]
    everyone, nobody = frozenset({0}), frozenset[int]()
    tracks = {
        "release": [(own[i], everyone, everyone) for i in range(2 * n)],
        # All share an artist; only the two of a pair have no release in common.
        "artist": [
            (frozenset(2 * n * min(i, j) + max(i, j) for j in range(2 * n) if i // 2 != j // 2),
             everyone, nobody)
            for i in range(2 * n)
        ],
        "label": [
            (nobody, frozenset(
                2 * n * min(i, j) + max(i, j) for j in range(2 * n) if i // 2 != j // 2
            ), everyone)
            for i in range(2 * n)
        ],
    }[association]  # fmt: skip
    pairs = draw_pairs(catalogue_of(tracks), association, seed, 0)
    assert {frozenset(pair) for pair in pairs.tolist()} == {
        frozenset({2 * i, 2 * i + 1}) for i in range(n)
    }


@pytest.mark.parametrize("decoys", [0, 40])
@pytest.mark.parametrize("n", [4, 30])
def test_each_partner_is_as_likely(n: int, decoys: int) -> None:
    """Tracks of one artist, the first two of them also of three more artists.

    Decoys share a release with everyone, so they are on a list and never comply. Without them tries
    find a partner; with them, often only looking at all does.
    """
    everyone = frozenset(range(n + decoys))
    tracks: list[Shares] = [
        (frozenset({i}), frozenset({0, 1, 2, 3} if i < 2 else {0}), frozenset()) for i in range(n)
    ]
    tracks += [(everyone, frozenset({0}), frozenset())] * decoys
    catalogue = catalogue_of(tracks)
    # The pairs that the first track is in, as anchor and as positive: each as often.
    cells, draws = 2 * (n - 1), 6000
    counts = Counter[tuple[int, ...]]()
    for epoch in range(draws):
        pairs = draw_pairs(catalogue, "artist", 0, epoch)
        assert len(pairs) == n // 2
        counts += Counter(tuple(pair) for pair in pairs.tolist() if 0 in pair)
    assert len(counts) == cells
    # Chi-square of c - 1 degrees has mean c - 1 and variance 2 (c - 1).
    expected = draws / cells
    chi_square = sum((count - expected) ** 2 / expected for count in counts.values())
    assert chi_square < cells - 1 + 4 * (2 * (cells - 1)) ** 0.5


@untimed
@given(TRACKS, SEEDS)
def test_track_pairs_are_each_track_with_itself(tracks: list[Shares], seed: int) -> None:
    pairs = draw_pairs(catalogue_of(tracks), "track", seed, 0)
    assert sorted(pairs.tolist()) == [[row, row] for row in range(len(tracks))]


@pytest.mark.parametrize("association", ASSOCIATIONS)
def test_seed_and_epoch_decide(association: Association) -> None:
    # 400 tracks, in 20 releases, by 20 artists that have a track of each, on 40 labels.
    tracks = [(frozenset({i // 20}), frozenset({i % 20}), frozenset({i // 10})) for i in range(400)]
    catalogue = catalogue_of(tracks)
    first = draw_pairs(catalogue, association, 1, 2).tolist()
    assert len(first) == (400 if association == "track" else pytest.approx(200, abs=20))
    assert draw_pairs(catalogue, association, 1, 2).tolist() == first
    assert draw_pairs(catalogue, association, 1, 3).tolist() != first
    assert draw_pairs(catalogue, association, 2, 2).tolist() != first


def test_what_belongs_together_is_no_negative() -> None:
    # Releases, artists, labels: the first two are an artist's on two releases, the third has no
    # artist.
    nobody, zero, one, two = frozenset[int](), frozenset({0}), frozenset({1}), frozenset({2})
    tracks = [(zero, zero | one, zero), (one, one, nobody), (one, nobody, zero), (two, two, nobody)]
    catalogue = catalogue_of(tracks)
    anchors, others = np.array([0, 2, 3]), np.array([1, 2, 3, 0])
    expected: dict[Association, list[list[int]]] = {
        "track": [[0, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0]],
        "release": [[0, 0, 0, 1], [1, 1, 0, 0], [0, 0, 1, 0]],
        "artist": [[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0]],
        "label": [[0, 1, 0, 1], [0, 1, 0, 1], [0, 0, 1, 0]],
    }
    for association, matrix in expected.items():
        assert alike(catalogue, association, anchors, others).astype(int).tolist() == matrix


def test_drawing_leaves_the_catalogue_as_it_was() -> None:
    catalogue = catalogue_of([(frozenset({0}), frozenset(), frozenset())] * 20)
    before = catalogue.releases.columns.copy(), catalogue.releases.starts.copy()
    assert len(draw_pairs(catalogue, "release", 0, 0)) == 10
    assert (catalogue.releases.columns == before[0]).all()
    assert (catalogue.releases.starts == before[1]).all()


def test_another_association_is_refused() -> None:
    with pytest.raises(RecipeError, match="'mood' must be one of track, release, artist, label"):
        # From a recipe, say, that nobody checked.
        draw_pairs(catalogue_of([]), cast(Association, "mood"), 0, 0)
