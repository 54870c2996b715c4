"""Clocks that disagree or are set are no latency."""

from __future__ import annotations

import pytest

from auricle.wire.clocks import ClockDifference


def delays(published: list[float], received: list[float]) -> list[float]:
    clocks = ClockDifference()
    return [
        round(clocks.received(sent, got) - sent, 6)
        for sent, got in zip(published, received, strict=True)
    ]


def test_delays_between_clocks_that_agree() -> None:
    assert delays([100, 101, 102], [100.2, 101.1, 107]) == [0.2, 0.1, 5]


@pytest.mark.parametrize("ahead", [-3600, -5, 5, 3600])
def test_a_clock_that_is_off(ahead: float) -> None:
    received = [100.2 + ahead, 101.1 + ahead, 102.5 + ahead]
    assert delays([100, 101, 102], received) == [0, 0, 0.4]


@pytest.mark.parametrize("step", [-3600, 3600])
def test_a_clock_that_is_set(step: float) -> None:
    """The engine's: from then on the other one seems to be off."""
    assert delays([100, 101, 102 + step, 103 + step], [100.1, 101.1, 102.1, 103.3]) == [
        0.1,
        0.1,
        0,
        0.2,
    ]


def test_a_clock_that_is_set_back_again() -> None:
    assert delays([100, 3701, 102], [100.1, 101.1, 102.1]) == [0.1, 0, 0.1]
