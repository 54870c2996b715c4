"""Measurements with separate engines and little work. How fast these are does not matter."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from auricle.errors import InputError
from auricle.models.registry import info
from bench.drawings import draw
from bench.fleet import Fleet, fleet
from bench.measures import latency, overload, soak, streams
from bench.report import Report
from bench.segments import Segments
from tests.bench.cells import number
from tests.tiny import make_backbone


class Patient(Fleet):
    """An engine that is measured until every stream has had a window, however busy the machine."""

    def measure(self, seconds: float) -> dict[str, Any]:
        while True:
            found = super().measure(seconds)
            if all(counts["offered"] for counts in found["streams"].values()):
                return found


SHORT = functools.partial(fleet, sound_s=600.0, raw_s=0.2, kind=Patient)
"""An engine whose streams play ten minutes, and whose inference is measured quickly."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_backbone(tmp_path_factory.mktemp("models") / "tiny"))


def correct(report: Report) -> None:
    """That the targets of correctness are there, and met."""
    found = [target for target in report.targets if target.correctness]
    assert found
    assert report.wrong == []
    assert Report.from_dict(report.as_dict()).as_dict() == report.as_dict()


# -- latency ---------------------------------------------------------------------------------------


def test_latency(model: str, tmp_path: Path) -> None:
    report = latency.measure(model, hops=(13, 7), seconds=3, runs=1)
    correct(report)
    for hop in (13, 7):
        rows = {stage: report.rows[f"hop {hop}: {stage}"] for stage in (*latency.STAGES, "total")}
        # The way is longer than any part of it, and than all of the inference.
        assert number(rows["total"]["p50 ms"]) > number(rows["inference"]["p50 ms"]) > 0
        # 188 mel frames; the first two segments do not count. A busy machine may skip some.
        assert 0 < len(report.series[f"hop {hop}: total"]) <= (188 - 40) // hop + 1 - 2
    assert draw(report, tmp_path).stat().st_size > 0


def test_sound_that_ends_within_a_segment(model: str) -> None:
    report = latency.measure(model, hops=(1,), seconds=1, runs=1)
    assert report.series["hop 1: total"]
    with pytest.raises(InputError, match="hop 93: no predictions in 1 s; more seconds"):
        latency.measure(model, hops=(93,), seconds=1, runs=1)


def test_latency_begins_with_the_block_of_the_last_sample(model: str) -> None:
    # The last frame of segment 2 at a hop of 13 is number 65, around sample 65 * 256; half a window
    # of 512 samples behind that is sample 16895, in block 52 of 320.
    found = latency.Latencies(Segments.of(model, 13), block=320)
    early = {"index": 0, "ns": 0, "latency": {}}
    heard = {"index": 2, "ns": 70_000_000, "latency": {"inference": 0.004, "queue": 0.001}}
    beyond = {"index": 3, "ns": 0, "latency": {}}
    sent_ns = [number * 1_000_000 for number in range(53)]
    found.add({"lost": 1, "predictions": [early, early, heard, beyond]}, sent_ns)
    assert found.total_ms == [70 - 52]
    assert found.stages_ms["inference"] == [4]
    assert found.stages_ms["transport"] == [0]
    assert (found.p99_by_run, found.lost) == ([18], 1)
    found.add({"lost": 2, "predictions": []}, sent_ns)
    assert (found.p99_by_run, found.lost) == ([18], 3)


# -- streams, in an engine -------------------------------------------------------------------------


def test_streams(model: str, tmp_path: Path) -> None:
    report = streams.measure(model, streams=(1, 3), seconds=2, runs=2, open_fleet=SHORT)
    names = [f"{number} streams, run {run}" for run in (1, 2) for number in (1, 3)]
    assert list(report.rows) == names
    for name, row in report.rows.items():
        assert number(row["windows"]) >= int(name[0])
        assert 0 <= number(row["late %"]) <= 100
        p50, p99, highest = (number(row[column]) for column in ("p50 ms", "p99 ms", "max ms"))
        assert 0 <= p50 <= p99 <= highest
        assert number(row["raw"]) > 0
    # Beside what is kept of the usual model, not over it.
    saved, drawn = report.save(tmp_path), draw(report, tmp_path)
    assert saved.stem == drawn.stem == report.name == f"streams-{info(model).name}"
    assert drawn.stat().st_size > 0


