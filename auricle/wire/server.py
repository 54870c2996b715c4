"""The sockets of an engine, and the threads that own them.

Other threads hand messages over through a bounded queue and a wake-up, so that nothing waits for a
poll. Publishing never blocks: a subscriber that is too slow loses messages, and sees it by their
numbers.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import zmq
from numpy.typing import NDArray

from auricle.engine.histogram import Latencies
from auricle.errors import AuricleError, WireError
from auricle.wire.address import check_address, is_local
from auricle.wire.channel import Channel
from auricle.wire.codec import ENGINE, KINDS, MAX_MESSAGE, encode
from auricle.wire.responder import Commands, Handler
from auricle.wire.security import Guard
from auricle.wire.settings import WireSpec

HEARTBEAT_S = 1.0

LONGEST_OUTBOX = 10_000
"""Messages that may wait for the owner thread; more are dropped and counted."""

HIGH_WATER = 1000
"""Messages that may wait for one subscriber; more are dropped for it alone."""

LINGER_MS = 500
"""Longest time that `stop` gives subscribers to take what was sent."""

STOP_S = 5.0
"""Longest time that `stop` waits for a command at work."""

FORGET = "forget"
"""In the place of a socket's name: no message, but the end of all there were of a stream."""

Item = tuple[str, str, str, dict[str, Any], NDArray[Any] | None, int | None]
"""A message to send: socket, stream, kind, message, array, start of `latency.publish`."""

log = logging.getLogger(__name__)


def check_addresses(spec: WireSpec) -> None:
    """Refuse what cannot be bound, or must not be.

    Raises:
        WireError: An address that is none, or that is open to other machines without keys.
    """
    for name in ("publish", "arrays", "control"):
        address = getattr(spec, name)
        if address is None:
            continue
        try:
            check_address(address)
        except WireError as error:
            raise WireError(f"wire.{name}: {error}") from None
        if spec.curve is None and not is_local(address):
            raise WireError(
                f"wire.{name}: {address} is open to other machines; that needs wire.curve with keys"
            )


