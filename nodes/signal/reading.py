"""Reading a whole file into memory, for programs that need no stream."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from auricle.nodes.signal.conditioner import (
    Resampler,
    Samples,
    downmix,
    silence_the_unreal,
    to_float,
)
from auricle.nodes.signal.decoder import Damage, Decoder


def read_samples(path: Path, sample_rate: int) -> Samples:
    """Read a file as the engine hears it: channels mixed by their mean, then resampled.

    Damaged places are left out, and samples that are not finite are silenced.

    Args:
        path: Any file that FFmpeg decodes.
        sample_rate: Rate of the samples returned, in Hz.

    Returns:
        The samples, shape `(samples,)`, empty if nothing could be decoded; 230 MB per hour at
        16 kHz.

    Raises:
        InputError: The file cannot be opened or has no audio.
    """
    decoder = Decoder(path)
    try:
        parts: list[Samples] = []
        resampler: Resampler | None = None
        for block in decoder.blocks(least=decoder.sample_rate):
            if isinstance(block, Damage):
                continue
            mono = downmix(to_float(block.samples))
            silence_the_unreal(mono)
            if resampler is None or resampler.from_rate != block.sample_rate:
                if resampler is not None:
                    parts.append(resampler.flush())
                resampler = Resampler(block.sample_rate, sample_rate)
            parts.append(resampler(mono))
        if resampler is not None:
            parts.append(resampler.flush())
    finally:
        decoder.close()
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)
