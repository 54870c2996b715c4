"""The course of the learning rate, as multipliers of the recipe's, and the epochs averaged over.

The functions are for `torch.optim.lr_scheduler.LambdaLR`, by `functools.partial`.
"""

from __future__ import annotations

import math

from auricle.errors import RecipeError


def warm_up_hold_decay(
    epoch: int, *, warm_up: int = 5, decay_from: int = 50, decay: int = 50, last: float = 1e-3
) -> float:
    """MAEST's schedule: up over some epochs, constant, linearly down, then constant.

    Up is exp(-5 (1 - e/warm_up)^2) at epoch e, with e = 0.5 in epoch 0, the usual ramp of PaSST's
    code; the thesis (section 6.3.1) says "warm-up". Defaults are the thesis': from 1e-4 down to
    1e-7. The published code ends at `last=0.01`.

    Args:
        epoch: Number of the epoch, from 0.
        warm_up: Epochs until 1.
        decay_from: The last epoch at 1.
        decay: Epochs from there to `last`.
        last: Multiplier at the end.
    """
    if epoch < warm_up:
        return math.exp(-5 * (1 - max(epoch, 0.5) / warm_up) ** 2)
    if epoch <= decay_from:
        return 1.0
    return 1 - (1 - last) * min(1.0, (epoch - decay_from) / decay)


def warm_up_cosine(step: int, *, warm_up: int, total: int) -> float:
    """From 0 to 1 linearly over `warm_up` steps, then to 0 at `total` on half a cosine.

    This is the schedule of the thesis, section 5.3.3.

    Args:
        step: Number of the step, from 0.
        warm_up: Steps of the warm-up.
        total: Steps of the run.

    Raises:
        RecipeError: `total` is not beyond `warm_up`.
    """
    if not 0 <= warm_up < total:
        raise RecipeError(
            f"schedule: warm_up={warm_up} must be from 0 to {total - 1}, for {total} steps"
        )
    if step < warm_up:
        return step / warm_up
    return (1 + math.cos(math.pi * min(1.0, (step - warm_up) / (total - warm_up)))) / 2


def is_averaged(epoch: int, *, first: int = 50, every: int = 5) -> bool:
    """Whether the weights at the end of an epoch count in the average.

    MAEST takes every fifth epoch from epoch 50. The average itself is
    `torch.optim.swa_utils.AveragedModel`, whose `update_parameters` must be called then; it
    keeps a running mean of all weights it was given. Networks with batch normalisation need their
    statistics from data again (`update_bn`).

    Args:
        epoch: Number of the epoch, from 0.
        first: First epoch that counts.
        every: Epochs from one that counts to the next.
    """
    return epoch >= first and (epoch - first) % every == 0
