"""Making sense of scores over time: smoothing, and events with hysteresis. Pure, one head at a
time.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Activations = NDArray[np.float32]

Smoother = Callable[[Activations], Activations]
"""Takes the activations of the next segment, shape `(labels,)`, and returns them smoothed."""


def mean_smoother(segments: int) -> Smoother:
    """Mean of the last `segments` segments; of those there are, at the beginning.

    The sum is taken anew each time: a running one would gather rounding errors over days.
    """
    kept: deque[Activations] = deque(maxlen=segments)

    def smooth(activations: Activations) -> Activations:
        kept.append(activations)
        return np.asarray(np.mean(kept, axis=0, dtype=np.float32))

    return smooth


def median_smoother(segments: int) -> Smoother:
    """Median of the last `segments` segments, label by label; of those there are, at the beginning."""
    kept: deque[Activations] = deque(maxlen=segments)

    def smooth(activations: Activations) -> Activations:
        kept.append(activations)
        return np.asarray(np.median(kept, axis=0), np.float32)

    return smooth


def exponential_smoother(segments: float) -> Smoother:
    """Exponential mean whose memory falls to 1/e after `segments` segments; begins at the first
    one.
    """
    weight = np.float32(1 - math.exp(-1 / segments))
    state: Activations | None = None

    def smooth(activations: Activations) -> Activations:
        nonlocal state
        state = activations if state is None else state + weight * (activations - state)
        return state

    return smooth


@dataclass(frozen=True, slots=True)
class Change:
    """A label that came on or went off: at what time, with what activation, and why if not by that."""

    change: Literal["on", "off"]
    at: Fraction
    activation: float
    reason: str | None = None


class Hysteresis:
    """Turns the activations of one label into changes.

    The label comes on when its activation reaches `on` and does not fall below `off` for `least_s`
    seconds. It goes off when its activation falls below `off`. Both bear the time of the segment
    that began it, so a change that had to be waited for is told late but dated right.

    Args:
        on: Activation at which it comes on.
        off: Activation below which it goes off; at most `on`.
        least_s: Seconds it has to last.
    """

    def __init__(self, on: float, off: float, least_s: Fraction) -> None:
        self._on, self._off, self._least_s = on, off, least_s
        self._since: tuple[Fraction, float] | None = None
        self._is_on = False

    def __call__(self, at: Fraction, activation: float) -> Change | None:
        """The change, if any, that the segment at `at` seconds brings."""
        if self._since is None:
            if activation < self._on:
                return None
            self._since = (at, activation)
        if activation < self._off:
            was_on, self._is_on, self._since = self._is_on, False, None
            return Change("off", at, activation) if was_on else None
        if not self._is_on and at - self._since[0] >= self._least_s:
            self._is_on = True
            return Change("on", *self._since)
        return None

    def close(self, at: Fraction, reason: str) -> Change | None:
        """Forget everything; the change that this is, if the label was on."""
        was_on, self._is_on, self._since = self._is_on, False, None
        return Change("off", at, 0.0, reason) if was_on else None
