"""Whole files, read into memory: the same samples as the engine hears."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from auricle.errors import InputError
from auricle.nodes.inputs.file import FileInput
from auricle.nodes.signal.reading import read_samples
from tests.nodes.listening import heard_at_once

DEMO = Path(__file__).parents[3] / "graphs" / "demo" / "demo.ogg"


@pytest.mark.parametrize("sample_rate", [16000, 44100])
def test_it_is_what_a_file_input_gives(sample_rate: int) -> None:
    heard = heard_at_once(FileInput("input", path=DEMO, sample_rate=sample_rate)).samples
    samples = read_samples(DEMO, sample_rate)
    assert samples.dtype == np.float32
    assert len(samples) > 10 * sample_rate
    np.testing.assert_array_equal(samples, heard)


def test_channels_are_mixed_by_their_mean(tmp_path: Path) -> None:
    stereo = np.array([[100, 300], [-200, 0], [32767, 32767]], "<i2")
    with wave.open(str(tmp_path / "stereo.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(stereo.tobytes())
    mean = np.array([200, -100, 32767]) / 2**15
    np.testing.assert_array_equal(read_samples(tmp_path / "stereo.wav", 16000), mean)


def test_what_is_no_audio_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no audio")
    with pytest.raises(InputError, match=r"text\.wav: "):
        read_samples(tmp_path / "text.wav", 16000)
    with pytest.raises(InputError, match=r"missing\.wav: "):
        read_samples(tmp_path / "missing.wav", 16000)
