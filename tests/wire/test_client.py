"""Hearing an engine and asking it, from Python."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import msgspec
import numpy as np
import pytest
import zmq

from auricle.errors import WireError
from auricle.wire import client as module
from auricle.wire.client import Subscriber, request
from auricle.wire.codec import encode
from auricle.wire.messages import Array, Gap, Heartbeat, Message, Prediction
from auricle.wire.server import Server
from auricle.wire.settings import ServerSettings, WireSpec
from tests.wire.samples import array, as_map, end, gap, heartbeat, prediction, sent

ANY = "tcp://127.0.0.1:*"
PATIENCE_S = 10
QUICK = ServerSettings(heartbeat_s=0.1)

M = TypeVar("M", bound=Message)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(WireSpec(publish=ANY, arrays=ANY, control=ANY), settings=QUICK)
    server.start()
    yield server
    server.stop()


def lose(server: Server, head: str = "tags") -> None:
    """Have a message of a topic lost on its way: this one cannot be encoded."""
    server.send(prediction(head=head, model=object()))


def until(subscriber: Subscriber, wanted: Callable[[Message], bool]) -> Message:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        message = subscriber.receive(PATIENCE_S)
        assert message is not None
        if wanted(message):
            return message
    raise AssertionError("it did not come")


def next_of(subscriber: Subscriber, kind: type[M]) -> M:
    message = until(subscriber, lambda message: isinstance(message, kind))
    assert isinstance(message, kind)
    return message


def next_heartbeat(subscriber: Subscriber) -> Heartbeat:
    """The next one that is not of the past."""
    while (beat := next_of(subscriber, Heartbeat)).retained:
        pass
    return beat


# -- subscribing -----------------------------------------------------------------------------------


def test_messages_lost_on_the_way_are_known_with_the_next_one(server: Server) -> None:
    with Subscriber(server.addresses["publish"], ["demo/"]) as subscriber:
        server.send(prediction(index=0))
        next_of(subscriber, Prediction)
        assert subscriber.newly_lost() == {}
        lose(server)
        lose(server)
        server.send(prediction(index=3))
        assert next_of(subscriber, Prediction).index == 3
        assert subscriber.newly_lost() == {"demo/prediction/tags": 2}
        assert subscriber.newly_lost() == {}
        server.send(prediction(index=4))
        assert next_of(subscriber, Prediction).index == 4
        assert subscriber.newly_lost() == {}
        assert subscriber.losses.total == 2


def test_messages_lost_at_the_end_are_known_from_a_heartbeat(server: Server) -> None:
    with Subscriber(server.addresses["publish"]) as subscriber:
        server.send(prediction())
        next_of(subscriber, Prediction)
        next_heartbeat(subscriber)
        lose(server)
        lose(server, "mood")
        missing = Counter[str]()
        while missing != {"demo/prediction/tags": 1, "demo/prediction/mood": 1}:
            next_heartbeat(subscriber)
            missing.update(subscriber.newly_lost())
        assert missing == subscriber.losses.lost


def test_heartbeats_count_only_topics_that_are_heard_and_stay_hidden(server: Server) -> None:
    with Subscriber(server.addresses["publish"], ["demo/prediction/tags"]) as subscriber:
        server.send(prediction(index=0))
        assert isinstance(subscriber.receive(PATIENCE_S), Prediction)
        for _ in range(2):
            lose(server, "mood")
            lose(server, "tags")
            time_to_beat(subscriber)
        server.send(prediction(index=3))
        message = subscriber.receive(PATIENCE_S)
        assert isinstance(message, Prediction)
        assert message.index == 3
        assert subscriber.newly_lost() == {"demo/prediction/tags": 2}


def time_to_beat(subscriber: Subscriber) -> None:
    """Listen for two heartbeats, which do not show."""
    assert subscriber.receive(0.25) is None


def test_a_late_joiner_disturbs_nobody(server: Server) -> None:
    with Subscriber(server.addresses["publish"], ["demo/"]) as early:
        server.send(prediction(index=0))
        next_of(early, Prediction)
        with Subscriber(server.addresses["publish"], ["demo/"]) as late:
            assert next_of(late, Prediction).retained
        server.send(prediction(index=1))
        message = early.receive(PATIENCE_S)
        assert isinstance(message, Prediction)
        assert message.index == 1
        assert early.losses.total == 0


def test_a_stream_that_comes_back_is_no_loss_to_anybody(server: Server) -> None:
    with Subscriber(server.addresses["publish"]) as early:
        next_heartbeat(early)
        for _ in range(5):
            server.send(gap())
        server.send(end())
        server.forget("demo")
        with Subscriber(server.addresses["publish"]) as between:
            next_heartbeat(between)
            for number in range(3):
                server.send(gap(seconds=number))
            for subscriber in (early, between):
                until(subscriber, lambda message: getattr(message, "seconds", 0) == 2)
                next_heartbeat(subscriber)
                assert subscriber.losses.total == 0


def test_an_engine_that_comes_back_is_heard_again() -> None:
    first = Server(WireSpec(publish=ANY))
    first.start()
    address = first.addresses["publish"]
    with Subscriber(address, ["demo/"]) as subscriber:
        first.send(prediction(index=0))
        until(subscriber, lambda message: True)
        first.stop()
        second = Server(WireSpec(publish=address))
        second.start()
        for number in range(5):
            second.send(prediction(index=10 + number))
        until(subscriber, lambda message: getattr(message, "index", 0) == 14)
        second.stop()
    assert subscriber.losses.restarts == 1
    assert subscriber.losses.total == 0


def test_arrays_come_as_arrays(server: Server) -> None:
    with Subscriber(server.addresses["arrays"]) as subscriber:
        next_heartbeat(subscriber)
        server.send(array(index=3, values=np.ones((2, 96), np.float32)))
        message = next_of(subscriber, Array)
    assert isinstance(message.values, np.ndarray)
    np.testing.assert_array_equal(message.values, np.ones((2, 96)))
    assert (message.stream, message.name, message.index) == ("demo", "mel", 3)


def test_iteration_ends_when_nothing_comes(server: Server) -> None:
    server.send(prediction())
    with Subscriber(server.addresses["publish"], ["demo/"], timeout_s=0.3) as subscriber:
        (message,) = list(subscriber)
    assert isinstance(message, Prediction)
    assert message.topic == "demo/prediction/tags"
    assert dict(message.activations) == {"guitar": 0.75, "piano": 0.5}
    assert 0 <= message.transport_s < PATIENCE_S


def test_messages_are_matched_by_their_types(server: Server) -> None:
    server.send(prediction())
    server.send(gap())
    found = []
    with Subscriber(server.addresses["publish"], ["demo/"], timeout_s=0.3) as subscriber:
        for message in subscriber:
            match message:
                case Prediction(head="tags", activations=[(label, _), *_]):
                    found.append(label)
                case Gap(reason=reason):
                    found.append(reason)
    assert sorted(found) == ["guitar", "xrun"]


def test_silence_is_measured(server: Server) -> None:
    with Subscriber(server.addresses["publish"], ["demo/"]) as subscriber:
        subscriber.receive(0.5)
        assert subscriber.silent_s < 0.4
        server.stop()
        subscriber.receive(0.5)
        assert subscriber.silent_s > 0.4


# -- what cannot be read ---------------------------------------------------------------------------


@pytest.fixture
def publish() -> Iterator[Callable[..., Subscriber]]:
    """Sends frames to a subscriber, which is returned."""
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.XPUB)
    with socket:
        socket.linger = 0
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        subscribers = []

        def send(*messages: list[bytes], topics: tuple[str, ...] = ("",)) -> Subscriber:
            subscribers.append(Subscriber(f"tcp://127.0.0.1:{port}", topics))
            for _ in {*topics, module.HEARTBEAT}:
                assert socket.poll(5000)
                socket.recv()
            for frames in messages:
                socket.send_multipart(frames)
            return subscribers[-1]

        yield send
        for subscriber in subscribers:
            subscriber.close()


def changed(message: Message, **changes: Any) -> list[bytes]:
    """The frames of a message with other fields in its map."""
    topic, _, *raw = encode(sent(message))
    return [topic, msgspec.msgpack.encode({**as_map(message), **changes}), *raw]


@pytest.mark.parametrize(
    ("frames", "says"),
    [
        ([b"demo/gap"], "a message of 1 frames"),
        ([b"demo/gap", b"garbage"], "demo/gap: not a msgpack message"),
        ([b"demo/gap", msgspec.msgpack.encode({"v": 2})], "demo/gap: type None"),
        (changed(gap(), v=1), "demo/gap: a message has schema version v=1; this program reads 2"),
        (changed(gap(), v=3), "demo/gap: a message has schema version v=3; this program reads 2"),
        (changed(gap(), type="title"), "demo/gap: type 'title'; types are: prediction, event, "),
        (changed(gap(), seq="one"), "demo/gap: seq='one'"),
        (changed(gap(), published="now"), "demo/gap: published='now'"),
        (changed(gap(), stream="other"), "demo/gap: the map belongs to topic 'other/gap'"),
        (changed(array(), shape=[7]), "demo/array/mel: 24 bytes do not fill float32"),
        (changed(heartbeat(), last_seq=5), "_engine/heartbeat: last_seq=5"),
        (changed(heartbeat(), last_seq=[["a/gap", 1]]), "_engine/heartbeat: last_seq=["),
        ([b"demo gap\xff", changed(gap())[1]], "not of the form STREAM/TYPE"),
    ],
)
def test_what_cannot_be_read_is_one_line_and_the_next_message_is_heard(
    publish: Callable[..., Subscriber],
    frames: list[bytes],
    says: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        subscriber = publish(frames, encode(sent(end())))
        message = subscriber.receive(PATIENCE_S)
    assert message is not None
    assert message.topic == "demo/end"
    assert subscriber.unreadable == 1
    (record,) = caplog.records
    assert says in record.getMessage()
    assert "\n" not in record.getMessage()


def test_thousands_that_cannot_be_read_are_not_thousands_of_lines(
    publish: Callable[..., Subscriber], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        subscriber = publish(*[[b"demo/gap", b"garbage"]] * 500, encode(sent(end())))
        assert subscriber.receive(PATIENCE_S) is not None
    assert subscriber.unreadable == 500
    assert len(caplog.records) == 1


def test_a_type_that_is_not_known_is_no_loss(publish: Callable[..., Subscriber]) -> None:
    """A newer engine has it; its numbers count all the same."""

    def title(seq: int) -> list[bytes]:
        _, data = changed(gap(), type="title", topic_id=7, seq=seq)
        return [b"demo/title", data]

    beats = [
        encode(sent(heartbeat(topics=7, last_seq=[]), 0, 0)),
        encode(sent(heartbeat(topics=8, last_seq=[("demo/title", 7, 3)]), 1, 0)),
    ]
    subscriber = publish(beats[0], title(0), title(1), title(3), beats[1])
    assert isinstance(subscriber.receive(PATIENCE_S), Heartbeat)
    assert isinstance(subscriber.receive(PATIENCE_S), Heartbeat)
    assert subscriber.unreadable == 3
    assert dict(subscriber.losses.lost) == {"demo/title": 1}


# -- asking ----------------------------------------------------------------------------------------


def test_a_request_gives_the_result_or_says_why_not(server: Server) -> None:
    server.handle("twice", lambda number: 2 * number)
    address = server.addresses["control"]
    assert request(address, "twice", number=4) == 8
    with pytest.raises(WireError) as caught:
        request(address, "thrice")
    assert str(caught.value) == f"{address}: no command 'thrice'; commands are: twice"


def test_without_an_engine_a_request_ends() -> None:
    with pytest.raises(WireError, match=r"no answer within 0.1 s; is an engine running there\?"):
        request("tcp://127.0.0.1:1", "list", timeout_s=0.1)


def test_an_answer_of_another_version_is_refused() -> None:
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.ROUTER)
    with socket:
        socket.linger = 0
        port = socket.bind_to_random_port("tcp://127.0.0.1")

        def answer() -> None:
            assert socket.poll(5000)
            peer, empty, _ = socket.recv_multipart()
            socket.send_multipart([peer, empty, msgspec.msgpack.encode({"v": 1, "ok": True})])

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(WireError, match="schema version v=1; this program reads 2"):
            request(f"tcp://127.0.0.1:{port}", "list")
        thread.join()


@pytest.mark.parametrize("address", ["5682", "tcp://127.0.0.1", "tcp://127.0.0.1:99999"])
def test_a_wrong_address_is_named(address: str) -> None:
    for call in (Subscriber, lambda address: request(address, "list")):
        with pytest.raises(WireError, match=address):
            call(address)
