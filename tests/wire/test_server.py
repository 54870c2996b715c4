"""The engine's sockets: publishing, late joiners, heartbeats, losses, commands, keys."""

from __future__ import annotations

import socket as sockets
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import pytest
import zmq
import zmq.auth
from zmq.utils.monitor import recv_monitor_message

from auricle.errors import ConfigError, WireError
from auricle.wire.address import check_address, is_local
from auricle.wire.channel import Channel
from auricle.wire.codec import MAX_MESSAGE, decode, decode_map, encode, encode_map
from auricle.wire.messages import VERSION, Array, Gap, Heartbeat, Message, Prediction
from auricle.wire.server import EngineStatus, Server
from auricle.wire.settings import CurveSpec, ServerSettings, WireSpec
from tests.wire.samples import array, error, gap, prediction

ANY = "tcp://127.0.0.1:*"
PATIENCE_MS = 5000
QUICK = ServerSettings(heartbeat_s=0.2)


M = TypeVar("M", bound=Message)


class Listener:
    """A bare SUB socket, as another language would use it."""

    def __init__(
        self, address: str, topic: str = "", keys: tuple[Path, Path] | None = None
    ) -> None:
        socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
        socket.linger = 0
        if keys is not None:
            socket.curve_publickey, socket.curve_secretkey = zmq.auth.load_certificate(keys[0])
            socket.curve_serverkey, _ = zmq.auth.load_certificate(keys[1])
        socket.connect(address)
        socket.subscribe(topic)
        self.socket = socket

    def next(self, kind: type[M]) -> M:
        """The next message of this type."""
        while True:
            assert self.socket.poll(PATIENCE_MS), "nothing came"
            message = decode(self.socket.recv_multipart())
            if isinstance(message, kind):
                return message

    def next_heartbeat(self) -> Heartbeat:
        """The next heartbeat that is not of the past."""
        while (beat := self.next(Heartbeat)).retained:
            pass
        return beat


Start = Callable[..., Server]
Listen = Callable[..., Listener]


@pytest.fixture
def start() -> Iterator[Start]:
    servers = []

    def new(settings: ServerSettings = QUICK, **addresses: Any) -> Server:
        servers.append(
            Server(WireSpec(**{"publish": ANY, "shared": True, **addresses}), "1.2.3", settings)
        )
        servers[-1].start()
        return servers[-1]

    yield new
    for server in servers:
        server.stop()


@pytest.fixture
def listen() -> Iterator[Listen]:
    listeners = []

    def new(*args: Any, **kwargs: Any) -> Listener:
        listeners.append(Listener(*args, **kwargs))
        return listeners[-1]

    yield new
    for listener in listeners:
        listener.socket.close()


def asker(address: str) -> zmq.Socket[bytes]:
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.REQ)
    socket.linger = 0
    socket.rcvtimeo = PATIENCE_MS
    socket.connect(address)
    return socket


def ask(address: str, *frames: bytes) -> dict[str, Any]:
    with asker(address) as socket:
        socket.send_multipart(list(frames))
        return decode_map(socket.recv())


def test_every_topic_has_its_own_numbers(start: Start, listen: Listen) -> None:
    server = start()
    listener = listen(server.addresses["publish"])
    listener.next(Heartbeat)  # subscribed from now on
    for head in ("tags", "tags", "mood", "tags"):
        server.send(prediction(head=head))
    got = [listener.next(Prediction) for _ in range(4)]
    assert [(message.topic, message.seq) for message in got] == [
        ("demo/prediction/tags", 0),
        ("demo/prediction/tags", 1),
        ("demo/prediction/mood", 0),
        ("demo/prediction/tags", 2),
    ]
    for message in got:
        assert message.v == VERSION
        assert abs(message.published - time.time()) < 60
        assert not message.retained
        assert message.activations == [("guitar", 0.75), ("piano", 0.5)]
    assert len({message.engine for message in got}) == 1
    ids = [message.topic_id for message in got]
    assert ids[0] == ids[1] == ids[3] == ids[2] - 1


