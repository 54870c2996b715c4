"""The sockets of an engine, and the threads that own them.

A ZeroMQ socket is used on one thread only. The thread `wire` owns the publishing sockets: it sends
messages, answers subscriptions and beats. The thread `control` owns the control socket and runs its
commands (`auricle.wire.responder`). All other threads append messages to a bounded outbox and wake
`wire`, which therefore need not poll. Publishing never blocks: a subscriber that is too slow loses
messages, and notices it by their numbers.
"""

from __future__ import annotations

import contextlib
import logging
import math
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

from auricle.errors import AuricleError, ConfigError, WireError
from auricle.wire.address import check_address, check_free, is_local
from auricle.wire.channel import Channel
from auricle.wire.codec import MAX_MESSAGE
from auricle.wire.commands import Command, Handler
from auricle.wire.histogram import Latencies
from auricle.wire.messages import Array, Computed, Heartbeat, Message, Percentiles, Prediction
from auricle.wire.responder import PAUSE_S, Responder
from auricle.wire.security import Guard, refuse_old_peers
from auricle.wire.settings import ServerSettings, WireSpec
from auricle.wire.token import Token, make_token, remove_token

LONGEST_SUBSCRIPTION = 512
"""Most bytes of a subscription; whoever sends a longer one is disconnected."""

log = logging.getLogger(__name__)


class EngineStatus(NamedTuple):
    """Contents of a heartbeat that the server itself does not know.

    Attributes:
        rung: Step on the overload ladder.
        streams: Number of streams in each state.
    """

    rung: int = 0
    streams: Mapping[str, int] = {}


class _Item(NamedTuple):
    """A message that waits for the thread that sends, as passed to `Server.send`."""

    message: Message
    since_ns: int | None


class _Forget(NamedTuple):
    """A stream whose state is dropped at this place in the outbox."""

    stream: str


def check_addresses(spec: WireSpec) -> None:
    """Refuse addresses that cannot or must not be bound.

    Raises:
        ConfigError: An address is malformed, or is open to other machines without keys.
    """
    for name in ("publish", "arrays", "control"):
        address = getattr(spec, name)
        if address is None:
            continue
        try:
            check_address(address)
        except WireError as error:
            raise ConfigError(f"wire.{name}: {error}") from None
        if spec.curve is None and not is_local(address):
            raise ConfigError(
                f"wire.{name}: {address} is open to other machines; that needs wire.curve with keys"
            )


