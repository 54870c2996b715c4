"""Files of every kind, whole and damaged. What FFmpeg's own program decodes is the reference."""

from __future__ import annotations

import os
import struct
import subprocess
import time
import wave
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from auricle.errors import InputError
from auricle.nodes.inputs.file import FileInput
from auricle.nodes.signal.conditioner import Resampler, Samples, downmix
from tests.nodes.listening import (
    Listener,
    heard_at_once,
    heard_live,
    needs_ffmpeg,
    one_line,
    spectrum_peak,
    tone,
)

STARTS = [0, 2**31 - 5, 2**53]

# name, channels, FFmpeg's options for the encoder
KINDS = [
    ("u8.wav", 1, "-c:a pcm_u8"),
    ("s16.wav", 2, "-c:a pcm_s16le"),
    ("s24.wav", 2, "-c:a pcm_s24le"),
    ("s32.wav", 2, "-c:a pcm_s32le"),
    ("f32.wav", 2, "-c:a pcm_f32le"),
    ("f64.wav", 1, "-c:a pcm_f64le"),
    ("flac.flac", 2, "-c:a flac"),
    ("mp3.mp3", 2, "-c:a libmp3lame"),
    ("vorbis.ogg", 2, "-c:a libvorbis"),
    ("opus.opus", 2, "-c:a libopus -ar 48000"),
    ("aac.m4a", 2, "-c:a aac"),
    ("hires.wav", 8, "-c:a pcm_s32le -ar 192000"),
    ("low.wav", 1, "-c:a pcm_s16le -ar 8000"),
    ("list.m3u8", 2, "-c:a aac -f hls -hls_time 1"),
]

PLACED = ["a.flac", "a.opus", "a.m4a"]
"""What carries the time of every packet, in a way that FFmpeg passes on."""

AAC_EDITED, AAC_WHOLE = 2 * 44100, 87 * 1024
"""Frames of two seconds as AAC in MP4: where the file's edit list ends, and to the end of the last
packet, which the encoder fills up.
"""

AAC_HEARD = AAC_EDITED if av.library_versions["libavformat"] >= (63,) else AAC_WHOLE
"""Frames that the library gives: from FFmpeg 9 on it cuts off what lies behind the edit list."""

Encode = Callable[..., Path]


def ffmpeg(*arguments: str | Path) -> bytes:
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=500).stdout


@pytest.fixture
def encode(tmp_path: Path) -> Encode:
    """Makes a file of a few seconds: another tone in each channel, and some noise."""

    def encode(name: str, channels: int = 2, options: str = "", seconds: float = 2) -> Path:
        tones = "|".join(
            f"0.3*sin({220 * (i + 1)}*2*PI*t)+0.05*random({i})" for i in range(channels)
        )
        layout = {1: "mono", 2: "stereo", 8: "7.1"}[channels]
        source = f"aevalsrc='{tones}':d={seconds}:s=44100:c={layout}"
        ffmpeg("-f", "lavfi", "-i", source, *options.split(), tmp_path / name)
        return tmp_path / name

    return encode


def reference(path: Path, channels: int, rate: int) -> Samples:
    """The file decoded by FFmpeg's program, then resampled by ours in one call."""
    raw = np.frombuffer(ffmpeg("-i", path, "-map", "a:0", "-f", "f32le", "-"), "<f4").reshape(
        -1, channels
    )
    if path.suffix == ".m4a" and len(raw) == AAC_WHOLE and AAC_HEARD == AAC_EDITED:
        raw = raw[:AAC_EDITED]  # the program is older than the library
    resampler = Resampler(rate, 16000)
    return np.concatenate([resampler(downmix(raw)), resampler.flush()])


def played(path: Path, start: int = 0, **params: object) -> tuple[FileInput, Listener]:
    node = FileInput("file", path=path, **params)
    return node, heard_at_once(node, start)


