"""The node that takes blocks of PCM over ZeroMQ, from a DAW or a box."""

from __future__ import annotations

import time
from typing import Any

import zmq
from pydantic import Field

from auricle.errors import ConfigError, InputError, WireError
from auricle.nodes.inputs.base import InputParams, ThreadedInput
from auricle.nodes.signal.conditioner import pcm_samples
from auricle.wire.address import check_address, is_local
from auricle.wire.codec import MAX_BLOCK
from auricle.wire.pcm import PcmHeader, decode_pcm

POLL_MS = 100
"""How often a wait for a block looks whether the input was stopped."""

LONGEST_HOLE_S = 3600
"""A jump ahead by more than this is a sender that began anew, as one backwards is."""


class ZmqInputParams(InputParams):
    """Parameters of `ZmqInput`."""

    address: str = Field("tcp://127.0.0.1:5690", description="Where to take blocks from.")
    connect: bool = Field(False, description="Connect to a sender that binds, instead of binding.")


class ZmqInput(ThreadedInput[ZmqInputParams]):
    """Blocks of PCM pushed to a socket; `docs/wire.md` has their form.

    A hole in the numbering of samples is a gap of that length. A numbering that begins anew is a
    gap as long as the sender was silent. When the ring is full, blocks are dropped, which is a gap
    too.

    Raises, from `start`:
        WireError: What is no address.
        ConfigError: An address that others can reach.
        InputError: An address that cannot be had.
    """

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        self.live = True
        self.address = self.params.address
        """The address in use; the port is known after `start` if it was `*`."""
        self._socket: zmq.Socket[bytes] | None = None
        self._expected: int | None = None
        self._arrived_ns = 0

    def start(self) -> None:
        if not self.address.startswith("inproc://"):
            check_address(self.address)
        if not self.params.connect and not is_local(self.address):
            raise ConfigError(
                f"address={self.address!r}: PCM is taken from this machine only, such as tcp://127.0.0.1:5690"
            )
        socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PULL)
        socket.linger = 0
        socket.maxmsgsize = MAX_BLOCK
        try:
            if self.params.connect:
                socket.connect(self.address)
            else:
                socket.bind(self.address)
                self.address = socket.getsockopt_string(zmq.LAST_ENDPOINT)
        except zmq.ZMQError as error:
            socket.close()
            raise InputError(f"{self.address}: {error.strerror}") from None
        self._socket = socket
        super().start()

    def capture(self) -> None:
        assert self._socket is not None
        try:
            while not self.stopping.is_set():
                if not self._socket.poll(POLL_MS):
                    self._write_some()
                    continue
                frames = self._socket.recv_multipart()
                try:
                    header, data = decode_pcm(frames)
                except WireError as error:
                    raise InputError(f"{self.address}: {error.message}") from None
                self._take(header, data)
                if header.end:
                    return
        finally:
            self._socket.close()

    def _take(self, header: PcmHeader, data: bytes) -> None:
        now = time.monotonic_ns()
        first = header.first_sample
        if self._expected is None:
            self._open(header.sample_rate, first)
        else:
            self._open(header.sample_rate)
            self._account(header, first - self._expected, now)
        block = pcm_samples(data, header.format, header.channels)
        self._expected = first + len(block)
        self._arrived_ns = now
        self._write_some()
        if len(block) and self._waiting:
            self._lose(len(block), "dropped")
        elif len(block):
            self._hear(block, now)
            self._write_some(now)

    def _write_some(self, began_ns: int | None = None) -> None:
        if self._write(began_ns):
            self.context.wake()

    def _account(self, header: PcmHeader, jump: int, now: int) -> None:
        """Mark what the numbering says is missing."""
        if 0 < jump <= LONGEST_HOLE_S * header.sample_rate:
            self._lose(jump, "hole")
        elif jump:
            away_s = (now - self._arrived_ns) / 1e9
            self._lose_seconds(away_s, "reconnect")
