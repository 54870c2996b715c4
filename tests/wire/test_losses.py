"""Counting lost messages by their numbers, on both ends."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.wire import losses as module
from auricle.wire.losses import Losses
from auricle.wire.numbering import LAST_LISTINGS, Numbering

# -- the receiver ----------------------------------------------------------------------------------


def test_the_first_number_of_a_topic_sets_the_base() -> None:
    losses = Losses()
    assert losses.count("a/gap", 1, 41) == 0
    assert losses.count("a/gap", 1, 42) == 0
    assert losses.count("b/gap", 2, 7) == 0
    assert losses.count("a/gap", 1, 45) == 2
    assert losses.count("b/gap", 2, 9) == 1
    assert dict(losses.lost) == {"a/gap": 2, "b/gap": 1}
    assert losses.total == 3


def test_a_repeated_message_is_known_unless_the_first_was_lost() -> None:
    losses = Losses()
    assert not losses.repeated(1, 4)
    losses.count("a/gap", 1, 4)
    assert losses.repeated(1, 4)
    assert not losses.repeated(1, 6)
    assert losses.count("a/gap", 1, 6) == 1


def test_a_repeated_message_is_new_though_a_heartbeat_named_its_number_before() -> None:
    losses = Losses()
    losses.heartbeat(2, [("a/gap", 1, 4)])
    assert not losses.repeated(1, 4)
    assert losses.count("a/gap", 1, 4) == 0
    assert losses.repeated(1, 4)
    assert losses.count("a/gap", 1, 6) == 1


def test_heartbeats_tell_what_was_lost_at_the_end() -> None:
    losses = Losses()
    losses.count("a/gap", 1, 4)
    assert losses.heartbeat(3, [("a/gap", 1, 4), ("a/skip", 2, 9)]) == {}
    assert losses.heartbeat(3, [("a/gap", 1, 6)]) == {"a/gap": 2}
    assert losses.heartbeat(3, [("a/gap", 1, 6), ("a/skip", 2, 10)]) == {"a/skip": 1}
    assert losses.heartbeat(3, [("a/gap", 1, 6), ("a/skip", 2, 10)]) == {}
    assert losses.count("a/gap", 1, 7) == 0
    assert losses.total == 3


def test_a_topic_that_begins_after_the_first_heartbeat_begins_at_0() -> None:
    losses = Losses()
    losses.heartbeat(3, [])
    assert losses.count("a/gap", 3, 2) == 2
    assert losses.heartbeat(5, [("a/skip", 4, 0), ("a/gap", 3, 2)]) == {"a/skip": 1}


def test_a_topic_that_no_heartbeat_has_named_yet_begins_where_it_is() -> None:
    """Heartbeats name a few topics only: that one is missing says nothing."""
    losses = Losses()
    losses.heartbeat(3, [("a/gap", 1, 5)])
    assert losses.count("a/skip", 2, 40) == 0
    assert losses.count("a/skip", 2, 42) == 1


def test_a_topic_that_comes_back_is_another_one() -> None:
    losses = Losses()
    losses.heartbeat(2, [])
    losses.count("a/gap", 1, 7)
    assert losses.count("a/gap", 2, 0) == 0
    assert losses.count("a/gap", 3, 9) == 9
    # What the first one lost at its end comes to light however late.
    assert losses.heartbeat(4, [("a/gap", 1, 8)]) == {"a/gap": 1}
    assert losses.total == 10


def test_an_engine_that_was_started_again_is_no_loss() -> None:
    losses = Losses()
    losses.engine("first")
    losses.heartbeat(1, [])
    losses.count("a/gap", 1, 0)
    losses.engine("second")
    assert losses.count("a/gap", 1, 30) == 0
    assert not losses.repeated(2, 0)
    losses.engine("second")
    assert losses.count("a/gap", 1, 32) == 1
    assert losses.restarts == 1


def test_years_of_topics_do_not_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_TOPICS", 1000)
    losses = Losses()
    losses.heartbeat(0, [])
    for topic_id in range(5000):
        losses.count(f"a{topic_id}/gap", topic_id, 0)
        if topic_id % 10 == 0:
            losses.heartbeat(topic_id + 1, [])
    assert len(losses._last) <= 1010
    assert losses.count("a1/gap", 1, 5) == 0, "too long ago to say"
    assert losses.count("a1/gap", 1, 7) == 1
    assert losses.count("new/gap", topic_id + 1, 3) == 3
    assert losses.total == 4


# -- the sender ------------------------------------------------------------------------------------


def listed(numbering: Numbering) -> dict[str, tuple[int, int]]:
    return {topic: (topic_id, seq) for topic, topic_id, seq in numbering.beat()}


def test_every_topic_has_its_own_numbers() -> None:
    numbering = Numbering(4)
    used = [numbering.use(topic) for topic in ("a/gap", "a/gap", "b/gap", "a/gap")]
    assert used == [(0, 0), (0, 1), (1, 0), (0, 2)]
    assert numbering.use("b/gap", 10) == (1, 10)
    assert numbering.topics == 2
    assert listed(numbering) == {"a/gap": (0, 2), "b/gap": (1, 10)}


def test_heartbeats_are_no_longer_for_more_topics_and_name_each_in_turn() -> None:
    numbering = Numbering(8)
    for number in range(100):
        numbering.use(f"s{number}/gap")
    beats = [listed(numbering) for _ in range(13)]
    assert {len(beat) for beat in beats} == {8}
    assert len({topic for beat in beats for topic in beat}) == 100


def test_topics_that_fell_silent_are_named_first() -> None:
    numbering = Numbering(4)
    for number in range(100):
        numbering.use(f"s{number}/gap")
    for _ in range(30):
        numbering.beat()
    numbering.use("s7/gap")
    for _ in range(2):
        for number in range(50, 100):
            numbering.use(f"s{number}/gap")
        beat = listed(numbering)
    for number in range(50, 100):
        numbering.use(f"s{number}/gap")
    assert beat.get("s7/gap") == (7, 1) or listed(numbering)["s7/gap"] == (7, 1)


def test_a_forgotten_topic_is_named_a_few_times_and_begins_again_with_another_id() -> None:
    numbering = Numbering(4)
    numbering.use("a/gap", 5)
    numbering.use("ab/gap")
    numbering.forget("a")
    assert numbering.use("a/gap") == (2, 0)
    beats = [numbering.beat() for _ in range(LAST_LISTINGS + 1)]
    assert all(("a/gap", 0, 4) in beat for beat in beats[:-1])
    assert beats[-1] == [("ab/gap", 1, 0), ("a/gap", 2, 0)]
    for number in range(1000):
        numbering.use(f"s{number}/gap")
        numbering.forget(f"s{number}")
        numbering.beat()
    assert len(numbering._in_turn) < 20
    assert len(numbering._by_name) == 2


# -- both, with a channel between them that loses what it likes ------------------------------------

STREAMS = ("a", "b", "c")
TOPICS = tuple(f"{stream}/{kind}" for stream in STREAMS for kind in ("gap", "skip", "end"))

Step = tuple[str, str, bool]
"""What happens, to which topic or stream, and whether the channel loses it."""

step = st.one_of(
    st.tuples(st.just("send"), st.sampled_from(TOPICS), st.booleans()),
    st.tuples(st.just("forget"), st.sampled_from(STREAMS), st.booleans()),
    st.tuples(st.just("beat"), st.just(""), st.booleans()),
    st.tuples(st.just("greet"), st.sampled_from(STREAMS), st.booleans()),
)


class Truth:
    """What has to be counted, by the definition.

    That is all that was sent and did not arrive, from the first number that the receiver heard of
    a topic to the last; of a topic that began after its first heartbeat, from 0.
    """

    def __init__(self) -> None:
        self.first: dict[int, int] = {}
        self.last: dict[int, int] = {}
        self.topics: dict[int, str] = {}
        self.arrived: set[tuple[int, int]] = set()
        self.begin_later: int | None = None

    def hears(self, topic: str, topic_id: int, seq: int) -> None:
        begun = self.begin_later is not None and topic_id >= self.begin_later
        self.first.setdefault(topic_id, -1 if begun else seq)
        self.last[topic_id] = max(seq, self.last.get(topic_id, -1))
        self.topics[topic_id] = topic

    def lost(self) -> dict[str, int]:
        counted = Counter[str]()
        for topic_id, topic in self.topics.items():
            numbers = range(self.first[topic_id] + 1, self.last[topic_id] + 1)
            counted[topic] += sum((topic_id, seq) not in self.arrived for seq in numbers)
        return dict(+counted)


class Line:
    """A sender, a receiver, and what becomes of messages between them."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.numbering, self.losses, self.truth = Numbering(limit), Losses(), Truth()
        self.retained: dict[str, tuple[int, int]] = {}
        self.missing = Counter[str]()
        self.received: list[tuple[int, int]] = []

    def send(self, topic: str, arrives: bool) -> None:
        self.retained[topic] = self.numbering.use(topic)
        if arrives:
            self.receive(topic)

    def receive(self, topic: str) -> None:
        topic_id, seq = number = self.retained[topic]
        self.missing[topic] += self.losses.count(topic, topic_id, seq)
        if seq > self.truth.last.get(topic_id, -1):
            self.truth.arrived.add(number)  # in time, not as a repetition of what was lost
        self.truth.hears(topic, topic_id, seq)
        self.received.append(number)

    def greet(self, stream: str, arrives: bool) -> None:
        for topic, number in self.retained.items():
            if arrives and topic.startswith(stream):
                if not self.losses.repeated(*number):
                    self.receive(topic)
                assert self.received.count(number) == 1, "once, and not never"

    def forget(self, stream: str, arrives: bool) -> None:
        self.numbering.forget(stream)
        for topic in [topic for topic in self.retained if topic.startswith(f"{stream}/")]:
            del self.retained[topic]

    def beat(self, _: str, arrives: bool) -> None:
        entries = self.numbering.beat()
        assert len(entries) <= self.limit
        if arrives:
            self.missing.update(self.losses.heartbeat(self.numbering.topics, entries))
            for entry in entries:
                self.truth.hears(*entry)
            if self.truth.begin_later is None:
                self.truth.begin_later = self.numbering.topics