@needs_ffmpeg
@pytest.mark.parametrize(("name", "channels", "options"), KINDS, ids=[kind[0] for kind in KINDS])
def test_what_ffmpeg_decodes(encode: Encode, name: str, channels: int, options: str) -> None:
    path = encode(name, channels, options)
    node, listener = played(path)
    expected = reference(path, channels, node.clock.sample_rate)
    # The program and the library are two releases of FFmpeg: the last bit of lossy decoders
    # differs.
    np.testing.assert_allclose(listener.samples, expected, atol=2e-5, strict=True)
    assert not node.warnings
    assert not listener.gaps
    assert abs(len(expected) - 2 * 16000) < 2000, "encoders pad, but not by more"
    if name == "aac.m4a":
        assert len(listener.samples) == round(AAC_HEARD * 16000 / 44100)


@needs_ffmpeg
def test_video_with_audio(encode: Encode, tmp_path: Path) -> None:
    audio, video = encode("a.wav", 2, "-c:a pcm_s16le"), tmp_path / "v.mkv"
    picture = "testsrc=d=2:s=64x48:r=10"
    ffmpeg("-f", "lavfi", "-i", picture, "-i", audio, "-c:v", "ffv1", "-c:a", "copy", video)
    np.testing.assert_array_equal(played(video)[1].samples, played(audio)[1].samples)


@needs_ffmpeg
@pytest.mark.parametrize("start", STARTS)
def test_real_time_gives_the_same_samples(encode: Encode, start: int) -> None:
    path = encode("a.flac", seconds=0.7)
    _, offline = played(path)
    live = heard_live(FileInput("file", path=path, realtime=True), start)
    np.testing.assert_array_equal(live.samples, offline.samples)


def test_sample_in_real_time_is_not_heard_before_its_time(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.zeros((15000, 1), "<i2"), 30000)
    node, before = FileInput("file", path=tmp_path / "a.wav", realtime=True), time.monotonic_ns()
    heard_live(node)
    heard_s = (node.clock.monotonic_ns(15000) - before) / 1e9
    # 0.1 s: a block and what is late by then.
    assert 0.4 <= heard_s <= (time.monotonic_ns() - before) / 1e9 + 0.1


@needs_ffmpeg
def test_rough_time_stamps_are_no_hole(tmp_path: Path) -> None:
    demo = Path(__file__).parents[3] / "graphs/demo/demo.ogg"
    ffmpeg("-i", demo, "-c:a", "alac", tmp_path / "a.m4a")  # with one stamp that is 10 ms late
    assert not played(tmp_path / "a.m4a")[1].gaps


@needs_ffmpeg
@pytest.mark.parametrize("start", STARTS)
def test_start_does_not_matter(encode: Encode, start: int) -> None:
    path = encode("a.mp3")
    node, listener = played(path, start)
    np.testing.assert_array_equal(listener.samples, played(path)[1].samples)
    stream = node.audio.stream
    assert stream.written == start + len(listener.samples)
    assert stream.span(start + 16000) == (44100, 44103)


@needs_ffmpeg
def test_wanted_rate_is_given(encode: Encode) -> None:
    path = encode("a.wav")
    _, listener = played(path, sample_rate=44100)
    assert len(listener.samples) == 2 * 44100


# What cannot be played
# ------------------------------------------------------------------------------------


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        played(path)
    message = one_line(str(caught.value))
    assert str(path) in message
    assert message.startswith("file: ")
    return message


def test_missing_file(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "a.wav")


def test_folder(tmp_path: Path) -> None:
    assert "a folder" in refusal(tmp_path)


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    assert "an empty file" in refusal(tmp_path / "a.wav")


