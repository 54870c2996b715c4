"""One publishing socket, which numbers its messages and keeps the last of each topic."""

from __future__ import annotations

import bisect
import contextlib
import itertools
import math
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
import zmq

from auricle.wire.codec import encode
from auricle.wire.messages import VERSION, Array, Message
from auricle.wire.numbering import Numbering

REPEAT_S: Final = 1.0
"""Shortest time between two repetitions of the same message, in seconds."""

MOST_AT_ONCE: Final = 1000
"""Most subscriptions that are read before messages are sent again."""


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
        self._asked: set[str] = set()  # beginnings of topics that new subscribers ask for
        self._repeat_at = -math.inf  # monotonic time in s before which nothing is repeated again

    def send(self, message: Message, **changes: Any) -> None:
        """Number a message and send it. Never blocks; a subscriber that is too slow loses it.

        Its field `published` becomes the Unix time in seconds.

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

    def read_subscriptions(self) -> None:
        """Note which topics new subscribers ask for; `repeat` answers."""
        with contextlib.suppress(zmq.Again):
            for _ in range(MOST_AT_ONCE):
                request = self.socket.recv(zmq.NOBLOCK)
                if request[:1] == b"\x01":
                    self._asked.add(request[1:].decode(errors="replace"))

    def repeat(self, now: float) -> float:
        """Repeat the last message of every topic that was asked for, unless that was done just now.

        All subscribers of these topics receive the repetitions, and recognise them by their numbers
        and by `retained`. Hence the pause between repetitions: however many subscriptions somebody
        makes, the others receive each message at most once in `REPEAT_S`.

        Args:
            now: Monotonic time in seconds.

        Returns:
            Seconds after which to call again; infinity while nobody asks.
        """
        if not self._asked:
            return math.inf
        if now < self._repeat_at:
            return self._repeat_at - now
        self._repeat_at = now + REPEAT_S
        topics = sorted(self._retained)
        wanted: set[str] = set()
        for prefix in self._asked:
            first = bisect.bisect_left(topics, prefix)
            wanted.update(itertools.takewhile(_begins_with(prefix), topics[first:]))
            if len(wanted) == len(topics):
                break
        self._asked.clear()
        # In the order of publishing: whatever ended a stream still comes last.
        for topic, message in self._retained.items():
            if topic in wanted:
                self.socket.send_multipart(encode(msgspec.structs.replace(message, retained=True)))
        return math.inf


def _begins_with(prefix: str) -> Callable[[str], bool]:
    return lambda topic: topic.startswith(prefix)