@settings(max_examples=400)
@given(
    before=st.lists(step, max_size=20),
    steps=st.lists(step, max_size=80),
    limit=st.integers(1, 4),
    retains=st.booleans(),
    beats_first=st.booleans(),
)
def test_exactly_what_is_lost_is_counted(
    before: list[Step], steps: list[Step], limit: int, retains: bool, beats_first: bool
) -> None:
    """By a receiver that joins after `before`.

    With `retains` it is greeted with the last message of every topic, as on the socket for
    messages; without, it is not, as on the socket for arrays. A heartbeat may be first.
    """
    line = Line(limit)
    for what, name, _ in before:
        getattr(line, what)(name, False)
    if beats_first:
        line.beat("", True)
    line.greet("", retains)
    for what, name, lost in steps:
        getattr(line, what)(name, not lost and (retains or what != "greet"))
    # The line is good again: all that is left to learn comes in turn.
    for _ in range(len(line.numbering._in_turn) * LAST_LISTINGS // limit + 3):
        line.beat("", True)
    assert dict(line.losses.lost) == line.truth.lost()
    assert dict(+line.missing) == dict(line.losses.lost)
    for topic, entry in line.numbering._by_name.items():
        assert line.truth.last[entry.topic_id] == entry.last, f"{topic} is known to its end"
