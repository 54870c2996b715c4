"""`auricle bench`: tables and files. The bench says how fast anything is, no test does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.report import Report
from tests.cli.command import assert_one_line, auricle
from tests.conftest import ROOT
from tests.tiny import make_backbone

FILE = ROOT / "tests/data/reference.flac"


def test_pipeline_as_a_table_and_as_json(tmp_path: Path) -> None:
    model = make_backbone(tmp_path / "tiny")
    result = auricle(
        "bench", "pipeline", FILE, "--model", model, "--threads", 1, "--runs", 2, "--json"
    )
    assert (result.returncode, result.stderr) == (0, "")
    content = json.loads(result.stdout)
    assert content["settings"]["segments"] == (776 - 40) // 13 + 1
    whole = content["rows"]["whole pipeline"]
    assert whole["s"]["runs"] == 2
    assert whole["x real time"]["median"] == pytest.approx(12.4 / whole["s"]["median"])
    text = auricle("bench", "pipeline", FILE, "--model", model, "--runs", 1).stdout
    assert text.startswith("A file to activations")
    assert "audio_s=12.4" in text
    assert "% of the time beyond decoding and inference" in text


def test_results_are_written_where_asked(tmp_path: Path) -> None:
    options = ["ring", "--window", 0.5, "--runs", 1]
    result = auricle("bench", *options, "--results", tmp_path / "new")
    path = tmp_path / "new" / "ring.json"
    assert result.returncode == 0
    assert result.stderr.strip() == f"written: {path}"
    report = Report.from_dict(json.loads(path.read_text()))
    assert list(report.rows) == ["np.roll", "Ring", "Stream"]


def test_a_plot_is_drawn_beside_it(tmp_path: Path) -> None:
    model = make_backbone(tmp_path / "tiny")
    options = ["--model", model, "--hop-size", 13, "--hop-size", 8, "--runs", 1]
    result = auricle("bench", "backbone", *options, "--results", tmp_path, "--plot")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "backbone.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "backbone.json").exists()


def test_a_results_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = auricle("bench", "ring", "--window", 0.5, "--runs", 1, "--results", tmp_path / "file")
    assert_one_line(result, "ring.json")


def test_missing_file(tmp_path: Path) -> None:
    model = make_backbone(tmp_path / "tiny")
    assert_one_line(
        auricle("bench", "pipeline", "no.flac", "--model", model), "no.flac", "No such file"
    )


def test_missing_model() -> None:
    for name in ("backbone", "heads", "pipeline"):
        result = auricle("bench", name, "--model", "no-such-model", "--runs", 1)
        assert result.returncode != 0
        assert "no-such-model" in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1


def test_cores_that_are_not_there(tmp_path: Path) -> None:
    result = auricle("bench", "mel", "--cores", "one", "--environment", tmp_path)
    assert_one_line(result, "cores='one'", code=2)


def test_help_names_the_measurements_and_imports_nothing_heavy() -> None:
    text = auricle("bench", "--help").stdout
    for name in ("ring", "mel", "backbone", "heads", "pipeline", "wire", "peers"):
        assert f"  {name} " in text
    code = """if True:
        import sys, bench.command
        print([name for name in ("numpy", "matplotlib", "zmq") if name in sys.modules])"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"
