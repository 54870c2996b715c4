"""How the channels of a source become one, and whether they cancel each other in it."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from auricle.errors import ConfigError
from auricle.nodes.signal.conditioner import Samples, downmix

Mix = Literal["mean", "left", "right", "itu"] | Annotated[int, Field(ge=1, le=256)]
"""A way to mix, or the number of a channel to hear alone, from 1."""

LAYOUTS: dict[int, str] = {
    2: "FL FR",
    3: "FL FR FC",
    4: "FL FR BL BR",
    5: "FL FR FC BL BR",
    6: "FL FR FC LFE BL BR",
    7: "FL FR FC LFE BC SL SR",
    8: "FL FR FC LFE BL BR SL SR",
}
"""Channels in the order of WAV, by their number, for sources that do not name them."""

ITU_WEIGHTS = {"FC": 1.0, "FL": 0.5**0.5, "FR": 0.5**0.5, "LFE": 0.0, "LFE2": 0.0}
"""Weights of ITU-R BS.775 for one loudspeaker; any other channel has half the weight of `FC`."""

WINDOW_S = 0.25
"""Seconds over which the levels of the channels and of their mix are compared."""

CANCELLED, AUDIBLE = 1e-4, 1e-6
"""Power of the mix relative to that of the channels below which they cancel each other, -40 dB; and
power of the channels below which nothing is heard anyway, -60 dB of full scale."""


def mix_down(block: Samples, mix: Mix, layout: tuple[str, ...] = ()) -> Samples:
    """Mix the channels of a block.

    Args:
        block: Shape `(frames, channels)`, float32.
        mix: How to; a mono source is always heard as it is.
        layout: Names of the channels, as FFmpeg has them; those of WAV if empty.

    Returns:
        A new array, shape `(frames,)`.

    Raises:
        ConfigError: There is no channel of the number that is wanted.
    """
    channels = block.shape[1]
    if mix == "mean" or (channels == 1 and not isinstance(mix, int)):
        return downmix(block)
    if mix == "itu":
        # The mean of weighted channels divides by their number again.
        weights = itu_weights(channels, layout) * np.float32(channels)
        return downmix(block * weights)
    number = {"left": 1, "right": 2}.get(mix, mix) if isinstance(mix, str) else mix
    assert isinstance(number, int)
    if number > channels:
        has = "1 channel" if channels == 1 else f"{channels} channels"
        raise ConfigError(f"mix={mix!r}: the source has {has}")
    alone: Samples = block[:, number - 1].copy()
    return alone


def itu_weights(channels: int, layout: tuple[str, ...] = ()) -> Samples:
    """Weights of the channels in the mix of ITU-R BS.775, shape `(channels,)`; their sum is 1.

    Those of channels that nobody knows are equal.
    """
    names = layout or tuple(LAYOUTS.get(channels, "").split())
    if len(names) != channels:
        return np.full(channels, 1 / channels, np.float32)
    weights = np.array([ITU_WEIGHTS.get(name, 0.5) for name in names])
    if not weights.any():  # nothing but an LFE
        weights[:] = 1
    normalised: Samples = (weights / weights.sum()).astype(np.float32)
    return normalised


class Cancellation:
    """Finds where channels cancel each other, so that their mix is silent and they are not.

    Where that happens follows from the samples alone, however they are cut into blocks.

    Args:
        sample_rate: Sample rate, Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        self.window = max(1, round(WINDOW_S * sample_rate))
        self._filled = 0  # frames of the current window
        self._channels = 0.0  # sum of their squares, mean of the channels
        self._mix = 0.0

    def __call__(self, block: Samples, mono: Samples) -> list[int]:
        """Take a block and its mix.

        Args:
            block: Shape `(frames, channels)`, float32.
            mono: Their mix, shape `(frames,)`.

        Returns:
            Where in the block windows end, in frames, in which the channels cancelled each other.
        """
        found = []
        start, channels = 0, block.shape[1]
        while start < len(mono):
            stop = min(len(mono), start + self.window - self._filled)
            part, mixed = block[start:stop], mono[start:stop]
            with np.errstate(all="ignore"):  # NaN, infinity and what overflows cancel nothing
                self._channels += float(np.dot(part.ravel("K"), part.ravel("K"))) / channels
                self._mix += float(np.dot(mixed, mixed))
            self._filled += stop - start
            start = stop
            if self._filled == self.window:
                if self._mix < CANCELLED * self._channels > CANCELLED * AUDIBLE * self.window:
                    found.append(stop)
                self._filled, self._channels, self._mix = 0, 0.0, 0.0
        return found
