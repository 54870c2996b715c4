"""The engine's side of the capture process: starting it, reading its records, ending it."""

from __future__ import annotations

import json
import logging
import os
import select
import sys
import time
from dataclasses import asdict, dataclass
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.errors import ConfigError, InputError
from auricle.nodes.inputs.capture import CONFIG, FAILED, HEADER, LASTING, Format, Request
from auricle.nodes.inputs.devices import Device

MODULE = "auricle.nodes.inputs.capture"

READ_BYTES = 1 << 20
"""Most bytes of one read; a pipe holds fewer."""

OPEN_S = 30.0
"""Longest wait for a device that is being opened, on a busy machine."""

END_S = 5.0
"""Longest wait for a process that was killed."""

log = logging.getLogger(__name__)


class DeviceLostError(InputError):
    """A device that is absent, was lost, or cannot be opened at present."""


@dataclass(frozen=True, slots=True)
class Block:
    """Samples that the device handed over.

    Attributes:
        samples: Shape `(frames, channels)`, float32.
        arrived_ns: Monotonic time at which the device handed them over.
        adc_s: Time of the first frame on the device's clock, seconds.
        dropped: Frames that were dropped before it, because nobody took them.
        overflowed: Whether the device lost audio before it.
    """

    samples: NDArray[np.float32]
    arrived_ns: int
    adc_s: float
    dropped: int
    overflowed: bool


class CaptureProcess:
    """A process that has PortAudio and one device to itself. One thread uses it.

    It ends when this object is closed or the engine's process ends, however that happens.

    Args:
        request: Device to open, and how; None to list the devices.

    Raises:
        DeviceLostError: The system starts no process.
    """

    def __init__(self, request: Request | None) -> None:
        arguments = [] if request is None else [json.dumps(asdict(request))]
        # The modules that this process has found, wherever it was told to look for them; `-P`
        # leaves out the working directory.
        path = os.pathsep.join(os.path.abspath(each) for each in sys.path)
        # What ALSA and PortAudio print is of no use to anyone but a developer.
        chatter = None if log.isEnabledFor(logging.DEBUG) else DEVNULL
        try:
            self._process = Popen(
                [sys.executable, "-P", "-m", MODULE, *arguments],
                stdin=PIPE,
                stdout=PIPE,
                stderr=chatter,
                bufsize=0,
                env={**os.environ, "PYTHONPATH": path},
            )
        except OSError as error:
            raise DeviceLostError(f"no process to capture in: {error.strerror}") from error
        assert self._process.stdout is not None
        self._output = self._process.stdout.fileno()
        self._poll = select.poll()
        self._poll.register(self._output, select.POLLIN)
        self._received = bytearray()
        self._channels = 1

    @property
    def pid(self) -> int:
        """Number of the process in the system."""
        return self._process.pid

    def wait_for_format(self, timeout_s: float) -> Format | None:
        """Wait until the device is open; returns what was opened, or None if that takes longer.

        Args:
            timeout_s: Longest wait in seconds.

        Raises:
            InputError: As `read`.
            ConfigError: As `read`.
        """
        first = self._next(timeout_s)
        if first is None:
            return None
        opened = Format(**json.loads(first[1]))
        self._channels = opened.channels
        return opened

    def wait_for_list(self) -> list[Device]:
        """Wait for the list of devices.

        Raises:
            InputError: As `read`.
        """
        first = self._next(OPEN_S)
        if first is None:
            raise InputError(f"the sound devices could not be listed within {OPEN_S:.0f} s")
        return [Device(**each) for each in json.loads(first[1])]

    def read(self, timeout_s: float) -> Block | None:
        """Wait for the next block; returns None if none comes in time.

        Args:
            timeout_s: Longest wait in seconds.

        Returns:
            Samples of shape `(frames, channels)`, float32, with the times of the block.

        Raises:
            DeviceLostError: The device or the process is gone.
            InputError: PortAudio is not installed.
            ConfigError: The request does not fit what is there.
        """
        found = self._next(timeout_s)
        if found is None:
            return None
        (_, overflowed, _, dropped, arrived_ns, adc_s), data = found
        samples = np.frombuffer(data, np.float32).reshape(-1, self._channels)
        return Block(samples, arrived_ns, adc_s, dropped, bool(overflowed))

    def close(self) -> None:
        """End the process. May be called twice."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        try:
            self._process.wait(END_S)
        except TimeoutExpired:
            log.warning("process %d does not end; the sound device hangs", self.pid)

    def _next(self, timeout_s: float) -> tuple[tuple[Any, ...], bytes] | None:
        """The header and the data of the next record; None if none comes in time."""
        until = time.monotonic() + timeout_s
        while (found := self._whole_record()) is None:
            if not self._poll.poll(max(0.0, until - time.monotonic()) * 1000):
                return None
            data = os.read(self._output, READ_BYTES)
            if not data:
                raise DeviceLostError(f"the capture process has ended {self._describe_end()}")
            self._received += data
        if found[0][0] == FAILED:
            self._raise(json.loads(found[1]))
        return found

    def _whole_record(self) -> tuple[tuple[Any, ...], bytes] | None:
        received = self._received
        if len(received) < HEADER.size:
            return None
        header = HEADER.unpack_from(received)
        end = HEADER.size + header[2]
        if len(received) < end:
            return None
        data = bytes(received[HEADER.size : end])
        del received[:end]
        return header, data

    def _raise(self, failure: dict[str, str]) -> None:
        kinds = {LASTING: InputError, CONFIG: ConfigError}
        raise kinds.get(failure["kind"], DeviceLostError)(failure["message"])

    def _describe_end(self) -> str:
        try:
            code = self._process.wait(END_S)
        except TimeoutExpired:
            return "its output"
        return f"by signal {-code}" if code < 0 else f"with exit code {code}"


def devices() -> list[Device]:
    """The devices that can be listened to, and the sources of the sound server.

    Raises:
        InputError: PortAudio is not installed.
    """
    process = CaptureProcess(None)
    try:
        return process.wait_for_list()
    finally:
        process.close()
