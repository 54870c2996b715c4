"""The client of a running engine: subscribing to its messages, and sending it commands."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import zmq
from msgspec.structs import force_setattr

from auricle.errors import WireError
from auricle.wire.clocks import ClockDifference
from auricle.wire.codec import Envelope, decode, decode_envelope, decode_map, encode_map
from auricle.wire.connection import PING_S, Connection, Keys
from auricle.wire.losses import Losses
from auricle.wire.messages import ENGINE, Heartbeat, Message
from auricle.wire.token import read_token

REQUEST_TIMEOUT_S = 5.0
"""Longest wait for the answer to a request, in seconds, by default."""

HEARTBEAT = f"{ENGINE}/heartbeat"

WARNING_S = 10.0
"""Least seconds between two warnings about messages that cannot be read."""

log = logging.getLogger(__name__)


class Subscriber:
    """Receives what an engine publishes, message by message.

    A message that cannot be read, because it is malformed or of another version or type, is counted
    and left out, and a warning is logged. A lost connection is restored automatically. Subscribers
    are not locked: use each on one thread only.

    Args:
        address: Address of the engine's publishing socket, or of its socket for arrays.
        topics: Prefixes of the topics to receive; all topics by default.
        timeout_s: Seconds without a message after which iteration ends; None waits forever.
        keys: Keys for an engine on another machine.
        ping_s: Seconds without an answer to pings after which the connection is made again.

    Attributes:
        losses: Messages lost so far, by topic.
        unreadable: Number of messages that could not be read.

    Raises:
        WireError: The address is malformed or cannot be connected to.
        ConfigError: The keys cannot be read.

    Example:
        >>> for message in Subscriber("tcp://127.0.0.1:5680", ["demo/"]):      # doctest: +SKIP
        ...     match message:
        ...         case Prediction(head="tags", end=end, activations=activations):
        ...             print(end, activations[:3])
        ...         case Event(label=label, change="on", at=at):
        ...             print(at, label)
    """

    def __init__(
        self,
        address: str,
        topics: Sequence[str] = ("",),
        timeout_s: float | None = None,
        keys: Keys | None = None,
        ping_s: float = PING_S,
    ) -> None:
        self.losses = Losses()
        self.unreadable = 0
        self._timeout_s = timeout_s
        self._topics = tuple(topics)
        self._newly_lost: Counter[str] = Counter()
        self._clocks = ClockDifference()
        self._warned_s = -WARNING_S
        self._heard_s = time.monotonic()
        self._connection = Connection(zmq.SUB, address, keys, ping_s)
        # Heartbeats last: once one arrives, the subscriptions before it are in effect too.
        for topic in (*self._topics, HEARTBEAT):
            self._connection.socket.subscribe(topic)

    @property
    def silent_s(self) -> float:
        """Seconds since the last message; an engine sends a heartbeat every second."""
        return time.monotonic() - self._heard_s

    @property
    def trouble(self) -> str | None:
        """Why nothing is received, such as a refused key; None if the reason is unknown.

        Updated while `receive` waits.
        """
        return self._connection.trouble

    def receive(self, timeout_s: float | None = None) -> Message | None:
        """Wait for the next message, leaving out repetitions of messages received before.

        Args:
            timeout_s: Longest wait in seconds; None waits forever.

        Returns:
            The message; None if none arrived in time.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        left_s = timeout_s
        while (frames := self._connection.receive(left_s)) is not None:
            message = self._read(frames)
            if message is not None:
                return message
            if deadline is not None:
                left_s = max(0.0, deadline - time.monotonic())
        return None

    def newly_lost(self) -> dict[str, int]:
        """Number of messages found to be lost since the last call, by topic."""
        lost, self._newly_lost = dict(self._newly_lost), Counter()
        return lost

    def _read(self, frames: list[bytes]) -> Message | None:
        """Decode a message; None if it is a repetition, not subscribed to, or unreadable."""
        received, self._heard_s = time.time(), time.monotonic()
        try:
            message = decode(frames)
        except WireError as error:
            self._warn(error)
            self._count_unreadable(frames)
            return None
        if not self._count(message.topic, message):
            return None
        if isinstance(message, Heartbeat) and not message.retained:
            # A retained heartbeat is from the past, and omits topics that began since.
            listed = [entry for entry in message.last_seq if self._wanted(entry[0])]
            self._newly_lost.update(self.losses.heartbeat(message.topics, listed))
        if not self._wanted(message.topic):
            return None
        if not message.retained:  # those are old, however prompt the connection is
            received = self._clocks.received(message.published, received)
        # Messages are frozen, but nothing else refers to this one yet.
        force_setattr(message, "received", received)
        return message

    def _count(self, topic: str, message: Message | Envelope) -> bool:
        """Count the messages missing before this one; returns whether it is new."""
        self.losses.engine(message.engine)
        if message.retained and self.losses.repeated(message.topic_id, message.seq):
            return False
        if lost := self.losses.count(topic, message.topic_id, message.seq):
            self._newly_lost[topic] += lost
        return True

    def _count_unreadable(self, frames: list[bytes]) -> None:
        """Count an unreadable message; its number counts too if its envelope can be read."""
        self.unreadable += 1
        envelope = decode_envelope(frames[1]) if len(frames) > 1 else None
        if envelope is not None:
            self._count(frames[0].decode(errors="replace"), envelope)

    def _warn(self, error: WireError) -> None:
        """Log why a message cannot be read, at most once in `WARNING_S`."""
        now = time.monotonic()
        if now - self._warned_s >= WARNING_S:
            self._warned_s = now
            before = f" ({self.unreadable} others before)" if self.unreadable else ""
            log.warning("a message is left out: %s%s", error, before)

    def _wanted(self, topic: str) -> bool:
        return topic.startswith(self._topics)

    def __iter__(self) -> Iterator[Message]:
        while (message := self.receive(self._timeout_s)) is not None:
            yield message

    def close(self) -> None:
        """Close the socket."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def request(
    address: str,
    command: str,
    timeout_s: float = REQUEST_TIMEOUT_S,
    keys: Keys | None = None,
    **arguments: Any,
) -> Any:
    """Send a command to a running engine and wait for the answer.

    Opens and closes its own connection, so it may be called on any thread.

    Args:
        address: Address of the engine's control socket.
        command: Name of the command; the command `describe` lists them all.
        timeout_s: Longest wait for the answer, in seconds.
        keys: Keys for an engine on another machine.
        arguments: Arguments of the command.

    Returns:
        The result, in the types of JSON.

    Raises:
        WireError: No answer came in time, or the engine refused the command; the message says why.
        ConfigError: The keys cannot be read.
    """
    connection = Connection(zmq.REQ, address, keys)
    try:
        if keys is None and (token := read_token(address)) is not None:
            arguments["token"] = token
        connection.socket.send(encode_map({"command": command, **arguments}))
        frames = connection.receive(timeout_s)
        if frames is None:
            why = connection.trouble or "is an engine running there?"
            raise WireError(f"{address}: no answer within {timeout_s:g} s; {why}")
        answer = decode_map(frames[0])
    finally:
        connection.close()
    if not answer.get("ok"):
        raise WireError(f"{address}: {answer.get('error', 'the answer gives no reason')}")
    return answer.get("result")
