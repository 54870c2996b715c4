"""Smoothing of scores over time, and events with hysteresis. Pure, one head at a time."""

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
    """Mean over the last `segments` segments, or over all of them at the beginning.

    Every mean is a new sum: a running one would accumulate rounding errors over days. Takes and
    gives shape `(labels,)`.
    """
    kept: deque[Activations] = deque(maxlen=segments)

    def smooth(activations: Activations) -> Activations:
        kept.append(activations)
        return np.asarray(np.mean(kept, axis=0, dtype=np.float32))

    return smooth


def median_smoother(segments: int) -> Smoother:
    """Median by label over the last `segments` segments, or over all of them at the beginning.

    Takes and gives shape `(labels,)`.
    """
    kept: deque[Activations] = deque(maxlen=segments)

    def smooth(activations: Activations) -> Activations:
        kept.append(activations)
        return np.asarray(np.median(kept, axis=0), np.float32)

    return smooth


def exponential_smoother(segments: float) -> Smoother:
    """Exponential mean, in which a segment's weight falls to 1/e after `segments` segments.

    It starts at the activations of the first segment.
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
    """A label that came on or went off.

    Attributes:
        change: `on` or `off`.
        at: Time of the segment that began it, seconds from the start of the source.
        activation: Activation at that time.
        reason: Reason, if its activation was not what made it go off.
    """

    change: Literal["on", "off"]
    at: Fraction
    activation: float
    reason: str | None = None


class Hysteresis:
    """Turns the activations of one label into changes.

    The label comes on when its activation reaches `on` and does not fall below `off` for `least_s`
    seconds. It goes off when its activation falls below `off`. Both carry the time of the segment
    that began the change: one that takes `least_s` is reported late but dated correctly.

    Args:
        on: Activation at which it comes on.
        off: Activation below which it goes off; at most `on`.
        least_s: Seconds that it has to last.
    """

    def __init__(self, on: float, off: float, least_s: Fraction) -> None:
        self._on, self._off, self._least_s = on, off, least_s
        self._since: tuple[Fraction, float] | None = None
        self._is_on = False

    def __call__(self, at: Fraction, activation: float) -> Change | None:
        """Take the next segment's activation.

        Args:
            at: Time of the segment, seconds from the start of the source.
            activation: Activation of the label.

        Returns:
            The change that it causes; None without a change.
        """
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
        """Forget everything, at `at` seconds.

        Returns:
            The label's going off for `reason`; None if it was not on.
        """
        was_on, self._is_on, self._since = self._is_on, False, None
        return Change("off", at, 0.0, reason) if was_on else None
