"""The program that opens a sound device and writes what it hears to a pipe.

PortAudio sees a device that was plugged in again, or a sound server that was restarted, only when
it is initialised again, which ends all streams of its process. So every `Microphone` has a process
of this program, and starts another when that has lost its device. It imports sounddevice and little
else.

Standard output carries records: a header, `HEADER`, then as many bytes as it says. The first is
OPENED or FAILED with a JSON object, then come BLOCKs of interleaved float32, and a FAILED at the
end. The process ends when its standard input is closed, that is, with its parent.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import struct
import sys
import threading
import time
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO, NoReturn

from auricle.errors import AuricleError, ConfigError, InputError, one_line, one_line_with_type
from auricle.nodes.inputs.devices import (
    SOURCE_PREFIX,
    find_device,
    plugin_index,
    portaudio,
    portaudio_devices,
    server_sources,
)

HEADER = struct.Struct("<BBIIqd")
"""Of a record: kind, whether the device lost audio before it, bytes that follow, frames dropped
before it, monotonic time in ns at which it arrived, time of its first frame on the device's clock
in seconds."""

OPENED, BLOCK, FAILED = range(3)
"""Kinds of records."""

CAPTURE_S = 4
"""Seconds of audio that wait for a parent that is busy; more is dropped."""

LOOK_S = 2.0
"""Seconds between two looks at whether device and source are still there."""

INVALID_RATE, INVALID_CHANNELS = -9997, -9998
"""PortAudio's codes of errors that come from parameters."""

LASTING, CONFIG, PASSING = "lasting", "config", "passing"
"""Kinds of failures: one that waiting does not mend, one of the parameters, any other."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to open.

    Attributes:
        device: Name of the device; None for the default.
        channels: Number of channels; None for the first two that it has.
        sample_rate: Rate, Hz; None for the device's own.
        block_size: Frames of a block; 0 leaves it to the system.
    """

    device: str | None
    channels: int | None
    sample_rate: int | None
    block_size: int


@dataclass(frozen=True, slots=True)
class Format:
    """What was opened.

    Attributes:
        device: Name of the device, for people.
        channels: Number of channels of a block.
        sample_rate: Rate, Hz.
    """

    device: str
    channels: int
    sample_rate: int


class Recording:
    """A device that is open, and what it has heard.

    PortAudio's thread calls `hear`, any thread `fail`, and one other thread `next_record`. Between
    them is a queue whose ends may be used concurrently.

    Args:
        audio: The module sounddevice.
        request: Device to open, and how.

    Attributes:
        device: Device that was opened.
        format: Form of the blocks.

    Raises:
        InputError: There is no such device at present, or it cannot be opened.
        ConfigError: More than one device has the name, or it cannot be opened with these
            parameters.
    """

    def __init__(self, audio: Any, request: Request) -> None:
        device = self.device = find_device(request.device, audio)
        index = device.index
        if index is None:
            # Read by the client library of the sound server when ALSA's plugin connects.
            os.environ["PULSE_SOURCE"] = device.name.removeprefix(SOURCE_PREFIX)
            index = plugin_index(audio)
        channels = request.channels or min(2, device.channels)
        rate = request.sample_rate or device.sample_rate
        self.format = Format(str(device), channels, rate)
        self._frame_bytes = 4 * channels
        self._room = CAPTURE_S * rate
        self._heard: queue.SimpleQueue[tuple[bytes, bytes] | InputError] = queue.SimpleQueue()
        # Frames put into the queue, by PortAudio's thread alone, and taken from it, by the other.
        self._put = self._taken = 0
        # Of PortAudio's thread: what was lost since the last block that was put.
        self._dropped, self._overflowed = 0, False
        try:
            self.stream = audio.RawInputStream(
                device=index,
                channels=channels,
                samplerate=rate,
                blocksize=request.block_size,
                dtype="float32",
                callback=self.hear,
            )
            self.stream.start()
        except (audio.PortAudioError, ValueError) as error:
            raise self._explain(error) from error

    def _explain(self, error: Exception) -> AuricleError:
        """The error for one of PortAudio's: its message, code and what the system said."""
        message, code, system = (*error.args, None, None, None)[:3]
        wrong = isinstance(error, ValueError) or code in (INVALID_RATE, INVALID_CHANNELS)
        reason = str(message).removeprefix("Error opening RawInputStream: ")
        if isinstance(system, tuple) and system[-1]:
            reason += f" ({system[-1]})"
        return (ConfigError if wrong else InputError)(f"{self.device}: {reason}")

    def hear(self, block: Any, frames: int, when: Any, status: Any) -> None:
        """Take a block. On PortAudio's thread: a copy, nothing that could block.

        Args:
            block: Buffer of interleaved float32, which PortAudio uses again.
            frames: Number of its frames.
            when: PortAudio's times.
            status: PortAudio's flags.
        """
        self._overflowed |= bool(status.input_overflow)
        if self._put - self._taken + frames > self._room:
            self._dropped += frames
            return
        data = bytes(block)
        header = HEADER.pack(
            BLOCK,
            self._overflowed,
            len(data),
            min(self._dropped, 2**32 - 1),
            time.monotonic_ns(),
            when.inputBufferAdcTime,
        )
        self._dropped, self._overflowed = 0, False
        self._put += frames
        self._heard.put((header, data))

    def fail(self, reason: str) -> None:
        """End the recording once everything heard so far has been taken. Callable on any thread."""
        self._heard.put(InputError(f"{self.format.device}: {reason}"))

    def next_record(self) -> tuple[bytes, bytes]:
        """Wait for the next block; returns its header and its samples.

        Raises:
            InputError: The device is lost.
        """
        while True:
            try:
                item = self._heard.get(timeout=LOOK_S)
            except queue.Empty:
                if not self.stream.active:
                    self.fail("the device has stopped; was it unplugged?")
                continue
            if isinstance(item, InputError):
                raise item
            self._taken += len(item[1]) // self._frame_bytes
            return item

    def watch_source(self) -> NoReturn:
        """Fail when the sound server no longer has the source.

        It may move the recording to another source without a word.
        """
        while True:
            time.sleep(LOOK_S)
            sources = server_sources()
            if sources is not None and self.device.name not in {each.name for each in sources}:
                self.fail("the source is gone; was it unplugged?")


