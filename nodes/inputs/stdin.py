"""The node that reads raw PCM from standard input."""

from __future__ import annotations

import os
import select
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import Field

from auricle.errors import InputError
from auricle.nodes.inputs.base import InputParams, ThreadedInput
from auricle.nodes.signal.conditioner import pcm_samples
from auricle.wire.pcm import PCM_FORMATS, PcmFormat

READ_BYTES = 1 << 16
"""Most bytes of one read."""

STOP_POLL_S = 0.1
"""Seconds after which a read that waits looks whether the input was stopped."""


class StdinInputParams(InputParams):
    """Parameters of `StdinInput`."""

    rate: int = Field(44100, gt=0, le=1_000_000, description="Sample rate of the input, Hz.")
    channels: int = Field(2, gt=0, le=256, description="Channels of the input.")
    format: PcmFormat = Field("s16le", description="Sample format of the input.")


class StdinInput(ThreadedInput[StdinInputParams]):
    """Interleaved raw PCM from standard input; nothing is dropped, since the pipe waits.

    Raises, from `process`:
        InputError: Standard input is closed.
    """

    def __init__(self, name: str, file: BinaryIO | None = None, **params: Any) -> None:
        super().__init__(name, **params)
        self._file = file

    @property
    def origin(self) -> tuple[str, Path | None]:
        return "stdin", None

    def capture(self) -> None:
        params = self.params
        file = self._file or (sys.stdin.buffer if sys.stdin else None)
        if file is None:
            raise InputError("standard input is closed")
        source = file.fileno()
        frame_bytes = PCM_FORMATS[params.format] * params.channels
        self._open(params.rate)
        rest = b""
        while not self.stopping.is_set():
            if not select.select([source], [], [], STOP_POLL_S)[0]:
                continue
            data = os.read(source, READ_BYTES)
            arrived_ns = time.monotonic_ns()
            if not data:
                if rest:
                    self.warnings.append(
                        f"standard input: the last {len(rest)} bytes are not a whole frame"
                    )
                return
            data = rest + data
            whole = len(data) // frame_bytes * frame_bytes
            rest = data[whole:]
            self._hear(pcm_samples(data[:whole], params.format, params.channels), arrived_ns)
            self._write_all(arrived_ns)
