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
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec
import numpy as np
import zmq
from msgspec import UNSET

from auricle.errors import AuricleError, WireError
from auricle.wire.address import check_address, is_local
from auricle.wire.channel import Channel
from auricle.wire.codec import MAX_MESSAGE
from auricle.wire.commands import Command, Handler
from auricle.wire.histogram import Latencies
from auricle.wire.messages import Array, Computed, Heartbeat, Message, Percentiles, Prediction
from auricle.wire.responder import Responder
from auricle.wire.security import Guard
from auricle.wire.settings import ServerSettings, WireSpec

log = logging.getLogger(__name__)


class EngineStatus(NamedTuple):
    """What a heartbeat says that a server does not know itself.

    Attributes:
        rung: Step on the ladder against overload.
        streams: How many streams are in each state.
    """

    rung: int = 0
    streams: Mapping[str, int] = {}


class _Item(NamedTuple):
    """What waits for the thread that sends."""

    message: Message
    since_ns: int | None


class _Forget(NamedTuple):
    """A stream of which nothing is kept from here on."""

    stream: str


def check_addresses(spec: WireSpec) -> None:
    """Refuse what cannot be bound, or must not be.

    Raises:
        WireError: An address that is malformed, or open to other machines without keys.
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
        version: Version of the program; part of every heartbeat.
        settings: What else can be set.

    Attributes:
        status: Called once a heartbeat for what it says of the streams; on the thread that sends.
        addresses: The addresses in use, by the names of `spec`; ports are known after `start`.
        commands: What the control socket answers, by name; see `handle`.
        dropped: Messages that were not sent: more than could wait, or not encodable.
        latencies: Latencies by stage of the predictions published.
    """

    def __init__(
        self, spec: WireSpec, version: str = "", settings: ServerSettings | None = None
    ) -> None:
        self._spec = spec
        self._version = version
        self._settings = settings or ServerSettings()
        self.status: Callable[[], EngineStatus] = EngineStatus
        self.addresses: dict[str, str] = {}
        self.commands: dict[str, Command] = {}
        self.dropped = 0
        self.latencies = Latencies()
        # The lock guards the outbox and what was left out of it: any thread adds, the thread that
        # sends takes all. Channels belong to the thread that sends.
        self._lock = threading.Lock()
        self._outbox: list[_Item | _Forget] = []
        self._left_out: Counter[tuple[str, str]] = Counter()
        self._channels: dict[str, Channel] = {}
        self._guard: Guard | None = None
        self._responder: Responder | None = None
        self._stopping = False
        self._thread: threading.Thread | None = None

    # -- for any thread ----------------------------------------------------------------------------

    def send(self, message: object, since_ns: int | None = None) -> None:
        """Send a message to its subscribers. Never waits.

        An array goes out on the socket for arrays; its values are copied.

        Args:
            message: An `auricle.wire.messages.Message`; `v`, `engine`, `topic_id`, `seq` and
                `published` are set here.
            since_ns: Monotonic time from which on `latency.publish` counts, for a message that has
                a `latency`; the total is added too.
        """
        if not isinstance(message, Message):
            raise TypeError(f"{type(message).__name__} is not a message of auricle.wire.messages")
        if isinstance(message, Array):
            if "arrays" not in self._channels or message.values is UNSET:
                return
            message = msgspec.structs.replace(message, values=np.array(message.values))
        with self._lock:
            waiting = len(self._outbox)
            if waiting < self._settings.outbox:
                self._outbox.append(_Item(message, since_ns))
            else:
                self._left_out[_channel_of(message), message.topic] += 1
        if not waiting:
            self._wake()

    def forget(self, stream: str) -> None:
        """Keep nothing of a stream that is gone."""
        with self._lock:
            self._outbox.append(_Forget(stream))
        self._wake()

    def handle(self, name: str, function: Handler) -> None:
        """Answer the command `name` by what `function` returns.

        Args:
            name: Of the command.
            function: Called with the arguments of the request by name, checked against its
                annotations, on a thread that does nothing else.
        """
        self.commands[name] = Command(name, function)

    def start(self) -> None:
        """Bind the sockets and start the threads.

        Raises:
            WireError: An address that cannot be bound, or that is open to others without keys.
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
                    opened = self._bind(name, address, zmq.XPUB)
                    self._channels[name] = Channel(opened, engine, self._settings.listed_topics)
            if self._spec.control:
                control = self._bind("control", self._spec.control, zmq.REP)
                self._responder = Responder(control, self.commands)
        except AuricleError:
            self._close()
            self._context.destroy(linger=0)
            raise
        self._thread = threading.Thread(target=self._serve, name="wire", daemon=True)
        self._thread.start()
        if self._responder is not None:
            self._responder.start()

    def stop(self) -> None:
        """Answer the request at hand, send what waits, then close. May be called twice."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        patience_s = self._settings.stop_s
        finished = self._responder is None or self._responder.stop(patience_s)
        self._stopping = True
        self._wake()
        thread.join()
        self._close()
        if finished:
            self._context.term()
        else:
            log.warning(
                "a command is still at work after %g s; its socket is left open", patience_s
            )

    def _wake(self) -> None:
        # Full: the thread has been woken often enough. Closed: nobody is left to wake.
        with contextlib.suppress(OSError):
            self._wake_writer.send(b"\0")

    # -- opening and closing -----------------------------------------------------------------------

    def _bind(self, name: str, address: str, kind: int) -> zmq.Socket[bytes]:
        opened = self._context.socket(kind)
        opened.linger = round(1000 * self._settings.linger_s)
        opened.sndhwm = self._settings.high_water
        opened.maxmsgsize = MAX_MESSAGE
        opened.ipv6 = "[" in address
        # A connection whose other end is gone without a word does not stay for ever.
        opened.heartbeat_ivl = round(1000 * self._settings.ping_s)
        if kind == zmq.XPUB:
            # Every subscription is reported, not only the first to a topic: each late subscriber is
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

    # -- on the thread that sends ------------------------------------------------------------------

    def _serve(self) -> None:
        try:
            self._send_until_stopped()
        finally:
            for channel in self._channels.values():
                channel.socket.close()

    def _send_until_stopped(self) -> None:
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
                beat = max(beat + self._settings.heartbeat_s, now)
            ready = dict(poller.poll(0 if stopping else max(0, round((beat - now) * 1000))))
            if self._wake_reader.fileno() in ready:
                self._wake_reader.recv(4096)
            for channel in self._channels.values():
                if channel.socket in ready:
                    channel.greet()

    def _send_all(self) -> None:
        with self._lock:
            items, self._outbox = self._outbox, []
            left_out, self._left_out = self._left_out, Counter()
        for item in items:
            if isinstance(item, _Forget):
                self._forget(item.stream)
                continue
            try:
                self._send(item.message, item.since_ns)
            except Exception:  # one message must not end all others
                self.dropped += 1
                log.exception("%s is not sent", item.message.topic)
        for (name, topic), count in left_out.items():
            self.dropped += count
            if name in self._channels:
                self._channels[name].numbering.use(topic, count)

    def _send(self, message: Message, since_ns: int | None) -> None:
        channel = self._channels.get(_channel_of(message))
        if channel is None:
            return
        if since_ns is None or not isinstance(message, Computed):
            channel.send(message)
            return
        latency = {**message.latency, "publish": (time.monotonic_ns() - since_ns) / 1e9}
        latency["total"] = sum(latency.values())
        if isinstance(message, Prediction):
            self.latencies.record(message.stream, latency)
        channel.send(message, latency=latency)

    def _forget(self, stream: str) -> None:
        self.latencies.forget(stream)
        for channel in self._channels.values():
            channel.forget(stream)

    def _beat(self, uptime_s: float) -> None:
        status = self._checked_status()
        latency = msgspec.convert(self.latencies.summary(), dict[str, Percentiles])
        for channel in self._channels.values():
            beat = Heartbeat(
                version=self._version,
                uptime=uptime_s,
                dropped=self.dropped,
                latency=latency,
                topics=channel.numbering.topics,
                last_seq=channel.numbering.beat(),
            )
            try:
                channel.send(beat, rung=status.rung, streams=status.streams)
            except WireError:
                log.exception("the heartbeat has no word of the streams")
                channel.send(beat)

    def _checked_status(self) -> EngineStatus:
        """The status; an empty one if it cannot be had, since the heartbeats have to go on."""
        try:
            rung, streams = self.status()
        except Exception:
            log.exception("no status for the heartbeat")
            return EngineStatus()
        return EngineStatus(rung, streams)


def _channel_of(message: Message) -> str:
    return "arrays" if isinstance(message, Array) else "publish"
