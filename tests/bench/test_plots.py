"""Pictures: each report that a picture helps has one, and shows the figures of the report."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure as Picture
from matplotlib.lines import Line2D
from matplotlib.text import Text

from auricle.errors import ConfigError, InputError
from bench.drawings import DRAWINGS, can_draw, canvas, draw
from bench.report import Report
from bench.timing import Spread
from bench.untrained import NOTE
from tests.cli.command import assert_one_line, auricle
from tests.conftest import ROOT

RESULTS = sorted((ROOT / "bench/results").glob("*.json"))
PNG = b"\x89PNG"


def drawn(report: Report) -> Picture:
    return DRAWINGS[report.name.partition("-")[0]](report)


def texts(picture: Picture) -> str:
    """All that is written in a picture."""
    picture.draw_without_rendering()
    return "\n".join(text.get_text() for text in picture.findobj(Text) if isinstance(text, Text))


def line(picture: Picture, panel: int, label: str) -> list[tuple[float, float]]:
    """Points of the line with this label."""
    handles, labels = picture.axes[panel].get_legend_handles_labels()
    found = handles[labels.index(label)]
    artist = found[0] if isinstance(found, tuple) else found
    assert isinstance(artist, Line2D)
    x, y = (np.asarray(values).tolist() for values in artist.get_data())
    return list(zip(x, y, strict=True))


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_every_saved_report_that_has_a_picture_is_drawn(path: Path, tmp_path: Path) -> None:
    report = Report.load(path)
    if not can_draw(report):
        pytest.skip(f"no picture for {report.name}")
    made = draw(report, tmp_path / "new")
    assert made == tmp_path / "new" / f"{report.name}.png"
    assert made.read_bytes().startswith(PNG)
    written = texts(drawn(report))
    assert f"auricle bench {report.name.partition('-')[0]}; " in written
    assert f"commit {report.commit['hash'][:7]}" in written
    assert ("uncommitted changes" in written) == report.commit["dirty"]


def test_reports_without_a_picture() -> None:
    assert not can_draw(Report("ring", ""))
    assert can_draw(Report("streams-other", ""))


# -- what is seen ----------------------------------------------------------------------------------


def test_time_of_a_segment_against_the_hop() -> None:
    report = Report("backbone", "")
    report.row("session.run, 1 thread", {"ms a segment": Spread(12, 11, 13, 3)})
    for hop in (16, 93):
        report.row(f"hop {hop}, shared work", {"ms a segment": Spread(hop, 3, 95, 3), "hop": hop})
        report.row(f"hop {hop}, whole segments", {"ms a segment": Spread(12, 3, 95, 3), "hop": hop})
    assert line(drawn(report), 0, "shared work") == [(16, 16), (93, 93)]


def test_latencies_by_percentile() -> None:
    series = {"hop 8: total": [float(n) for n in range(1, 101)], "hop 8: inference": [1.0] * 100}
    picture = drawn(Report("latency", "", series=series))
    points = line(picture, 0, "a segment every 8 frames: the whole way")
    # The largest of 100 stands in the middle of the last 1 %.
    np.testing.assert_allclose(points[-1], (200, 100))
    np.testing.assert_allclose(points[49], (1 / 0.505, 50))


def test_one_slow_message_does_not_decide_the_axis() -> None:
    report = Report("wire", "", series={"ours": [50.0] * 999 + [9000.0], "bare": [40.0] * 1000})
    picture = drawn(report)
    assert picture.axes[0].get_ylim() == (0, 100)
    assert "slowest of all: 9000 us (ours), 40 us (bare)" in texts(picture)


def test_peers_stand_side_by_side() -> None:
    report = Report("peers", "")
    for hop, factor in ((93, 1), (16, 2)):
        report.row(f"hop {hop}: auricle", {"x real time": Spread(100 / factor, 1, 200, 3)})
        report.row(f"hop {hop}: essentia", {"x real time": Spread(40 / factor, 1, 200, 3)})
        report.rows[f"hop {hop}: auricle"]["error"] = 0.0
        report.rows[f"hop {hop}: essentia"]["error"] = 2e-5
    picture = drawn(report)
    ours, theirs, *_ = picture.axes[0].containers[1::2]
    assert [bar.get_height() for bar in ours] == [100, 50]
    assert [bar.get_height() for bar in theirs] == [40, 20]
    assert "activations of all agree within 2e-05" in texts(picture)


def test_parts_of_the_time_stand_behind_one_another() -> None:
    report = Report("pipeline", "")
    report.row("whole pipeline", {"x real time": Spread(172, 1, 2, 3)})
    for part, share in {"decoding": 2.0, "mel": 1.0, "inference": 94.0, "the rest": 3.0}.items():
        report.row(part, {"% of the time": share})
    picture = drawn(report)
    bars = [bar for container in picture.axes[0].containers for bar in container]
    assert [bar.get_x() for bar in bars] == [0, 2, 3, 97]
    written = texts(picture)
    assert "172 times as fast" in written
    assert "inference: 94 %" in written


def streams() -> Report:
    report = Report("streams", "", {"model": "tiny", "hop_s": 1.5})
    late = {(1, 40): 0.0, (1, 80): 0.0, (2, 42): 0.0, (2, 81): 16.0, (3, 41): 0.0, (3, 82): 0.0}
    for (run, number), percent in late.items():
        figures = {"raw": 100.0, "late %": percent, "p50 ms": 10.0 * run, "p99 ms": 90.0 * run}
        report.row(f"{number} streams, run {run}", figures)
    return report


def test_lines_go_through_the_medians_of_the_runs() -> None:
    picture = drawn(streams())
    assert line(picture, 0, "half of the windows come sooner") == [(41, 20), (81, 20)]
    assert line(picture, 1, "late windows") == [(41, 0), (81, 0)], "not through the run of 16 %"
    assert "tiny in real time: 40 to 42 streams held in every run" in texts(picture)
    assert line(picture, 0, "a hop: what comes later is late")[0][1] == 1500
    assert picture.axes[1].get_xlim()[0] == 0


def overload(*, by_second: bool) -> Report:
    report = Report("overload", "", {"load": 2.0, "seconds": 2.0})
    figures = {"offered": 200, "served": 50, "longer hop": 148, "skipped": 2}
    report.row("9 streams, 2 s", figures)
    report.series = {"seconds": [0.0, 1.0, 2.0, 3.0, 4.0], "rung": [0.0, 3.0, 3.0, 1.0, 0.0]}
    report.series["rss MB"] = [100.0] * 5
    if by_second:
        for part in ("served", "longer hop", "skipped"):
            report.series[f"{part} a second"] = [float(len(part))] * 5
    return report


def test_rungs_are_steps_and_windows_are_counted() -> None:
    picture = drawn(overload(by_second=False))
    rung, memory = picture.axes
    assert rung.lines[0].get_drawstyle() == "steps-post"
    assert [float(tick) for tick in rung.get_yticks()] == [0, 1, 2, 3]
    assert memory.get_ylim() == (0, 130)
    shares = "200 windows: served 25.0 %, longer hop 74.0 %, skipped 1.0 %; none unaccounted for"
    assert shares in texts(picture)


def test_windows_over_the_time_and_the_fall_of_the_load() -> None:
    picture = drawn(overload(by_second=True))
    assert len(picture.axes) == 3
    assert line(picture, 0, "skipped") == [(second, 7) for second in range(5)]
    assert line(picture, 0, "load falls")[0][0] == 2


def test_growth_of_memory_beside_what_is_allowed() -> None:
    report = Report("soak", "")
    report.row("24 hours", {"segments": 58063, "gaps": 3})
    report.target("memory, MB an hour of stream time, after a twelfth of it", 0.03, at_most=1)
    report.series = {"hours": [1.0, 2.0, 12.0, 24.0], "rss MB": [90.0, 100.0, 100.5, 101.0]}
    picture = drawn(report)
    assert line(picture, 0, "measured") == [(1, -10), (2, 0), (12, 0.5), (24, 1)]
    assert line(picture, 0, "allowed") == [(2, 0), (12, 10), (24, 22)]
    right = "100 MB after 2 hours; 58063 segments, each in its place; 3 gaps, each reported once"
    assert right in texts(picture)
    report.target("segments that are missing or too many", 1, at_most=0, correctness=True)
    assert "WRONG: segments that are missing" in texts(drawn(report))


def patchout(*notes: str) -> Report:
    report = Report("patchout", "", reference="EfficientNet-B0", notes=list(notes))
    for model in ("fp32", "int8"):
        for out in (0, 3):
            for every in (1, 2, 10):
                row = {"model": model, "rows out": out, "keep every": every, "cosine": 0.5}
                name = f"{model}, every {every}, {out} rows out"
                report.row(name, {**row, "ms": Spread(100 / every, 90 / every, 110 / every, 3)})
    report.row("EfficientNet-B0", {"ms": Spread(50, 49, 51, 3)})
    report.row("live: fp32", {"predictions": 3})
    return report


def test_time_and_loss_by_the_patches_that_are_kept() -> None:
    picture = drawn(patchout())
    assert line(picture, 0, "int8, 3 rows left out") == [(0, 100), (1, 50), (2, 10)]
    assert line(picture, 0, "EfficientNet-B0")[0][1] == 50
    assert {label.get_text() for label in picture.axes[-1].get_xticklabels()} == {
        "all",
        "every 2nd",
        "every 10th",
    }
    assert {tuple(np.asarray(each.get_ydata())) for each in picture.axes[1].lines} == {
        (0.5, 0.5, 0.5)
    }


def test_random_weights_have_no_loss_to_show() -> None:
    assert len(drawn(patchout(NOTE)).axes) == 1


# -- what is missing -------------------------------------------------------------------------------


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match=r"pip install 'auricle\[bench\]'"):
        canvas.check()
    with pytest.raises(ConfigError):
        draw(streams(), tmp_path)


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"streams\.png"):
        draw(streams(), tmp_path / "file")


def test_drawing_a_report_that_is_not_there() -> None:
    assert_one_line(auricle("bench", "draw", "nothing"), "nothing.json: No such file")
