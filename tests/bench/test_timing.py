"""Timing: turns, medians, ratios. None of these looks at how long anything takes."""

import os
from collections.abc import Callable

import pytest

from auricle.errors import ConfigError
from bench.timing import Spread, alternate, calls_for, parse_cores, percentiles, pinned, ratios


def test_spread_of_an_odd_and_an_even_number_of_values() -> None:
    assert Spread.of([3, 1, 100]) == Spread(median=3, low=1, high=100, runs=3)
    assert Spread.of([4, 1, 2, 100]) == Spread(median=3, low=1, high=100, runs=4)
    assert Spread.of([5]) == Spread(5, 5, 5, 1)


def test_a_spread_in_other_units() -> None:
    seconds = Spread(median=0.5, low=0.25, high=2, runs=3)
    assert seconds.scaled(1e3) == Spread(500, 250, 2000, 3)
    # The slowest run is the lowest rate.
    assert seconds.inverse(10) == Spread(median=20, low=5, high=40, runs=3)


def test_contenders_take_turns_and_each_round_begins_with_another() -> None:
    order: list[str] = []

    def contender(name: str) -> Callable[[], float]:
        def measure() -> float:
            order.append(name)
            return float(len(order))

        return measure

    measured = alternate({name: contender(name) for name in "abc"}, runs=3, warm_up=1)
    assert order == [*"cab", *"abc", *"bca", *"cab"]
    # Numbers 1 to 3 were the warm-up.
    assert measured == {"a": [4, 9, 11], "b": [5, 7, 12], "c": [6, 8, 10]}


def test_who_waits_hears_what_is_measured() -> None:
    lines: list[str] = []
    alternate({"a": lambda: 1.0}, runs=2, progress=lines.append)
    assert lines == ["warm-up: a", "run 1 of 2: a", "run 2 of 2: a"]


def test_ratios_are_taken_round_by_round() -> None:
    # A machine that is twice as slow in the second round changes no ratio.
    assert ratios([10, 20, 10], [1, 2, 1]) == Spread(10, 10, 10, 3)


def test_percentiles() -> None:
    assert percentiles(range(101)) == {"p50": 50, "p95": 95, "p99": 99, "max": 100}
    assert percentiles([7.0]) == {"p50": 7, "p95": 7, "p99": 7, "max": 7}


def test_at_least_one_call() -> None:
    assert calls_for(lambda: None, 0.0) == 1


def test_cores() -> None:
    first = min(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    assert parse_cores(None) == (first,)
    assert parse_cores(f"{first}") == (first,)
    with pytest.raises(ConfigError, match="cores='one'"):
        parse_cores("one")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system pins nothing")
def test_pinning_holds_within_and_not_after() -> None:
    before = os.sched_getaffinity(0)
    with pinned([min(before)]) as done:
        assert done
        assert os.sched_getaffinity(0) == {min(before)}
    assert os.sched_getaffinity(0) == before
    with pinned([]) as done:
        assert not done
        assert os.sched_getaffinity(0) == before
    with pytest.raises(ConfigError, match="99999"):
        parse_cores("99999")
