"""`auricle bench pipeline`: figures that add up. How fast it is is for the bench to say, not for a test."""

import json
from pathlib import Path

import pytest

from tests.auricle.command import assert_one_line, auricle
from tests.conftest import ROOT
from tests.tiny import make_backbone


def test_parts_add_up_to_the_whole(tmp_path: Path) -> None:
    model = make_backbone(tmp_path / "tiny")
    file = ROOT / "tests/data/reference.flac"
    result = auricle("bench", "pipeline", file, "--model", model, "--threads", 1, "--runs", 2, "--json")
    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout)
    assert figures["wall_s"] == pytest.approx(
        figures["decode_s"] + figures["inference_s"] + figures["engine_s"]
    )
    assert figures["x_real_time"] == pytest.approx(figures["audio_s"] / figures["wall_s"])
    assert figures["engine_share"] == pytest.approx(figures["engine_s"] / figures["wall_s"])
    assert 0 < figures["mel_s"] < figures["engine_s"]
    assert (figures["audio_s"], figures["segments"]) == (12.4, (776 - 40) // 13 + 1)
    text = auricle("bench", "pipeline", file, "--model", model, "--runs", 1).stdout
    assert "x real time: 12.4 s of audio" in text


def test_missing_file(tmp_path: Path) -> None:
    model = make_backbone(tmp_path / "tiny")
    assert_one_line(auricle("bench", "pipeline", "no.flac", "--model", model), "no.flac", "No such file")