def record(request: Request, output: BinaryIO) -> None:
    """Record until the device is lost.

    Args:
        request: Device to open, and how.
        output: File to write records to.

    Raises:
        OSError: Nobody reads them any more.
    """
    try:
        audio = portaudio()
    except InputError as error:
        _write_object(output, FAILED, {"message": one_line(error), "kind": LASTING})
        return
    try:
        recording = Recording(audio, request)
        _write_object(output, OPENED, asdict(recording.format))
        if recording.device.is_source:
            threading.Thread(target=recording.watch_source, daemon=True).start()
        while True:
            header, data = recording.next_record()
            output.write(header)
            output.write(data)
            output.flush()
    except OSError:
        raise
    except Exception as error:
        _write_object(output, FAILED, describe_failure(error))


def list_devices(output: BinaryIO) -> None:
    """Write the devices of PortAudio and the sources of the sound server, as a list in OPENED.

    Args:
        output: File to write the record to.
    """
    try:
        found = [*portaudio_devices(portaudio()), *(server_sources() or [])]
    except Exception as error:
        _write_object(output, FAILED, describe_failure(error))
    else:
        _write_object(output, OPENED, [asdict(device) for device in found])


def describe_failure(error: Exception) -> dict[str, str]:
    """The object of a record FAILED: a line, and the kind of the failure."""
    if not isinstance(error, AuricleError):
        return {"message": one_line_with_type(error), "kind": PASSING}
    return {
        "message": one_line(error),
        "kind": CONFIG if isinstance(error, ConfigError) else PASSING,
    }


def _write_object(output: BinaryIO, kind: int, value: object) -> None:
    data = json.dumps(value).encode()
    output.write(HEADER.pack(kind, False, len(data), 0, time.monotonic_ns(), 0.0) + data)
    output.flush()


def _end_with_parent() -> NoReturn:
    while os.read(0, 1 << 16):
        pass
    os._exit(0)


def main() -> NoReturn:
    """Record what the first argument asks for, in JSON; without one, list the devices."""
    # Signals of a terminal or of a service manager go to the engine as well, which ends this.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Whatever a library prints goes to standard error, not among the records.
    with os.fdopen(os.dup(1), "wb") as output:
        os.dup2(2, 1)
        try:
            if sys.argv[1:]:
                record(Request(**json.loads(sys.argv[1])), output)
            else:
                list_devices(output)
        except OSError:
            os._exit(1)  # without flushing to a reader that is gone
    os._exit(0)  # without PortAudio's own end, which may wait for a device


if __name__ == "__main__":
    main()