def test_text_called_wav(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("This is not music.\n" * 100)
    assert "not audio" in refusal(tmp_path / "a.wav")


def test_wav_without_samples(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.zeros((0, 1), "<i2"))
    assert "no audio could be decoded" in refusal(tmp_path / "a.wav")


@needs_ffmpeg
def test_video_without_audio(tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "testsrc=d=1:s=64x48", "-c:v", "ffv1", tmp_path / "v.mkv")
    assert "no audio in it, only video" in refusal(tmp_path / "v.mkv")


def test_unreadable_file(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        # Root may read anything; a path through a file is refused to root, too.
        (tmp_path / "a").touch()
        assert "Not a directory" in refusal(tmp_path / "a" / "b.wav")
        return
    write_wav(tmp_path / "a.wav", np.zeros((10, 1), "<i2"))
    (tmp_path / "a.wav").chmod(0)
    assert "Permission denied" in refusal(tmp_path / "a.wav")


# What is played in part
# -----------------------------------------------------------------------------------


def write_wav(path: Path, samples: NDArray[np.signedinteger], rate: int = 16000) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(samples.dtype.itemsize)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())


def write_float_wav(path: Path, samples: Samples, rate: int = 16000) -> None:
    form = struct.pack("<HHIIHH", 3, 1, rate, 4 * rate, 4, 32)
    data = samples.astype("<f4").tobytes()
    body = (
        b"WAVEfmt "
        + struct.pack("<I", len(form))
        + form
        + b"data"
        + struct.pack("<I", len(data))
        + data
    )
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)


@needs_ffmpeg
@pytest.mark.parametrize("name", ["a.mp3", "a.flac", "a.ogg"])
def test_truncated_file_is_used_as_far_as_it_goes(encode: Encode, name: str) -> None:
    path = encode(name, seconds=6)
    whole = played(path)[1].samples
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    node, listener = played(path)
    part = listener.samples
    assert 2 * 16000 < len(part) < 4 * 16000
    # The last packet is cut: concealed, or a gap as long as it should have lasted, at most 0.11 s.
    sound = len(part) - 3200
    np.testing.assert_allclose(part[:sound], whole[:sound], atol=1e-6)
    if name != "a.ogg":  # its length is known from its end, which is gone
        assert any(
            "cut off" in one_line(warning) and str(path) in warning for warning in node.warnings
        )


@needs_ffmpeg
@pytest.mark.parametrize("name", ["a.mp3", "a.aac"])
def test_guessed_length_is_no_promise(tmp_path: Path, name: str) -> None:
    """Loud at the end only: packets grow, and FFmpeg guesses far too long from the first ones."""
    silent_then_loud = "aevalsrc='0.9*random(0)*gt(t,5)':d=6:s=44100"
    header = ("-write_xing", "0") if name == "a.mp3" else ()
    ffmpeg("-f", "lavfi", "-i", silent_then_loud, "-q:a", "2", *header, tmp_path / name)
    node, listener = played(tmp_path / name)
    assert abs(len(listener.samples) / 16000 - 6) < 0.1
    assert node.duration_s is not None
    assert abs(node.duration_s - 6) > 0.25, "a good guess tests nothing"
    assert not node.warnings


def chain(folder: Path, *links: tuple[int, int], codec: str = "libvorbis") -> Path:
    """A chained Ogg file of links of two seconds, each of a rate and a number of channels."""
    path = folder / "chained.ogg"
    with path.open("wb") as file:
        for number, (rate, channels) in enumerate(links):
            link = folder / f"link-{number}.ogg"
            source = f"sine=f={440 * (number + 1)}:d=2:r={rate}"
            ffmpeg("-f", "lavfi", "-i", source, "-ac", str(channels), "-c:a", codec, link)
            file.write(link.read_bytes())
    return path


@needs_ffmpeg
def test_a_chain_with_another_rate_is_its_links_one_behind_another(tmp_path: Path) -> None:
    path = chain(tmp_path, (44100, 1), (48000, 1), (22050, 2))
    node, listener = played(path)
    links = [played(tmp_path / f"link-{number}.ogg")[1].samples for number in range(3)]
    np.testing.assert_array_equal(listener.samples, np.concatenate(links))
    assert node.warnings == []
    assert not listener.gaps


