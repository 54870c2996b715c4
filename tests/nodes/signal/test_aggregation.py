"""Smoothing and hysteresis, worked by hand."""

from fractions import Fraction

import numpy as np
import pytest

from auricle.nodes.signal.aggregation import (
    Change,
    Hysteresis,
    exponential_smoother,
    mean_smoother,
    median_smoother,
)


def floats(*values: float) -> list[np.ndarray]:
    return [np.array([value, 1 - value], np.float32) for value in values]


def test_mean_of_the_last_three() -> None:
    smooth = mean_smoother(3)
    got = [smooth(x)[0] for x in floats(0.0, 0.6, 0.3, 0.9, 0.9)]
    np.testing.assert_allclose(got, [0, 0.3, 0.3, 0.6, 0.7], atol=1e-6)


def test_mean_does_not_drift() -> None:
    """A day of segments, then silence: nothing is left of the day."""
    smooth = mean_smoother(4)
    rng = np.random.default_rng(0)
    for value in rng.uniform(size=60_000).astype(np.float32):
        smooth(np.array([value]))
    assert [float(smooth(np.zeros(1, np.float32))[0]) for _ in range(4)][-1] == 0.0


def test_median_of_the_last_three_ignores_one_outlier() -> None:
    smooth = median_smoother(3)
    got = [smooth(x)[0] for x in floats(0.1, 0.1, 0.9, 0.1, 0.8, 0.8)]
    np.testing.assert_allclose(got, [0.1, 0.1, 0.1, 0.1, 0.8, 0.8], atol=1e-6)


def test_exponential_mean_falls_to_one_over_e() -> None:
    smooth = exponential_smoother(5)
    assert smooth(np.ones(1, np.float32))[0] == 1
    for _ in range(5):
        last = smooth(np.zeros(1, np.float32))
    assert float(last[0]) == pytest.approx(np.exp(-1), rel=1e-6)


def changes(activations: list[float], on: float, off: float, least_s: int = 0) -> list[Change]:
    """Segments are one second apart."""
    hysteresis = Hysteresis(on, off, Fraction(least_s))
    found = [hysteresis(Fraction(at), activation) for at, activation in enumerate(activations)]
    return [change for change in found if change]


def test_on_above_one_threshold_off_below_another() -> None:
    got = changes([0.4, 0.6, 0.4, 0.35, 0.2, 0.4, 0.5], on=0.5, off=0.3)
    assert got == [
        Change("on", Fraction(1), 0.6),
        Change("off", Fraction(4), 0.2),
        Change("on", Fraction(6), 0.5),
    ]


def test_thresholds_themselves_are_on() -> None:
    assert changes([0.5, 0.3, 0.29], on=0.5, off=0.3) == [
        Change("on", Fraction(0), 0.5),
        Change("off", Fraction(2), 0.29),
    ]


def test_short_ones_are_not_reported_and_long_ones_bear_the_time_they_began() -> None:
    got = changes([0.9, 0.1, 0.8, 0.7, 0.6, 0.1], on=0.5, off=0.3, least_s=2)
    assert got == [Change("on", Fraction(2), 0.8), Change("off", Fraction(5), 0.1)]


def test_close_ends_what_was_on_and_forgets_what_was_not_yet() -> None:
    hysteresis = Hysteresis(0.5, 0.3, Fraction(2))
    assert hysteresis(Fraction(0), 0.9) is None
    assert hysteresis.close(Fraction(1), "gap") is None
    assert hysteresis(Fraction(1), 0.9) is None
    assert hysteresis(Fraction(3), 0.9) == Change("on", Fraction(1), 0.9)
    assert hysteresis.close(Fraction(4), "end") == Change("off", Fraction(4), 0.0, "end")
    assert hysteresis.close(Fraction(4), "end") is None
