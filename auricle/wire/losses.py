"""Which messages were lost on the way, by their numbers: the receiver's half.

`auricle.wire.numbering` is the sender's half; `docs/wire.md` has the rules for other languages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

MOST_TOPICS = 100_000
"""Topics whose numbers are kept, so that years of streams that come and go do not add up."""


class Losses:
    """Counts lost messages, topic by topic.

    What a topic loses is counted from the first number heard of it, be it a message's or a
    heartbeat's; of a topic that begins after the first heartbeat, from number 0. Nothing that was
    not lost is counted, and nothing after that is missed.

    Attributes:
        lost: Lost messages by topic.
        restarts: How often the engine was started again.
    """

    def __init__(self) -> None:
        self.lost: Counter[str] = Counter()
        self.restarts = 0
        self._engine: str | None = None
        # By id of the topic: the last number known, and that of the last message received.
        self._last: dict[int, int] = {}
        self._received: dict[int, int] = {}
        self._begin_later: int | None = None  # lowest id of the topics that begin after we came

    @property
    def total(self) -> int:
        """Lost messages of all topics."""
        return self.lost.total()

    def engine(self, identity: str) -> None:
        """Take note of which engine speaks; another one than before has other numbers."""
        if identity != self._engine:
            self.restarts += self._engine is not None
            self._engine = identity
            self._last, self._received = {}, {}
            self._begin_later = None

    def repeated(self, topic_id: int, seq: int) -> bool:
        """Whether a retained message was received before.

        A heartbeat may well have named its number already: it can overtake the greeting of a late
        subscriber.
        """
        return seq <= self._received.get(topic_id, -1)

    def count(self, topic: str, topic_id: int, seq: int) -> int:
        """Take note of a message; returns how many are missing before it.

        A retained one that was counted as lost stays counted: it was not there in time.
        """
        before = self._last.get(topic_id)
        if before is None:
            before = -1 if self._began_later(topic_id) else seq - 1
        self._last[topic_id] = max(seq, before)
        self._received[topic_id] = seq
        return self._add(topic, seq - before - 1)

    def heartbeat(self, topics: int, last_seq: Iterable[tuple[str, int, int]]) -> dict[str, int]:
        """Take note of a heartbeat that is not retained; returns how many are missing, by topic.

        Args:
            topics: How many topics had begun when it was sent.
            last_seq: Topics, their ids and last numbers.
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
        """Keep the younger half; an older topic that is heard again sets its number anew."""
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