@needs_ffmpeg
@pytest.mark.parametrize("codec", ["libvorbis", "libopus", "flac"])
def test_a_chain_with_other_channels_is_heard_to_its_end(tmp_path: Path, codec: str) -> None:
    path = chain(tmp_path, (48000, 2), (48000, 1), (48000, 2), codec=codec)
    node, listener = played(path)
    # Encoders pad each link to whole packets, of 85 ms at most.
    assert 6 <= len(listener.samples) / 16000 < 6.3
    for number in range(3):
        frequency, _ = spectrum_peak(listener.samples[(2 * number + 1) * 16000 :][:8000], 16000)
        assert abs(frequency - 440 * (number + 1)) <= 2
    assert node.warnings == []


@needs_ffmpeg
def test_a_link_that_is_damaged_does_not_hide_the_next(tmp_path: Path) -> None:
    path = chain(tmp_path, (44100, 1), (48000, 1), (44100, 1))
    first, second, third = (tmp_path / f"link-{number}.ogg" for number in range(3))
    page = bytearray(second.read_bytes())
    page[60:160] = bytes(100)  # in its headers: nothing of it can be decoded
    path.write_bytes(first.read_bytes() + page + third.read_bytes())
    node, listener = played(path)
    assert listener.reasons() == ["damaged"]
    assert len(node.warnings) == 1
    frequency, _ = spectrum_peak(listener.samples[-16000:], 16000)
    assert abs(frequency - 440 * 3) <= 2


@needs_ffmpeg
def test_a_chain_whose_last_link_is_damaged_ends_before_it(tmp_path: Path) -> None:
    path = chain(tmp_path, (44100, 1), (48000, 2))
    first, last = (tmp_path / f"link-{number}.ogg" for number in range(2))
    page = bytearray(last.read_bytes())
    page[60:160] = bytes(100)
    path.write_bytes(first.read_bytes() + page)
    node, listener = played(path)
    heard = played(first)[1].samples
    np.testing.assert_array_equal(listener.samples[: len(heard) - 512], heard[:-512])
    assert node.warnings


@needs_ffmpeg
@pytest.mark.parametrize(("name", "options"), [("a.ac3", "-c:a ac3"), ("a.flac", "-ar 8000")])
def test_a_file_whose_beginning_was_cut_off_is_heard(
    encode: Encode, name: str, options: str
) -> None:
    """The gap before the first sample is shorter than what the resampler holds back."""
    path = encode(name, 1, options, seconds=4)
    data = path.read_bytes()
    begin = 0 if name == "a.ac3" else data.index(b"\xff\xf8")  # FLAC keeps its headers
    path.write_bytes(data[:begin] + data[begin + 700 :])
    node, listener = played(path)
    assert 3.5 < len(listener.samples) / 16000 < 4.5
    assert set(listener.reasons()) <= {"damaged"}
    assert all(str(path) in one_line(warning) for warning in node.warnings)


@needs_ffmpeg
def test_of_several_tracks_the_default_one_is_heard(encode: Encode, tmp_path: Path) -> None:
    speech, music = encode("a.wav", 1), encode("b.wav", 2)
    path = tmp_path / "film.mka"
    ffmpeg(
        *("-i", speech, "-i", music, "-map", "0", "-map", "1", "-c", "copy"),
        *("-disposition:a:0", "0", "-disposition:a:1", "default", path),
    )
    np.testing.assert_array_equal(played(path)[1].samples, played(music)[1].samples)


@needs_ffmpeg
def test_a_codec_that_nobody_knows_is_one_line(encode: Encode) -> None:
    path = encode("a.wav", 1, "-c:a pcm_s16le")
    data = bytearray(path.read_bytes())
    place = data.index(b"fmt ") + 8
    data[place : place + 2] = b"\x77\x66"  # a format tag that no codec has
    path.write_bytes(data)
    assert refusal(path) == f"file: {path}: FFmpeg has no decoder for its audio"


