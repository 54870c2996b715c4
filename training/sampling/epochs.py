"""Which tracks an epoch has, in which order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from auricle.training.data.csr import Csr


def balanced_weights(classes: Csr) -> NDArray[np.float64]:
    """Weights that let tracks with rare classes come up more often.

    A track has the sum over its classes of 1000 / (f + 100), f being the number of tracks with that
    class; a track without classes has none, and never comes up. So MAEST's published code has it,
    where the paper says "inverse label frequency" (thesis, section 6.3.2); the 100 keeps the rarest
    from coming up all the time.

    Args:
        classes: Classes of each track; rows are tracks.

    Returns:
        (tracks,)
    """
    frequency = np.bincount(classes.columns, minlength=classes.n_columns)
    rows = np.repeat(np.arange(len(classes)), np.diff(classes.starts))
    weights = (1000 / (frequency + 100))[classes.columns]
    return np.asarray(np.bincount(rows, weights, len(classes)), np.float64)


def draw_tracks(weights: NDArray[np.float64], n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Tracks of an epoch, without replacement, in random order.

    As if one after the other were drawn by weight from those that are left; done by racing: each
    gets an exponential time with its weight as rate, and the first n count (P. Efraimidis, P.
    Spirakis, "Weighted random sampling with a reservoir", 2006).

    Args:
        weights: (tracks,) float64, not negative; a track with 0 is never drawn.
        n: Number of tracks to draw; all with a positive weight, if these are fewer.
        seed: Seed, not negative. With `epoch` it decides the draw: every process draws the same.
        epoch: Number of the epoch.

    Returns:
        (n,) int64, indices into `weights`.
    """
    candidates = np.flatnonzero(weights > 0)
    n = min(n, len(candidates))
    generator = np.random.default_rng((seed, epoch))
    times = generator.standard_exponential(len(candidates)) / weights[candidates]
    first = np.argpartition(times, n - 1)[:n]
    return generator.permutation(candidates[first])
