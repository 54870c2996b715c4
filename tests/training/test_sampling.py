"""Sampling: known weights, no track twice, the same in every process, and rare classes more often."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.errors import RecipeError

torch = pytest.importorskip("torch", reason="samplers are torch's")
from training.csr import Csr  # noqa: E402
from training.sampling import EpochSampler, balanced_weights, draw_tracks, share_of  # noqa: E402


class TestWeights:
    def test_known_values(self):
        # 1000 tracks of the first class, 100 of the second, 10 of the third; one of the first and third.
        lists = [[0]] * 999 + [[1]] * 100 + [[2]] * 9 + [[0, 2]] + [[]]
        weights = balanced_weights(Csr.of_lists(lists, 3))
        assert weights[[0, 999, 1099]] == pytest.approx([0.9091, 5, 9.0909], abs=5e-5)
        assert weights[1108] == pytest.approx(10.0, abs=1e-12)
        assert weights[1109] == 0
        assert len(weights) == 1110

    def test_a_class_of_no_track(self):
        assert balanced_weights(Csr.of_lists([[0], [2]], 3)) == pytest.approx([1000 / 101] * 2)


class TestDraw:
    @given(st.integers(1, 50), st.data(), st.integers(0, 2**32), st.integers(0, 200))
    def test_no_track_twice(self, size, data, seed, epoch):
        weights = np.array(data.draw(st.lists(st.sampled_from([0.0, 0.1, 9]), min_size=size, max_size=size)))
        there = np.flatnonzero(weights)
        if not len(there):
            return
        n = data.draw(st.integers(1, len(there)))
        drawn = draw_tracks(weights, n, seed, epoch)
        assert len(set(drawn.tolist())) == len(drawn) == n
        assert set(drawn.tolist()) <= set(there.tolist())
        assert (drawn == draw_tracks(weights, n, seed, epoch)).all()

    def test_odds_are_those_of_drawing_one_after_the_other(self):
        weights, times = np.array([1.0, 2.0, 5.0]), 8000
        drawn = [frozenset(draw_tracks(weights, 2, 0, epoch).tolist()) for epoch in range(times)]
        for pair in ((0, 1), (0, 2), (1, 2)):
            a, b = weights[list(pair)] / 8
            expected = a * b / (1 - a) + b * a / (1 - b)
            # The deviation of such a part is at most 0.0056.
            assert drawn.count(frozenset(pair)) / times == pytest.approx(expected, abs=0.02)

    def test_order_is_random_too(self):
        weights = np.array([1.0] * 10 + [1000.0] * 10)
        first = [draw_tracks(weights, 20, 0, epoch)[0] for epoch in range(2000)]
        assert np.mean(np.array(first) < 10) == pytest.approx(0.5, abs=0.05)

    def test_seed_and_epoch_decide(self):
        weights = np.ones(100)
        draws = [draw_tracks(weights, 50, seed, epoch).tolist() for seed, epoch in ((0, 0), (0, 1), (1, 0))]
        assert draws[0] != draws[1] != draws[2] != draws[0]

    @pytest.mark.parametrize("n", [0, 4])
    def test_too_many_are_refused(self, n):
        with pytest.raises(RecipeError, match=f"sampling: {n} tracks an epoch must be from 1 to 3"):
            draw_tracks(np.array([1.0, 0, 2, 3]), n, 0, 0)


class TestShares:
    @settings(deadline=None)
    @given(st.integers(0, 40), st.integers(1, 5))
    def test_parts_are_disjoint_and_equal(self, n, n_ranks):
        shares = [share_of(np.arange(n), rank, n_ranks) for rank in range(n_ranks)]
        assert len({len(share) for share in shares}) == 1
        assert np.stack(shares, 1).flatten().tolist() == list(range(n // n_ranks * n_ranks))

    def test_rows_stay_whole(self):
        assert share_of(np.arange(8).reshape(4, 2), 1, 2).tolist() == [[2, 3], [6, 7]]

    @pytest.mark.parametrize("rank", [-1, 2])
    def test_no_such_process(self, rank):
        with pytest.raises(ValueError, match=f"rank={rank} must be from 0 to 1"):
            share_of(np.arange(4), rank, 2)


class TestSampler:
    def test_processes_share_an_epoch(self):
        weights = np.arange(1.0, 101)
        alone = EpochSampler(weights, 61, seed=3)
        ranks = [EpochSampler(weights, 61, 3, rank, 3) for rank in range(3)]
        for sampler in (alone, *ranks):
            sampler.set_epoch(7)
        shares = [list(rank) for rank in ranks]
        assert [len(share) for share in shares] == [len(rank) for rank in ranks] == [20, 20, 20]
        together = [track for step in zip(*shares, strict=True) for track in step]
        assert together == list(alone)[:60]
        assert len(set(together)) == 60

    def test_epochs_differ_and_repeat(self):
        sampler = EpochSampler(np.ones(50), 20, seed=0)
        first = list(sampler)
        assert list(sampler) == first
        sampler.set_epoch(1)
        assert list(sampler) != first
        sampler.set_epoch(0)
        assert list(sampler) == first

    def test_in_a_loader(self):
        loader = torch.utils.data.DataLoader(
            np.arange(50.0), batch_size=4, sampler=EpochSampler(np.ones(50), 20, seed=0)
        )
        assert len(loader) == 5
        assert torch.cat(list(loader)).unique().numel() == 20

    def test_too_few_tracks_are_refused_at_once(self):
        with pytest.raises(RecipeError, match="6 tracks an epoch must be from 1 to 5"):
            EpochSampler(np.ones(5), 6, seed=0)
        with pytest.raises(RecipeError, match="2 tracks an epoch for 3 processes"):
            EpochSampler(np.ones(5), 2, 0, 0, 3)