def test_the_time_to_publish_completes_the_latency(start: Start, listen: Listen) -> None:
    server = start()
    latency = {"capture": 0.25, "inference": 0.5}
    server.send(prediction(latency=latency), time.monotonic_ns() - 1_000_000_000)
    message = listen(server.addresses["publish"], "demo").next(Prediction)
    assert 1 <= message.latency["publish"] < 60
    assert message.latency["total"] == pytest.approx(0.75 + message.latency["publish"])
    assert latency == {"capture": 0.25, "inference": 0.5}
    assert server.latencies.of_all("inference").count == 1


def test_a_late_joiner_gets_the_last_value_at_once(start: Start, listen: Listen) -> None:
    server = start()
    first = listen(server.addresses["publish"], "demo/prediction/tags")
    for number in range(3):
        server.send(prediction(index=number))
    server.send(prediction(stream="other", index=9))
    while first.next(Prediction).index < 2:
        pass
    late = listen(server.addresses["publish"], "demo/")
    message = late.next(Prediction)
    assert (message.topic, message.index, message.seq, message.retained) == (
        "demo/prediction/tags",
        2,
        2,
        True,
    )
    # An earlier subscriber receives it again, and recognises it by its number.
    again = first.next(Message)
    assert (again.seq, again.retained) == (2, True)
    # A second joiner on the same topic is served too.
    assert listen(server.addresses["publish"], "demo/").next(Prediction).index == 2


def test_a_message_may_be_sent_again(start: Start, listen: Listen) -> None:
    """What a server sets is set in a copy."""
    server = start()
    listener = listen(server.addresses["publish"])
    listener.next(Heartbeat)
    message = gap()
    server.send(message)
    server.send(message)
    assert [listener.next(Gap).seq, listener.next(Gap).seq] == [0, 1]
    assert message == gap()


def test_heartbeats_name_the_last_numbers_of_topics(start: Start, listen: Listen) -> None:
    server = start()
    server.status = lambda: EngineStatus(3, {"running": 7})
    listener = listen(server.addresses["publish"], "_engine/")
    server.send(gap())
    server.send(gap())
    beats = [listener.next(Heartbeat)]
    while len(beats) < 3 or ("demo/gap", 1, 1) not in beats[-1].last_seq:
        beats.append(listener.next(Heartbeat))
    last = beats[-1]
    assert (last.version, last.dropped) == ("1.2.3", 0)
    assert (last.rung, last.streams) == (3, {"running": 7})
    assert last.topics == 2
    fresh = [beat for beat in beats if not beat.retained]
    assert 0.1 < fresh[-1].uptime - fresh[-2].uptime < 2
    assert fresh[-1].seq == fresh[-2].seq + 1


def test_heartbeats_do_not_grow_with_streams(start: Start, listen: Listen) -> None:
    server = start(ServerSettings(heartbeat_s=0.05, listed_topics=8))
    server.status = lambda: EngineStatus(0, {"running": 500})
    listener = listen(server.addresses["publish"], "_engine/")
    for number in range(500):
        server.send(gap(stream=f"s{number}"))
    named: set[str] = set()
    while len(named) < 500:
        beat = listener.next_heartbeat()
        assert len(beat.last_seq) <= 8
        assert len(encode(beat)[1]) < 1000
        named |= {topic for topic, _, _ in beat.last_seq if topic != beat.topic}


@pytest.mark.parametrize(
    "status",
    [
        lambda: 1 / 0,
        lambda: EngineStatus(object()),  # type: ignore[arg-type]
        lambda: EngineStatus(0, {"running": np.float32(1)}),  # type: ignore[dict-item]
        lambda: EngineStatus(0, {"." * MAX_MESSAGE: 1}),
        lambda: None,
    ],
)
def test_a_status_that_fails_does_not_stop_the_heart(
    start: Start, listen: Listen, status: Callable[[], Any]
) -> None:
    server = start()
    server.status = status
    listener = listen(server.addresses["publish"], "_engine/")
    while (beat := listener.next(Heartbeat)).seq < 2:
        pass
    assert (beat.rung, beat.streams) == (0, {})


