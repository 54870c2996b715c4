"""Clocks: sample to time, and drift in parts per million."""

import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auricle.engine.clock import MOST_JUMPS, SourceClock


@pytest.mark.parametrize("first", [0, 2**31 - 5, 2**53])
def test_samples_of_seconds_are_exact(first: int) -> None:
    clock = SourceClock(44100, first)
    assert clock.sample_at(Fraction(86400 * 365)) == first + 44100 * 86400 * 365


def test_times_come_from_the_latest_observation() -> None:
    clock = SourceClock(16000)
    clock.observe(320, 1_000_000_000)
    assert clock.monotonic_ns(320) == 1_000_000_000
    assert clock.monotonic_ns(0) == 1_000_000_000 - 20_000_000
    assert clock.monotonic_ns(480) == 1_000_000_000 + 10_000_000


def test_utc_is_monotonic_time_moved() -> None:
    clock = SourceClock(16000)
    clock.observe(0, 0)
    assert clock.utc_ns(16000) - clock.utc_ns(0) == 1_000_000_000


def test_no_drift_is_stated_too_early() -> None:
    clock = SourceClock(16000)
    for second in range(9):
        clock.observe(16000 * second, second * 10**9)
    assert clock.drift_ppm is None


@given(
    ppm=st.floats(-300, 300),
    first=st.sampled_from([0, 2**31 - 5, 2**53]),
    delays_ms=st.lists(st.floats(0, 30), min_size=50, max_size=50),
)
def test_drift_is_found_under_jitter(ppm: float, first: int, delays_ms: list[float]) -> None:
    """Ten minutes of 20 ms blocks of a source that is `ppm` fast; one a second is not delayed."""
    clock = SourceClock(48000, first)
    start_ns = 10**15
    for block in range(1, 600 * 50):
        samples = block * 960
        true_ns = samples / (48000 * (1 + ppm / 1e6)) * 1e9
        delay_ns = 0 if block % 50 == 0 else delays_ms[block % 50] * 1e6
        clock.observe(first + samples, start_ns + int(true_ns + delay_ns))
    # One clean block in each second: what is left is the rounding of times to the second's
    # promptest block.
    assert clock.drift_ppm == pytest.approx(ppm, abs=1)


@pytest.mark.parametrize("scatter_ms", [30.0, 1000.0])
def test_no_drift_is_stated_before_it_is_known(scatter_ms: float) -> None:
    """Pages of a radio, say, that come when they are full: what seems a drift is chance."""
    clock, chance = SourceClock(16000), random.Random(1)
    for second in range(1, 200):
        clock.observe(16000 * second, int(1e9 * second + 1e6 * scatter_ms * chance.random()))
        drift = clock.drift_ppm
        assert drift is None or abs(drift) < 40


@pytest.mark.parametrize("speed", [0.5, 1.002, 5.0, 1e6])
def test_what_does_not_keep_time_has_no_drift(speed: float) -> None:
    clock = SourceClock(16000)
    for second in range(1, 200):
        clock.observe(16000 * second, int(1e9 * second / speed))
        assert clock.drift_ppm is None


def test_an_outage_is_no_drift() -> None:
    """The sources lead by another half of a second after it, which is no drift either."""
    clock = SourceClock(16000)
    for second in range(1, 60):
        clock.observe(16000 * second, second * 10**9)
    assert clock.drift_ppm == pytest.approx(0, abs=0.01)
    clock.forget()
    assert clock.drift_ppm is None
    for second in range(60, 90):
        clock.observe(16000 * second, second * 10**9 - 5 * 10**8)
    assert clock.drift_ppm == pytest.approx(0, abs=0.01)


def test_samples_are_due_by_the_promptest_arrival() -> None:
    clock = SourceClock(16000)
    assert clock.least_delay_s is None
    for second, at_s in enumerate([2, 3, 9], 1):  # the last is held back for five seconds
        clock.observe(16000 * second, at_s * 10**9)
    assert clock.least_delay_s == 1


def test_outages_do_not_add_up_in_when_samples_are_due() -> None:
    clock = SourceClock(16000)
    clock.observe(16000, 2 * 10**9)
    for outage in range(5):
        clock.forget()
        assert clock.least_delay_s == 1
        clock.observe(32000 + outage, 3 * 10**9 - outage * 10**8)


def test_long_after_an_outage_samples_are_due_by_what_came_since() -> None:
    clock = SourceClock(16000)
    clock.observe(16000, 2 * 10**9)
    clock.forget()
    for second in range(2, 100):
        clock.observe(16000 * second, (second + 2) * 10**9)
    assert clock.least_delay_s == 2


def test_nothing_arrives_before_the_beginning() -> None:
    clock = SourceClock(16000)
    clock.begin(5 * 10**9)
    assert clock.monotonic_ns(16000) == 5 * 10**9
    clock.observe(16000 * 10, 6 * 10**9)  # nine seconds were sent ahead
    assert clock.monotonic_ns(16000) == 5 * 10**9
    assert clock.monotonic_ns(16000 * 11) == 7 * 10**9


def test_what_is_left_out_moves_what_comes_after_it() -> None:
    clock = SourceClock(1000, first_sample=50)
    clock.leave_out(Fraction(2), 7000)
    clock.leave_out(Fraction(5), 100)
    samples = [clock.sample_at(Fraction(at)) for at in (1, 2, 4, 5)]
    assert samples == [1050, 9050, 11050, 12150]
    assert [clock.sample_at(Fraction(at), end=True) for at in (2, 5)] == [2050, 12050]
    assert clock.seconds_at(Fraction(5, 2)) == Fraction(19, 2)


def test_places_left_out_long_ago_are_forgotten_and_still_count() -> None:
    clock = SourceClock(1000)
    for number in range(1000):
        clock.leave_out(Fraction(number), 10)
    assert clock.sample_at(Fraction(999)) == 999_000 + 10_000
    assert len(clock._jumps) == MOST_JUMPS
