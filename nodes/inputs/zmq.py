"""The node that takes blocks of PCM over ZeroMQ, from a DAW or a box."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import zmq
from pydantic import Field

from auricle.engine.context import Outage
from auricle.errors import ConfigError, InputError, WireError
from auricle.nodes.inputs.base import InputParams, ThreadedInput
from auricle.nodes.signal.conditioner import pcm_samples
from auricle.wire.address import check_address, check_free, is_local
from auricle.wire.codec import MAX_BLOCK
from auricle.wire.pcm import PcmHeader, decode_pcm
from auricle.wire.security import refuse_old_peers

POLL_MS = 100
"""Time between two looks at whether the input was stopped, in ms, while no block comes."""

LONGEST_HOLE_S = 3600
"""Longest jump ahead, in seconds, that is a hole; a longer one is a sender that was restarted."""

SENDER_GONE_S = 1.0
"""Seconds of silence after which another sender may take the place of the one heard so far."""

SILENT_S = 2.0
"""Seconds without a block after which a sender counts as away."""

MOST_WARNINGS = 20
"""Most different refusals that are reported; the others are counted only."""

log = logging.getLogger(__name__)


class ZmqInputParams(InputParams):
    """Parameters of `ZmqInput`."""

    address: str = Field("tcp://127.0.0.1:5690", description="Address to take blocks from.")
    connect: bool = Field(False, description="Connect to a sender that binds, instead of binding.")
    ends: bool = Field(
        False, description="End the stream when its sender says so; otherwise wait for the next."
    )


class ZmqInput(ThreadedInput[ZmqInputParams]):
    """Blocks of PCM pushed to a socket; `docs/wire.md` has their form.

    A hole in the numbering of samples is a gap of that length. A sender that was restarted, or
    that takes the place of another, makes a gap as long as nothing arrived. When the ring is full,
    blocks are dropped, which is a gap too. While no sender sends, the source is waited for.

    Any program of this machine can connect, so nothing that arrives ends the stream: a malformed
    block is refused, as are the blocks of a second sender while the first is heard; both are
    counted and reported. Peers that do not speak ZMTP 3, such as browsers, are turned away.

    Attributes:
        address: Address in use; the port is known after `start` if it was `*`.
        refused: Number of blocks that were refused. Written on the capture thread.

    Raises, from `start`:
        WireError: The address is malformed.
        ConfigError: The address can be reached from other machines.
        InputError: The address is in use, or cannot be bound or connected to.
    """

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        self.live = True
        self.address = self.params.address
        self.refused = 0
        # Used on the capture thread only, once that runs.
        self._socket: zmq.Socket[bytes] | None = None
        self._sender: int | None = None
        self._said_end = False
        self._away = False  # whether that was reported
        self._expected = 0
        self._arrived_ns = 0

    @property
    def origin(self) -> tuple[str, Path | None]:
        return "zmq", None

    def start(self) -> None:
        if not self.address.startswith("inproc://"):
            check_address(self.address)
        if not self.params.connect and not is_local(self.address):
            raise ConfigError(
                f"address={self.address!r}: PCM is taken from this machine only, such as "
                "tcp://127.0.0.1:5690"
            )
        socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PULL)
        socket.linger = 0
        socket.ipv6 = "[" in self.address
        socket.maxmsgsize = MAX_BLOCK
        refuse_old_peers(socket)
        try:
            if self.params.connect:
                socket.connect(self.address)
            else:
                check_free(self.address)
                socket.bind(self.address)
                self.address = socket.getsockopt_string(zmq.LAST_ENDPOINT)
        except WireError as error:
            socket.close()
            raise InputError(error.message) from None
        except zmq.ZMQError as error:
            socket.close()
            raise InputError(f"{self.address}: {error.strerror}") from None
        self._socket = socket
        super().start()

    def capture(self) -> None:
        assert self._socket is not None
        self._report_away("no sender yet")
        try:
            while not self.stopping.is_set():
                if not self._socket.poll(POLL_MS):
                    self._write_some()
                    self._look_for_silence()
                    continue
                frames = self._socket.recv_multipart(copy=False)
                try:
                    header, data = decode_pcm([frame.bytes for frame in frames])
                    ended = self._take(_connection_of(frames[0]), header, data)
                except WireError as error:
                    self._refuse(error.message)
                    continue
                if ended:
                    return
        finally:
            self._socket.close()

    def statistics(self) -> dict[str, Any]:
        return {**super().statistics(), "refused_blocks": self.refused}

    def _take(self, sender: int, header: PcmHeader, data: bytes) -> bool:
        """Hear a block; returns whether the stream ends with it.

        Raises:
            WireError: Another sender is being heard.
        """
        now = time.monotonic_ns()
        first = header.first_sample
        if self._sender is None:
            self._open(header.sample_rate, first)
        else:
            away_s = (now - self._arrived_ns) / 1e9
            if sender != self._sender and away_s < SENDER_GONE_S and not self._said_end:
                raise WireError("a second sender; give each its own input")
            self._open(header.sample_rate)
            if sender != self._sender or self._said_end:
                self._lose_seconds(away_s, "reconnect")
            else:
                self._account(header, first - self._expected, away_s)
        block = pcm_samples(data, header.format, header.channels)
        self._sender, self._expected, self._arrived_ns = sender, first + len(block), now
        self._write_some()
        if len(block) and self._waiting:
            self._lose(len(block), "dropped")
        elif len(block):
            self._hear(block, now)
            self._write_some(now)
        self._said_end = header.end
        if header.end and not self.params.ends:
            self._report_away("its sender has ended")
        elif self._away:
            self._away = False
            self.context.report_outage(None)
        return header.end and self.params.ends

    def _look_for_silence(self) -> None:
        if not self._away and time.monotonic_ns() - self._arrived_ns > SILENT_S * 1e9:
            self._report_away("its sender is silent")

    def _report_away(self, reason: str) -> None:
        self._away = True
        self.context.report_outage(Outage(f"{self.address}: {reason}"))

    def _write_some(self, began_ns: int | None = None) -> None:
        if self._write(began_ns):
            self.context.wake()

    def _account(self, header: PcmHeader, jump: int, away_s: float) -> None:
        """Mark what the numbering says is missing."""
        if 0 < jump <= LONGEST_HOLE_S * header.sample_rate:
            self._lose(jump, "hole")
        elif jump:
            self._lose_seconds(away_s, "reconnect")

    def _refuse(self, reason: str) -> None:
        """Count a block that cannot be heard, and report each reason once."""
        self.refused += 1
        warning = f"{self.address}: a block was refused: {reason}"
        if warning not in self.warnings and len(self.warnings) < MOST_WARNINGS:
            self.warnings.append(warning)
            log.warning("%s", warning)


def _connection_of(frame: zmq.Frame) -> int:
    """The connection that a message came over, by its file descriptor; -1 within a process."""
    try:
        return int(frame.get(zmq.SRCFD))
    except zmq.ZMQError:
        return -1