class Server:
    """Publishes messages and arrays, and answers commands.

    Args:
        spec: The addresses; sockets without one are left out.
        version: Of the program; part of every heartbeat.

    Attributes:
        status: Called every second for what the heartbeat says beside the server's own.
        addresses: The addresses in use, by the names of `spec`; ports are known after `start`.
        dropped: Messages that were not sent: more than could wait, or not of a kind that can be
            encoded.
        latencies: Of the predictions published, by stage.
    """

    def __init__(self, spec: WireSpec, version: str = "") -> None:
        self._spec = spec
        self._version = version
        self.status: Callable[[], dict[str, Any]] = dict
        self.addresses: dict[str, str] = {}
        self.dropped = 0
        self.latencies = Latencies()
        self._handlers: dict[str, Handler] = {}
        self._lock = threading.Lock()
        self._outbox: list[Item] = []
        self._left_out: Counter[tuple[str, str, str]] = Counter()
        self._channels: dict[str, Channel] = {}
        self._guard: Guard | None = None
        self._commands: Commands | None = None
        self._stopping = False
        self._thread: threading.Thread | None = None

    # -- for any thread ----------------------------------------------------------------------------

    def publish(
        self, stream: str, kind: str, message: dict[str, Any], since_ns: int | None = None
    ) -> None:
        """Send a message to whoever subscribed to `stream/kind`.

        Args:
            stream: First part of the topic.
            kind: Second part.
            message: What to say; `v`, `engine`, `stream`, `kind`, `seq` and `published` are added.
            since_ns: Monotonic time from which on `latency.publish` counts, of a message with a
                `latency`; the total is added too.
        """
        self._post(("publish", stream, kind, message, None, since_ns))

    def publish_array(
        self,
        stream: str,
        kind: str,
        header: dict[str, Any],
        values: NDArray[Any],
        since_ns: int | None = None,
    ) -> None:
        """Send an array, which is copied, on the socket for arrays; other arguments as for
        `publish`.
        """
        if "arrays" in self._channels:
            self._post(("arrays", stream, kind, header, np.array(values), since_ns))

    def forget(self, stream: str) -> None:
        """Keep nothing of a stream that is gone but the numbers of its messages."""
        self._post((FORGET, stream, "", {}, None, None))

    def handle(self, command: str, function: Handler) -> None:
        """Answer `command` by what `function`, called with the arguments of the request, returns.

        It is called on a thread that does nothing else.
        """
        self._handlers[command] = function

    def start(self) -> None:
        """Bind the sockets and start the threads.

        Raises:
            WireError: An address that cannot be had, or that is open to others without keys.
        """
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_writer.setblocking(False)
        engine = secrets.token_hex(8)
        try:
            check_addresses(self._spec)
            if self._spec.curve is not None:
                self._guard = Guard(self._context, self._spec.curve)
            for name in ("publish", "arrays"):
                if address := getattr(self._spec, name):
                    self._channels[name] = Channel(self._bind(name, address, zmq.XPUB), engine)
            if self._spec.control:
                control = self._bind("control", self._spec.control, zmq.REP)
                self._commands = Commands(control, self._handlers)
        except AuricleError:
            self._close()
            self._context.destroy(linger=0)
            raise
        self._thread = threading.Thread(target=self._serve, name="wire", daemon=True)
        self._thread.start()
        if self._commands is not None:
            self._commands.start()

    def stop(self) -> None:
        """Answer the request at hand, send what waits, then close. May be called twice."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        finished = self._commands is None or self._commands.stop(STOP_S)
        self._stopping = True
        self._wake()
        thread.join()
        self._close()
        if finished:
            self._context.term()
        else:
            log.warning("a command is still at work after %g s; its socket is left open", STOP_S)

    def _post(self, item: Item) -> None:
        with self._lock:
            if len(self._outbox) < LONGEST_OUTBOX or item[0] == FORGET:
                self._outbox.append(item)
            else:
                self._left_out[item[:3]] += 1
        self._wake()

    def _wake(self) -> None:
        # Full: the thread has been woken often enough. Closed: nobody is left to wake.
        with contextlib.suppress(OSError):
            self._wake_writer.send(b"\0")

    # -- opening and closing -----------------------------------------------------------------------

    def _bind(self, name: str, address: str, kind: int) -> zmq.Socket[bytes]:
        opened = self._context.socket(kind)
        opened.linger = LINGER_MS
        opened.sndhwm = HIGH_WATER
        opened.maxmsgsize = MAX_MESSAGE
        opened.ipv6 = "[" in address
        if kind == zmq.XPUB:
            # Every subscription is reported, not only the first to a topic: each late joiner is
            # served.
            opened.setsockopt(zmq.XPUB_VERBOSE, 1)
        if self._guard is not None:
            self._guard.protect(opened)
        try:
            opened.bind(address)
        except zmq.ZMQError as error:
            raise WireError(f"wire.{name}: {address}: {zmq.strerror(error.errno or 0)}") from None
        self.addresses[name] = opened.getsockopt_string(zmq.LAST_ENDPOINT)
        return opened

    def _close(self) -> None:
        self._channels = {}
        if self._guard is not None:
            self._guard.stop()
        self._wake_reader.close()
        self._wake_writer.close()

    # -- on the owner thread -----------------------------------------------------------------------

    def _serve(self) -> None:
        poller = zmq.Poller()
        poller.register(self._wake_reader, zmq.POLLIN)
        for channel in self._channels.values():
            poller.register(channel.socket, zmq.POLLIN)
        began = beat = time.monotonic()
        stopping = False
        while not stopping:
            stopping = self._stopping  # read first: what is handed over before `stop` is sent
            self._send_all()
            now = time.monotonic()
            if now >= beat or stopping:
                self._beat(now - began)
                beat = max(beat + HEARTBEAT_S, now)
            ready = dict(poller.poll(0 if stopping else max(0, round((beat - now) * 1000))))
            if self._wake_reader.fileno() in ready:
                self._wake_reader.recv(4096)
            for channel in self._channels.values():
                if channel.socket in ready:
                    channel.greet()
        for channel in self._channels.values():
            channel.socket.close()

    def _send_all(self) -> None:
        with self._lock:
            items, self._outbox = self._outbox, []
            left_out, self._left_out = self._left_out, Counter()
        for item in items:
            try:
                self._send(*item)
            except Exception:  # one message must not end all others
                self.dropped += 1
                log.exception("%s/%s is not sent", item[1], item[2])
        for (name, stream, kind), count in left_out.items():
            self.dropped += count
            if name in self._channels:
                self._channels[name].leave_out(stream, kind, count)

    def _send(
        self,
        name: str,
        stream: str,
        kind: str,
        message: dict[str, Any],
        array: NDArray[Any] | None,
        since_ns: int | None,
    ) -> None:
        if name == FORGET:
            self.latencies.forget(stream)
            for channel in self._channels.values():
                channel.forget(stream)
            return
        if name not in self._channels:
            return
        if since_ns is not None:
            latency = {**message["latency"], "publish": (time.monotonic_ns() - since_ns) / 1e9}
            latency["total"] = sum(latency.values())
            if name == "publish" and kind not in KINDS:
                self.latencies.record(stream, latency)
            message = {**message, "latency": latency}
        self._channels[name].send(stream, kind, message, array)

    def _beat(self, uptime_s: float) -> None:
        status = self._checked_status()
        for channel in self._channels.values():
            beat = {
                "version": self._version,
                "uptime": uptime_s,
                "last_seq": channel.last_seq,
                "dropped": self.dropped,
                "latency": self.latencies.summary(),
                "streams": {},
            }
            try:
                encode({**beat, **status})
            except WireError:
                log.exception("the heartbeat has no word of the streams")
                channel.send(ENGINE, "heartbeat", {**beat, "last_seq": {}})
            else:
                channel.send(ENGINE, "heartbeat", {**beat, **status})

    def _checked_status(self) -> dict[str, Any]:
        """The statistics; none if they cannot be had, since the heart has to go on beating."""
        try:
            return self.status()
        except Exception:
            log.exception("no statistics for the heartbeat")
            return {}
