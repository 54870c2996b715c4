"""Decodes files and URLs to blocks of samples, by FFmpeg."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.packet import Packet
from numpy.typing import NDArray

from auricle.errors import ConfigError, InputError, without_password
from auricle.nodes.signal.ogg import Link, LinkReader, find_links
from auricle.nodes.signal.tracks import choose_track

LEAST_HOLE_S, LONGEST_HOLE_S = 0.05, 60.0
"""Jumps ahead of the time stamps, in seconds, that mean missing audio; a longer one means another
time base. FFmpeg stamps a frame of Vorbis as if the packet before it were as long: where lengths
change, stamps are off by a quarter of the longest block, up to 46 ms, also in files of other kinds
that it made from Vorbis."""

SPLICED = frozenset({"hls", "mpegts"})
"""Formats in which one programme may follow another, whose time stamps have nothing to do with the
first. A jump behind a packet that is whole is such a splice; what is lost leaves a part of one."""

TORN_S = 1.0
"""Seconds before a jump in which a torn packet tells a loss from a splice: several packets are torn
together."""

LONGEST_OVERLAP_S = 1.0
"""Seconds up to which a jump back repeats samples, as FFmpeg does at the start of HLS; a longer one
means another time base."""

PCM_OPTIONS = {"max_size": "32768", "probesize": "65536"}
"""Options for files of samples behind a header: packets longer than FFmpeg's own, which take ten
times as long to decode, and fewer bytes read ahead to find out what the header says already."""

PCM_ENDINGS = frozenset({".w64", ".wav"})
"""Endings of the files that `PCM_OPTIONS` are for."""

METADATA_OPTIONS: dict[str, Any] = (
    {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
)
"""Options that keep tags which are not UTF-8 from ending a file. PyAV 19 has none: it decodes such
tags with surrogates."""

UNNAMED = "NONE"
"""Name of the channels of a file that does not say which is which."""

WITHOUT_LENGTH = frozenset({"aac", "ac3", "dts", "eac3", "mp3"})
"""Formats of bare packets, whose length FFmpeg guesses from their size and first packet."""

UNRELIABLE = frozenset({"aiff", "asf", "au", "avi", "caf", "mpeg", "mpegts", "rm", "w64", "wav"})
"""Formats whose declared length is often that of a stream that was to go on, or follows from time
stamps or the size of the file; see `auricle.nodes.signal.extent`."""

STREAM_LENGTH = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")
"""Length of a track in the metadata of Matroska."""

LIST_ENDINGS = (".asx", ".m3u", ".m3u8", ".pls", ".xspf")
"""Endings of lists of addresses. FFmpeg reads those of HLS only."""


@dataclass(frozen=True, slots=True)
class Block:
    """Decoded samples.

    Attributes:
        samples: Samples of some PCM type, shape `(frames, channels)`.
        sample_rate: Sample rate, Hz.
        layout: Names of the channels, such as `FL`.
    """

    samples: NDArray[Any]
    sample_rate: int
    layout: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Damage:
    """Something that could not be decoded.

    Attributes:
        seconds: Seconds that it should have lasted; 0 if unknown.
        reason: Fault in words.
    """

    seconds: float
    reason: str


MOST_FAILURES = 10
"""Most failures in a row to read on behind damage before the rest counts as lost."""


class Decoder:
    """An audio track of a file or URL.

    Where FFmpeg stops in a chained Ogg file, since a link has another rate or other channels, the
    rest is decoded link by link. Used by one thread at a time.

    Args:
        place: Path, or URL as text.
        options: FFmpeg's options for the protocol and format.
        timeout_s: Longest wait for a connection or for data, seconds, or one for each; None for
            files.
        track: Audio track to decode, from 1; None for the one that players choose.
        opener: Function that opens what a playlist names, as PyAV calls it; None for FFmpeg's own.

    Attributes:
        sample_rate: Sample rate of the first block, Hz.
        declared_s: Length in seconds that the audio declares; None if it declares none, and where
            the length is that of the whole container or a guess.

    Raises:
        ConfigError: FFmpeg does not know the scheme of the URL.
        InputError: The source does not exist, is not audio, or has no audio stream.
    """

    def __init__(
        self,
        place: Path | str,
        options: dict[str, str] | None = None,
        timeout_s: float | tuple[float, float] | None = None,
        track: int | None = None,
        opener: Callable[[str, int, dict[str, Any]], object] | None = None,
    ) -> None:
        self._track = track
        self._opener = opener
        self._place = without_password(str(place))
        self._path = place if isinstance(place, Path) else None
        self._offset = 0  # of the last packet read, in the file
        self._link: LinkReader | None = None
        self._later: deque[Link] = deque()  # links to come, once FFmpeg has stopped before one
        # A prefix with a colon in a file's name is not a protocol.
        url = f"file:{place}" if isinstance(place, Path) else place
        if isinstance(place, Path) and place.suffix.lower() in PCM_ENDINGS:
            options = {**PCM_OPTIONS, **(options or {})}
        try:
            self._open(url, options or {}, timeout_s)
        except InputError as error:
            # Something came, and was no sound.
            came = error.__cause__ is None or isinstance(error.__cause__, av.InvalidDataError)
            if not came or not self._place.partition("?")[0].lower().endswith(LIST_ENDINGS):
                raise
            raise InputError(
                f"{error.message}; a list of addresses is not followed: give one of them"
            ) from error
        self.declared_s = self._find_declared_s()

    def _open(
        self,
        source: str | LinkReader,
        options: dict[str, str],
        timeout_s: float | tuple[float, float] | None,
    ) -> None:
        """Open a source, and choose its stream."""
        try:
            self._container = av.open(
                source,
                options=options,
                timeout=timeout_s,
                io_open=self._opener,
                **METADATA_OPTIONS,
            )
        except av.ProtocolNotFoundError as error:
            raise ConfigError(f"{self._place}: {_reason(error)}") from error
        except av.FFmpegError as error:
            if self._link is not None:
                self._link.close()
            raise InputError(f"{self._place}: {_reason(error)}") from error
        try:
            self._stream = choose_track(self._container, self._place, self._track)
            self.sample_rate: int = self._stream.rate or 0
            if not self.sample_rate:
                raise InputError(f"{self._place}: its audio cannot be decoded")
        except InputError:
            self.close()
            raise

    @property
    def duration_s(self) -> float | None:
        """Length in seconds that the container declares or FFmpeg guesses; None if unknown."""
        if self._stream.duration and self._stream.time_base:
            return float(self._stream.duration * self._stream.time_base)
        duration = self._container.duration
        return duration / 1e6 if duration else None

    def _find_declared_s(self) -> float | None:
        """Length in seconds that the audio declares."""
        stream = self._stream
        name = self._container.format.name
        # An MP3 that declares its length also declares the encoder's delay, and so starts late.
        if (name in WITHOUT_LENGTH and not stream.start_time) or name in UNRELIABLE:
            return None
        if stream.duration:
            return self.duration_s
        begin_s = float((stream.start_time or 0) * (stream.time_base or 0))
        length = STREAM_LENGTH.match(stream.metadata.get("DURATION", ""))
        if length is not None:  # of Matroska: the time at which the track ends
            hours, minutes, seconds = map(float, length.groups())
            return 3600 * hours + 60 * minutes + seconds - begin_s
        if len(self._container.streams) > 1 or self.duration_s is None:
            return None  # a picture or subtitles may be longer
        return self.duration_s - begin_s

    @property
    def is_endless(self) -> bool:
        """Whether the source never ends by itself, so that an end means a lost connection."""
        # Radio servers send these headers, and some a length too, so that browsers show a player.
        return self.duration_s is None or any(
            key.startswith("icy-") for key in self._container.metadata
        )

    def blocks(self, least: int = 1) -> Iterator[Block | Damage]:
        """The blocks, to the end of the source.

        Args:
            least: Fewest frames of a block, except where the source ends, changes or is damaged:
                codecs decode a few hundred at a time, each of which would cost a call of everything
                downstream.

        Yields:
            Blocks, and damage between them, in the order of time.

        Raises:
            InputError: The source cannot be read any further, after a time-out for instance.
        """
        frames: list[AudioFrame] = []
        held = 0
        try:
            for item in self._frames():
                other = isinstance(item, Damage) or (frames and _form(item) != _form(frames[0]))
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
        while True:
            try:
                yield from self._frames_of_link()
            except av.FFmpegError as error:
                self._later = self._later or self._find_later_links()
                if not self._later:
                    raise InputError(f"{self._place}: {_reason(error)}") from error
            if not (yield from self._open_next_link()):
                return

    def _find_later_links(self) -> deque[Link]:
        """The links of a chained Ogg file behind what was read; none for anything else."""
        if self._path is None or self._link is not None or not self._path.is_file():
            return deque()
        try:
            links = find_links(self._path)
        except OSError:  # the file is gone: there are none to be read
            return deque()
        return deque(link for link in links if link.start > self._offset)

    def _open_next_link(self) -> Generator[Damage, None, bool]:
        """Open the next link that can be opened; returns whether there is one.

        Yields:
            Damage, for each that cannot be opened.
        """
        while self._later:
            assert self._path is not None
            self.close()
            self._link = LinkReader(self._path, self._later.popleft())
            try:
                self._open(self._link, {}, None)
                return True
            except InputError as error:
                yield Damage(0, error.message)
        return False

    def _frames_of_link(self) -> Iterator[AudioFrame | Damage]:
        expected_s = float("inf")  # the first frame may be at any time
        torn_s = float("-inf")  # where part of a packet was missing
        for packet in self._packets():
            if isinstance(packet, Damage):
                yield packet
                continue
            self._offset = packet.pos or self._offset
            torn_s = expected_s if packet.is_corrupt else torn_s
            try:
                for frame in packet.decode():
                    ahead_s = 0.0 if frame.time is None else frame.time - expected_s
                    # Some decoders and demuxers skip damage silently; time stamps show it.
                    if LEAST_HOLE_S < ahead_s < LONGEST_HOLE_S:
                        yield from self._describe_jump(ahead_s, expected_s - torn_s < TORN_S)
                    if frame.time is not None and not -LONGEST_OVERLAP_S < ahead_s <= 0:
                        expected_s = frame.time
                    expected_s += frame.samples / frame.sample_rate
                    yield frame
            except av.ExitError:
                raise
            except av.FFmpegError as error:  # decoders have many names for damage
                seconds = float((packet.duration or 0) * (packet.time_base or 0))
                expected_s += seconds
                yield Damage(seconds, _reason(error))

    def _describe_jump(self, ahead_s: float, is_torn: bool) -> Iterator[Damage]:
        """The damage that a jump of the time stamps means.

        Args:
            ahead_s: Seconds of the jump.
            is_torn: Whether part of a packet before it was missing.
        """
        name = self._container.format.name
        if name not in SPLICED or is_torn:
            yield Damage(ahead_s, "samples are missing")
        elif name == "hls":  # a segment that was skipped leaves no torn packet either
            yield Damage(0, "time stamps jump")

    def _packets(self) -> Iterator[Packet[AudioStream] | Damage]:
        """The packets of the stream, read on behind damage to the container."""
        failures = 0
        while True:
            try:
                for packet in self._container.demux(self._stream):
                    failures = 0
                    yield packet
                return
            except av.InvalidDataError as error:
                failures += 1
                if failures == 1:
                    yield Damage(0, _reason(error))
                if failures == MOST_FAILURES:
                    raise

    def close(self) -> None:
        """Close the source."""
        self._container.close()
        if self._link is not None:
            self._link.close()


def _form(frame: AudioFrame) -> tuple[int, str]:
    """What frames of one block have in common."""
    return frame.sample_rate, frame.layout.name


def _block(frames: list[AudioFrame]) -> Block:
    """Consecutive frames of one form as one block."""
    arrays = [_samples(frame) for frame in frames]
    samples = np.concatenate(arrays) if len(arrays) > 1 else arrays[0]
    layout = tuple(channel.name for channel in frames[0].layout.channels)
    named = UNNAMED not in layout
    return Block(samples, frames[0].sample_rate, layout if named else ())


def _samples(frame: AudioFrame) -> NDArray[Any]:
    """Samples of one of FFmpeg's frames, shape `(frames, channels)`."""
    array = frame.to_ndarray()
    channels = frame.layout.nb_channels
    return array.T if frame.format.is_planar else array.reshape(-1, channels)


def _reason(error: av.FFmpegError) -> str:
    if isinstance(error, av.ExitError):
        return "no data in time"
    if isinstance(error, av.InvalidDataError):
        return "not audio that FFmpeg can read"
    return (error.strerror or str(error)).strip()