@needs_ffmpeg
def test_rate_and_channels_may_change(tmp_path: Path) -> None:
    parts = []
    for rate, channels in ((44100, 1), (48000, 2), (44100, 1)):
        part = tmp_path / f"{rate}.mp3"
        source = f"sine=d=2:r={rate}"
        ffmpeg("-f", "lavfi", "-i", source, "-ac", str(channels), "-write_xing", "0", part)
        parts.append(part.read_bytes())
    (tmp_path / "a.mp3").write_bytes(b"".join(parts))
    node, listener = played(tmp_path / "a.mp3")
    # Each part is padded to whole packets of 26 ms, twice at most.
    assert abs(len(listener.samples) / 16000 - 6) < 0.2
    assert node.clock.sample_rate == 44100
    for second in (1, 3, 5):
        frequency, _ = spectrum_peak(listener.samples[second * 16000 :][:8000], 16000)
        assert abs(frequency - 440) <= 2


@pytest.mark.parametrize(
    "name", ["a:b.wav", "http:a.wav", "concat:a.wav", "-a.wav", "a%03d.wav", "é ?#.wav"]
)
def test_names_are_not_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_wav(Path(name), np.full((100, 1), 16384, "<i2"))
    np.testing.assert_array_equal(played(Path(name))[1].samples, np.full(100, 0.5, np.float32))


@needs_ffmpeg
@pytest.mark.parametrize("name", ["a.mp3", "a.ogg", *PLACED])
def test_damage_in_the_middle_is_passed_over(encode: Encode, name: str) -> None:
    path = encode(name, seconds=4)
    whole = played(path)[1].samples
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 6000] = np.random.default_rng(4).bytes(6000)
    path.write_bytes(data)
    node, listener = played(path)
    assert node.warnings
    assert all(str(path) in one_line(warning) for warning in node.warnings)
    assert set(listener.reasons()) <= {"damaged"}
    np.testing.assert_allclose(listener.samples[:16000], whole[:16000], atol=1e-6)
    if name in PLACED:
        # Everything behind the damage lies where it lay. AAC fills bands with noise that depends on
        # what was decoded before, here up to 0.016; a shift by one sample would change the tones by
        # 0.09.
        np.testing.assert_allclose(listener.samples[-12000:], whole[-12000:], atol=0.03)
        assert len(listener.samples) == len(whole)
        assert listener.gaps


def test_nan_is_silence_and_a_gap(tmp_path: Path) -> None:
    samples = tone(440, 1, 16000)
    samples[5000:5100] = np.nan
    samples[9000] = np.inf
    write_float_wav(tmp_path / "a.wav", samples)
    node, listener = played(tmp_path / "a.wav", 2**53)
    assert [
        (gap.start - 2**53, gap.stop - 2**53, gap.reason, gap.source) for gap in listener.gaps
    ] == [
        (5000, 5100, "nan", (5000, 5100)),
        (9000, 9001, "nan", (9000, 9001)),
    ]
    expected = np.where(np.isfinite(samples), samples, 0)
    np.testing.assert_array_equal(listener.samples, expected)
    assert any(
        "not numbers" in one_line(warning) and "2 places" in warning for warning in node.warnings
    )


def test_nan_at_another_rate_lies_where_it_was(tmp_path: Path) -> None:
    samples = tone(440, 1, 48000)
    samples[24001:24100] = np.nan
    write_float_wav(tmp_path / "a.wav", samples, 48000)
    _, listener = played(tmp_path / "a.wav")
    (gap,) = listener.gaps
    # Outwards to whole samples.
    assert (gap.start, gap.stop, gap.source) == (8000, 8034, (24001, 24100))
    assert np.isfinite(listener.samples).all()
    assert len(listener.samples) == 16000


def test_starting_and_stopping_twice_is_harmless(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.ones((100, 1), "<i2"))
    node, listener = played(tmp_path / "a.wav")
    node.stop()
    node.stop()
    assert len(listener.samples) == 100
    FileInput("file", path=tmp_path / "a.wav").stop()
