"""The node that plays a file."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from auricle.engine.node import Status
from auricle.errors import InputError
from auricle.nodes.inputs.base import Input, InputParams
from auricle.nodes.signal.decoder import Block, Damage, Decoder
from auricle.nodes.signal.extent import Extent, find_extent
from auricle.nodes.signal.mixing import WINDOW_S

AT_ONCE_S = 0.5
"""Seconds of audio that one call writes at full speed, so that few passes over the graph are
needed."""

DECODED_S = 1.0
"""Seconds of audio decoded in one block."""

BLOCK_S = 0.02
"""Seconds of a block in real time, such as a sound card hands over."""

LATE_BLOCKS = 10
"""Most blocks written as one when the node is called late: with hundreds of streams calls cost."""

TOLERATED_S = 0.25
"""Most seconds by which encoders make the declared length longer than the decoded one; beyond that,
audio is missing."""


class FileInputParams(InputParams):
    """Parameters of `FileInput`."""

    path: Path = Field(description="Any file that FFmpeg decodes; relative to the graph file.")
    track: int | None = Field(
        None,
        ge=1,
        description="Audio track to hear, from 1; the default of the file, if left out.",
    )
    realtime: bool = Field(False, description="Play it in real time, as if it were live.")


class FileInput(Input[FileInputParams]):
    """A file or a pipe, as fast as it is read, or in real time.

    Raises, from `start`:
        InputError: The file does not exist, is empty, or has no audio that FFmpeg decodes.
    """

    burst_s = 2.0

    # At full speed it would leave no time to live sources beside it.
    among_others: ClassVar[Mapping[str, Any]] = {"realtime": True}

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        self.live = self.params.realtime
        self._decoder: Decoder | None = None
        self._blocks: Iterator[Block | Damage] = iter(())
        self._began_ns: int | None = None
        self._played = 0
        self._decoded = False
        self._extent: Extent | None = None
        self.duration_s: float | None = None
        """Length that the file declares, in seconds; None before `start`, or if it declares none.

        For formats without one, FFmpeg's guess from the size of the first packets.
        """

    @property
    def origin(self) -> tuple[str, Path | None]:
        return "file", self.params.path

    @property
    def delay_s(self) -> Fraction:
        # It reads ahead of the resampler.
        return Fraction(BLOCK_S).limit_denominator() if self.params.realtime else Fraction(0)

    def start(self) -> None:
        path = self.params.path
        try:
            if path.is_dir():
                raise InputError(f"{path}: a folder, not a file")
            if path.is_file():  # anything else, such as a pipe, is read once, by FFmpeg
                if path.stat().st_size == 0:
                    raise InputError(f"{path}: an empty file")
                self._extent = find_extent(path)
            elif not path.exists():
                path.stat()  # which says why
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}") from None
        self._decoder = Decoder(path, track=self.params.track)
        if path.is_file() and (self._extent is None or self._extent.size is not None):
            self.duration_s = self._decoder.duration_s
        self._blocks = self._decoder.blocks(round(DECODED_S * self._decoder.sample_rate))
        self._open(self._decoder.sample_rate)

    def process(self) -> Status:
        if self.params.realtime:
            return self._play()
        written = self._write_up_to(round(AT_ONCE_S * self.params.sample_rate))
        if self.audio.stream.ended:
            return Status.FINISHED
        return Status.OK if written else Status.NO_ROOM

    def _play(self) -> Status:
        """Write the blocks that are due, each as if it had come at its time."""
        rate = self.params.sample_rate
        block = round(BLOCK_S * rate)
        now = time.monotonic_ns()
        if self._began_ns is None:
            self._began_ns = now
        due = (now - self._began_ns) * rate // (1_000_000_000 * block) * block  # whole blocks
        status = Status.NO_INPUT
        while self._played < due:
            count = min(due - self._played, LATE_BLOCKS * block)
            due_ns = self._began_ns + (self._played + count) * 1_000_000_000 // rate
            written = self._write_up_to(count, due_ns)
            self._played += written
            if written:
                status = Status.CAUGHT_UP
            if self.audio.stream.ended:
                return Status.FINISHED
            if written < count:
                # It is late already, and need not be called all the time until there is room.
                self.wake_ns = now + round(BLOCK_S * 1e9)
                return status if written else Status.NO_ROOM
            # A sample counts as heard at its own time, not when it was decoded.
            played = self.clock.first_sample + self._played * self.clock.sample_rate // rate
            self.clock.observe(played, due_ns)
        self.wake_ns = self._began_ns + (self._played // block + 1) * block * 1_000_000_000 // rate
        return status

    def _write_up_to(self, most: int, done_ns: int | None = None) -> int:
        """Decode and write up to `most` samples, as far as there is room; returns how many.

        Ends the stream where the audio ends.
        """
        written = 0
        while written < most:
            if not self._waiting:
                if self._decoded:
                    self.audio.stream.end()
                    break
                self._decode()
                continue
            count = self._write(self.began_ns, most - written, done_ns)
            if not count and self._waiting:
                break
            written += count
        return written

    def _decode(self) -> None:
        """Take the next block, or the end of the file."""
        began = time.monotonic_ns()
        try:
            item = next(self._blocks, None)
        except InputError as error:
            if not self._heard:
                raise
            item = None
            self.warnings.append(f"{error.message}; everything after that is missing")
        self.elsewhere_ns["decode"] += time.monotonic_ns() - began
        if isinstance(item, Block):
            self._open(item.sample_rate)
            arrived_ns = None if self.params.realtime else time.monotonic_ns()
            self._hear(item.samples, arrived_ns, item.layout)
        elif isinstance(item, Damage):
            self._lose_seconds(item.seconds, "damaged")
        else:
            self._finish()
            self._decoded = True
            self._judge()

    def _judge(self) -> None:
        """Add a warning for whatever was missing or damaged, now that the file has ended."""
        path = self.params.path
        heard_s = float(self._heard / self.clock.sample_rate)
        damaged = self.counts["damaged"]
        if not heard_s:
            raise InputError(f"{path}: no audio could be decoded")
        if damaged:
            places = "1 place" if damaged == 1 else f"{damaged} places"
            missing_s = self.lost / self.clock.sample_rate
            self.warnings.append(f"{path}: damaged in {places}; {missing_s:.2f} s are missing")
        declared_s = self._declared_s(heard_s)
        if declared_s - heard_s > TOLERATED_S:
            self.warnings.append(f"{path}: cut off: {heard_s:.2f} s of {declared_s:.2f} s decoded")
        if self.counts["cancelled"]:
            seconds = self.counts["cancelled"] * WINDOW_S
            self.warnings.append(
                f"{path}: channels cancel each other for {seconds:g} s, which is silent in their "
                "mix; mix: left hears one"
            )
        if self.counts["nan"]:
            self.warnings.append(
                f"{path}: samples that are not numbers in {self.counts['nan']} places, silenced"
            )

    def _declared_s(self, heard_s: float) -> float:
        """Seconds that there should be, as far as is known; `heard_s` were decoded."""
        assert self._decoder is not None
        if self._extent is not None:
            return heard_s / (1 - self._extent.missing_share or 1)
        return self._decoder.declared_s or 0.0

    def stop(self) -> None:
        if self._decoder is not None:
            self._blocks = iter(())
            self._pending = self._pending[:0].copy()
            self._decoder.close()
