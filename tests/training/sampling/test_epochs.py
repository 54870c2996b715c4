"""Sampling: known weights, no track twice, equal in every process, rare classes more often."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="samplers are torch's")
from auricle.training.data.csr import Csr  # noqa: E402
from auricle.training.sampling.epochs import balanced_weights, draw_tracks  # noqa: E402


class TestWeights:
    def test_known_values(self) -> None:
        # 1000 tracks of the first class, 100 of the second, 10 of the third; one of the first and
        # third.
        lists = [[0]] * 999 + [[1]] * 100 + [[2]] * 9 + [[0, 2]] + [[]]
        weights = balanced_weights(Csr.of_lists(lists, 3))
        assert weights[[0, 999, 1099]] == pytest.approx([0.9091, 5, 9.0909], abs=5e-5)
        assert weights[1108] == pytest.approx(10.0, abs=1e-12)
        assert weights[1109] == 0
        assert len(weights) == 1110

    def test_a_class_of_no_track(self) -> None:
        assert balanced_weights(Csr.of_lists([[0], [2]], 3)) == pytest.approx([1000 / 101] * 2)


class TestDraw:
    @given(st.integers(1, 50), st.data(), st.integers(0, 2**32), st.integers(0, 200))
    def test_no_track_twice(self, size: int, data: st.DataObject, seed: int, epoch: int) -> None:
        weights = np.array(
            data.draw(st.lists(st.sampled_from([0.0, 0.1, 9]), min_size=size, max_size=size))
        )
        there = np.flatnonzero(weights)
        if not len(there):
            return
        n = data.draw(st.integers(1, len(there)))
        drawn = draw_tracks(weights, n, seed, epoch)
        assert len(set(drawn.tolist())) == len(drawn) == n
        assert set(drawn.tolist()) <= set(there.tolist())
        assert (drawn == draw_tracks(weights, n, seed, epoch)).all()

    def test_odds_are_those_of_drawing_one_after_the_other(self) -> None:
        weights, times = np.array([1.0, 2.0, 5.0]), 8000
        drawn = [frozenset(draw_tracks(weights, 2, 0, epoch).tolist()) for epoch in range(times)]
        for pair in ((0, 1), (0, 2), (1, 2)):
            a, b = weights[list(pair)] / 8
            expected = a * b / (1 - a) + b * a / (1 - b)
            # The deviation of such a part is at most 0.0056.
            assert drawn.count(frozenset(pair)) / times == pytest.approx(expected, abs=0.02)

    def test_order_is_random_too(self) -> None:
        weights = np.array([1.0] * 10 + [1000.0] * 10)
        first = [draw_tracks(weights, 20, 0, epoch)[0] for epoch in range(2000)]
        assert np.mean(np.array(first) < 10) == pytest.approx(0.5, abs=0.05)

    def test_seed_and_epoch_decide(self) -> None:
        weights = np.ones(100)
        draws = [
            draw_tracks(weights, 50, seed, epoch).tolist()
            for seed, epoch in ((0, 0), (0, 1), (1, 0))
        ]
        assert draws[0] != draws[1] != draws[2] != draws[0]

    @pytest.mark.parametrize("n", [3, 4, 200_000])
    def test_of_fewer_all_are_drawn(self, n: int) -> None:
        assert sorted(draw_tracks(np.array([1.0, 0, 2, 3]), n, 0, 0).tolist()) == [0, 2, 3]