def test_overload(model: str, tmp_path: Path) -> None:
    # Few streams, however fast the model is.
    report = overload.measure(model, load=4e-4, seconds=3, recovery_s=5, open_fleet=SHORT)
    correct(report)
    (row,) = report.rows.values()
    parts = [number(row[column]) for column in ("served", "longer hop", "skipped")]
    assert row["offered"] == sum(parts) > 0
    assert len({len(values) for values in report.series.values()}) == 1
    assert draw(report, tmp_path).stat().st_size > 0


class OneMore(Patient):
    """An engine that says of each stream that it had one window more."""

    def shrink(self, streams: int) -> dict[str, Any]:
        found = super().shrink(streams)
        for counts in found["streams"].values():
            counts["offered"] += 1
        return found


def test_windows_that_are_not_accounted_for_are_seen(model: str) -> None:
    open_fleet = functools.partial(SHORT, kind=OneMore)
    report = overload.measure(model, load=4e-4, seconds=1, recovery_s=1, open_fleet=open_fleet)
    assert [target.what for target in report.wrong] == [
        "streams whose served and skipped are not what was offered"
    ]


def test_soak(model: str, tmp_path: Path) -> None:
    report = soak.measure(model, hours=0.2)
    correct(report)
    (row,) = report.rows.values()
    frames = 1 + 720 * 16000 // 256
    assert row["segments"] == (frames - 40) // 13 + 1
    assert number(row["gaps"]) > 0
    assert number(row["skipped in gaps"]) > 0
    assert draw(report, tmp_path).stat().st_size > 0


# -- streams, with figures made by hand ------------------------------------------------------------


class FakeFleet:
    """An engine whose streams are figures.

    Args:
        raws: Segments a second of inference alone, one after the other.
        held: Streams whose windows are all in time; of more, half are late.
        rungs: Rungs at the end of measurements, one after the other; 0 afterwards.
    """

    address = "tcp://nowhere"

    def __init__(self, raws: list[float], held: int = 10**9, rungs: tuple[int, ...] = ()) -> None:
        self._raws, self._held, self._rungs = iter(raws), held, iter(rungs)
        self.running = 0
        self.measured: list[tuple[int, float]] = []

    def raw(self) -> float:
        return next(self._raws)

    def grow(self, streams: int) -> dict[str, Any]:
        self.running = streams
        return {}

    def shrink(self, streams: int) -> dict[str, Any]:
        ended = range(streams, self.running)
        self.running = streams
        return {"streams": {f"s{n}": {"offered": 9, "hop": 2, "overload": 1} for n in ended}}

    def rss_mb(self, streams: int, seconds: float) -> float:
        self.running = streams
        return 100 + 2.5 * streams

    def measure(self, seconds: float) -> dict[str, Any]:
        self.measured.append((self.running, seconds))
        late = 5 * self.running if self.running > self._held else 0
        counts = {"offered": 10, "hop": 0, "overload": 0}
        looks = [self._look(at_s) for at_s in (0.0, seconds / 2, seconds)]
        looks[-1]["rung"] = next(self._rungs, 0)
        return {
            "seconds": seconds,
            "cpu": 1.5,
            "streams": {f"s{number}": counts for number in range(self.running)},
            "late": late,
            "latency": {"p50": 0.01, "p99": 0.02, "max": 0.03},
            "looks": looks,
        }

    def _look(self, at_s: float) -> dict[str, Any]:
        counts = {"offered": 8 * at_s, "hop": 4 * at_s, "overload": at_s, "late": 0}
        return {"at_s": at_s, "rss_mb": 100.0, "rung": 2, **counts}

    @contextmanager
    def opened(self, model: str, hop_size: int) -> Iterator[Any]:
        yield self


HOP_S = 13 * 256 / 16000


