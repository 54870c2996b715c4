"""Talking to a running engine: subscribing to what it publishes, and asking it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import zmq
import zmq.auth
from numpy.typing import NDArray

from engine.errors import ConfigError, WireError
from engine.wire import decode, decode_array, encode

REQUEST_TIMEOUT_S = 5.0


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
        lost: Messages of this topic that were lost before this one.
        transport_s: Seconds from publishing to receiving, by this machine's clock; true on one machine.
        array: The values of an array message.
    """

    topic: str
    content: dict[str, Any]
    lost: int = 0
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


@dataclass
class Losses:
    """Counts lost messages by their numbers, topic by topic.

    The first message of a topic sets the number to go on from. A number that is not higher than the last one
    is a message repeated for a late joiner, or an engine that began anew; neither is a loss.
    """

    last: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)

    def repeated(self, topic: str, seq: int, retained: bool) -> bool:
        """Whether the message is known already."""
        return retained and seq <= self.last.get(topic, -1)

    def count(self, topic: str, seq: int) -> int:
        """Take note of a message; returns how many are missing before it."""
        expected = self.last.get(topic, seq - 1) + 1
        self.last[topic] = seq
        missing = max(0, seq - expected)
        if missing:
            self.lost[topic] = self.lost.get(topic, 0) + missing
        return missing

    @property
    def total(self) -> int:
        """Lost messages of all topics."""
        return sum(self.lost.values())


class Subscriber:
    """What an engine publishes, message by message.

    Args:
        address: The engine's publishing socket, or its socket for arrays.
        topics: Beginnings of the topics to hear; all, if left out.
        timeout_s: Iteration ends when nothing comes for this long; None waits for ever.
        keys: For an engine beyond this machine.

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
        self._socket = _connected(zmq.SUB, address, keys)
        for topic in topics:
            self._socket.subscribe(topic)

    def receive(self, timeout_s: float | None = None) -> Message | None:
        """The next message that is not known already; None if none comes within `timeout_s`."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left_ms = None if deadline is None else max(0, round((deadline - time.monotonic()) * 1000))
            if not self._socket.poll(left_ms):
                return None
            message = self._read(self._socket.recv_multipart())
            if message is not None:
                return message

    def _read(self, frames: list[bytes]) -> Message | None:
        now = time.time()
        if len(frames) not in (2, 3):
            raise WireError(f"a message of {len(frames)} frames; 2 are needed, 3 with an array")
        topic = frames[0].decode(errors="replace")
        array: NDArray[Any] | None = None
        if len(frames) == 3:
            content, values = decode_array(frames[1], frames[2])
            array = np.asarray(values)
        else:
            content = decode(frames[1])
        seq = content.get("seq")
        if not isinstance(seq, int):
            raise WireError(f"{topic}: a message has no number (seq)")
        if self.losses.repeated(topic, seq, bool(content.get("retained"))):
            return None
        lost = self.losses.count(topic, seq)
        return Message(topic, content, lost, max(0.0, now - content.get("published", now)), array)

    def __iter__(self) -> Iterator[Message]:
        while (message := self.receive(self._timeout_s)) is not None:
            yield message

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
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
            raise WireError(f"{address}: no answer within {timeout_s:g} s; is an engine running there?")
        answer = decode(socket.recv())
    finally:
        socket.close()
    if not answer.get("ok"):
        raise WireError(f"{address}: {answer.get('error', 'an answer that says nothing')}")
    return answer.get("result")


def _connected(kind: int, address: str, keys: Keys | None) -> zmq.Socket[bytes]:
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
        raise WireError(f"{address}: {error.strerror}; an address is like tcp://127.0.0.1:5680") from None
    except (OSError, ValueError) as error:
        socket.close()
        raise ConfigError(f"keys: {error}") from None
    return socket
