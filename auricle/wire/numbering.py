"""Numbering the messages of one socket, topic by topic: the sender's half of counting losses.

`auricle.wire.losses` is the receiver's half.
"""

from __future__ import annotations

from dataclasses import dataclass

LAST_LISTINGS = 3
"""Number of heartbeats that name the last number of a topic whose stream was removed."""


@dataclass(slots=True, eq=False)
class _Topic:
    name: str
    topic_id: int
    last: int = -1
    used_in: int = 0  # the beat before which the last number was used
    listed: int = -1  # the last number that a heartbeat named
    listings_left: int | None = None  # of a topic whose stream was removed


class Numbering:
    """Gives out numbers, and chooses the topics whose last number a heartbeat names.

    The next message of an active topic reveals its losses. Heartbeats therefore first name the
    topics that fell silent since they were last named, then all others in turn: a subscriber that
    loses a heartbeat learns the same from a later one, and no heartbeat is longer than `limit`
    topics. Nothing here is locked: only the thread that sends may use it.

    Args:
        limit: Most topics that one heartbeat names.

    Attributes:
        topics: Number of topics that have begun; the next one gets this `topic_id`.
    """

    def __init__(self, limit: int) -> None:
        self.topics = 0
        self._limit = limit
        self._beats = 0
        self._by_name: dict[str, _Topic] = {}
        self._in_turn: dict[int, _Topic] = {}  # by id; least recently named first

    def use(self, topic: str, count: int = 1) -> tuple[int, int]:
        """Use up the next numbers of a topic; the first use begins the topic.

        Args:
            topic: Name of the topic.
            count: Number of numbers to use up.

        Returns:
            The topic's id, and the last of the numbers used.
        """
        entry = self._by_name.get(topic)
        if entry is None:
            entry = self._by_name[topic] = _Topic(topic, self.topics)
            self._in_turn[entry.topic_id] = entry
            self.topics += 1
        entry.last += count
        entry.used_in = self._beats
        return entry.topic_id, entry.last

    def forget(self, stream: str) -> None:
        """End all topics of a stream; if it returns, they begin again with new ids."""
        prefix = f"{stream}/"
        for name in [name for name in self._by_name if name.startswith(prefix)]:
            self._by_name.pop(name).listings_left = LAST_LISTINGS

    def beat(self) -> list[tuple[str, int, int]]:
        """The topics that the next heartbeat names, with their ids and last numbers."""
        self._beats += 1
        silent = [
            entry
            for entry in self._in_turn.values()
            if entry.listed < entry.last and entry.used_in < self._beats - 1
        ][: self._limit]
        chosen = {entry.topic_id: entry for entry in silent}
        for entry in self._in_turn.values():
            if len(chosen) >= self._limit:
                break
            chosen.setdefault(entry.topic_id, entry)
        for entry in chosen.values():
            self._name_it(entry)
        return [(entry.name, entry.topic_id, entry.last) for entry in chosen.values()]

    def _name_it(self, entry: _Topic) -> None:
        """Note that a heartbeat names a topic, and put it last in turn."""
        entry.listed = entry.last
        del self._in_turn[entry.topic_id]
        if entry.listings_left is not None:
            entry.listings_left -= 1
            if entry.listings_left == 0:
                return
        self._in_turn[entry.topic_id] = entry
