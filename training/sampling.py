"""Which tracks an epoch has, in which order, and which of them fall to each process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from training.csr import Csr
from training.errors import RecipeError


def balanced_weights(classes: Csr) -> NDArray[np.float64]:
    """Weights that let tracks with rare classes come up more often.

    A track has the sum over its classes of 1000 / (f + 100), f being the number of tracks with that class; a
    track without classes has none, and never comes up. So MAEST's published code has it, where the paper says
    "inverse label frequency" (thesis, section 6.3.2); the 100 keeps the rarest from coming up all the time.

    Args:
        classes: Rows are tracks.

    Returns:
        (tracks,)
    """
    frequency = np.bincount(classes.columns, minlength=classes.n_columns)
    rows = np.repeat(np.arange(len(classes)), np.diff(classes.starts))
    weights = (1000 / (frequency + 100))[classes.columns]
    return np.asarray(np.bincount(rows, weights, len(classes)), np.float64)


def draw_tracks(weights: NDArray[np.float64], n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Tracks of an epoch, without replacement, in random order.

    As if one after the other were drawn by weight from those that are left; done by racing: each gets an
    exponential time with its weight as rate, and the first n count (P. Efraimidis, P. Spirakis, "Weighted
    random sampling with a reservoir", 2006).

    Args:
        weights: (tracks,), not negative; one at 0 is never drawn.
        n: How many.
        seed: Not negative, as is `epoch`. Both together decide the draw: every process draws the same.
        epoch: Number of the epoch.

    Returns:
        (n,), rows of `weights`.

    Raises:
        RecipeError: There are fewer than n with a weight.
    """
    candidates = np.flatnonzero(weights > 0)
    if not 0 < n <= len(candidates):
        raise RecipeError(f"sampling: {n} tracks an epoch must be from 1 to {len(candidates)}")
    generator = np.random.default_rng((seed, epoch))
    times = generator.standard_exponential(len(candidates)) / weights[candidates]
    first = np.argpartition(times, n - 1)[:n]
    return generator.permutation(candidates[first])


def share_of(items: NDArray[Any], rank: int, n_ranks: int) -> NDArray[Any]:
    """The part of an epoch that falls to one of several processes: every `n_ranks`-th item.

    All get the same number, because they wait for each other at each step; up to `n_ranks - 1` items at the
    end fall to nobody. Side by side, the parts give the items in their order.

    Args:
        items: (n, ...), the same in each process.
        rank: Number of the process.
        n_ranks: How many there are.

    Raises:
        ValueError: There is no such process.
    """
    if not 0 <= rank < n_ranks:
        raise ValueError(f"rank={rank} must be from 0 to {n_ranks - 1}")
    return items[: len(items) // n_ranks * n_ranks][rank::n_ranks]


class EpochSampler(Sampler):
    """Draws tracks anew for each epoch, as `draw_tracks`, for a `DataLoader`.

    Lightning calls `set_epoch` itself; it has to be told `use_distributed_sampler=False`, or it puts its own
    sampler in this one's place.

    Args:
        weights: (tracks,)
        n: Tracks an epoch, of all processes together.
        seed: Decides the draws, together with the epoch.
        rank: Number of this process.
        n_ranks: How many there are.

    Raises:
        RecipeError: There are fewer than n with a weight, or n is less than the number of processes.
    """

    def __init__(
        self, weights: NDArray[np.float64], n: int, seed: int, rank: int = 0, n_ranks: int = 1
    ) -> None:
        self.weights, self.n, self.seed = weights, n, seed
        self.rank, self.n_ranks = rank, n_ranks
        self.epoch = 0
        if n < n_ranks:
            raise RecipeError(f"sampling: {n} tracks an epoch for {n_ranks} processes")
        draw_tracks(weights, n, seed, 0)  # says so now, if there are too few

    def set_epoch(self, epoch: int) -> None:
        """What `iter` draws from now on."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        drawn = draw_tracks(self.weights, self.n, self.seed, self.epoch)
        return iter(share_of(drawn, self.rank, self.n_ranks).tolist())

    def __len__(self) -> int:
        return self.n // self.n_ranks
