"""Whether a file holds audio that can be trained on, and which audio that is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from auricle.errors import InputError, TrainingError
from auricle.nodes.signal.conditioner import to_float
from auricle.nodes.signal.decoder import Block, Damage, Decoder
from auricle.nodes.signal.extent import find_extent

TOLERATED_S: Final = 1.0
TOLERATED_SHARE: Final = 0.01
"""Tolerated difference between declared and decoded length, whichever of the two is more.
Encoders' delays are below 0.1 s; a download that was cut off lacks more."""

SILENCE: Final = 10 ** (-60 / 20)
"""A file that is nowhere louder is silent: -60 dB of full scale. The dither of 16 bits and the hiss
of a sound card stay below."""

BLOCK: Final = 65536
"""Samples per channel decoded in one block."""


@dataclass(frozen=True, slots=True)
class Audio:
    """Result of decoding a file.

    Attributes:
        duration_s: Length of the decoded audio, in seconds.
        sha256: Hash of the rate, the number of channels, and the samples as 16-bit integers with
            interleaved channels. Tags, the container and lossless compression do not change it;
            another encoding does.
    """

    duration_s: float
    sha256: str


def examine(file: Path) -> Audio:
    """Decode `file` to its end, and measure its duration in seconds.

    A truncated Ogg file is accepted: its declared length is read from its last page.

    Raises:
        TrainingError: The file does not decode, is much shorter or longer than it declares, or is
            silent (below -60 dB throughout).
        OSError: The file cannot be read.
    """
    if not file.stat().st_size:
        raise TrainingError(f"{file}: an empty file")
    digest = hashlib.sha256()
    form: tuple[int, int] | None = None
    duration_s, peak, damage = 0.0, 0.0, ""
    try:
        decoder = Decoder(file)
        try:
            for item in decoder.blocks(BLOCK):
                if isinstance(item, Damage):
                    damage = item.reason
                    continue
                if form != (form := (item.sample_rate, item.samples.shape[1])):
                    digest.update(b"%d/%d:" % form)
                samples = _sixteen_bits(item)
                digest.update(samples.data)
                if samples.size:
                    peak = max(peak, float(samples.max()), -float(samples.min()))
                duration_s += len(samples) / item.sample_rate
            declared_s = _declared_s(file, duration_s, decoder)
        finally:
            decoder.close()
    except InputError as error:
        raise TrainingError(error.message) from error
    if not duration_s:
        raise TrainingError(f"{file}: nothing in it decodes{damage and f': {damage}'}")
    if declared_s and abs(declared_s - duration_s) > max(TOLERATED_S, TOLERATED_SHARE * declared_s):
        raise TrainingError(
            f"{file}: says it lasts {declared_s:.1f} s, but {duration_s:.1f} s decode"
        )
    if peak < SILENCE * 2**15:
        raise TrainingError(f"{file}: silent: nowhere louder than -60 dB")
    return Audio(duration_s, digest.hexdigest())


def _declared_s(file: Path, duration_s: float, decoder: Decoder) -> float | None:
    """Seconds that a file says it has, of which `duration_s` were decoded; None if unknown."""
    extent = find_extent(file)
    if extent is None:
        return decoder.declared_s
    return duration_s / (1 - extent.missing_share or 1)


def _sixteen_bits(block: Block) -> NDArray[Any]:
    """Samples as int16, `(frames, channels)` in that order in memory."""
    if block.samples.dtype == np.int16:
        return np.ascontiguousarray(block.samples)
    samples = np.nan_to_num(to_float(block.samples), copy=False, posinf=1, neginf=-1)
    return np.ascontiguousarray(np.clip(np.rint(samples * 2**15), -(2**15), 2**15 - 1), np.int16)
