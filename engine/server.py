"""The sockets of an engine, and the one thread that owns them.

Other threads hand messages over through a bounded queue and a wake-up, so that nothing waits for a poll.
Publishing never blocks: a subscriber that is too slow loses messages, and sees it by their numbers.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import numpy as np
import zmq
from numpy.typing import NDArray

from engine.config import WireSpec
from engine.errors import WireError
from engine.security import Guard, is_local
from engine.wire import ENGINE, MAX_MESSAGE, decode, encode, encode_array, topic

HEARTBEAT_S = 1.0

LONGEST_OUTBOX = 10_000
"""Messages that may wait for the owner thread; more are dropped and counted."""

HIGH_WATER = 1000
"""Messages that may wait for one subscriber; more are dropped for it alone."""

LINGER_MS = 500
"""Longest time that `stop` gives subscribers to take what was sent."""

Handler = Callable[..., Any]

log = logging.getLogger(__name__)


class Server:
    """Publishes messages and arrays, and answers commands.

    Args:
        spec: The addresses; sockets without one are left out.

    Attributes:
        status: Called every second for the statistics of the heartbeat.
        addresses: The addresses in use, by the names of `spec`; ports are known after `start`.
    """

    def __init__(self, spec: WireSpec) -> None:
        self._spec = spec
        self.status: Callable[[], dict[str, Any]] = dict
        self.addresses: dict[str, str] = {}
        self.dropped = 0
        self._id = secrets.token_hex(8)
        self._handlers: dict[str, Handler] = {}
        self._outbox: deque[tuple[str, str, dict[str, Any], Any]] = deque()
        self._numbers: Counter[bytes] = Counter()
        self._retained: dict[bytes, dict[str, Any]] = {}
        self._sockets: dict[str, zmq.Socket[bytes]] = {}
        self._guard: Guard | None = None
        self._stopping = False
        self._thread: threading.Thread | None = None

    # -- for any thread -----------------------------------------------------------------------------

    def publish(self, stream: str, kind: str, message: dict[str, Any], since_ns: int | None = None) -> None:
        """Send a message to whoever subscribed to `stream/kind`.

        Args:
            stream: First part of the topic.
            kind: Second part.
            message: What to say; `v`, `stream`, `kind`, `seq` and `published` are added.
            since_ns: Monotonic time from which on `latency.publish` counts; the total is added too.
        """
        self._post(stream, kind, message, since_ns)

    def publish_array(self, stream: str, kind: str, header: dict[str, Any], values: NDArray[Any]) -> None:
        """Send an array on the socket for arrays. It is copied."""
        if "arrays" in self._sockets:
            self._post(stream, kind, header, np.array(values))

    def handle(self, command: str, function: Handler) -> None:
        """Answer `command` by what `function`, called with the arguments of the request, returns."""
        self._handlers[command] = function

    def start(self) -> None:
        """Bind the sockets and start the thread.

        Raises:
            WireError: An address that cannot be had, or that is open to others without keys.
        """
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_writer.setblocking(False)
        try:
            if self._spec.curve is not None:
                self._guard = Guard(self._context, self._spec.curve)
            for name, kind in (("publish", zmq.XPUB), ("arrays", zmq.XPUB), ("control", zmq.REP)):
                address = getattr(self._spec, name)
                if address is not None:
                    self._bind(name, address, kind)
        except WireError:
            self._close()
            raise
        self._thread = threading.Thread(target=self._serve, name="wire", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Send what waits, then close. May be called twice."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._stopping = True
        self._wake()
        thread.join()
        self._close()

    def _post(self, stream: str, kind: str, message: dict[str, Any], extra: Any) -> None:
        if len(self._outbox) >= LONGEST_OUTBOX:
            self.dropped += 1
            return
        self._outbox.append((stream, kind, message, extra))
        self._wake()

    def _wake(self) -> None:
        # Full: the thread has been woken often enough. Closed: nobody is left to wake.
        with contextlib.suppress(OSError):
            self._wake_writer.send(b"\0")

    # -- opening and closing ------------------------------------------------------------------------

    def _bind(self, name: str, address: str, kind: int) -> None:
        if self._guard is None and not is_local(address):
            raise WireError(
                f"wire.{name}: {address} is open to other machines; that needs wire.curve with keys"
            )
        opened = self._context.socket(kind)
        self._sockets[name] = opened
        opened.linger = LINGER_MS
        opened.sndhwm = HIGH_WATER
        opened.maxmsgsize = MAX_MESSAGE
        opened.ipv6 = "[" in address
        if kind == zmq.XPUB:
            # Every subscription is reported, not only the first to a topic: each late joiner is served.
            opened.setsockopt(zmq.XPUB_VERBOSE, 1)
        if self._guard is not None:
            self._guard.protect(opened)
        try:
            opened.bind(address)
        except zmq.ZMQError as error:
            raise WireError(f"wire.{name}: {address}: {error.strerror}") from None
        self.addresses[name] = opened.getsockopt_string(zmq.LAST_ENDPOINT)

    def _close(self) -> None:
        for opened in self._sockets.values():
            opened.close()
        self._sockets = {}
        if self._guard is not None:
            self._guard.stop()
        self._context.term()
        self._wake_reader.close()
        self._wake_writer.close()

    # -- on the owner thread ------------------------------------------------------------------------

    def _serve(self) -> None:
        poller = zmq.Poller()
        poller.register(self._wake_reader, zmq.POLLIN)
        for opened in self._sockets.values():
            poller.register(opened, zmq.POLLIN)
        began = beat = time.monotonic()
        while True:
            stopping = self._stopping
            self._send_all()
            if stopping:
                return
            now = time.monotonic()
            if now >= beat:
                self._beat(now - began)
                beat = max(beat + HEARTBEAT_S, now)
            ready = dict(poller.poll(max(0, round((beat - now) * 1000))))
            if self._wake_reader.fileno() in ready:
                self._wake_reader.recv(4096)
            for name, opened in self._sockets.items():
                if opened in ready:
                    if name == "control":
                        self._answer(opened)
                    else:
                        self._greet(opened, name)

    def _send_all(self) -> None:
        while self._outbox:
            stream, kind, message, extra = self._outbox.popleft()
            try:
                if isinstance(extra, np.ndarray):
                    self._send_array(stream, kind, message, extra)
                else:
                    self._send(stream, kind, message, extra)
            except WireError:
                log.exception("%s/%s is not sent", stream, kind)

    def _send(self, stream: str, kind: str, message: dict[str, Any], since_ns: int | None = None) -> None:
        head = topic(stream, kind)
        if since_ns is not None:
            latency = message["latency"]
            latency["publish"] = (time.monotonic_ns() - since_ns) / 1e9
            latency["total"] = sum(latency.values())
        message = {
            "stream": stream,
            "kind": kind,
            "seq": self._number(head),
            "published": time.time(),
            **message,
        }
        data = encode(message)
        self._retained[head] = message
        if "publish" in self._sockets:
            self._sockets["publish"].send_multipart([head, data])

    def _send_array(self, stream: str, kind: str, header: dict[str, Any], values: NDArray[Any]) -> None:
        head = topic(stream, kind)
        number = self._number(b"arrays " + head)
        header = {"stream": stream, "kind": kind, "seq": number, "published": time.time(), **header}
        self._sockets["arrays"].send_multipart([head, *encode_array(header, values)])

    def _number(self, head: bytes) -> int:
        number = self._numbers[head]
        self._numbers[head] += 1
        return number

    def _beat(self, uptime_s: float) -> None:
        last = {head.decode(): number - 1 for head, number in self._numbers.items()}
        beat = {
            "engine": self._id,
            "uptime": uptime_s,
            "last_seq": {name: seq for name, seq in last.items() if not name.startswith("arrays ")},
            "dropped": self.dropped,
            "streams": self.status(),
        }
        self._send(ENGINE, "heartbeat", beat)

    def _greet(self, opened: zmq.Socket[bytes], name: str) -> None:
        """Send a new subscriber the last message of every topic it asked for."""
        subscription = opened.recv()
        if name != "publish" or subscription[:1] != b"\x01":
            return
        for head, message in self._retained.items():
            if head.startswith(subscription[1:]):
                opened.send_multipart([head, encode({**message, "retained": True})])

    def _answer(self, opened: zmq.Socket[bytes]) -> None:
        """Answer a request, whatever it is."""
        frames = opened.recv_multipart()
        try:
            reply = {"ok": True, "result": self._obey(frames)}
            data = encode(reply)
        except Exception as error:
            log.debug("a request failed", exc_info=True)
            data = encode({"ok": False, "error": " ".join(str(error).split()) or type(error).__name__})
        opened.send(data)

    def _obey(self, frames: list[bytes]) -> Any:
        if len(frames) != 1:
            raise WireError(f"a request is one frame; this one has {len(frames)}")
        request = decode(frames[0])
        arguments = {name: value for name, value in request.items() if name not in ("v", "command")}
        command = request.get("command")
        handler = self._handlers.get(command) if isinstance(command, str) else None
        if handler is None:
            raise WireError(f"no command {command!r}; commands are: {', '.join(sorted(self._handlers))}")
        try:
            return handler(**arguments)
        except TypeError as error:
            raise WireError(f"command {command!r}: {error}") from error
