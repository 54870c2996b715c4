"""One publishing socket, which numbers its messages and keeps the last of each topic."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import zmq

from auricle.wire.codec import encode
from auricle.wire.messages import VERSION, Array, Message
from auricle.wire.numbering import Numbering


class Channel:
    """Sends messages on an XPUB socket, and repeats the last of each topic to late subscribers.

    Nothing here is locked: after construction, only the thread that sends may touch a channel, its
    socket or its numbering.

    Args:
        socket: Bound XPUB socket with XPUB_VERBOSE set.
        engine: Identity of this engine, new at every start; part of every message.
        listed: Most topics whose last number a heartbeat names.

    Attributes:
        socket: The socket.
        numbering: Numbers of the topics of this socket.
    """

    def __init__(self, socket: zmq.Socket[bytes], engine: str, listed: int) -> None:
        self.socket = socket
        self.numbering = Numbering(listed)
        self._engine = engine
        self._retained: dict[str, Message] = {}

    def send(self, message: Message, **changes: Any) -> None:
        """Number a message and send it. Never blocks; a subscriber that is too slow loses it.

        Args:
            message: Message to send; left unchanged.
            changes: Values of fields that replace those of the message.

        Raises:
            WireError: The message cannot be encoded. Its number is used up, so that subscribers
                notice the loss.
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
        """Drop the retained messages of a stream, and end its topics."""
        self.numbering.forget(stream)
        prefix = f"{stream}/"
        for topic in [topic for topic in self._retained if topic.startswith(prefix)]:
            del self._retained[topic]

    def greet(self) -> None:
        """Read a subscription, and repeat the last message of every topic that it matches.

        All subscribers of these topics receive the repetitions, and recognise them by their numbers
        and by `retained`.
        """
        request = self.socket.recv()
        if request[:1] != b"\x01":
            return
        prefix = request[1:].decode(errors="replace")
        for topic, message in self._retained.items():
            if topic.startswith(prefix):
                self.socket.send_multipart(encode(msgspec.structs.replace(message, retained=True)))
