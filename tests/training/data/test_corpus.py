"""What is taken from folders, what is left out, and what the command says of it."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auricle.errors import TrainingError

pytest.importorskip("mutagen", reason="needs mutagen: pip install 'auricle[train]'")
pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'auricle[train]'")

import mutagen
from pyarrow import parquet

from auricle.training.data.corpus import Corpus, read_corpus
from auricle.training.data.decoding import examine
from auricle.training.data.manifest import Manifest
from auricle.training.data.split import split
from tests.training.music import RATE, noise, remux, write_music


def tag(path: Path, **tags: str | list[str]) -> Path:
    file: Any = mutagen.File(path)
    file.update(tags)
    file.save()
    return path


def read(folder: Path, **options: Any) -> Corpus:
    return read_corpus([folder], **{"least_s": 0.5, **options})


def reasons(corpus: Corpus) -> dict[str, tuple[str, str]]:
    return {remark.path.name: (remark.kind, remark.reason) for remark in corpus.remarks}


def test_tracks(tmp_path: Path) -> None:
    tag(
        write_music(tmp_path / "b" / "2.ogg", 2, 1),
        title="Two",
        artist=["A", "B"],
        album="X",
        genre="Thrash Metal",
        organization="L",
        license="CC0",
    )
    write_music(tmp_path / "a.wav", 1.5, 2)
    (tmp_path / "cover.jpg").write_bytes(b"no music")
    first, second = read(tmp_path).manifest
    assert (first.path.name, first.title, first.artists, first.genres) == ("a.wav", "", (), ())
    assert first.duration_s == pytest.approx(1.5)
    assert (second.title, second.artists, second.releases) == ("Two", ("A", "B"), ("X",))
    assert (second.labels, second.genres, second.licence) == (("L",), ("Thrash Metal",), "CC0")
    assert second.sha256.startswith(second.track_id)
    assert len(second.track_id) == 16


def test_artists_of_a_release_stay_together(tmp_path: Path) -> None:
    for number, artist in enumerate(("A", "A feat. B", "A & C", "D", "E")):
        release = (
            {"album": "X", "albumartist": "A"} if number < 3 else {"albumartist": "Various Artists"}
        )
        tag(write_music(tmp_path / f"{number}.flac", 1, number), artist=artist, **release)
    split(read(tmp_path).manifest).save(tmp_path / "m.parquet")
    tracks = Manifest.load(tmp_path / "m.parquet").tracks
    assert [track.artists for track in tracks] == [
        ("A",),
        ("A feat. B",),
        ("A & C",),
        ("D",),
        ("E",),
    ]
    assert [track.album_artists for track in tracks] == [("A",)] * 3 + [()] * 2
    assert [len({track.part for track in each}) for each in (tracks[:3], tracks[2:])] == [1, 3]


def test_manifest_of_before_releases_had_artists(tmp_path: Path) -> None:
    write_music(tmp_path / "a.flac", 1)
    read(tmp_path).manifest.save(tmp_path / "m.parquet")
    table = parquet.read_table(tmp_path / "m.parquet")
    parquet.write_table(table.drop_columns("album_artists"), tmp_path / "old.parquet")
    assert (
        Manifest.load(tmp_path / "old.parquet").tracks
        == Manifest.load(tmp_path / "m.parquet").tracks
    )


def test_names_in_another_case_are_one(tmp_path: Path) -> None:
    for number, genre in enumerate(("Thrash Metal", "thrash metal", "THRASH METAL")):
        tag(write_music(tmp_path / f"{number}.flac", 1, number), genre=genre, artist=genre.upper())
    assert [track.genres for track in read(tmp_path).manifest] == [("Thrash Metal",)] * 3


def test_broken_files(tmp_path: Path) -> None:
    write_music(tmp_path / "good.wav", 3)
    (tmp_path / "text.mp3").write_text("This is not music.\n" * 100)
    (tmp_path / "empty.ogg").touch()
    write_music(tmp_path / "silent.flac", 3, level=0.0005)
    whole = write_music(tmp_path / "cut.wav", 6, 3).read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 2])
    whole = write_music(tmp_path / "cut.mp3", 6, 4).read_bytes()
    (tmp_path / "cut.mp3").write_bytes(whole[: len(whole) // 2])
    found = read(tmp_path)
    assert [track.path.name for track in found.manifest] == ["good.wav"]
    assert found.count("broken") == 5
    assert reasons(found)["text.mp3"] == ("broken", "not audio that FFmpeg can read")
    assert "empty" in reasons(found)["empty.ogg"][1]
    assert "silent" in reasons(found)["silent.flac"][1]
    assert reasons(found)["cut.wav"] == ("broken", "says it lasts 6.0 s, but 3.0 s decode")
    assert "says it lasts 6." in reasons(found)["cut.mp3"][1]


def test_quiet_music_is_no_silence(tmp_path: Path) -> None:
    write_music(tmp_path / "quiet.flac", 3, level=0.002)
    assert len(read(tmp_path).manifest) == 1


def test_header_that_promises_less(tmp_path: Path) -> None:
    """A FLAC file that says it lasts a tenth of what it does."""
    path = write_music(tmp_path / "a.flac", 5)
    content = bytearray(path.read_bytes())
    # STREAMINFO: 36 bits of samples, of which the last 32 are here.
    assert int.from_bytes(content[22:26], "big") == 5 * RATE
    content[22:26] = (RATE // 2).to_bytes(4, "big")
    path.write_bytes(content)
    with pytest.raises(TrainingError, match=r"says it lasts 0\.5 s, but 5\.0 s decode"):
        examine(path)


def test_short_files(tmp_path: Path) -> None:
    write_music(tmp_path / "long.wav", 2.5)
    write_music(tmp_path / "short.wav", 1.5, 1)
    found = read(tmp_path, least_s=2)
    assert [track.path.name for track in found.manifest] == ["long.wav"]
    assert reasons(found) == {"short.wav": ("short", "1.5 s, less than 2 s")}


def test_duplicates_are_one_track_with_all_their_tags(tmp_path: Path) -> None:
    tag(write_music(tmp_path / "1" / "a.flac", 1), artist="A", album="Single", genre="Pop")
    tag(
        write_music(tmp_path / "2" / "a.flac", 1),
        artist=["a", "B"],
        albumartist="C",
        album="Album",
        title="T",
    )
    write_music(tmp_path / "3.flac", 1, 7)
    found = read(tmp_path)
    track = found.manifest.tracks[0]
    assert (track.path.parent.name, track.title) == ("1", "T")
    assert (track.artists, track.releases, track.genres) == (
        ("A", "B"),
        ("Single", "Album"),
        ("Pop",),
    )
    assert track.album_artists == ("C",)
    assert len(found.manifest) == 2
    assert [(remark.kind, remark.path.parent.name) for remark in found.remarks] == [
        ("duplicate", "2")
    ]
    assert str(track.path) in found.remarks[0].reason


def test_hash_is_of_the_samples(tmp_path: Path) -> None:
    """Neither tags, nor the container, nor lossless compression change it; one sample does."""
    wav = write_music(tmp_path / "a.wav", 1)
    flac = tag(write_music(tmp_path / "a.flac", 1), title="T")
    mp3, ogg = write_music(tmp_path / "a.mp3", 1), write_music(tmp_path / "a.ogg", 1)
    hashes = {path.name: examine(path).sha256 for path in (wav, flac, mp3, ogg)}
    assert hashes["a.wav"] == hashes["a.flac"] != hashes["a.mp3"]
    assert examine(remux(flac, tmp_path / "flac.mka")).sha256 == hashes["a.flac"]
    assert examine(remux(ogg, tmp_path / "ogg.mka")).sha256 == hashes["a.ogg"]
    file = mutagen.File(mp3, easy=True)
    file["title"] = "T"
    file.save()
    assert examine(mp3).sha256 == hashes["a.mp3"]
    samples = noise(1)
    assert examine(write_wav(tmp_path / "same.wav", samples)).sha256 == hashes["a.wav"]
    samples[-1, 1] ^= 1
    assert examine(write_wav(tmp_path / "other.wav", samples)).sha256 != hashes["a.wav"]


def test_hash_knows_rate_and_channels(tmp_path: Path) -> None:
    samples = noise(1)
    files = [
        write_wav(tmp_path / "a.wav", samples),
        write_wav(tmp_path / "b.wav", samples, RATE * 2),
        write_wav(tmp_path / "c.wav", samples.reshape(-1, 1)),
    ]
    assert len({examine(file).sha256 for file in files}) == 3


def write_wav(path: Path, samples: Any, rate: int = RATE) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


@pytest.mark.filterwarnings("error")
def test_samples_that_are_no_numbers(tmp_path: Path) -> None:
    """Of a float file, they are silence, and infinity is as loud as can be."""
    samples = np.sin(np.arange(2 * RATE) / 10).astype("<f4") / 2
    samples[100:104] = (np.nan, np.inf, -np.inf, 5)
    odd = write_float_wav(tmp_path / "odd.wav", samples)
    samples[100:104] = (0, 1, -1, 1)
    plain = write_float_wav(tmp_path / "plain.wav", samples)
    assert examine(odd) == examine(plain)
    assert examine(odd).duration_s == 2


def write_float_wav(path: Path, samples: Any) -> Path:
    form = struct.pack("<HHIIHH", 3, 1, RATE, RATE * 4, 4, 32)
    head = (
        b"RIFF"
        + struct.pack("<I", 36 + samples.nbytes)
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + form
    )
    path.write_bytes(head + b"data" + struct.pack("<I", samples.nbytes) + samples.tobytes())
    return path


def test_broken_tags_do_not_cost_the_track(tmp_path: Path) -> None:
    path = write_music(tmp_path / "a.flac", 1)
    content = bytearray(path.read_bytes())
    at = content.index(b"Lavf") - 4
    content[at : at + 4] = b"\xff\xff\xff\x7f"
    path.write_bytes(content)
    found = read(tmp_path)
    assert len(found.manifest) == 1
    assert [remark.kind for remark in found.remarks] == ["tags"]


def test_several_processes_give_the_same(tmp_path: Path) -> None:
    for number in range(9):
        write_music(tmp_path / f"{number}.wav", 1, number % 7)
    (tmp_path / "5.wav").write_bytes(b"RIFF")
    calls: list[tuple[int, int]] = []
    found = read(tmp_path, workers=2, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(number, 9) for number in range(1, 10)]
    alone = read(tmp_path)
    assert (found.manifest.tracks, found.remarks) == (alone.manifest.tracks, alone.remarks)
    assert len(found.manifest) == 6


def test_folder_given_twice_is_read_once(tmp_path: Path) -> None:
    write_music(tmp_path / "a" / "a.wav", 1)
    assert read_corpus([tmp_path, tmp_path / "a"], least_s=0.5).remarks == ()


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="nowhere: no such folder"):
        read_corpus([tmp_path / "nowhere"])
    with pytest.raises(TrainingError, match="no audio files"):
        read_corpus([tmp_path])
    (tmp_path / "a.wav").write_text("no music")
    with pytest.raises(
        TrainingError, match=r"none of 1 audio files can be used; the first, .*a\.wav: "
    ):
        read_corpus([tmp_path])


# The command.


def train(*arguments: Any) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "auricle.train",
        "corpus",
        "--workers",
        "1",
        "--least-seconds",
        "0.5",
    ]
    return subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, timeout=500
    )


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """Ten tracks by five artists."""
    for number in range(10):
        tag(
            write_music(tmp_path / "music" / f"{number}.flac", 1, number),
            artist=f"artist {number % 5}",
        )
    return tmp_path / "music"


def test_command(music: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.parquet"
    result = train(music, "--out", out)
    assert (result.returncode, result.stderr) == (0, "")
    rows = {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines() if line}
    assert rows["tracks"] == ["hours", "artists", "releases", "labels", "genres"]
    assert rows["all"][:1] + rows["all"][2:] == ["10", "5", "0", "0", "0"]
    manifest = Manifest.load(out)
    assert all(
        int(rows[name][0]) == len(manifest.part(name)) > 0
        for name in ("train", "validation", "test")
    )
    assert (tmp_path / "m-skipped.jsonl").read_text() == ""


def test_command_with_broken_files(music: Path, tmp_path: Path) -> None:
    (music / "x.wav").write_text("no music")
    (music / "y.flac").write_bytes((music / "0.flac").read_bytes())
    result = train(music, "--out", tmp_path / "m.parquet", "--json")
    assert result.returncode == 3, result.stderr
    content = json.loads(result.stdout)
    assert (content["broken"], content["duplicate"], content["short"]) == (1, 1, 0)
    assert content["counts"]["all"]["tracks"] == 10
    lines = [json.loads(line) for line in Path(content["skipped"]).read_text().splitlines()]
    assert [(Path(line["path"]).name, line["kind"]) for line in lines] == [
        ("x.wav", "broken"),
        ("y.flac", "duplicate"),
    ]


def test_command_with_a_name_that_is_not_utf8(music: Path, tmp_path: Path) -> None:
    odd = music / os.fsdecode(b"caf\xe9.flac")
    shutil.copy(music / "0.flac", odd)
    result = train(music, "--out", tmp_path / "m.parquet")
    assert result.returncode == 3, result.stderr
    assert "left out: 1 broken" in result.stdout
    assert len(Manifest.load(tmp_path / "m.parquet")) == 10
    (line,) = (tmp_path / "m-skipped.jsonl").read_text("utf-8").splitlines()
    assert json.loads(line) == {
        "path": str(odd),
        "kind": "broken",
        "reason": "its name is not UTF-8; rename it",
    }


def test_command_needs_artists_to_split(tmp_path: Path) -> None:
    for number in range(3):
        tag(write_music(tmp_path / "music" / f"{number}.flac", 1, number), artist="one")
    (tmp_path / "music" / "x.wav").write_text("no music")
    out = tmp_path / "m.parquet"
    result = train(tmp_path / "music", "--out", out)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert "3 tracks by 1 independent artist cannot be split into 3 parts" in result.stderr
    assert not out.exists()
    assert "x.wav" in (tmp_path / "m-skipped.jsonl").read_text()
    assert train(tmp_path / "music", "--out", out, "--no-split").returncode == 3
    assert len(Manifest.load(out).part("train")) == 3


@pytest.mark.parametrize("fractions", ["70,30", "a,b,c", "70,20,20", "-10,60,50", "0,50,50"])
def test_command_refuses_fractions(music: Path, fractions: str) -> None:
    result = train(music, f"--fractions={fractions}")
    assert result.returncode == 2
    assert "three percentages" in result.stderr