class Server:
    """Publishes messages and arrays, and answers commands.

    Any thread may call `send`, `forget` and `handle`; `start` and `stop` belong to the thread that
    owns the server.

    Args:
        spec: Addresses of the sockets; those without one are not opened.
        version: Version of the program; part of every heartbeat.
        settings: Settings other than the addresses; None for the defaults.

    Attributes:
        status: Function that is called for the contents of each heartbeat, on the thread that
            sends. Set it before `start`.
        addresses: Addresses in use, by the names of `spec`, with the ports chosen for `*`; written
            by `start` only.
        commands: Commands that the control socket answers, by name; see `handle`.
        dropped: Number of messages that were not sent: too many were waiting, or encoding failed.
            Written by the thread that sends; others may read it, a little late.
        latencies: Latencies by stage of the published predictions; guarded by its own lock.
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
        # The lock guards the outbox and the counts of what did not fit in: any thread adds, and the
        # thread that sends takes everything. It is held for a moment only, never while sending.
        self._lock = threading.Lock()
        self._outbox: list[_Item | _Forget] = []
        self._left_out: Counter[tuple[str, str]] = Counter()  # by channel and topic
        # Filled before the thread that sends starts, replaced after it ends. Other threads only
        # look which names there are; the channels themselves belong to the thread that sends.
        self._channels: dict[str, Channel] = {}
        # Written by `start` and `stop` only.
        self._guard: Guard | None = None
        self._responder: Responder | None = None
        self._token: Token | None = None
        self._thread: threading.Thread | None = None
        # Of the thread that sends: monotonic times of its start and of the next heartbeat, in s.
        self._began = self._next_beat = 0.0
        # Set once, by `stop`, before it wakes the thread that sends, which reads it.
        self._stopping = False

    # -- for any thread ----------------------------------------------------------------------------

    def send(self, message: object, since_ns: int | None = None) -> None:
        """Queue a message for its subscribers. Never waits.

        Arrays are sent on the socket for arrays; their values are copied here. When the outbox is
        full, the message is dropped and its number is used up.

        Args:
            message: An `auricle.wire.messages.Message`; `v`, `engine`, `topic_id`, `seq` and
                `published` are set when it is sent.
            since_ns: Monotonic time in ns from which `latency.publish` is measured, for a message
                with a `latency`; the total is added then, too.

        Raises:
            TypeError: The object is not a message.
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
        """Drop what is kept of a stream that is gone, after the messages sent before."""
        with self._lock:
            self._outbox.append(_Forget(stream))
        self._wake()

    def handle(self, name: str, function: Handler) -> None:
        """Answer a command with what a function returns.

        Args:
            name: Name of the command.
            function: Function to call on the control thread, with the arguments of the request by
                name, checked against its annotations.
        """
        self.commands[name] = Command(name, function)

    def start(self) -> None:
        """Bind the sockets and start the threads.

        Raises:
            ConfigError: An address is malformed, or is open to other machines without keys.
            WireError: An address cannot be bound, or the keys cannot be read.
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
                if self._guard is None and not self._spec.shared:
                    self._token = make_token(self.addresses["control"])
                self._responder = Responder(control, self.commands, self._token)
        except AuricleError:
            self._close()
            self._context.destroy(linger=0)
            raise
        self._thread = threading.Thread(target=self._serve, name="wire", daemon=True)
        self._thread.start()
        if self._responder is not None:
            self._responder.start()

    def stop(self) -> None:
        """Finish the current request, send what is waiting, then close. May be called twice.

        Waits at most `ServerSettings.stop_s` seconds for a running command.
        """
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
                "a command is still running after %g s; the control socket is left open", patience_s
            )

    def _wake(self) -> None:
        # A full pipe will wake the thread anyway; a closed one has no thread left to wake.
        with contextlib.suppress(OSError):
            self._wake_writer.send(b"\0")

    # -- opening and closing -----------------------------------------------------------------------

    def _bind(self, name: str, address: str, kind: int) -> zmq.Socket[bytes]:
        opened = self._context.socket(kind)
        opened.linger = round(1000 * self._settings.linger_s)
        opened.sndhwm = self._settings.high_water
        # A publishing socket receives subscriptions only; ZeroMQ keeps each, at 30 times its size.
        opened.maxmsgsize = LONGEST_SUBSCRIPTION if kind == zmq.XPUB else MAX_MESSAGE
        opened.ipv6 = "[" in address
        # Pings detect connections whose other end vanished without closing them.
        opened.heartbeat_ivl = round(1000 * self._settings.ping_s)
        if kind == zmq.XPUB:
            # Report every subscription, not only the first to a topic, so that each late subscriber
            # gets the retained messages.
            opened.setsockopt(zmq.XPUB_VERBOSE, 1)
        refuse_old_peers(opened)
        if self._guard is not None:
            self._guard.protect(opened)
        try:
            check_free(address)
            opened.bind(address)
        except WireError as error:
            raise WireError(f"wire.{name}: {error}") from None
        except zmq.ZMQError as error:
            raise WireError(f"wire.{name}: {address}: {zmq.strerror(error.errno or 0)}") from None
        self.addresses[name] = opened.getsockopt_string(zmq.LAST_ENDPOINT)
        return opened

    def _close(self) -> None:
        self._channels = {}
        if self._token is not None:
            remove_token(self._token)
            self._token = None
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
        self._began = self._next_beat = time.monotonic()
        stopping = False
        while not stopping:
            # Read before the outbox is taken, so that everything queued before `stop` is sent.
            stopping = self._stopping
            try:
                self._serve_once(poller, stopping)
            except zmq.ContextTerminated:
                raise
            except Exception:  # of the system, such as too little memory: the next round may do
                log.exception("publishing failed, and is tried again")
                time.sleep(PAUSE_S)

    def _serve_once(self, poller: zmq.Poller, stopping: bool) -> None:
        """Send what waits and beat if it is time; then wait until there is something to do."""
        self._send_all()
        now = time.monotonic()
        if now >= self._next_beat or stopping:
            self._next_beat = max(self._next_beat + self._settings.heartbeat_s, now)
            self._beat(now - self._began)
        wait_s = min(
            [self._next_beat - now, *(each.repeat(now) for each in self._channels.values())]
        )
        ready = dict(poller.poll(0 if stopping else max(0, math.ceil(wait_s * 1000))))
        if self._wake_reader.fileno() in ready:
            self._wake_reader.recv(4096)
        for channel in self._channels.values():
            if channel.socket in ready:
                channel.read_subscriptions()

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
            except Exception:  # one bad message must not stop the others
                self.dropped += 1
                log.exception("%s: a message could not be sent", item.message.topic)
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
                log.exception("the heartbeat is sent without the states of the streams")
                channel.send(beat)

    def _checked_status(self) -> EngineStatus:
        """The status; an empty one if the function fails, so that heartbeats continue."""
        try:
            rung, streams = self.status()
        except Exception:
            log.exception("the status for the heartbeat failed")
            return EngineStatus()
        return EngineStatus(rung, streams)


def _channel_of(message: Message) -> str:
    return "arrays" if isinstance(message, Array) else "publish"
