"""Lengths that files declare: what is cut off is said, and whole files are not called so."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

from auricle.nodes.inputs.file import FileInput
from auricle.nodes.signal.extent import Extent, find_extent
from tests.nodes.listening import heard_at_once, needs_ffmpeg

pytestmark = needs_ffmpeg

SOUND = ("-f", "lavfi", "-i", "anoisesrc=d=4:a=0.3:r=16000:seed=1")

STOPPED = [
    ("a.wav", "-c:a pcm_s16le"),
    ("b.wav", "-c:a pcm_mulaw"),
    ("c.wav", "-c:a adpcm_ms"),
    ("d.wav", "-rf64 always"),
    ("e.wav", "-c:a pcm_f32le"),
    ("a.w64", "-c:a pcm_s16le"),
    ("a.caf", "-c:a pcm_s16be"),
    ("a.aiff", "-c:a pcm_s16be"),
    ("a.au", "-c:a pcm_s16be"),
    ("a.avi", "-c:a pcm_s16le"),
    ("a.wma", "-ar 44100 -c:a wmav2"),
    ("a.mka", "-c:a libopus"),
    ("a.m4a", "-c:a aac -movflags +faststart"),
]
"""Names, and FFmpeg's options, of files that declare their length in front."""

PIPED = [
    "wav",
    "caf",
    "au",
    "flac",
    "matroska",
    "ogg",
    "tta",
    "wv",
    "asf",
    "avi",
    "rm",
    "nut",
    "mp3",
]
"""Formats of files that FFmpeg writes to a pipe, without going back to say how long they are."""


def ffmpeg(*arguments: str | Path) -> bytes:
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=500).stdout


def played(path: Path) -> tuple[float, FileInput]:
    node = FileInput("file", path=path)
    return len(heard_at_once(node).samples) / 16000, node


@pytest.mark.parametrize(("name", "options"), STOPPED, ids=[name for name, _ in STOPPED])
def test_what_is_cut_off_is_said(tmp_path: Path, name: str, options: str) -> None:
    path = tmp_path / name
    ffmpeg(*SOUND, *options.split(), path)
    seconds, node = played(path)
    assert seconds == pytest.approx(4, abs=0.15)
    assert node.warnings == []
    os.truncate(path, path.stat().st_size // 2)
    seconds, node = played(path)
    assert 1 < seconds < 3
    (said,) = [warning for warning in node.warnings if "cut off" in warning]
    assert said.startswith(f"{path}: cut off: {seconds:.2f} s of ")
    assert float(said.split()[-3]) == pytest.approx(4, abs=0.15)


@pytest.mark.parametrize("form", PIPED)
def test_what_was_written_to_a_pipe_is_whole(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"a.{form}"
    path.write_bytes(ffmpeg(*SOUND, "-ar", "44100", "-f", form, "-"))
    seconds, node = played(path)
    assert seconds == pytest.approx(4, abs=0.2)
    assert node.warnings == []


def chunk(name: bytes, content: bytes, size: int | None = None, order: str = "<") -> bytes:
    return name + struct.pack(order + "I", len(content) if size is None else size) + content


@pytest.mark.parametrize("size", [0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFDB, 0])
def test_wav_from_a_program_that_did_not_know(tmp_path: Path, size: int) -> None:
    """As SoX and others write it to a pipe: a size, and a number of samples, that mean nothing."""
    sound = ffmpeg(*SOUND, "-c:a", "pcm_mulaw", "-f", "mulaw", "-")
    form = struct.pack("<HHIIHHH", 7, 1, 16000, 16000, 1, 8, 0)
    chunks = chunk(b"fmt ", form) + chunk(b"fact", struct.pack("<I", size))
    body = b"WAVE" + chunks + chunk(b"data", sound, size)
    (tmp_path / "a.wav").write_bytes(chunk(b"RIFF", body, min(size + 50, 0xFFFFFFFF)))
    seconds, node = played(tmp_path / "a.wav")
    assert seconds == 4
    assert node.warnings == []
    assert node.duration_s is None, "progress is not that of two days"


def test_a_pipe_that_promises_more_is_not_cut_off(tmp_path: Path) -> None:
    sound = ffmpeg(*SOUND, "-f", "s16le", "-")
    form = struct.pack("<HHIIHH", 1, 1, 16000, 32000, 2, 16)
    body = b"WAVE" + chunk(b"fmt ", form) + chunk(b"data", sound, 0x7FFFF000)
    (tmp_path / "a.wav").write_bytes(chunk(b"RIFF", body, 0x7FFFF024))
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["sh", "-c", 'cat "$0" > "$1"', tmp_path / "a.wav", tmp_path / "pipe"]):
        seconds, node = played(tmp_path / "pipe")
    assert seconds == 4
    assert node.warnings == []
    assert node.duration_s is None


def test_aiff_from_a_program_that_did_not_know(tmp_path: Path) -> None:
    sound = ffmpeg(*SOUND, "-f", "s16be", "-")
    rate = bytes.fromhex("400cfa00000000000000")
    common = struct.pack(">hIh", 1, 0x7F000000 // 2, 16) + rate
    head = chunk(b"COMM", common, order=">")
    data = chunk(b"SSND", bytes(8) + sound, 0x7F000008, ">")
    (tmp_path / "a.aiff").write_bytes(chunk(b"FORM", b"AIFF" + head + data, 0x7F00003E, ">"))
    seconds, node = played(tmp_path / "a.aiff")
    assert seconds == pytest.approx(4, abs=0.01)
    assert node.warnings == []


@pytest.mark.parametrize("late_s", [0, 1.5])
def test_a_picture_that_is_longer_is_not_missing_sound(tmp_path: Path, late_s: float) -> None:
    path = tmp_path / "a.mkv"
    picture = ("-f", "lavfi", "-i", "testsrc=d=7:s=64x48:r=10")
    codecs = ("-c:v", "ffv1", "-c:a", "libopus")
    ffmpeg("-itsoffset", str(late_s), *SOUND, *picture, *codecs, path)
    seconds, node = played(path)
    assert seconds == pytest.approx(4, abs=0.1)
    assert node.warnings == []
    os.truncate(path, path.stat().st_size // 4)
    _, node = played(path)
    assert "of 4.0" in node.warnings[-1]


def test_extent_of_chunks_of_every_kind(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(
        b"RIFF\0\0\0\0WAVE" + chunk(b"LIST", b"odd") + b"\0" + chunk(b"data", bytes(100), 400)
    )
    assert find_extent(tmp_path / "a.wav") == Extent(400, 100)
    assert Extent(400, 100).missing_share == 0.75
    assert Extent(None, 100).missing_share == Extent(100, 102).missing_share == 0


def test_headers_that_are_damaged_say_nothing(tmp_path: Path) -> None:
    rng, path = np.random.default_rng(7), tmp_path / "a"
    for magic in (b"RIFF", b"RF64", b"FORM", b"caff", b".snd", b"riff", b"\x30\x26\xb2\x75"):
        for length in (0, 7, 40, 3000):
            path.write_bytes(magic + rng.bytes(length))
            extent = find_extent(path)
            assert extent is None or 0 <= extent.missing_share <= 1
            path.write_bytes(magic + bytes(length))
            extent = find_extent(path)
            assert extent is None or 0 <= extent.missing_share <= 1