def test_arrays_go_on_their_own_socket(start: Start, listen: Listen) -> None:
    server = start(arrays=ANY)
    listener = listen(server.addresses["arrays"])
    listener.next(Heartbeat)
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    server.send(array(index=4, values=values))
    values[:] = 0  # the ring is overwritten immediately
    message = listener.next(Array)
    assert (message.topic, message.index, message.seq) == ("demo/array/mel", 4, 0)
    assert isinstance(message.values, np.ndarray)
    np.testing.assert_array_equal(message.values, [[0, 1, 2], [3, 4, 5]])
    while not (beat := listener.next(Heartbeat)).last_seq:
        pass  # it was sent before the array
    assert ("demo/array/mel", 1, 0) in beat.last_seq


def test_without_a_socket_for_them_arrays_go_nowhere(start: Start) -> None:
    server = start()
    server.send(array())
    server.stop()
    assert server.dropped == 0


Hold = tuple[threading.Event, threading.Event]

SMALL = ServerSettings(heartbeat_s=0.2, outbox=2)


@pytest.fixture
def slow_wire(monkeypatch: pytest.MonkeyPatch) -> Hold:
    """A message of a stream `block` that holds the sending thread until it may continue."""
    held, hold = threading.Event(), threading.Event()
    send = Channel.send

    def slow(self: Channel, message: Message, **changes: Any) -> None:
        if message.stream == "block":
            held.set()
            hold.wait(5)
        send(self, message, **changes)

    monkeypatch.setattr(Channel, "send", slow)
    return held, hold


def test_a_stream_is_forgotten_however_full_the_outbox(
    start: Start, listen: Listen, slow_wire: Hold
) -> None:
    held, hold = slow_wire
    server = start(SMALL)
    listener = listen(server.addresses["publish"])
    listener.next(Heartbeat)
    server.send(gap(stream="block"))
    assert held.wait(5)
    for number in range(3):
        server.send(prediction(index=number))
    server.forget("demo")
    server.forget("block")
    hold.set()
    while not listener.next(Heartbeat).dropped:
        pass
    server.send(gap(stream="other"))
    late = listen(server.addresses["publish"])
    topics = set()
    while "other/gap" not in topics:  # the last of those that are repeated, in their order
        topics.add(late.next(Message).topic)
    assert topics <= {"_engine/heartbeat", "other/gap"}
    assert not late.socket.poll(100) or late.next(Message).topic == "_engine/heartbeat"


def test_a_stream_that_comes_back_begins_new_topics(start: Start, listen: Listen) -> None:
    server = start()
    listener = listen(server.addresses["publish"])
    listener.next(Heartbeat)
    server.send(gap())
    server.send(gap())
    server.send(gap(stream="demo2"))
    server.forget("demo")
    server.send(gap())
    server.send(gap(stream="demo2"))
    got = [listener.next(Gap) for _ in range(5)]
    assert [(message.stream, message.seq) for message in got] == [
        ("demo", 0),
        ("demo", 1),
        ("demo2", 0),
        ("demo", 0),
        ("demo2", 1),
    ]
    first, _, other, again, same = (message.topic_id for message in got)
    assert first < other == same < again


def test_what_the_outbox_has_no_room_for_is_missed_by_its_number(
    start: Start, listen: Listen, slow_wire: Hold
) -> None:
    held, hold = slow_wire
    server = start(SMALL)
    listener = listen(server.addresses["publish"])
    listener.next(Heartbeat)
    server.send(gap(stream="block"))
    assert held.wait(5)
    for number in range(5):
        server.send(prediction(index=number))
    hold.set()
    assert [listener.next(Prediction).seq for _ in range(2)] == [0, 1]
    while (beat := listener.next(Heartbeat)).dropped == 0:
        pass
    assert beat.dropped == 3
    assert {topic: seq for topic, _, seq in beat.last_seq}["demo/prediction/tags"] == 4
    server.send(prediction(index=5))
    assert listener.next(Prediction).seq == 5


def test_a_message_that_cannot_be_encoded_is_missed_by_its_number(
    start: Start, listen: Listen
) -> None:
    server = start()
    listener = listen(server.addresses["publish"], "demo/")
    server.send(gap(seconds=object()))
    server.send(gap())
    assert listener.next(Message).seq == 1
    assert server.dropped == 1


