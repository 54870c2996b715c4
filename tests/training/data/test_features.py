"""Mel frames of a corpus."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="manifests are Parquet")

from auricle.errors import TrainingError
from auricle.models.front_end import FRONT_ENDS
from auricle.nodes.signal.mel import mel_spectrogram
from auricle.nodes.signal.reading import read_samples
from auricle.training.data.features import compute_features, open_features
from auricle.training.data.manifest import Manifest, Track
from auricle.training.data.store import Store, StoreWriter
from tests.training.music import RATE, noise, write_music

ROOT = Path(__file__).parents[3]


def music(folder: Path, count: int, seconds: float = 1) -> list[Track]:
    return [
        Track(f"t{seed}", write_music(folder / f"{seed}.flac", seconds, seed), seconds)
        for seed in range(count)
    ]


def auricle_train(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "auricle.train", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


def test_they_are_what_the_engine_computes(tmp_path: Path) -> None:
    (track,) = music(tmp_path, 1)
    heard: list[tuple[str, bool]] = []

    def note(track: Track, new: bool) -> None:
        heard.append((track.track_id, new))

    assert compute_features([track], tmp_path / "f", workers=1, report=note) == []
    front_end = FRONT_ENDS["musicnn"]
    samples = read_samples(track.path, 16000)
    assert len(samples) == pytest.approx(16000, abs=2)
    frames = open_features(tmp_path / "f")["t0"]
    expected = mel_spectrogram(samples, front_end)
    assert frames.shape == expected.shape == (1 + -(-len(samples) // 256), 96)
    np.testing.assert_allclose(frames, expected, rtol=2**-11, atol=1e-7)  # what float16 rounds
    # A second time nothing is computed.
    compute_features([track], tmp_path / "f", workers=1, report=note)
    assert heard == [("t0", True), ("t0", False)]


def test_samples_are_the_mean_of_the_channels(tmp_path: Path) -> None:
    file = write_music(tmp_path / "a.wav", 1)
    mean = noise(1).astype(np.float32).mean(axis=1) / 2**15
    np.testing.assert_allclose(read_samples(file, RATE), mean, rtol=0, atol=1e-6)


def test_the_command(tmp_path: Path) -> None:
    tracks = music(tmp_path, 2)
    (tmp_path / "broken.mp3").write_bytes(b"not music" * 100)
    tracks += [
        Track("broken", tmp_path / "broken.mp3", 1.0),
        Track("gone", tmp_path / "gone.mp3", 1.0),
        Track("silent", write_music(tmp_path / "silent.wav", level=0), 1.0),
    ]
    Manifest(tracks).save(tmp_path / "corpus.parquet")
    arguments = ("features", tmp_path / "corpus.parquet", "--out", tmp_path / "f", "--workers", "1")
    first = auricle_train(*arguments)
    assert first.returncode == 3
    lines = first.stderr.splitlines()
    assert len(lines) == 4, first.stderr  # no bar, where there is no terminal
    assert lines[-1] == "3 tracks have no features"
    for name in ("broken.mp3", "gone.mp3", "silent.wav: silent"):
        assert sum(name in line for line in lines) == 1
    assert re.fullmatch(
        rf"{tmp_path}/f: 2 tracks, 0\.0 h, \d+ times as fast as they play\n", first.stdout
    )
    assert set(open_features(tmp_path / "f")) == {"t0", "t1"}

    Manifest(tracks[:2]).save(tmp_path / "corpus.parquet")
    second = auricle_train(*arguments)
    assert (second.returncode, second.stderr) == (0, "")
    assert second.stdout == f"{tmp_path}/f: 2 tracks, 0.0 h, nothing was left to do\n"

    whole = auricle_train(*arguments, "--verify")
    assert (whole.returncode, whole.stdout) == (0, f"{tmp_path}/f: as it was written\n")
    shard = tmp_path / "f" / "00000.f16"
    content = bytearray(shard.read_bytes())
    content[100] ^= 16
    shard.write_bytes(content)
    damaged = auricle_train(*arguments, "--verify")
    assert damaged.returncode == 1
    assert damaged.stderr == f"{shard}: damaged; remove it and its index, and compute it again\n"


SLOW = """
import sys
from auricle.training.data import store
store.SHARD_BYTES = 1  # each track is a shard
from auricle.train import main
main()
"""


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def runs(pid: int) -> bool:
    """Whether a process is alive, and not a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.skipif(
    not Path("/proc/self/task").is_dir(), reason="looks at processes as Linux shows them"
)
def test_a_kill_loses_the_shard_under_way_and_leaves_nobody_behind(tmp_path: Path) -> None:
    tracks = music(tmp_path, 12, seconds=20)
    Manifest(tracks).save(tmp_path / "corpus.parquet")
    folder = tmp_path / "f"
    arguments = ["features", tmp_path / "corpus.parquet", "--out", folder, "--workers", "1"]
    process = subprocess.Popen([sys.executable, "-c", SLOW, *map(str, arguments)], cwd=ROOT)
    while not (folder / "00001.json").exists():
        assert process.poll() is None
        time.sleep(0.001)
    workers = children(process.pid)
    process.kill()
    process.wait(timeout=500)
    assert len(workers) >= 1
    done = len(Store(folder))
    assert 2 <= done < 12
    assert Store(folder).verify() == []
    assert auricle_train(*arguments).returncode == 0
    compute_features(tracks, tmp_path / "whole", workers=1)
    found, expected = open_features(folder), open_features(tmp_path / "whole")
    assert set(found) == set(expected)
    for track_id in expected:
        assert found[track_id].tobytes() == expected[track_id].tobytes()
    for worker in workers:
        while runs(worker):
            time.sleep(0.01)  # until pytest's own time limit


def test_features_of_another_front_end(tmp_path: Path) -> None:
    tracks = music(tmp_path, 1)
    compute_features(tracks, tmp_path / "f", "vggish", workers=1)
    assert open_features(tmp_path / "f").width == 64
    with pytest.raises(TrainingError, match="choose another folder"):
        compute_features(tracks, tmp_path / "f", "musicnn", workers=1)


def test_rows_that_are_no_features(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "a", 2, {}):
        pass
    with pytest.raises(TrainingError, match="a: not mel frames"):
        open_features(tmp_path / "a")
    with StoreWriter(tmp_path / "b", 96, {"front_end": {"name": "musicnn", "n_mels": 95}}):
        pass
    with pytest.raises(
        TrainingError, match="made by another front end musicnn; compute them again"
    ):
        open_features(tmp_path / "b")
