"""Hearing an engine and asking it, from Python."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq
import zmq.auth

from auricle.errors import ConfigError, WireError
from auricle.wire import server as module
from auricle.wire.client import Keys, Losses, Message, Subscriber, request
from auricle.wire.codec import encode
from auricle.wire.server import Server
from auricle.wire.settings import CurveSpec, WireSpec

ANY = "tcp://127.0.0.1:*"
PATIENCE_S = 10


@pytest.fixture(autouse=True)
def quick_heart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_S", 0.1)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(WireSpec(publish=ANY, arrays=ANY, control=ANY))
    server.start()
    yield server
    server.stop()


def lose(server: Server, kind: str = "tags") -> None:
    """Have a message of a topic lost on its way: this one cannot be encoded."""
    server.publish("demo", kind, {"value": object()})


def until(subscriber: Subscriber, wanted: Callable[[Message], bool]) -> Message:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        message = subscriber.receive(PATIENCE_S)
        assert message is not None
        if wanted(message):
            return message
    raise AssertionError("it did not come")


def is_fresh_heartbeat(message: Message) -> bool:
    return message.kind == "heartbeat" and "retained" not in message.content


# -- counting --------------------------------------------------------------------------------------


def test_the_first_number_of_a_topic_sets_the_base() -> None:
    losses = Losses()
    assert losses.count("a/tags", 41) == 0
    assert losses.count("a/tags", 42) == 0
    assert losses.count("b/tags", 7) == 0
    assert losses.count("a/tags", 45) == 2
    assert losses.count("b/tags", 9) == 1
    assert dict(losses.lost) == {"a/tags": 2, "b/tags": 1}
    assert losses.total == 3


def test_a_repeated_message_is_known_unless_the_first_was_lost() -> None:
    losses = Losses()
    assert not losses.repeated("a/tags", 4)
    losses.count("a/tags", 4)
    assert losses.repeated("a/tags", 4)
    assert not losses.repeated("a/tags", 6)
    assert losses.count("a/tags", 6) == 1


def test_heartbeats_tell_what_was_lost_at_the_end() -> None:
    losses = Losses()
    losses.count("a/tags", 4)
    assert losses.heartbeat({"a/tags": 4, "a/mood": 9}) == {}
    assert losses.heartbeat({"a/tags": 6, "a/mood": 10}) == {"a/tags": 2, "a/mood": 1}
    assert losses.heartbeat({"a/tags": 6, "a/mood": 10}) == {}
    assert losses.count("a/tags", 7) == 0
    assert losses.total == 3


def test_after_a_heartbeat_a_new_topic_begins_at_0() -> None:
    losses = Losses()
    losses.heartbeat({})
    assert losses.count("a/tags", 2) == 2
    assert losses.heartbeat({"a/gap": 0, "a/tags": 2}) == {"a/gap": 1}


def test_an_engine_that_began_anew_is_no_loss() -> None:
    losses = Losses()
    losses.engine("first")
    losses.heartbeat({})
    losses.count("a/tags", 0)
    losses.engine("second")
    assert losses.count("a/tags", 30) == 0
    assert not losses.repeated("b/tags", 0)
    losses.engine("second")
    assert losses.count("a/tags", 32) == 1
    assert losses.restarts == 1


# -- subscribing -----------------------------------------------------------------------------------


def test_messages_lost_on_the_way_are_reported_with_the_next_one(server: Server) -> None:
    with Subscriber(server.addresses["publish"], ["demo/"]) as subscriber:
        server.publish("demo", "tags", {"number": 0})
        assert until(subscriber, lambda message: True).lost == 0
        lose(server)
        lose(server)
        server.publish("demo", "tags", {"number": 3})
        message = until(subscriber, lambda message: message.content["number"] == 3)
        assert message.missing == {"demo/tags": 2}
        assert message.lost == 2
        server.publish("demo", "tags", {"number": 4})
        assert until(subscriber, lambda message: message.content["number"] == 4).missing == {}
        assert subscriber.losses.total == 2


def test_messages_lost_at_the_end_are_reported_by_a_heartbeat(server: Server) -> None:
    with Subscriber(server.addresses["publish"]) as subscriber:
        server.publish("demo", "tags", {})
        until(subscriber, lambda message: message.kind == "tags")
        until(subscriber, is_fresh_heartbeat)
        lose(server)
        lose(server, "mood")
        missing: dict[str, int] = {}
        while missing != {"demo/tags": 1, "demo/mood": 1}:
            missing.update(until(subscriber, is_fresh_heartbeat).missing)


def test_heartbeats_count_only_topics_that_are_heard_and_stay_hidden(server: Server) -> None:
    with Subscriber(server.addresses["publish"], ["demo/tags"]) as subscriber:
        server.publish("demo", "tags", {"number": 0})
        assert until(subscriber, lambda message: True).kind == "tags"
        for _ in range(2):
            lose(server, "mood")
            lose(server, "tags")
            time_to_beat(subscriber)
        server.publish("demo", "tags", {"number": 3})
        message = until(subscriber, lambda message: True)
        assert message.content["number"] == 3
        assert message.missing == {"demo/tags": 2}


def time_to_beat(subscriber: Subscriber) -> None:
    """Listen for two heartbeats, which do not show."""
    assert subscriber.receive(0.25) is None


def test_a_late_joiner_disturbs_nobody(server: Server) -> None:
    with Subscriber(server.addresses["publish"], ["demo/"]) as early:
        server.publish("demo", "tags", {"number": 0})
        until(early, lambda message: True)
        with Subscriber(server.addresses["publish"], ["demo/"]) as late:
            message = until(late, lambda message: True)
            assert message.content["retained"]
        server.publish("demo", "tags", {"number": 1})
        assert until(early, lambda message: True).content["number"] == 1
        assert early.losses.total == 0


def test_an_engine_that_comes_back_is_heard_again() -> None:
    first = Server(WireSpec(publish=ANY))
    first.start()
    address = first.addresses["publish"]
    with Subscriber(address, ["demo/"]) as subscriber:
        first.publish("demo", "tags", {"number": 0})
        until(subscriber, lambda message: True)
        first.stop()
        second = Server(WireSpec(publish=address))
        second.start()
        for number in range(5):
            second.publish("demo", "tags", {"number": 10 + number})
        until(subscriber, lambda message: message.content["number"] == 14)
        second.stop()
    assert subscriber.losses.restarts == 1
    assert subscriber.losses.total == 0


def test_arrays_come_as_arrays(server: Server) -> None:
    with Subscriber(server.addresses["arrays"]) as subscriber:
        until(subscriber, is_fresh_heartbeat)
        server.publish_array("demo", "mel", {"index": 3}, np.ones((2, 96), np.float32))
        message = until(subscriber, lambda message: message.kind == "mel")
    assert message.array is not None
    np.testing.assert_array_equal(message.array, np.ones((2, 96)))
    assert (message.stream, message.content["index"]) == ("demo", 3)


def test_iteration_ends_when_nothing_comes(server: Server) -> None:
    server.publish("demo", "tags", {"values": [["a", 0.5], ["b", 0.25]]})
    with Subscriber(server.addresses["publish"], ["demo/"], timeout_s=0.3) as subscriber:
        messages = list(subscriber)
    assert [message.values for message in messages] == [{"a": 0.5, "b": 0.25}]
    assert messages[0].topic == "demo/tags"
    assert 0 <= messages[0].transport_s < PATIENCE_S


def test_silence_is_measured(server: Server) -> None:
    with Subscriber(server.addresses["publish"], ["demo/"]) as subscriber:
        subscriber.receive(0.5)
        assert subscriber.silent_s < 0.4
        server.stop()
        subscriber.receive(0.5)
        assert subscriber.silent_s > 0.4


GOOD = {"engine": "e", "stream": "demo", "kind": "tags", "seq": 0, "published": 0.0}


@pytest.mark.parametrize(
    ("frames", "says"),
    [
        ([b"demo/tags"], "a message of 1 frames"),
        ([b"demo/tags", b"garbage"], "not a msgpack message"),
        ([b"demo/tags", encode({})], "engine=None"),
        ([b"demo/tags", encode({**GOOD, "seq": "one"})], "seq='one'"),
        ([b"demo/tags", encode({**GOOD, "published": "now"})], "published='now'"),
        (
            [b"demo/tags", encode({**GOOD, "dtype": "float32", "shape": [2]}), b"123"],
            "does not fit 3 bytes",
        ),
        ([b"_engine/heartbeat", encode({**GOOD, "last_seq": 5})], "last_seq=5"),
    ],
)
def test_what_is_no_message_is_an_error_of_one_line(frames: list[bytes], says: str) -> None:
    with zmq.Context.instance().socket(zmq.XPUB) as socket:
        socket.linger = 0
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        with Subscriber(f"tcp://127.0.0.1:{port}") as subscriber:
            assert socket.poll(5000)
            socket.recv()
            socket.send_multipart(frames)
            with pytest.raises(WireError) as caught:
                subscriber.receive(PATIENCE_S)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


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


@pytest.mark.parametrize("address", ["5682", "tcp://127.0.0.1", "tcp://127.0.0.1:99999"])
def test_a_wrong_address_is_named(address: str) -> None:
    for call in (Subscriber, lambda address: request(address, "list")):
        with pytest.raises(WireError, match=address):
            call(address)


def test_keys_open_an_engine_that_asks_for_them(tmp_path: Path) -> None:
    clients = tmp_path / "clients"
    clients.mkdir()
    zmq.auth.create_certificates(tmp_path, "server")
    zmq.auth.create_certificates(clients, "friend")
    spec = CurveSpec(secret_key=tmp_path / "server.key_secret", clients=clients)
    server = Server(WireSpec(publish=ANY, control=ANY, curve=spec))
    server.handle("list", lambda: ["demo"])
    server.start()
    keys = Keys(clients / "friend.key_secret", tmp_path / "server.key")
    with Subscriber(server.addresses["publish"], keys=keys) as subscriber:
        assert subscriber.receive(PATIENCE_S)
    assert request(server.addresses["control"], "list", keys=keys) == ["demo"]
    with pytest.raises(WireError, match="no answer"):
        request(server.addresses["control"], "list", timeout_s=0.3)
    server.stop()


@pytest.mark.parametrize("wrong", ["own", "server", "public"])
def test_keys_that_cannot_be_read_are_named(tmp_path: Path, wrong: str) -> None:
    public, secret = map(Path, zmq.auth.create_certificates(tmp_path, "mine"))
    keys: dict[str, Any] = {
        "own": Keys(tmp_path / "none", public),
        "server": Keys(secret, tmp_path / "none"),
        "public": Keys(public, public),
    }
    with pytest.raises(ConfigError):
        Subscriber("tcp://127.0.0.1:5680", keys=keys[wrong])
