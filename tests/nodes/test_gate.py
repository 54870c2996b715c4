"""The gate: digital silence by default, a level of a tone if asked for, no sound that is louder."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from auricle.models.front_end import FRONT_ENDS, FrontEnd
from auricle.nodes.gate import Gate
from auricle.nodes.signal.mel import mel_spectrogram

EVERY = pytest.mark.parametrize("front_end", FRONT_ENDS.values(), ids=FRONT_ENDS)


def tone(front_end: FrontEnd, level_db: float, hz: float = 1000) -> NDArray[np.float32]:
    """Mel frames of half a second of a tone, those that hear its ends left out."""
    times = np.arange(front_end.sample_rate // 2) / front_end.sample_rate
    samples = 10 ** (level_db / 20) * np.sin(2 * np.pi * hz * times)
    return mel_spectrogram(samples.astype(np.float32), front_end)[4:-4]


@EVERY
def test_digital_silence_only_by_default(front_end: FrontEnd) -> None:
    gate = Gate(front_end, None)
    zeros = mel_spectrogram(np.zeros(front_end.sample_rate, np.float32), front_end)
    assert gate.is_silent(zeros)
    rng = np.random.default_rng(0)
    noise = (rng.integers(-1, 2, front_end.sample_rate) / 32768).astype(np.float32)
    assert not gate.is_silent(mel_spectrogram(noise, front_end)), "the last bit of 16"


@EVERY
@pytest.mark.parametrize("level_db", [-80, -60, -30])
def test_a_level_is_that_of_a_tone(front_end: FrontEnd, level_db: float) -> None:
    gate = Gate(front_end, level_db)
    assert gate.is_silent(tone(front_end, level_db - 1))
    assert not gate.is_silent(tone(front_end, level_db + 1))


def test_a_single_loud_frame_is_sound_wherever_it_is() -> None:
    front_end = FRONT_ENDS["musicnn"]
    gate = Gate(front_end, None)
    for position in (0, 20, 39):
        frames = np.zeros((40, front_end.n_mels), np.float32)
        frames[position, 7] = 1
        assert not gate.is_silent(frames)
