"""Random numbers that depend on nothing but what they are for."""

from __future__ import annotations

import numpy as np


def seeded_generator(seed: int, epoch: int, *more: int) -> np.random.Generator:
    """The generator of one item in one epoch: the same in every process, also after a restart.

    Args:
        seed: Seed of the recipe, not negative.
        epoch: Number of the epoch.
        more: Further numbers that distinguish it, such as the number of a batch.
    """
    return np.random.default_rng([seed, epoch, *more])
