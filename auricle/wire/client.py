"""Talking to a running engine: subscribing to what it publishes, and asking it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import zmq
import zmq.auth
from numpy.typing import NDArray

from auricle.errors import ConfigError, WireError
from auricle.wire.address import check_address
from auricle.wire.codec import ENGINE, decode, decode_array, encode

REQUEST_TIMEOUT_S = 5.0

HEARTBEAT = f"{ENGINE}/heartbeat"

PING_MS = 5000
"""A connection on which even pings get no answer for this long is made anew."""

FIELDS: dict[str, type | tuple[type, ...]] = {
    "engine": str,
    "stream": str,
    "kind": str,
    "seq": int,
    "published": (int, float),
}
"""What every published message has."""


@dataclass(frozen=True)
class Keys:
    """CURVE keys, for an engine beyond this machine.

    Attributes:
        own: This client's .key_secret file, as zmq.auth makes it.
        server: The server's public .key file.
    """

    own: Path
    server: Path


@dataclass(frozen=True)
class Message:
    """A message as received.

    Attributes:
        topic: `stream/kind`.
        content: The map, as `docs/wire.md` describes it.
        missing: Messages that are now known to be lost, by topic.
        transport_s: Seconds from publishing to receiving, by this machine's clock; true on one
            machine.
        array: The values of an array message.
    """

    topic: str
    content: dict[str, Any]
    missing: dict[str, int] = field(default_factory=dict)
    transport_s: float = 0.0
    array: NDArray[Any] | None = None

    @property
    def kind(self) -> str:
        """The name of a head, or `events`, `gap`, `skip`, `error`, `end`, `heartbeat`."""
        return str(self.content.get("kind", ""))

    @property
    def stream(self) -> str:
        """The stream it is about."""
        return str(self.content.get("stream", ""))

    @property
    def values(self) -> dict[str, float]:
        """Activations by label, strongest first, of a prediction."""
        return dict(self.content.get("values", ()))

    @property
    def lost(self) -> int:
        """How many messages are now known to be lost, of all topics."""
        return sum(self.missing.values())


class Losses:
    """Counts lost messages by their numbers, topic by topic.

    The first message of a topic sets the number to go on from. Heartbeats name the last number of
    every topic, so that a loss at the end is seen too; and since they come in order with the rest,
    a topic that appears after one begins at 0. An engine that began anew numbers anew.

    Attributes:
        lost: By topic.
        restarts: How often the engine began anew.
    """

    def __init__(self) -> None:
        self.lost: Counter[str] = Counter()
        self.restarts = 0
        self._engine: str | None = None
        self._last: dict[str, int] = {}
        self._complete = False

    @property
    def total(self) -> int:
        """Lost messages of all topics."""
        return self.lost.total()

    def engine(self, identity: str) -> None:
        """Take note of which engine speaks."""
        if identity != self._engine:
            self.restarts += self._engine is not None
            self._engine = identity
            self._last = {}
            self._complete = False

    def repeated(self, topic: str, seq: int) -> bool:
        """Whether the message is known already, since it is repeated for a late joiner."""
        return seq <= self._last.get(topic, -1)

    def count(self, topic: str, seq: int) -> int:
        """Take note of a message; returns how many are missing before it."""
        before = self._last.get(topic, -1 if self._complete else seq - 1)
        self._last[topic] = seq
        return self._add(topic, seq - before - 1)

    def heartbeat(self, last_seq: Mapping[str, int]) -> dict[str, int]:
        """Take note of the last number of topics; returns how many are missing, by topic."""
        missing = {}
        for topic, seq in last_seq.items():
            before = self._last.get(topic, -1 if self._complete else seq)
            self._last[topic] = max(seq, before)
            if count := self._add(topic, seq - before):
                missing[topic] = count
        self._complete = True
        return missing

    def _add(self, topic: str, missing: int) -> int:
        if missing <= 0:
            return 0
        self.lost[topic] += missing
        return missing


class Subscriber:
    """What an engine publishes, message by message.

    Args:
        address: The engine's publishing socket, or its socket for arrays.
        topics: Beginnings of the topics to hear; all, if left out.
        timeout_s: Iteration ends when nothing comes for this long; None waits for ever.
        keys: For an engine beyond this machine.

    Attributes:
        losses: What was lost until now.

    Raises:
        WireError: An address that cannot be used; while iterating, a message that cannot be read.

    Example:
        >>> for message in Subscriber("tcp://127.0.0.1:5680", ["demo/tags"]):      # doctest: +SKIP
        ...     print(message.content["start"], message.values)
    """

    def __init__(
        self,
        address: str,
        topics: Sequence[str] = ("",),
        timeout_s: float | None = None,
        keys: Keys | None = None,
    ) -> None:
        self.losses = Losses()
        self._timeout_s = timeout_s
        self._topics = tuple(topics)
        self._missing: Counter[str] = Counter()
        self._heard_s = time.monotonic()
        self._socket = _connected(zmq.SUB, address, keys)
        # Heartbeats last: when one comes, everything before it in the order of subscriptions is
        # heard too.
        for topic in (*self._topics, HEARTBEAT):
            self._socket.subscribe(topic)

    @property
    def silent_s(self) -> float:
        """Seconds since the engine was last heard; it sends a heartbeat every second."""
        return time.monotonic() - self._heard_s

    def receive(self, timeout_s: float | None = None) -> Message | None:
        """The next message that is not known already; None if none comes within `timeout_s`."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left_ms = (
                None if deadline is None else max(0, round((deadline - time.monotonic()) * 1000))
            )
            if not self._socket.poll(left_ms):
                return None
            message = self._read(self._socket.recv_multipart())
            if message is not None:
                return message

    def _read(self, frames: list[bytes]) -> Message | None:
        now = time.time()
        self._heard_s = time.monotonic()
        topic, content, array = _decoded(frames)
        self.losses.engine(content["engine"])
        retained = content.get("retained") is True
        if retained and self.losses.repeated(topic, content["seq"]):
            return None
        if lost := self.losses.count(topic, content["seq"]):
            self._missing[topic] += lost
        if topic == HEARTBEAT and not retained:
            # A repeated one is of the past: it says nothing of the topics that came up since.
            last_seq = {
                name: seq for name, seq in content["last_seq"].items() if self._wanted(name)
            }
            self._missing.update(self.losses.heartbeat(last_seq))
        if not self._wanted(topic):
            return None
        missing, self._missing = dict(self._missing), Counter()
        return Message(topic, content, missing, max(0.0, now - content["published"]), array)

    def _wanted(self, topic: str) -> bool:
        return topic.startswith(self._topics)

    def __iter__(self) -> Iterator[Message]:
        while (message := self.receive(self._timeout_s)) is not None:
            yield message

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

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
        keys: For an engine beyond this machine.
        arguments: Of the command.

    Returns:
        The result.

    Raises:
        WireError: No answer in time, or one that says why not.
    """
    socket = _connected(zmq.REQ, address, keys)
    try:
        socket.send(encode({"command": command, **arguments}))
        if not socket.poll(round(timeout_s * 1000)):
            raise WireError(
                f"{address}: no answer within {timeout_s:g} s; is an engine running there?"
            )
        answer = decode(socket.recv())
    finally:
        socket.close()
    if not answer.get("ok"):
        raise WireError(f"{address}: {answer.get('error', 'an answer that says nothing')}")
    return answer.get("result")


def _decoded(frames: list[bytes]) -> tuple[str, dict[str, Any], NDArray[Any] | None]:
    """Topic, content and array of a published message.

    Raises:
        WireError: It is none.
    """
    if len(frames) not in (2, 3):
        raise WireError(f"a message of {len(frames)} frames; 2 are needed, 3 with an array")
    topic = frames[0].decode(errors="replace")
    array = None
    if len(frames) == 3:
        content, array = decode_array(frames[1], frames[2])
    else:
        content = decode(frames[1])
    for name, kind in FIELDS.items():
        if not isinstance(content.get(name), kind):
            raise WireError(f"{topic}: a message has {name}={content.get(name)!r}")
    if topic == HEARTBEAT and not isinstance(content.get("last_seq"), dict):
        raise WireError(f"{topic}: a heartbeat has last_seq={content.get('last_seq')!r}")
    return topic, content, array


def _connected(kind: int, address: str, keys: Keys | None) -> zmq.Socket[bytes]:
    check_address(address)
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(kind)
    socket.linger = 0
    socket.ipv6 = "[" in address
    try:
        if keys is not None:
            socket.curve_publickey, secret = zmq.auth.load_certificate(keys.own)
            if secret is None:
                raise ConfigError(f"{keys.own} holds no secret key")
            socket.curve_secretkey = secret
            socket.curve_serverkey, _ = zmq.auth.load_certificate(keys.server)
        socket.connect(address)
    except zmq.ZMQError as error:
        socket.close()
        raise WireError(
            f"{address}: {error.strerror}; an address is like tcp://127.0.0.1:5680"
        ) from None
    except (OSError, ValueError) as error:
        socket.close()
        raise ConfigError(f"keys: {error}") from None
    return socket
