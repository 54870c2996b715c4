"""Audio to measure with if the user names no file."""

from __future__ import annotations

import tempfile
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import soxr
from numpy.typing import NDArray

from auricle.errors import InputError
from bench.machine import CHECKOUT

SAMPLE_RATE = 16000
DEMO = CHECKOUT / "graphs" / "demo" / "demo.ogg"


@contextmanager
def clip(file: Path | None, seconds: float) -> Iterator[Path]:
    """A `file` as it is, or else `seconds` of `music`, again and again, as 16 kHz mono WAV.

    The clip is removed when the context ends.
    """
    if file is not None:
        yield file
        return
    with tempfile.TemporaryDirectory(prefix="auricle-bench-") as folder:
        path = Path(folder) / f"clip-{seconds:g}s.wav"
        write_wav(path, np.resize(music(), round(seconds * SAMPLE_RATE)))
        yield path


def music() -> NDArray[np.float32]:
    """The demo clip, or a chord in noise where it is missing, shape `(samples,)` at 16 kHz."""
    return decode(DEMO) if DEMO.is_file() else chord()


def decode(path: Path, sample_rate: int = SAMPLE_RATE) -> NDArray[np.float32]:
    """All samples of a file at `sample_rate`, channels mixed by their mean, shape `(samples,)`.

    Raises:
        InputError: The file cannot be opened or has no audio.
    """
    samples, rate = decode_native(path)
    return samples if rate == sample_rate else np.asarray(soxr.resample(samples, rate, sample_rate))


def decode_native(path: Path) -> tuple[NDArray[np.float32], int]:
    """All samples of a file at its own rate, channels mixed by their mean, and the rate.

    Raises:
        InputError: The file cannot be opened or has no audio.
    """
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise InputError(f"{path}: no audio stream")
            # Only the type of the samples changes; FFmpeg's mixing is not the mean.
            to_float = av.AudioResampler(format="fltp")
            frames = []
            for frame in container.decode(audio=0):
                frames += to_float.resample(frame)
            frames += to_float.resample(None)
    except (OSError, av.FFmpegError) as error:
        raise InputError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    if not frames:
        raise InputError(f"{path}: no audio could be decoded")
    channels = np.concatenate([frame.to_ndarray() for frame in frames], axis=1)
    return np.ascontiguousarray(channels.mean(axis=0, dtype=np.float32)), frames[0].sample_rate


def write_wav(path: Path, samples: NDArray[np.float32], sample_rate: int = SAMPLE_RATE) -> None:
    """Write `samples`, shape `(samples,)`, full scale 1, as a mono WAV of 16 bits."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(np.round(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


def chord(seconds: float = 10.0) -> NDArray[np.float32]:
    """Four tones in noise, shape `(samples,)` at 16 kHz."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    tones = sum(np.sin(2 * np.pi * hz * time) for hz in (220.0, 277.2, 329.6, 440.0))
    noise = np.random.default_rng(0).standard_normal(len(time))
    return np.asarray(0.1 * tones + 0.01 * noise, np.float32)
