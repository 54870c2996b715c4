"""Small audio files of every kind, made in a test."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

RATE = 22050

CODECS = {
    ".wav": "pcm_s16le",
    ".flac": "flac",
    ".mp3": "libmp3lame",
    ".ogg": "vorbis",
    ".opus": "libopus",
    ".m4a": "aac",
    ".wv": "wavpack",
    ".wma": "wmav2",
}


def noise(
    seconds: float, seed: int = 0, level: float = 0.25, rate: int = RATE
) -> NDArray[np.int16]:
    """Stereo samples `(frames, 2)` that are those of no other seed."""
    draws = np.random.default_rng(seed).uniform(-level, level, (round(seconds * rate), 2))
    return (draws * 32767).astype(np.int16)


def write_music(path: Path, seconds: float = 1, seed: int = 0, level: float = 0.25) -> Path:
    """Noise, encoded as the ending of `path` says."""
    rate = 48000 if path.suffix == ".opus" else RATE
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(
            CODECS[path.suffix], rate=rate, options={"strict": "experimental"}
        )
        stream.layout = "stereo"
        stream.bit_rate = 128000
        frame = av.AudioFrame.from_ndarray(
            noise(seconds, seed, level, rate).reshape(1, -1), "s16", "stereo"
        )
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        resampler = av.AudioResampler(stream.format, "stereo", rate, stream.frame_size or None)
        for piece in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return path


def remux(source: Path, target: Path) -> Path:
    """The same packets in another container."""
    with av.open(str(source)) as opened, av.open(str(target), "w") as container:
        stream = container.add_stream_from_template(opened.streams.audio[0])
        for packet in opened.demux(opened.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    return target
