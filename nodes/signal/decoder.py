"""Files and URLs to blocks of samples, by FFmpeg."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

from auricle.errors import InputError
from auricle.nodes.signal.conditioner import downmix, to_float

LEAST_HOLE_S, LONGEST_HOLE_S = 0.05, 60.0
"""A jump of the time stamps between these is missing audio; more is another time base. FFmpeg
stamps frames of Vorbis as if the packets before them were as long as they are: where lengths
change, stamps are off by a quarter of the longest block, up to 46 ms, also in files of other kinds
that it made from Vorbis."""

LONGEST_OVERLAP_S = 1.0
"""A jump back by less repeats samples, as FFmpeg does at the start of HLS; by more is another time
base.
"""

PCM_OPTIONS = {"max_size": "32768", "probesize": "65536"}
"""For files that are samples behind a header: longer packets than FFmpeg's own, which take ten
times as long here, and fewer of them read ahead to find out what the header says."""

PCM_ENDINGS = frozenset({".w64", ".wav"})

METADATA_OPTIONS: dict[str, Any] = (
    {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
)
"""Keeps tags that are not UTF-8 from ending a file. PyAV 19 has no such option: it decodes them
with surrogates.
"""

WITHOUT_LENGTH = frozenset({"aac", "ac3", "dts", "eac3", "mp3"})
"""Formats that are packets and nothing else; FFmpeg guesses their length from their size and first
packet.
"""


@dataclass(frozen=True, slots=True)
class Block:
    """Decoded samples: `(frames, channels)` of some PCM type, at `sample_rate` Hz."""

    samples: NDArray[Any]
    sample_rate: int


@dataclass(frozen=True, slots=True)
class Damage:
    """Something that could not be decoded, and the seconds it should have lasted; 0 if nothing
    says.
    """

    seconds: float
    reason: str


class Decoder:
    """The first audio stream of a file or URL.

    Args:
        place: Path, or URL as text.
        options: FFmpeg's options for the protocol and format.
        timeout_s: Longest wait for a connection or for data; None for files.

    Attributes:
        sample_rate: Of the first block, Hz.

    Raises:
        InputError: Not there, not audio, or without an audio stream.
    """

    def __init__(
        self,
        place: Path | str,
        options: dict[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> None:
        self._place = without_password(str(place))
        # What stands before a colon in a file's name is not a protocol.
        url = f"file:{place}" if isinstance(place, Path) else place
        if isinstance(place, Path) and place.suffix.lower() in PCM_ENDINGS:
            options = {**PCM_OPTIONS, **(options or {})}
        try:
            self._container = av.open(
                url, options=options or {}, timeout=timeout_s, **METADATA_OPTIONS
            )
        except av.FFmpegError as error:
            raise InputError(f"{self._place}: {_reason(error)}") from error
        if not self._container.streams.audio:
            kinds = sorted({stream.type for stream in self._container.streams})
            self.close()
            raise InputError(
                f"{self._place}: no audio in it, only {' and '.join(kinds) or 'nothing that is known'}"
            )
        self._stream = self._container.streams.audio[0]
        self.sample_rate: int = self._stream.rate or 0
        if not self.sample_rate:
            self.close()
            raise InputError(f"{self._place}: its audio cannot be decoded")

    @property
    def duration_s(self) -> float | None:
        """Length that the container declares or FFmpeg guesses, in seconds; None if neither."""
        if self._stream.duration and self._stream.time_base:
            return float(self._stream.duration * self._stream.time_base)
        duration = self._container.duration
        return duration / 1e6 if duration else None

    @property
    def duration_is_guessed(self) -> bool:
        """Whether `duration_s` is too uncertain to say that something is missing."""
        # An MP3 that declares its length also declares the encoder's delay, and so starts late.
        return self._container.format.name in WITHOUT_LENGTH and not self._stream.start_time

    @property
    def is_endless(self) -> bool:
        """Whether the source goes on for ever, and has been cut off if it ends."""
        # Radio servers send these headers, and some a length too, so that browsers show a player.
        return self.duration_s is None or any(
            key.startswith("icy-") for key in self._container.metadata
        )

    def blocks(self, least: int = 1) -> Iterator[Block | Damage]:
        """The blocks, to the end of the source.

        Args:
            least: Samples that a block has at least, but where the source ends, changes or is
                damaged: codecs decode a few hundred at a time, each of which would cost a call of
                everything behind.

        Raises:
            InputError: The source cannot be read any further; a time-out among others.
        """
        frames: list[AudioFrame] = []
        held = 0
        try:
            for item in self._frames():
                other = isinstance(item, Damage) or (
                    frames and item.sample_rate != frames[0].sample_rate
                )
                if frames and (other or held >= least):
                    yield _block(frames)
                    frames, held = [], 0
                if isinstance(item, Damage):
                    yield item
                else:
                    frames.append(item)
                    held += item.samples
        except InputError:
            if frames:
                yield _block(frames)
            raise
        if frames:
            yield _block(frames)

    def _frames(self) -> Iterator[AudioFrame | Damage]:
        expected_s = float("inf")  # the first frame is where it is
        try:
            for packet in self._container.demux(self._stream):
                try:
                    for frame in packet.decode():
                        ahead_s = 0.0 if frame.time is None else frame.time - expected_s
                        # Some decoders and demuxers pass over damage in silence; the time stamps
                        # tell.
                        if LEAST_HOLE_S < ahead_s < LONGEST_HOLE_S:
                            yield Damage(ahead_s, "samples are missing")
                        if frame.time is not None and not -LONGEST_OVERLAP_S < ahead_s <= 0:
                            expected_s = frame.time
                        expected_s += frame.samples / frame.sample_rate
                        yield frame
                except av.InvalidDataError as error:
                    seconds = float((packet.duration or 0) * (packet.time_base or 0))
                    expected_s += seconds
                    yield Damage(seconds, _reason(error))
        except av.InvalidDataError as error:
            yield Damage(0, _reason(error))
        except av.FFmpegError as error:
            raise InputError(f"{self._place}: {_reason(error)}") from error

    def close(self) -> None:
        """Let go of the source."""
        self._container.close()


def without_password(url: str) -> str:
    """A URL that can be shown: without the user and password in it."""
    return re.sub(r"(?<=://)[^/?#]*@", "", url)


def _block(frames: list[AudioFrame]) -> Block:
    """Consecutive frames of one rate as one block; mono and stereo may be mixed, as chained streams
    do.
    """
    arrays = [_samples(frame) for frame in frames]
    if len({array.shape[1] for array in arrays}) > 1:
        arrays = [downmix(to_float(array))[:, None] for array in arrays]
    return Block(np.concatenate(arrays) if len(arrays) > 1 else arrays[0], frames[0].sample_rate)


def _samples(frame: AudioFrame) -> NDArray[Any]:
    """Samples of a frame as `(frames, channels)`."""
    array = frame.to_ndarray()
    channels = frame.layout.nb_channels
    return array.T if frame.format.is_planar else array.reshape(-1, channels)


def _reason(error: av.FFmpegError) -> str:
    if isinstance(error, av.ExitError):
        return "no data in time"
    if isinstance(error, av.InvalidDataError):
        return "not audio that FFmpeg can read"
    return (error.strerror or str(error)).strip()
