"""Measurements with engines of their own, with little work: their counts add up, and see what does
not.
"""

from pathlib import Path

import pytest

from auricle.errors import InputError
from auricle.models.registry import info
from bench import drawings, fleet
from bench.measures import latency, overload, soak, streams
from bench.report import Report
from tests.tiny import make_backbone


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_backbone(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "SOUND_S", 60.0)
    monkeypatch.setattr(fleet, "RAW_S", 0.2)


def correct(report: Report) -> None:
    """That the targets of correctness are there, and met."""
    found = [target for target in report.targets if target.correctness]
    assert found
    assert report.wrong == []
    assert Report.from_dict(report.as_dict()).as_dict() == report.as_dict()


def test_latency(model: str, tmp_path: Path) -> None:
    report = latency.measure(model, hops=(13, 7), seconds=3, runs=1)
    correct(report)
    for hop in (13, 7):
        rows = {stage: report.rows[f"hop {hop}: {stage}"] for stage in (*latency.STAGES, "total")}
        # The way is longer than any part of it, and than all of the inference.
        assert rows["total"]["p50 ms"] > rows["inference"]["p50 ms"] > 0  # type: ignore[operator]
        # 188 mel frames; the first two segments are left out.
        assert len(report.series[f"hop {hop}: total"]) == (188 - 40) // hop + 1 - 2
    assert drawings.draw(report, tmp_path).stat().st_size > 0


def test_sound_that_ends_within_a_segment(model: str) -> None:
    report = latency.measure(model, hops=(1,), seconds=1, runs=1)
    assert len(report.series["hop 1: total"]) > 10
    with pytest.raises(InputError, match="hop 93: no predictions in 1 s; more seconds"):
        latency.measure(model, hops=(93,), seconds=1, runs=1)


def test_streams(model: str, tmp_path: Path) -> None:
    report = streams.measure(model, streams=(1, 3), seconds=2, runs=2)
    names = [f"{number} streams, run {run}" for run in (1, 2) for number in (1, 3)]
    assert list(report.rows) == names
    for name in names:
        number, row = int(name[0]), report.rows[name]
        # Windows come every 13 frames of 16 ms.
        expected = number * 2 / (13 * 256 / 16000)
        assert abs(row["windows"] - expected) <= 3 * number  # type: ignore[operator]
        assert row["late %"] == 0
    # Beside what is kept of the usual model, not over it.
    saved, drawn = report.save(tmp_path), drawings.draw(report, tmp_path)
    assert saved.stem == drawn.stem == report.name == f"streams-{info(model).name}"
    assert drawn.stat().st_size > 0


def test_overload(model: str, tmp_path: Path) -> None:
    # Few streams, however fast the model is.
    report = overload.measure(model, load=4e-4, seconds=3, recovery_s=5)
    correct(report)
    (row,) = report.rows.values()
    assert row["offered"] == row["served"] + row["longer hop"] + row["skipped"] > 0  # type: ignore[operator]
    assert drawings.draw(report, tmp_path).stat().st_size > 0


def test_windows_that_are_not_accounted_for_are_seen(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrink = fleet.Fleet.shrink

    def one_more(self: fleet.Fleet, count: int) -> dict:
        found = shrink(self, count)
        for counts in found["streams"].values():
            counts["offered"] += 1
        return found

    monkeypatch.setattr(fleet.Fleet, "shrink", one_more)
    report = overload.measure(model, load=4e-4, seconds=1, recovery_s=1)
    assert [target.what for target in report.wrong] == [
        "streams whose served and skipped are not what was offered"
    ]


def test_soak(model: str, tmp_path: Path) -> None:
    report = soak.measure(model, hours=0.2)
    correct(report)
    (row,) = report.rows.values()
    frames = 1 + 720 * 16000 // 256
    assert row["segments"] == (frames - 40) // 13 + 1
    assert row["gaps"] > 0  # type: ignore[operator]
    assert row["skipped in gaps"] > 0  # type: ignore[operator]
    assert drawings.draw(report, tmp_path).stat().st_size > 0
