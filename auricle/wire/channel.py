"""One publishing socket: its messages are numbered, and the last of each topic is kept."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import zmq

from auricle.wire.codec import encode
from auricle.wire.messages import VERSION, Array, Message
from auricle.wire.numbering import Numbering


class Channel:
    """Sends messages on an XPUB socket. Belongs to one thread.

    Args:
        socket: Bound, with XPUB_VERBOSE set.
        engine: Identity of this engine, new at every start; part of every message.
        listed: Topics whose last number a heartbeat names, at most.

    Attributes:
        socket: As given.
        numbering: Numbers of the topics of this socket.
    """

    def __init__(self, socket: zmq.Socket[bytes], engine: str, listed: int) -> None:
        self.socket = socket
        self.numbering = Numbering(listed)
        self._engine = engine
        self._retained: dict[str, Message] = {}

    def send(self, message: Message, **changes: Any) -> None:
        """Number a message and send it. Never blocks: a subscriber that is too slow loses it.

        Args:
            message: What to send.
            changes: Fields that differ from the message's.

        Raises:
            WireError: It cannot be encoded. Its number is used all the same, so that it is missed.
        """
        topic = message.topic
        topic_id, seq = self.numbering.use(topic)
        sent = msgspec.structs.replace(
            message,
            v=VERSION,
            engine=self._engine,
            topic_id=topic_id,
            seq=seq,
            published=time.time(),
            **changes,
        )
        self.socket.send_multipart(encode(sent))
        if not isinstance(sent, Array):
            self._retained[topic] = sent

    def forget(self, stream: str) -> None:
        """Repeat nothing of a stream from now on; its topics end."""
        self.numbering.forget(stream)
        prefix = f"{stream}/"
        for topic in [topic for topic in self._retained if topic.startswith(prefix)]:
            del self._retained[topic]

    def greet(self) -> None:
        """Read a subscription, and send the last message of every topic that it is for.

        All subscribers of these topics receive them again, and know them by their numbers.
        """
        request = self.socket.recv()
        if request[:1] != b"\x01":
            return
        prefix = request[1:].decode(errors="replace")
        for topic, message in self._retained.items():
            if topic.startswith(prefix):
                self.socket.send_multipart(encode(msgspec.structs.replace(message, retained=True)))
