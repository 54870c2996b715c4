"""Pairs from made-up metadata: that it is as it says, and that wrong pairs are seen."""

import sys
from pathlib import Path

import numpy as np
import pytest

from auricle.errors import ConfigError
from bench.measures import pairs
from bench.workers import CONTENDERS

pytest.importorskip("pyarrow", reason="manifests are Parquet files")
from auricle.training.data.catalogue import Catalogue
from bench.catalogue import write_manifest
from tests.bench.cells import number


def test_pairs() -> None:
    report = pairs.measure(tracks=3000, runs=2)
    assert list(report.rows) == ["manifest read, once", "track", "release", "artist", "label"]
    assert [row["wrong"] for row in list(report.rows.values())[1:]] == [0, 0, 0, 0]
    assert report.rows["track"]["1000 pairs"] == 3
    assert number(report.rows["release"]["of the tracks"]) > 0.8
    assert report.wrong == []


def test_pairs_that_do_not_comply_are_wrong(tmp_path: Path) -> None:
    script = CONTENDERS / "auricle_pairs.py"
    broken = script.read_text().replace(
        "draw_pairs(self._catalogue, association,",
        'draw_pairs(self._catalogue, "release" if association else "",',
    )
    (tmp_path / "auricle_pairs.py").write_text(broken)
    (tmp_path / "protocol.py").write_text((script.parent / "protocol.py").read_text())
    report = pairs.measure(tracks=3000, runs=1, script=tmp_path / "auricle_pairs.py")
    wrong = {name: number(row["wrong"]) for name, row in report.rows.items() if "wrong" in row}
    assert wrong["release"] == 0
    for name in ("track", "artist", "label"):
        assert wrong[name] > 100
    assert len(report.wrong) == 1


def test_made_up_metadata(tmp_path: Path) -> None:
    file = tmp_path / "manifest.parquet"
    write_manifest(file, 30_000)
    catalogue = Catalogue.load(file)
    assert len(catalogue) == 30_000
    releases = np.diff(catalogue.releases.starts)
    assert releases.mean() == pytest.approx(5, abs=0.5)
    assert (releases > 1).mean() == pytest.approx(0.6, abs=0.03)
    per_release = np.bincount(catalogue.releases.columns)
    assert per_release.mean() == pytest.approx(6, abs=0.5)
    # Nobody's names are gone.
    assert (np.diff(catalogue.artists.starts) == 0).any()
    assert (np.diff(catalogue.labels.starts) == 0).any()


def test_without_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "bench.catalogue")
    with pytest.raises(
        ConfigError, match=r"pyarrow is needed for manifests: pip install 'auricle\[train\]'"
    ):
        pairs.measure(tracks=10)
