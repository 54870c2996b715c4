"""The client's end of a connection: keys, heartbeats, and why nothing arrives."""

from __future__ import annotations

import contextlib
import math
import time
from dataclasses import dataclass
from pathlib import Path

import zmq
import zmq.auth
from zmq.utils.monitor import recv_monitor_message

from auricle.errors import ConfigError, WireError
from auricle.wire.address import check_address
from auricle.wire.codec import MAX_BLOCK

PING_S = 5.0
"""Seconds without an answer to pings after which a connection is made again."""

RETRY_S = 1.0
"""Seconds from a refusal to the next try; ZeroMQ by itself would not try again."""

SLOWEST_RECONNECT_MS = 1000
"""Longest pause between two tries to reach an address where nothing listens, in ms."""

_REFUSED = zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
_EVENTS = (
    _REFUSED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_CLOSED
)


@dataclass(frozen=True)
class Keys:
    """CURVE keys, for an engine on another machine.

    Attributes:
        own: Path of this client's .key_secret file, as written by zmq.auth.
        server: Path of the server's public .key file.
    """

    own: Path
    server: Path


class Connection:
    """A socket connected to an engine.

    The connection is made again when the engine restarts, when it is dead although neither side
    closed it, and after a refusal, since the engine's allow-list may have changed. Nothing here is
    locked: use a connection on one thread only, as ZeroMQ demands of its sockets.

    Args:
        kind: Type of the socket, zmq.SUB or zmq.REQ.
        address: Address of the engine's socket.
        keys: Keys for an engine on another machine.
        ping_s: Seconds without an answer to pings after which the connection is made again.

    Attributes:
        socket: The socket, for sending and subscribing.
        trouble: Reason why the engine does not answer, in words; None if it is unknown. Updated
            while `receive` waits.

    Raises:
        WireError: The address is malformed or cannot be connected to.
        ConfigError: The keys cannot be read.
    """

    def __init__(
        self, kind: int, address: str, keys: Keys | None = None, ping_s: float = PING_S
    ) -> None:
        check_address(address)
        self.trouble: str | None = None
        self._address = address
        self._keys = keys
        self._retry_at = math.inf
        self.socket: zmq.Socket[bytes] = _opened(kind, address, keys, ping_s)
        self._monitor = self.socket.get_monitor_socket(_EVENTS)
        self._poller = zmq.Poller()
        self._poller.register(self.socket, zmq.POLLIN)
        self._poller.register(self._monitor, zmq.POLLIN)
        try:
            self.socket.connect(address)
        except zmq.ZMQError as error:
            self.close()
            raise WireError(
                f"{address}: {error.strerror}; an address is like tcp://127.0.0.1:5680"
            ) from None

    def receive(self, timeout_s: float | None = None) -> list[bytes] | None:
        """Wait for the next message.

        Args:
            timeout_s: Longest wait in seconds; None waits forever.

        Returns:
            The frames of the message; None if none arrived in time.
        """
        deadline = math.inf if timeout_s is None else time.monotonic() + timeout_s
        while True:
            # Usually a message is waiting; poll only if none is.
            with contextlib.suppress(zmq.Again):
                return self.socket.recv_multipart(zmq.NOBLOCK)
            now = time.monotonic()
            if now >= self._retry_at:
                self._try_again()
            wait_s = max(0.0, min(deadline, self._retry_at) - now)
            wait_ms = None if wait_s == math.inf else math.ceil(1000 * wait_s)
            ready = dict(self._poller.poll(wait_ms))
            if self._monitor in ready:
                self._note(int(recv_monitor_message(self._monitor)["event"]))
            elif not ready and now >= deadline:
                return None

    def close(self) -> None:
        """Close the socket immediately; unsent messages are lost."""
        self.socket.disable_monitor()
        self._monitor.close(0)
        self.socket.close(0)

    def _note(self, event: int) -> None:
        """Handle an event of the socket's monitor: the outcome of a try to connect."""
        if event & _REFUSED:
            self._retry_at = time.monotonic() + RETRY_S
        if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            self.trouble = "the engine refuses the key; its .key file belongs in the clients folder"
        elif event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL and self._keys is None:
            self.trouble = "the engine asks for keys"
        elif event in (zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL, zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL):
            what = "is the server's key right?" if self._keys else "does it ask for keys?"
            self.trouble = f"the engine hangs up; {what}"
        else:
            self.trouble = None

    def _try_again(self) -> None:
        self._retry_at = math.inf
        with contextlib.suppress(zmq.ZMQError):
            self.socket.disconnect(self._address)
        self.socket.connect(self._address)


def _opened(kind: int, address: str, keys: Keys | None, ping_s: float) -> zmq.Socket[bytes]:
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(kind)
    socket.linger = 0
    socket.maxmsgsize = MAX_BLOCK
    socket.ipv6 = "[" in address
    socket.heartbeat_ivl = round(1000 * ping_s)
    socket.reconnect_ivl_max = SLOWEST_RECONNECT_MS
    try:
        if keys is not None:
            public, secret = zmq.auth.load_certificate(keys.own)
            if secret is None:
                raise ValueError(f"{keys.own} holds no secret key")
            socket.curve_publickey, socket.curve_secretkey = public, secret
            socket.curve_serverkey, _ = zmq.auth.load_certificate(keys.server)
    except (OSError, ValueError, zmq.ZMQError) as error:
        socket.close()
        raise ConfigError(f"keys: {error}") from None
    return socket
