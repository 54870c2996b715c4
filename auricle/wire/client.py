"""Talking to a running engine: subscribing to what it publishes, and asking it."""

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
from auricle.wire.codec import Envelope, decode, decode_envelope, decode_map, encode_map
from auricle.wire.connection import PING_S, Connection, Keys
from auricle.wire.losses import Losses
from auricle.wire.messages import ENGINE, Heartbeat, Message

REQUEST_TIMEOUT_S = 5.0

HEARTBEAT = f"{ENGINE}/heartbeat"

WARNING_S = 10.0
"""Seconds from one warning about messages that cannot be read to the next."""

log = logging.getLogger(__name__)


class Subscriber:
    """What an engine publishes, message by message. For one thread.

    A message that cannot be read, because it is malformed or of another version or type, is counted
    and left out, and a warning is logged. The connection is made again whenever it is lost.

    Args:
        address: The engine's publishing socket, or its socket for arrays.
        topics: Beginnings of the topics to hear; all, if left out.
        timeout_s: Iteration ends when nothing comes for this long; None waits for ever.
        keys: Keys for an engine beyond this machine.
        ping_s: Seconds after which a connection is dead over which not even pings are answered.

    Attributes:
        losses: What was lost until now.
        unreadable: Messages that could not be read.

    Raises:
        WireError: An address that cannot be used.
        ConfigError: Keys that cannot be read.

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
        self._warned_s = -WARNING_S
        self._heard_s = time.monotonic()
        self._connection = Connection(zmq.SUB, address, keys, ping_s)
        # Heartbeats last: when one comes, everything before it in the order of subscriptions is
        # heard too.
        for topic in (*self._topics, HEARTBEAT):
            self._connection.socket.subscribe(topic)

    @property
    def silent_s(self) -> float:
        """Seconds since the engine was last heard; it sends a heartbeat every second."""
        return time.monotonic() - self._heard_s

    @property
    def trouble(self) -> str | None:
        """Why the engine is not heard, in words, such as a refused key; None if nothing is known.

        It becomes known while `receive` waits.
        """
        return self._connection.trouble

    def receive(self, timeout_s: float | None = None) -> Message | None:
        """The next message that is not known already; None if none comes within `timeout_s`."""
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
        """How many messages are known to be lost since the last call, by topic."""
        lost, self._newly_lost = dict(self._newly_lost), Counter()
        return lost

    def _read(self, frames: list[bytes]) -> Message | None:
        """A message; None if it is known, of no interest, or cannot be read."""
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
            # A retained one is of the past: it knows nothing of topics that began since.
            listed = [entry for entry in message.last_seq if self._wanted(entry[0])]
            self._newly_lost.update(self.losses.heartbeat(message.topics, listed))
        if not self._wanted(message.topic):
            return None
        # Nobody else has this message yet.
        force_setattr(message, "received", received)
        return message

    def _count(self, topic: str, message: Message | Envelope) -> bool:
        """Count what is missing before a message; returns whether it is new."""
        self.losses.engine(message.engine)
        if message.retained and self.losses.repeated(message.topic_id, message.seq):
            return False
        if lost := self.losses.count(topic, message.topic_id, message.seq):
            self._newly_lost[topic] += lost
        return True

    def _count_unreadable(self, frames: list[bytes]) -> None:
        """Count what cannot be read; a type that is not known has numbers all the same."""
        self.unreadable += 1
        envelope = decode_envelope(frames[1]) if len(frames) > 1 else None
        if envelope is not None:
            self._count(frames[0].decode(errors="replace"), envelope)

    def _warn(self, error: WireError) -> None:
        """Log why a message cannot be read; not too often, for there may be thousands."""
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
    """Ask a running engine.

    Args:
        address: Its control socket.
        command: One of those in `docs/wire.md`.
        timeout_s: Longest wait for the answer.
        keys: Keys for an engine beyond this machine.
        arguments: Arguments of the command.

    Returns:
        The result.

    Raises:
        WireError: No answer in time, or one that says why not.
        ConfigError: Keys that cannot be read.
    """
    connection = Connection(zmq.REQ, address, keys)
    try:
        connection.socket.send(encode_map({"command": command, **arguments}))
        frames = connection.receive(timeout_s)
        if frames is None:
            why = connection.trouble or "is an engine running there?"
            raise WireError(f"{address}: no answer within {timeout_s:g} s; {why}")
        answer = decode_map(frames[0])
    finally:
        connection.close()
    if not answer.get("ok"):
        raise WireError(f"{address}: {answer.get('error', 'an answer that says nothing')}")
    return answer.get("result")
