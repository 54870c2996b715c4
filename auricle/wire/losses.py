"""Counting lost messages by their numbers: the receiver's half.

`auricle.wire.numbering` is the sender's half; `docs/wire.md` has the rules for other languages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

MOST_TOPICS = 100_000
"""Most topics whose numbers are kept, so that memory is bounded as streams come and go."""


class Losses:
    """Counts lost messages, topic by topic.

    Losses of a topic are counted from the first number received for it, in a message or a
    heartbeat; those of a topic that begins after the first heartbeat, from number 0. From there on,
    the count is exact. Nothing here is locked: it belongs to the thread of its subscriber.

    Attributes:
        lost: Number of lost messages by topic.
        restarts: Number of times the engine was restarted.
    """

    def __init__(self) -> None:
        self.lost: Counter[str] = Counter()
        self.restarts = 0
        self._engine: str | None = None
        # By id of the topic: the highest number known, and that of the last message received.
        self._last: dict[int, int] = {}
        self._received: dict[int, int] = {}
        self._begin_later: int | None = None  # lowest id of topics that begin from now on

    @property
    def total(self) -> int:
        """Number of lost messages of all topics."""
        return self.lost.total()

    def engine(self, identity: str) -> None:
        """Note which engine sent a message; a restarted one numbers its topics from 0 again.

        Args:
            identity: The field `engine` of the message.
        """
        if identity != self._engine:
            self.restarts += self._engine is not None
            self._engine = identity
            self._last, self._received = {}, {}
            self._begin_later = None

    def repeated(self, topic_id: int, seq: int) -> bool:
        """Whether a retained message was received before.

        That a heartbeat has named its number is not enough: a heartbeat can overtake the
        repetitions for a late subscriber.
        """
        return seq <= self._received.get(topic_id, -1)

    def count(self, topic: str, topic_id: int, seq: int) -> int:
        """Note a message that was received.

        A retained message that was already counted as lost remains counted: it arrived too late.

        Args:
            topic: Topic of the message.
            topic_id: Number of the topic on its socket.
            seq: Number of the message within the topic.

        Returns:
            Number of messages missing before this one.
        """
        before = self._last.get(topic_id)
        if before is None:
            before = -1 if self._began_later(topic_id) else seq - 1
        self._last[topic_id] = max(seq, before)
        self._received[topic_id] = seq
        return self._add(topic, seq - before - 1)

    def heartbeat(self, topics: int, last_seq: Iterable[tuple[str, int, int]]) -> dict[str, int]:
        """Note a heartbeat that is not retained.

        Args:
            topics: Number of topics that had begun when it was sent.
            last_seq: Topics with their ids and last numbers.

        Returns:
            Number of messages found to be missing, by topic.
        """
        missing: dict[str, int] = {}
        for topic, topic_id, seq in last_seq:
            before = self._last.get(topic_id)
            if before is None:
                before = -1 if self._began_later(topic_id) else seq
            self._last[topic_id] = max(seq, before)
            if count := self._add(topic, seq - before):
                missing[topic] = missing.get(topic, 0) + count
        if self._begin_later is None:
            self._begin_later = topics
        if len(self._last) > MOST_TOPICS:
            self._forget_the_oldest()
        return missing

    def _began_later(self, topic_id: int) -> bool:
        return self._begin_later is not None and topic_id >= self._begin_later

    def _forget_the_oldest(self) -> None:
        """Keep the younger half of the topics; an older one starts over when it is next heard."""
        ids = sorted(self._last)
        first_kept = ids[len(ids) // 2]
        for numbers in (self._last, self._received):
            for topic_id in [each for each in numbers if each < first_kept]:
                del numbers[topic_id]
        self._begin_later = max(self._begin_later or 0, first_kept)

    def _add(self, topic: str, missing: int) -> int:
        if missing <= 0:
            return 0
        self.lost[topic] += missing
        return missing
