"""Channels to one: every way to mix, and channels that cancel each other."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auricle.errors import ConfigError
from auricle.nodes.inputs.file import FileInput
from auricle.nodes.inputs.samples import SamplesInput
from auricle.nodes.signal.conditioner import downmix
from auricle.nodes.signal.mixing import Cancellation, Mix, itu_weights, mix_down
from tests.nodes.listening import Listener, heard_at_once, needs_ffmpeg, one_line

RATE = 16000


def noise(seconds: float = 2, channels: int = 2) -> np.ndarray[Any, np.dtype[np.float32]]:
    rng = np.random.default_rng(3)
    return (0.3 * rng.standard_normal((round(seconds * RATE), channels))).astype(np.float32)


def played(samples: np.ndarray[Any, Any], **params: Any) -> tuple[SamplesInput, Listener]:
    node = SamplesInput("samples", samples, RATE, **params)
    return node, heard_at_once(node)


def test_mean_is_what_it_was() -> None:
    for channels in (1, 2, 6):
        block = noise(0.1, channels)
        np.testing.assert_array_equal(mix_down(block, "mean"), downmix(block))


@pytest.mark.parametrize(("mix", "channel"), [("left", 0), ("right", 1), (1, 0), (3, 2), (4, 3)])
def test_one_channel_alone(mix: Mix, channel: int) -> None:
    block = noise(0.1, 4)
    _, listener = played(block, mix=mix)
    np.testing.assert_array_equal(listener.samples, block[:, channel])


@pytest.mark.parametrize("mix", ["mean", "left", "right", "itu", 1])
def test_mono_is_heard_as_it_is(mix: Mix) -> None:
    block = noise(0.1, 1)
    np.testing.assert_array_equal(mix_down(block, mix), block[:, 0])


def test_a_channel_that_there_is_not() -> None:
    with pytest.raises(ConfigError, match=r"mix=3: the source has 2 channels"):
        played(noise(), mix=3)
    with pytest.raises(ConfigError):
        SamplesInput("samples", noise(), RATE, mix="middle")


@needs_ffmpeg
@pytest.mark.parametrize("layout", ["stereo", "3.0", "quad", "5.0", "5.1", "7.1"])
def test_itu_is_what_ffmpeg_mixes(tmp_path: Path, layout: str) -> None:
    """Integers, since FFmpeg does not normalise the mix of floats."""
    channels = {"stereo": 2, "3.0": 3, "quad": 4, "5.0": 5, "5.1": 6, "7.1": 8}[layout]
    sound = "|".join(f"0.5*random({channel})" for channel in range(channels))
    path = tmp_path / "a.wav"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i"]
    source = f"aevalsrc='{sound}':d=0.5:s={RATE}:c={layout}"
    subprocess.run([*command, source, str(path)], check=True)
    convert = ["ffmpeg", "-v", "error", "-i", str(path), "-ac", "1", "-f", "s16le", "-"]
    raw = subprocess.run(convert, check=True, capture_output=True).stdout
    expected = np.frombuffer(raw, "<i2") / 2**15
    listener = heard_at_once(FileInput("file", path=path, mix="itu"))
    np.testing.assert_allclose(listener.samples, expected, atol=3e-4)


def test_itu_leaves_the_low_frequency_effects_out() -> None:
    block = np.zeros((10, 6), np.float32)
    block[:, 3] = 1
    assert mix_down(block, "itu").tolist() == [0] * 10
    assert mix_down(block, "mean").tolist() == pytest.approx([1 / 6] * 10)
    assert itu_weights(6, ("FL", "FR", "FC", "BL", "BR", "LFE"))[5] == 0
    np.testing.assert_allclose(itu_weights(11), np.full(11, 1 / 11))
    assert itu_weights(1, ("LFE",)).tolist() == [1]


def test_channels_that_cancel_each_other_are_flagged() -> None:
    left = noise(3, 1)
    node, listener = played(np.hstack([left, -left]))
    assert np.abs(listener.samples).max() < 1e-6
    assert set(listener.reasons()) == {"cancelled"}
    assert listener.gaps[0].start == RATE // 4
    assert listener.gaps[-1].stop >= 3 * RATE
    assert node.lost == 0
    _, alone = played(np.hstack([left, -left]), mix="left")
    assert not alone.gaps


@pytest.mark.parametrize("what", ["stereo", "silence", "mono twice", "one channel only", "nan"])
def test_what_does_not_cancel_is_not_flagged(what: str) -> None:
    block = noise(2)
    if what == "silence":
        block[:] = 0
    elif what == "mono twice":
        block[:, 1] = block[:, 0]
    elif what == "one channel only":
        block[:, 1] = 0
    elif what == "nan":
        block[:, 1] = np.nan
    assert "cancelled" not in played(block)[1].reasons()


@pytest.mark.parametrize("size", [1, 317, 4000, 4001, 100_000])
def test_cut_does_not_matter_to_cancellation(size: int) -> None:
    block = noise(2)
    block[10_000:25_000, 1] = -block[10_000:25_000, 0]
    found, cancellation = [], Cancellation(RATE)
    for start in range(0, len(block), size):
        part = block[start : start + size]
        found += [start + end for end in cancellation(part, downmix(part))]
    assert found == [16_000, 20_000, 24_000]


@needs_ffmpeg
def test_a_file_whose_channels_cancel_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    source = "aevalsrc='0.3*sin(440*2*PI*t)|-0.3*sin(440*2*PI*t)':d=4:s=44100"
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, str(path)], check=True)
    node = FileInput("file", path=path)
    heard_at_once(node)
    (warning,) = node.warnings
    assert one_line(warning).startswith(f"{path}: channels cancel each other for 4 s")
    assert "mix: left" in warning
    node = FileInput("file", path=path, mix="right")
    assert np.abs(heard_at_once(node).samples).max() > 0.29
    assert node.warnings == []
