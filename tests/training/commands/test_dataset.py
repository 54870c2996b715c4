"""`auricle-train dataset`; the formats themselves are in tests/training/datasets."""

import os
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="manifests are Parquet")

from auricle.training.data.manifest import Manifest
from auricle.training.data.task_files import load_task
from tests.training.commands.stored import command
from tests.training.music import write_music


def test_folders_become_a_manifest_and_a_task(tmp_path: Path) -> None:
    for number, place in enumerate(
        ("train/rock/a", "train/jazz/b", "test/rock/c", "validation/jazz/d")
    ):
        write_music(tmp_path / "music" / f"{place}.ogg", 1, number)
    out = tmp_path / "mine.parquet"
    result = command("dataset", "folders", tmp_path / "music", "--out", out)
    assert result.exit_code == 0, result.stderr
    assert "4 tracks (2 train, 1 validation, 1 test)" in result.stdout
    manifest, task = Manifest.load(out), load_task(tmp_path / "mine.json")
    assert task.classes == ("jazz", "rock")
    assert {track.track_id: task.parts[track.track_id] for track in manifest} == {
        track.track_id: track.part for track in manifest
    }


def test_files_that_cannot_be_opened_are_left_out(tmp_path: Path) -> None:
    write_music(tmp_path / "music" / "rock" / "a.wav", 1)
    (tmp_path / "music" / "rock" / "b.wav").write_text("no music")
    write_music(tmp_path / "music" / "rock" / os.fsdecode(b"caf\xe9.wav"), 1)
    result = command("dataset", "folders", tmp_path / "music", "--out", tmp_path / "mine.parquet")
    assert result.exit_code == 3
    lines = result.stderr.splitlines()
    assert "b.wav: not audio that FFmpeg can read" in lines[0]
    assert lines[1].endswith(".wav: its name is not UTF-8; rename it")
    assert lines[2:] == ["left out: 2 broken"]
    assert [track.track_id for track in Manifest.load(tmp_path / "mine.parquet")] == ["rock/a.wav"]
    assert list(load_task(tmp_path / "mine.json").targets) == ["rock/a.wav"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("folders", "music", "audio"), "folders takes one folder"),
        (("gtzan", "lists"), "gtzan takes FOLDER and AUDIO"),
        (("gtzan", "lists", "audio", "--split", "1"), "gtzan has no --split"),
        (("fma", "lists", "audio", "--split", "1"), "fma has no --split"),
        (("polka", "lists"), "'polka' is not one of"),
    ],
)
def test_mistakes(tmp_path: Path, arguments: tuple[str, ...], named: str) -> None:
    result = command("dataset", *arguments, "--out", tmp_path / "out.parquet")
    assert result.exit_code == 2
    assert named in result.stderr


def test_a_data_set_that_is_not_there(tmp_path: Path) -> None:
    result = command("dataset", "fma", tmp_path, tmp_path, "--out", tmp_path / "out.parquet")
    assert result.exit_code == 1
    assert "tracks.csv" in result.stderr
    assert not (tmp_path / "out.parquet").exists()
