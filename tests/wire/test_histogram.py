"""Percentiles of times, against all the times themselves."""

import threading

import numpy as np
import pytest

from auricle.wire.histogram import MOST, OCTAVES, PARTS, Histogram, Latencies


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("scale_s", [2e-6, 1e-3, 1.0, 3600.0])
def test_percentiles_are_at_most_a_bucket_above_the_truth(seed: int, scale_s: float) -> None:
    rng = np.random.default_rng(seed)
    times = np.sort(rng.lognormal(0, 1, 1000) * scale_s + 1e-6)
    histogram = Histogram()
    for seconds in rng.permutation(times):
        histogram.record(float(seconds))
    wanted = (1.0, 50.0, 95.0, 99.0, 99.9, 100.0)
    found = np.array(histogram.percentiles(wanted))
    # The smallest time that so many per cent do not exceed.
    truth = times[np.ceil(np.array(wanted) * 10).astype(int) - 1]
    assert np.all(found >= truth * (1 - 1e-12))
    assert np.all(found <= truth * (1 + 1 / PARTS))
    assert (histogram.count, histogram.longest_s) == (1000, times[-1])


def test_how_many_were_longer() -> None:
    histogram = Histogram()
    for ms in range(1, 101):
        histogram.record(ms / 1000)
    assert abs(histogram.beyond(0.08) - 20) <= 2, "a bucket is 1/64 of an octave wide"
    assert (histogram.beyond(1.0), histogram.beyond(0.0)) == (0, 100)


def test_one_time() -> None:
    histogram = Histogram()
    histogram.record(0.25)
    assert histogram.summary() == {"p50": 0.25, "p95": 0.25, "p99": 0.25, "max": 0.25, "count": 1}


def test_none() -> None:
    assert Histogram().summary() == {"p50": 0.0, "p95": 0.0, "p99": 0.0, "max": 0.0, "count": 0}


def test_times_below_the_unit_and_clocks_that_go_back() -> None:
    histogram = Histogram()
    for seconds in (-1.0, 0.0, 1e-9):
        histogram.record(seconds)
    assert histogram.percentiles() == [1e-9] * 3, "never above the longest"


def test_memory_does_not_grow_with_the_times() -> None:
    histogram = Histogram()
    for n in range(100_000):
        histogram.record(1e-3 + (n % 1000) * 1e-6)
    assert len(histogram._counts) == OCTAVES * PARTS
    histogram.record(1e9)
    assert histogram.percentiles((100.0,)) == [2.0**OCTAVES * 1e-6], "as far as it reaches"


def test_latencies_by_stream_and_together() -> None:
    latencies = Latencies()
    for n in range(100):
        latencies.record("a", {"queue": 0.001, "total": 0.002})
        if n < 50:
            latencies.record("b", {"total": 0.5})
    assert latencies.summary("a").keys() == {"queue", "total"}
    assert latencies.summary("b")["total"]["count"] == 50
    total = latencies.summary()["total"]
    assert (total["count"], total["max"]) == (150, 0.5)
    assert 0.002 <= total["p50"] < 0.0021
    latencies.forget("b")
    assert latencies.summary("b") == {}
    assert latencies.summary()["total"]["count"] == 150


def test_asking_while_recording() -> None:
    latencies, stop, errors = Latencies(), threading.Event(), []

    def ask() -> None:
        try:
            while not stop.is_set():
                latencies.summary()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    for n in range(500):
        latencies.record("a", {"total": n * 1e-5})
    stop.set()
    thread.join(10)
    assert not errors


def test_a_bucket_counts_no_further_than_it_can() -> None:
    histogram = Histogram()
    histogram.record(1.0)
    histogram._counts[histogram._counts.index(1)] = MOST
    histogram.record(1.0)
    assert histogram.percentiles((50.0,)) == [1.0]
