"""Telling silence from sound by the mel frames that a model is given."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from auricle.models.front_end import FrontEnd
from auricle.nodes.signal.mel import mel_spectrogram

TONE_HZ = 1000
"""Frequency of the tone whose level a gate is stated in."""


class Gate:
    """Tells whether mel frames are of silence.

    Args:
        front_end: Front end that makes the frames.
        level_db: Level of a tone in dBFS, the loudest being 0; frames are of silence if no band is
            stronger than those of the tone. None for digital silence only.
    """

    def __init__(self, front_end: FrontEnd, level_db: float | None) -> None:
        self._most = _strongest_band(front_end, level_db)

    def is_silent(self, frames: NDArray[np.float32]) -> bool:
        """Whether frames, shape (any, bands), not normalised, are of silence."""
        # The last frame first: with sound in it, as mostly, nothing else is looked at.
        return bool(frames[-1].max() <= self._most and frames.max() <= self._most)


@functools.cache
def _strongest_band(front_end: FrontEnd, level_db: float | None) -> np.float32:
    """Value of the strongest mel band of the tone."""
    times = np.arange(4 * front_end.frame_size) / front_end.sample_rate
    amplitude = 0.0 if level_db is None else 10 ** (level_db / 20)
    tone = (amplitude * np.sin(2 * np.pi * TONE_HZ * times)).astype(np.float32)
    frames = mel_spectrogram(tone, front_end)
    return np.float32(frames[len(frames) // 2].max())
