"""The node that listens to a sound device."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from auricle.engine.clock import SourceClock
from auricle.engine.node import Status
from auricle.engine.reader import Reader
from auricle.engine.stream import Axis, Stream, TokenType
from auricle.errors import InputError
from auricle.nodes.inputs.base import RESAMPLER_DELAY_S, Input, InputParams
from auricle.nodes.predictions import FLOAT32

CAPTURE_S = 4
"""Seconds of audio by which the callback can run ahead of the worker."""

POLL_NS = 5_000_000
"""Nanoseconds after which the worker looks again for samples: the callback wakes no thread."""

LOST_S = 2.0
"""Seconds without a callback after which the device counts as gone."""


@dataclass(frozen=True, slots=True)
class Device:
    """A sound device that can be listened to.

    Attributes:
        name: Name in the system, which stays the same while PortAudio's index may change.
        host_api: Audio interface of the system: ALSA, Core Audio and so on.
        channels: Number of input channels.
        sample_rate: Default sample rate, Hz.
        default: Whether it is the system's default input.
        index: Present number in PortAudio, for opening it.
    """

    name: str
    host_api: str
    channels: int
    sample_rate: int
    default: bool
    index: int

    def __str__(self) -> str:
        return f"{self.name}, {self.host_api}"


def _portaudio() -> Any:
    """The module sounddevice.

    Raises:
        InputError: PortAudio is not installed.
    """
    try:
        import sounddevice
    except OSError as error:
        raise InputError(
            "PortAudio is not installed; "
            "Debian: apt install libportaudio2, macOS: brew install portaudio"
        ) from error
    return sounddevice


def devices() -> list[Device]:
    """The devices that can be listened to.

    Raises:
        InputError: PortAudio is not installed.
    """
    audio = _portaudio()
    apis = audio.query_hostapis()
    usual = audio.default.device[0]
    return [
        Device(
            each["name"],
            apis[each["hostapi"]]["name"],
            each["max_input_channels"],
            round(each["default_samplerate"]),
            each["index"] == usual,
            each["index"],
        )
        for each in audio.query_devices()
        if each["max_input_channels"] > 0
    ]


def find_device(wanted: str | None) -> Device:
    """The device of a name, or else the only one whose name contains it.

    Args:
        wanted: Name, or `name, host API`; None for the system's default input.

    Raises:
        InputError: No device matches, or more than one.
    """
    found = devices()
    known = "; ".join(str(device) for device in found) or "none"
    if wanted is None:
        chosen = [device for device in found if device.default] or found[:1]
        if not chosen:
            raise InputError("no sound device to listen to")
        return chosen[0]
    exact = [device for device in found if wanted in (device.name, str(device))]
    matching = exact or [device for device in found if wanted.lower() in str(device).lower()]
    if not matching:
        raise InputError(f"no sound device {wanted!r}; devices are: {known}")
    if len(matching) > 1:
        raise InputError(
            f"more than one sound device is called {wanted!r}: {'; '.join(map(str, matching))}"
        )
    return matching[0]


@dataclass(frozen=True, slots=True)
class _Block:
    """Note of the callback on a block.

    Attributes:
        offered: Frames that the device handed over.
        kept: Frames that the ring had room for.
        adc_s: Time of the first frame on the device's clock, seconds.
        arrived_ns: Monotonic time at which the callback was called.
        overflowed: Whether the device lost audio before the block.
    """

    offered: int
    kept: int
    adc_s: float
    arrived_ns: int
    overflowed: bool


class MicrophoneParams(InputParams):
    """Parameters of `Microphone`."""

    device: str | None = Field(
        None,
        description="Name as `auricle devices` shows it; the system's default, if left out.",
    )
    channels: int | None = Field(
        None, gt=0, le=256, description="Channels to mix; the first two that it has, if left out."
    )
    device_rate: int | None = Field(
        None,
        gt=0,
        le=1_000_000,
        description="Rate to open it at, Hz; its default rate, if left out.",
    )
    block_size: int = Field(
        0, ge=0, le=1_000_000, description="Frames of a block; 0 leaves it to the system."
    )


class Microphone(Input[MicrophoneParams]):
    """A microphone or line-in, by name.

    Raises, from `start`:
        InputError: PortAudio is not installed, the device is unknown, or it cannot be opened.
    """

    burst_s = 4.0

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        self.live = True
        self.device: Device | None = None
        self._stream: Any = None
        # Between the callback, on PortAudio's thread, and the thread that runs the graph: the
        # callback writes `_captured` and then appends a note; the other takes the note and then
        # reads the samples. Both ends of a deque may be used concurrently. Only the callback writes
        # to `_captured`, and everything else here belongs to the thread that runs the graph.
        self._notes: deque[_Block] = deque()
        self._next_adc_s: float | None = None
        self._last_ns = 0

    @property
    def origin(self) -> tuple[str, Path | None]:
        return "mic", None

    @property
    def delay_s(self) -> Fraction:
        return RESAMPLER_DELAY_S + Fraction(POLL_NS, 1_000_000_000)

    def start(self) -> None:
        device = self.device = find_device(self.params.device)
        channels = self.params.channels or min(2, device.channels)
        rate = self.params.device_rate or device.sample_rate
        token_type = TokenType(FLOAT32, (Axis("channel", channels),), Fraction(rate))
        self._captured = Stream(
            f"{self.name}.captured", token_type, CAPTURE_S * rate, SourceClock(rate)
        )
        self._reader = Reader(self._captured)
        self._open(rate)
        audio = _portaudio()
        try:
            self._stream = audio.InputStream(
                device=device.index,
                channels=channels,
                samplerate=rate,
                blocksize=self.params.block_size,
                dtype="float32",
                callback=self._callback,
            )
            self._stream.start()
        except (audio.PortAudioError, ValueError) as error:
            raise InputError(f"{device}: {error}") from error
        self._last_ns = time.monotonic_ns()

    def _callback(self, block: NDArray[np.float32], frames: int, when: Any, status: Any) -> None:
        # On PortAudio's thread: a copy and a note, nothing that could block.
        kept = self._captured.write(block)
        self._notes.append(
            _Block(
                frames, kept, when.inputBufferAdcTime, time.monotonic_ns(), status.input_overflow
            )
        )

    def process(self) -> Status:
        self.wake_ns = self.began_ns + POLL_NS
        written = self._write(self.began_ns)
        while self._notes and not self._waiting:
            note = self._notes.popleft()
            if note.overflowed:
                # First the silence; the block once all of that is written.
                self._lose_before(note)
                self._notes.appendleft(replace(note, overflowed=False))
            else:
                self._take(note)
            written += self._write(self.began_ns)
        if written:
            return Status.OK
        if self._waiting or self._notes:
            return Status.NO_ROOM
        if self.began_ns - self._last_ns > LOST_S * 1e9 or not self._stream.active:
            raise InputError(f"{self.device}: the device has stopped; was it unplugged?")
        return Status.NO_INPUT

    def _lose_before(self, note: _Block) -> None:
        """Mark as lost what the device could not keep before a block."""
        # The device's clock says how long that was; without one, it was a block at least.
        missing_s = note.adc_s - self._next_adc_s if self._next_adc_s is not None else 0.0
        self._lose(max(note.offered, round(missing_s * self.clock.sample_rate)), "xrun")

    def _take(self, note: _Block) -> None:
        """Take a block from the ring, and mark as lost what the ring had no room for."""
        self._next_adc_s = note.adc_s + note.offered / self.clock.sample_rate
        self._last_ns = note.arrived_ns
        if note.kept:
            self._hear(self._reader.view(note.kept), note.arrived_ns)
            self._reader.release(note.kept)
        if note.kept < note.offered:
            self._lose(note.offered - note.kept, "dropped")

    def stop(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