def test_a_slow_subscriber_loses_messages_and_blocks_nobody(start: Start, listen: Listen) -> None:
    server = start(ServerSettings(heartbeat_s=0.2, high_water=5))
    slow: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
    slow.linger, slow.rcvhwm, slow.rcvbuf = 0, 1, 1024
    slow.connect(server.addresses["publish"])
    slow.subscribe("demo/error")
    server.send(error(error=""))
    assert slow.poll(PATIENCE_MS)
    total, text = 1500, "x" * 20_000
    for _ in range(total):
        server.send(error(error=text))
    server.send(gap())
    quick = listen(server.addresses["publish"], "demo/gap")
    quick.next(Message)  # all are sent: nothing waited for the slow one
    got = []
    while slow.poll(500):
        got.append(decode(slow.recv_multipart()).seq)
    slow.close()
    assert got[1:] == sorted(set(got[1:]))
    assert len(got) < total


def test_stop_sends_what_waits_and_can_be_called_twice(start: Start, listen: Listen) -> None:
    server = start()
    listener = listen(server.addresses["publish"])
    listener.next(Heartbeat)
    for number in range(200):
        server.send(prediction(index=number))
    server.stop()
    server.stop()
    server.send(prediction(index=-1))
    assert [listener.next(Prediction).index for _ in range(200)] == list(range(200))
    beat = listener.next(Heartbeat)
    assert {topic: seq for topic, _, seq in beat.last_seq}["demo/prediction/tags"] == 199


def test_every_start_is_another_engine(start: Start, listen: Listen) -> None:
    engines = {listen(start().addresses["publish"]).next(Message).engine for _ in range(2)}
    assert len(engines) == 2


def test_what_is_no_message_is_refused_where_it_is_sent(start: Start) -> None:
    with pytest.raises(TypeError, match="dict"):
        start().send({"type": "gap"})


# -- addresses -------------------------------------------------------------------------------------


