"""Plots: each report that has a curve gets a PNG; without matplotlib one line says what to do."""

import sys

import pytest

from auricle.errors import ConfigError
from bench import drawings, plots
from bench.report import Report
from bench.timing import Spread

PNG = b"\x89PNG"


def backbone():
    report = Report("backbone", "")
    report.row("session.run, 1 thread", {"ms a segment": Spread(12, 11, 13, 3)})
    for hop in (16, 93):
        report.row(f"hop {hop}, shared work", {"ms a segment": Spread(4, 3, 5, 3), "hop": hop})
    return report


def wire():
    return Report("wire", "", series={"ours": [50.0, 60.0, 900.0], "bare": [40.0, 45.0]})


def peers():
    report = Report("peers", "")
    report.row("auricle", {"x real time": Spread(100, 90, 110, 3), "error": 0.0})
    report.row("essentia", {"x real time": Spread(40, 39, 41, 3), "error": 1e-5})
    return report


@pytest.mark.parametrize("make", [backbone, wire, peers])
def test_a_report_becomes_a_png(make, tmp_path):
    path = getattr(drawings, make.__name__)(make(), tmp_path / "new")
    assert path == tmp_path / "new" / f"{make.__name__}.png"
    assert path.read_bytes().startswith(PNG)


def test_without_matplotlib(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match=r"pip install 'auricle\[bench\]'"):
        plots.check()
    with pytest.raises(ConfigError):
        drawings.wire(wire(), tmp_path)
