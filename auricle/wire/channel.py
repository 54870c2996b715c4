"""One publishing socket: the numbers of its topics, and the last message of each for whoever comes
late.
"""

from __future__ import annotations

import time
from typing import Any

import zmq
from numpy.typing import NDArray

from auricle.wire.codec import encode, encode_array, topic


class Channel:
    """Sends messages on an XPUB socket. Belongs to one thread.

    Args:
        socket: Bound, with XPUB_VERBOSE set.
        engine: Identity of this engine, new at every start; part of every message.
    """

    def __init__(self, socket: zmq.Socket[bytes], engine: str) -> None:
        self.socket = socket
        self._engine = engine
        self._last: dict[bytes, int] = {}
        self._retained: dict[bytes, dict[str, Any]] = {}
        self._forgotten: set[bytes] = set()

    @property
    def last_seq(self) -> dict[str, int]:
        """Number of the last message of every topic that is not forgotten, sent or lost on the way
        here.
        """
        return {
            head.decode(): number
            for head, number in self._last.items()
            if head not in self._forgotten
        }

    def send(
        self, stream: str, kind: str, message: dict[str, Any], array: NDArray[Any] | None = None
    ) -> None:
        """Send a message, with an array or without. Never blocks: who is too slow loses it.

        Raises:
            WireError: It cannot be encoded. It has a number all the same, so that it is missed.
        """
        head = topic(stream, kind)
        self.leave_out(stream, kind)
        message = {
            "engine": self._engine,
            "stream": stream,
            "kind": kind,
            "seq": self._last[head],
            "published": time.time(),
            **message,
        }
        if array is not None:
            self.socket.send_multipart([head, *encode_array(message, array)])
            return
        self.socket.send_multipart([head, encode(message)])
        self._retained[head] = message

    def leave_out(self, stream: str, kind: str, count: int = 1) -> None:
        """Use up numbers of a topic."""
        head = topic(stream, kind)
        self._forgotten.discard(head)
        self._last[head] = self._last.get(head, -1) + count

    def forget(self, stream: str) -> None:
        """Repeat nothing of a stream from now on; its numbers go on if it comes back."""
        prefix = topic(stream, "")
        heads = {head for head in self._last if head.startswith(prefix)}
        self._forgotten |= heads
        for head in heads:
            self._retained.pop(head, None)

    def greet(self) -> None:
        """Read what a subscriber asks for, and send the last message of every topic that it will
        hear.

        Every subscriber of these topics gets them again; the number tells it that it has them
        already.
        """
        request = self.socket.recv()
        if request[:1] != b"\x01":
            return
        for head, message in self._retained.items():
            if head.startswith(request[1:]):
                self.socket.send_multipart([head, encode({**message, "retained": True})])