def test_a_port_in_use_is_named() -> None:
    with sockets.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        server = Server(WireSpec(publish=ANY, control=address))
        with pytest.raises(WireError) as caught:
            server.start()
    assert str(caught.value) == f"wire.control: {address}: Address already in use"
    server.stop()


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("5680", "'5680' is not an address"),
        ("tcp://127.0.0.1", "is not an address"),
        ("udp://127.0.0.1:5680", "is not an address"),
        ("tcp://127.0.0.1:70000", "port 70000 is invalid"),
        ("tcp://127.0.0.1:0", "port 0 is invalid"),
        ("ipc:///no/such/folder/socket", "No such file"),
        ("tcp://0.0.0.0:*", "needs wire.curve"),
        ("tcp://*:5680", "needs wire.curve"),
        ("tcp://[::]:5680", "needs wire.curve"),
        ("tcp://127.0.0.1.example.org:5680", "needs wire.curve"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(address: str, says: str) -> None:
    kind = WireError if "No such file" in says else ConfigError
    with pytest.raises(kind) as caught:
        Server(WireSpec(publish=address)).start()
    assert str(caught.value).startswith("wire.publish: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "address", ["tcp://127.8.9.1:1", "tcp://[::1]:1", "tcp://localhost:1", "ipc://x"]
)
def test_what_only_this_machine_can_reach_is_local(address: str) -> None:
    check_address(address)
    assert is_local(address)


def test_ipc_needs_no_keys(start: Start, listen: Listen, tmp_path: Path) -> None:
    server = start(publish=f"ipc://{tmp_path}/socket")
    assert listen(server.addresses["publish"]).next(Heartbeat)


# -- commands --------------------------------------------------------------------------------------


def test_commands_are_answered(start: Start) -> None:
    server = start(control=ANY)
    server.handle("add", lambda a, b=1: {"sum": a + b})
    answer = ask(server.addresses["control"], encode_map({"command": "add", "a": 2}))
    assert answer == {"v": VERSION, "ok": True, "result": {"sum": 3}}


def test_a_failure_of_the_system_ends_neither_thread(
    start: Start, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too little memory, for instance: what comes next is answered and published again."""
    failures = {"answer": 2, "beat": 2}

    def fail(what: str) -> None:
        failures[what] -= 1
        if failures[what] >= 0:
            raise MemoryError

    for module in ("server", "responder"):
        monkeypatch.setattr(f"auricle.wire.{module}.PAUSE_S", 0.0)
    server = start(control=ANY)
    assert server._responder is not None
    answer, beat = server._responder._answer, server._beat

    def failing_answer(frames: list[bytes]) -> bytes:
        fail("answer")
        return answer(frames)

    def failing_beat(uptime_s: float) -> None:
        fail("beat")
        beat(uptime_s)

    monkeypatch.setattr(server._responder, "_answer", failing_answer)
    monkeypatch.setattr(server, "_beat", failing_beat)
    server.handle("one", lambda: 1)
    answers = [ask(server.addresses["control"], encode_map({"command": "one"})) for _ in range(3)]
    assert [each["ok"] for each in answers] == [False, False, True]
    assert listen(server.addresses["publish"]).next_heartbeat()
    while failures["beat"] > 0:
        listen(server.addresses["publish"]).next_heartbeat()


def refuse(why: str = "not\n  today") -> None:
    raise WireError(why)


def msgpack(**content: Any) -> bytes:
    return msgspec.msgpack.encode(content)


@pytest.mark.parametrize(
    ("frames", "says"),
    [
        ([b"garbage"], "not a msgpack message"),
        ([b""], "not a msgpack message"),
        ([encode_map({}), b""], "a request is one frame; this one has 2"),
        ([encode_map({})], "no command None; commands are: add, object, refuse, surrogate"),
        (
            [encode_map({"command": "sub"})],
            "no command 'sub'; commands are: add, object, refuse, surrogate",
        ),
        ([encode_map({"command": ["add"]})], "no command ['add']"),
        ([encode_map({"command": "add"})], "command 'add': missing a required argument: 'a'"),
        ([encode_map({"command": "add", "a": 1, "c": 1})], "unexpected keyword argument 'c'"),
        ([encode_map({"command": "add", "a": "x"})], "can only concatenate str"),
        ([encode_map({"command": "refuse"})], "not today"),
        ([encode_map({"command": "object"})], "cannot be encoded"),
        ([encode_map({"command": "x" * 1_000_000})], "no command 'xxx"),
        ([encode_map({"command": "surrogate"})], r"no file a\udcffb"),
        ([msgpack(v=1, command="add", a=1)], "schema version v=1; this program reads 2"),
        ([msgpack(v=3, command="add", a=1)], "schema version v=3; this program reads 2"),
    ],
)
def test_a_request_that_fails_is_answered_and_the_next_one_works(
    start: Start, frames: list[bytes], says: str
) -> None:
    server = start(control=ANY)
    server.handle("add", lambda a: a + 1)
    server.handle("refuse", refuse)
    server.handle("object", lambda: object())
    server.handle("surrogate", lambda: refuse("no file a\udcffb"))
    answer = ask(server.addresses["control"], *frames)
    assert answer["ok"] is False
    assert says in answer["error"]
    assert "\n" not in answer["error"]
    assert ask(server.addresses["control"], encode_map({"command": "add", "a": 1}))["result"] == 2


def test_who_asks_and_leaves_does_no_harm(start: Start) -> None:
    server = start(control=ANY)
    asked = threading.Event()
    server.handle("wait", lambda: asked.set())
    with asker(server.addresses["control"]) as socket:
        socket.send(encode_map({"command": "wait"}))
        assert asked.wait(5)
    assert ask(server.addresses["control"], encode_map({"command": "wait"}))["ok"]


def test_a_slow_command_delays_no_message(start: Start, listen: Listen) -> None:
    server = start(control=ANY)
    begun, go_on = threading.Event(), threading.Event()

    def wait() -> bool:
        begun.set()
        return go_on.wait(10)

    server.handle("wait", wait)
    with asker(server.addresses["control"]) as socket:
        socket.send(encode_map({"command": "wait"}))
        assert begun.wait(5)
        server.send(gap())
        listen(server.addresses["publish"], "demo/").next(Message)
        go_on.set()
        assert decode_map(socket.recv())["ok"]


def test_a_command_that_never_ends_does_not_keep_the_server(start: Start) -> None:
    server = start(ServerSettings(stop_s=0.05), control=ANY)
    begun, go_on = threading.Event(), threading.Event()

    def wait() -> bool:
        begun.set()
        return go_on.wait(30)

    server.handle("wait", wait)
    with asker(server.addresses["control"]) as socket:
        socket.send(encode_map({"command": "wait"}))
        assert begun.wait(5)
        server.stop()
        assert not go_on.is_set()
        go_on.set()


# -- keys ------------------------------------------------------------------------------------------


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Path]:
    """Secret keys of a server and two clients, one of them let in, and all public keys."""
    paths = {}
    for name in ("server", "friend", "stranger"):
        public, secret = zmq.auth.create_certificates(tmp_path, name)
        paths[name], paths[f"{name} public"] = Path(secret), Path(public)
    clients = tmp_path / "clients"
    clients.mkdir()
    paths["friend public"].rename(clients / "friend.key")
    return {**paths, "clients": clients}


def curve(keys: dict[str, Path]) -> CurveSpec:
    return CurveSpec(secret_key=keys["server"], clients=keys["clients"])


@pytest.fixture
def watched() -> Iterator[Callable[[Listener], Callable[[int], None]]]:
    """Waits for what becomes of a connection."""
    monitors = []

    def watch(listener: Listener) -> Callable[[int], None]:
        monitor = listener.socket.get_monitor_socket()
        monitors.append((listener, monitor))

        def wait_for(event: int) -> None:
            while monitor.poll(PATIENCE_MS):
                if recv_monitor_message(monitor)["event"] & event:
                    return
            raise AssertionError("the connection did not come to that")

        return wait_for

    yield watch
    for listener, _ in monitors:
        listener.socket.disable_monitor()


def test_only_clients_on_the_list_are_let_in(
    start: Start, listen: Listen, keys: dict[str, Path], watched: Any
) -> None:
    server = start(publish="tcp://0.0.0.0:*", control=ANY, curve=curve(keys))
    address = server.addresses["publish"].replace("0.0.0.0", "127.0.0.1")
    friend = listen(address, keys=(keys["friend"], keys["server public"]))
    assert friend.next(Heartbeat)
    stranger = listen(address, keys=(keys["stranger"], keys["server public"]))
    watched(stranger)(zmq.EVENT_HANDSHAKE_FAILED_AUTH)
    keyless = listen(address)
    watched(keyless)(zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)
    server.send(gap())
    friend.next(Gap)
    friend.next(Heartbeat)
    assert not stranger.socket.poll(0)
    assert not keyless.socket.poll(0)


def test_keys_that_cannot_be_read_are_named(keys: dict[str, Path]) -> None:
    for spec, says in [
        (
            CurveSpec(secret_key=keys["clients"] / "none", clients=keys["clients"]),
            "wire.curve.secret_key",
        ),
        (
            CurveSpec(secret_key=keys["server public"], clients=keys["clients"]),
            "holds no secret key",
        ),
        (CurveSpec(secret_key=keys["server"], clients=keys["server"]), "wire.curve.clients"),
    ]:
        with pytest.raises(WireError) as caught:
            Server(WireSpec(publish="tcp://0.0.0.0:*", curve=spec)).start()
        assert says in str(caught.value)


def test_keys_that_others_can_read_and_an_empty_list_are_told(
    start: Start, keys: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    keys["server"].chmod(0o600)
    start(curve=curve(keys))
    assert not caplog.messages
    keys["server"].chmod(0o644)
    for path in keys["clients"].glob("*.key"):
        path.unlink()
    start(curve=curve(keys))
    assert caplog.messages == [
        f"wire.curve.clients: nobody can connect: no .key file in {keys['clients']}",
        f"wire.curve.secret_key: others can read {keys['server']}: chmod 600",
    ]