def test_numbers_are_shares_of_raw_and_the_largest_that_is_held_counts(model: str) -> None:
    # Raw streams: 100 before, then 100, 100, 100 and 80 after each of the numbers.
    raws = [100 / HOP_S] * 4 + [80 / HOP_S]
    engine = FakeFleet(raws, held=85)
    report = streams.measure(model, seconds=7, runs=1, open_fleet=engine.opened)
    assert list(report.rows) == ["40 streams", "80 streams", "85 streams", "90 streams"]
    assert [row["late %"] for row in report.rows.values()] == [0, 0, 0, 50]
    assert report.rows["85 streams"]["of raw"] == pytest.approx(0.85)
    assert report.rows["90 streams"]["raw"] == pytest.approx(90), "the mean of before and after"
    assert report.rows["40 streams"]["windows"] == 400
    held, per_stream = report.targets
    assert held.seen == pytest.approx(0.85)
    assert per_stream.seen == pytest.approx(2.5)
    assert report.settings["hop_s"] == pytest.approx(HOP_S)


def test_streams_count_once_they_are_back_at_rung_0(model: str) -> None:
    engine = FakeFleet([100.0] * 2, rungs=(3, 1, 0))
    streams.measure(model, streams=(5,), seconds=7, runs=1, open_fleet=engine.opened)
    assert engine.measured == [(5, pytest.approx(2 * HOP_S))] * 3 + [(5, 7)]


def test_it_is_counted_even_if_the_rung_stays_up(model: str) -> None:
    engine = FakeFleet([100.0] * 2, rungs=(1,) * 9)
    streams.measure(model, streams=(5,), seconds=7, runs=1, open_fleet=engine.opened)
    assert len(engine.measured) == streams.WARM_UPS + 1


class FakeCounter:
    """A subscriber that receives every window of two streams of nine windows."""

    def __init__(self, *, lost: int = 0) -> None:
        self._lost = lost

    def begin(self, ends: int) -> None:
        self._names = [f"s{number}" for number in range(ends)]

    def answer(self) -> dict[str, Any]:
        served, left_out = dict.fromkeys(self._names, 6), dict.fromkeys(self._names, 3)
        rungs = {"0": 3, "2": 1}
        return {"served": served, "left_out": left_out, "rungs": rungs, "lost": self._lost}

    @contextmanager
    def opened(self, address: str) -> Iterator[Any]:
        assert address == FakeFleet.address
        yield self


def overloaded(model: str, engine: FakeFleet, counter: FakeCounter) -> Report:
    return overload.measure(
        model,
        load=2.0,
        seconds=10,
        recovery_s=4,
        open_fleet=engine.opened,
        open_counter=counter.opened,
    )


def test_windows_and_rungs_under_load_and_after_it(model: str) -> None:
    engine = FakeFleet([10 / HOP_S], rungs=(3, 2, 1, 0))
    report = overloaded(model, engine, FakeCounter())
    correct(report)
    assert list(report.rows) == ["20 streams, 10 s"]
    assert report.rows["20 streams, 10 s"]["served"] == 200
    assert engine.measured == [(20, 10)] + [(5, 1)] * 3
    seen = {target.what: target.seen for target in report.targets}
    assert seen["seconds until rung 0 with half the raw load"] == 3
    assert seen["furthest stream from the mean, %"] == 0
    assert report.series["served a second"] == [3] * 8
    assert report.series["longer hop a second"] == [4] * 8
    assert report.series["skipped a second"] == [1] * 8
    assert report.series["seconds"][:2] == [0, 5]
    assert min(report.series["seconds"][2:]) >= 10
    assert report.notes[0] == "predictions by rung: 0: 75%, 2: 25%"


def test_a_ladder_that_stays_up_and_messages_that_are_lost(model: str) -> None:
    engine = FakeFleet([10 / HOP_S], rungs=(1,) * 9)
    report = overloaded(model, engine, FakeCounter(lost=2))
    assert [target.what for target in report.wrong] == ["messages lost on the wire"]
    assert report.targets[-1].seen is None
