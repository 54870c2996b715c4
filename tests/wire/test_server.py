"""The engine's sockets: publishing, late joiners, heartbeats, losses, commands, keys."""

from __future__ import annotations

import socket as sockets
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq
import zmq.auth
from zmq.utils.monitor import recv_monitor_message

from auricle.errors import WireError
from auricle.wire import server as module
from auricle.wire.address import check_address, is_local
from auricle.wire.channel import Channel
from auricle.wire.codec import MAX_MESSAGE, decode, decode_array, encode
from auricle.wire.server import Server
from auricle.wire.settings import CurveSpec, WireSpec

ANY = "tcp://127.0.0.1:*"
PATIENCE_MS = 5000

Message = tuple[str, dict[str, Any]]


class Listener:
    """A bare SUB socket, as another language would use it."""

    def __init__(
        self, address: str, topic: str = "", keys: tuple[Path, Path] | None = None
    ) -> None:
        self.socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
        self.socket.linger = 0
        if keys is not None:
            self.socket.curve_publickey, self.socket.curve_secretkey = zmq.auth.load_certificate(
                keys[0]
            )
            self.socket.curve_serverkey, _ = zmq.auth.load_certificate(keys[1])
        self.socket.connect(address)
        self.socket.subscribe(topic)

    def next(self, kind: str | None = None) -> Message:
        """The next message, of this kind if given."""
        while True:
            assert self.socket.poll(PATIENCE_MS), "nothing came"
            frames = self.socket.recv_multipart()
            message = decode(frames[1])
            if kind in (None, message["kind"]):
                return frames[0].decode(), message


Start = Callable[..., Server]
Listen = Callable[..., Listener]


@pytest.fixture(autouse=True)
def quick_heart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_S", 0.2)


@pytest.fixture
def start() -> Iterator[Start]:
    servers = []

    def new(**addresses: Any) -> Server:
        servers.append(Server(WireSpec(**{"publish": ANY, **addresses}), "1.2.3"))
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
        return decode(socket.recv())


def test_every_topic_has_its_own_numbers(start: Start, listen: Listen) -> None:
    server = start()
    listener = listen(server.addresses["publish"])
    listener.next("heartbeat")  # subscribed from now on
    for kind in ("tags", "tags", "mood", "tags"):
        server.publish("demo", kind, {"is": kind})
    got = [listener.next(kind) for kind in ("tags", "tags", "mood", "tags")]
    assert [(topic, message["seq"]) for topic, message in got] == [
        ("demo/tags", 0),
        ("demo/tags", 1),
        ("demo/mood", 0),
        ("demo/tags", 2),
    ]
    for _, message in got:
        assert message["v"] == 1
        assert message["stream"] == "demo"
        assert message["is"] == message["kind"]
        assert abs(message["published"] - time.time()) < 60
        assert "retained" not in message
    assert len({message["engine"] for _, message in got}) == 1


def test_the_time_to_publish_completes_the_latency(start: Start, listen: Listen) -> None:
    server = start()
    latency = {"capture": 0.25, "inference": 0.5}
    server.publish("demo", "tags", {"latency": latency}, time.monotonic_ns() - 1_000_000_000)
    _, message = listen(server.addresses["publish"], "demo").next()
    assert 1 <= message["latency"]["publish"] < 60
    assert message["latency"]["total"] == pytest.approx(0.75 + message["latency"]["publish"])
    assert latency == {"capture": 0.25, "inference": 0.5}


def test_a_late_joiner_gets_the_last_value_at_once(start: Start, listen: Listen) -> None:
    server = start()
    first = listen(server.addresses["publish"], "demo/tags")
    for number in range(3):
        server.publish("demo", "tags", {"number": number})
    server.publish("other", "tags", {"number": 9})
    while first.next()[1]["number"] < 2:
        pass
    late = listen(server.addresses["publish"], "demo/")
    topic, message = late.next()
    assert (topic, message["number"], message["seq"], message["retained"]) == (
        "demo/tags",
        2,
        2,
        True,
    )
    # Who was there before hears it again, and knows it by its number.
    _, again = first.next()
    assert (again["seq"], again["retained"]) == (2, True)
    # A second joiner on the same topic is served too.
    assert listen(server.addresses["publish"], "demo/").next()[1]["number"] == 2


def test_heartbeats_name_the_last_number_of_every_topic(start: Start, listen: Listen) -> None:
    server = start()
    server.status = lambda: {"streams": {"demo": {"state": "running"}}}
    listener = listen(server.addresses["publish"], "_engine/")
    server.publish("demo", "tags", {})
    server.publish("demo", "tags", {})
    beats = [listener.next()[1]]
    while len(beats) < 3 or beats[-1]["last_seq"].get("demo/tags") != 1:
        beats.append(listener.next()[1])
    last = beats[-1]
    assert last["version"] == "1.2.3"
    assert last["streams"] == {"demo": {"state": "running"}}
    assert last["dropped"] == 0
    fresh = [beat for beat in beats if "retained" not in beat]
    assert 0.1 < fresh[-1]["uptime"] - fresh[-2]["uptime"] < 2
    assert fresh[-1]["seq"] == fresh[-2]["seq"] + 1


@pytest.mark.parametrize(
    "status",
    [
        lambda: 1 / 0,
        lambda: {"a": object()},
        lambda: {"a": np.float32(1)},
        lambda: {"streams": {"too long": "." * MAX_MESSAGE}},
    ],
)
def test_statistics_that_fail_do_not_stop_the_heart(
    start: Start, listen: Listen, status: Callable[[], Any]
) -> None:
    server = start()
    server.status = status
    listener = listen(server.addresses["publish"], "_engine/")
    while (beat := listener.next()[1])["seq"] < 2:
        pass
    assert beat["streams"] == {}


def test_arrays_go_on_their_own_socket(start: Start, listen: Listen) -> None:
    server = start(arrays=ANY)
    listener = listen(server.addresses["arrays"])
    listener.next("heartbeat")
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    server.publish_array("demo", "mel", {"index": 4}, values)
    values[:] = 0  # the ring is written over at once
    frames = listener.socket.recv_multipart()
    header, got = decode_array(frames[1], frames[2])
    assert frames[0] == b"demo/mel"
    assert (header["index"], header["seq"], header["kind"]) == (4, 0, "mel")
    np.testing.assert_array_equal(got, [[0, 1, 2], [3, 4, 5]])
    _, beat = listener.next()
    assert (beat["kind"], beat["last_seq"]["demo/mel"]) == ("heartbeat", 0)


def test_without_a_socket_for_them_arrays_go_nowhere(start: Start) -> None:
    server = start()
    server.publish_array("demo", "mel", {}, np.zeros(3))
    server.stop()
    assert server.dropped == 0


Hold = tuple[threading.Event, threading.Event]


@pytest.fixture
def slow_wire(monkeypatch: pytest.MonkeyPatch) -> Hold:
    """An outbox of two messages, and a message `block` that holds the thread that sends until it
    may go.
    """
    monkeypatch.setattr(module, "LONGEST_OUTBOX", 2)
    held, hold = threading.Event(), threading.Event()
    send = Channel.send

    def slow(self: Channel, stream: str, kind: str, *rest: Any) -> None:
        if kind == "block":
            held.set()
            hold.wait(5)
        send(self, stream, kind, *rest)

    monkeypatch.setattr(Channel, "send", slow)
    return held, hold


def test_a_stream_is_forgotten_however_full_the_outbox(
    start: Start, listen: Listen, slow_wire: Hold
) -> None:
    held, hold = slow_wire
    server = start()
    listener = listen(server.addresses["publish"])
    listener.next("heartbeat")
    server.publish("demo", "block", {})
    assert held.wait(5)
    for number in range(3):
        server.publish("demo", "tags", {"number": number})
    server.forget("demo")
    hold.set()
    while not listener.next("heartbeat")[1]["dropped"]:
        pass
    server.publish("other", "tags", {})
    late = listen(server.addresses["publish"])
    assert {late.next()[0], late.next()[0]} == {"_engine/heartbeat", "other/tags"}
    assert not late.socket.poll(100) or late.next()[0] == "_engine/heartbeat"


def test_what_the_outbox_has_no_room_for_is_missed_by_its_number(
    start: Start, listen: Listen, slow_wire: Hold
) -> None:
    held, hold = slow_wire
    server = start()
    listener = listen(server.addresses["publish"])
    listener.next("heartbeat")
    server.publish("demo", "block", {})
    assert held.wait(5)
    for number in range(5):
        server.publish("demo", "tags", {"number": number})
    hold.set()
    assert [listener.next("tags")[1]["seq"] for _ in range(2)] == [0, 1]
    while (beat := listener.next("heartbeat")[1])["dropped"] == 0:
        pass
    assert beat["dropped"] == 3
    assert beat["last_seq"]["demo/tags"] == 4
    server.publish("demo", "tags", {"number": 5})
    assert listener.next("tags")[1]["seq"] == 5


def test_a_message_that_cannot_be_encoded_is_missed_by_its_number(
    start: Start, listen: Listen
) -> None:
    server = start()
    listener = listen(server.addresses["publish"], "demo/")
    server.publish("demo", "tags", {"value": object()})
    server.publish("demo", "tags", {"value": 1})
    assert listener.next()[1]["seq"] == 1
    assert server.dropped == 1


def test_a_slow_subscriber_loses_messages_and_blocks_nobody(
    start: Start, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HIGH_WATER", 5)
    server = start()
    slow = zmq.Context.instance().socket(zmq.SUB)
    slow.linger, slow.rcvhwm, slow.rcvbuf = 0, 1, 1024
    slow.connect(server.addresses["publish"])
    slow.subscribe("demo/tags")
    server.publish("demo", "tags", {"text": ""})
    assert slow.poll(PATIENCE_MS)
    total, text = 1500, "x" * 20_000
    for _ in range(total):
        server.publish("demo", "tags", {"text": text})
    server.publish("demo", "mood", {})
    quick = listen(server.addresses["publish"], "demo/mood")
    quick.next()  # all are sent: nothing waited for the slow one
    got = []
    while slow.poll(500):
        got.append(decode(slow.recv_multipart()[1])["seq"])
    slow.close()
    assert got[1:] == sorted(set(got[1:]))
    assert len(got) < total


def test_stop_sends_what_waits_and_can_be_called_twice(start: Start, listen: Listen) -> None:
    server = start()
    listener = listen(server.addresses["publish"])
    listener.next("heartbeat")
    for number in range(200):
        server.publish("demo", "tags", {"number": number})
    server.stop()
    server.stop()
    server.publish("demo", "tags", {"number": -1})
    assert [listener.next("tags")[1]["number"] for _ in range(200)] == list(range(200))
    assert listener.next("heartbeat")[1]["last_seq"]["demo/tags"] == 199


def test_every_start_is_another_engine(start: Start, listen: Listen) -> None:
    engines = {listen(start().addresses["publish"]).next()[1]["engine"] for _ in range(2)}
    assert len(engines) == 2


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
        ("5680", "'5680' is no address"),
        ("tcp://127.0.0.1", "is no address"),
        ("udp://127.0.0.1:5680", "is no address"),
        ("tcp://127.0.0.1:70000", "no port 70000"),
        ("tcp://127.0.0.1:0", "no port 0"),
        ("ipc:///no/such/folder/socket", "No such file"),
        ("tcp://0.0.0.0:*", "needs wire.curve"),
        ("tcp://*:5680", "needs wire.curve"),
        ("tcp://[::]:5680", "needs wire.curve"),
        ("tcp://127.0.0.1.example.org:5680", "needs wire.curve"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(address: str, says: str) -> None:
    with pytest.raises(WireError) as caught:
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
    assert listen(server.addresses["publish"]).next("heartbeat")


# -- commands --------------------------------------------------------------------------------------


def test_commands_are_answered(start: Start) -> None:
    server = start(control=ANY)
    server.handle("add", lambda a, b=1: {"sum": a + b})
    answer = ask(server.addresses["control"], encode({"command": "add", "a": 2}))
    assert answer == {"v": 1, "ok": True, "result": {"sum": 3}}


def refuse() -> None:
    raise WireError("not\n  today")


@pytest.mark.parametrize(
    ("frames", "says"),
    [
        ([b"garbage"], "not a msgpack message"),
        ([b""], "not a msgpack message"),
        ([encode({}), b""], "a request is one frame; this one has 2"),
        ([encode({})], "no command None; commands are: add, object, refuse"),
        ([encode({"command": "sub"})], "no command 'sub'; commands are: add, object, refuse"),
        ([encode({"command": ["add"]})], "no command ['add']"),
        ([encode({"command": "add"})], "command 'add': missing a required argument: 'a'"),
        ([encode({"command": "add", "a": 1, "c": 1})], "unexpected keyword argument 'c'"),
        ([encode({"command": "add", "a": "x"})], "can only concatenate str"),
        ([encode({"command": "refuse"})], "not today"),
        ([encode({"command": "object"})], "cannot be encoded"),
    ],
)
def test_a_request_that_fails_is_answered_and_the_next_one_works(
    start: Start, frames: list[bytes], says: str
) -> None:
    server = start(control=ANY)
    server.handle("add", lambda a: a + 1)
    server.handle("refuse", refuse)
    server.handle("object", object)
    answer = ask(server.addresses["control"], *frames)
    assert answer["ok"] is False
    assert says in answer["error"]
    assert "\n" not in answer["error"]
    assert ask(server.addresses["control"], encode({"command": "add", "a": 1}))["result"] == 2


def test_who_asks_and_leaves_does_no_harm(start: Start) -> None:
    server = start(control=ANY)
    asked = threading.Event()
    server.handle("wait", lambda: asked.set())
    with asker(server.addresses["control"]) as socket:
        socket.send(encode({"command": "wait"}))
        assert asked.wait(5)
    assert ask(server.addresses["control"], encode({"command": "wait"}))["ok"]


def test_a_slow_command_delays_no_message(start: Start, listen: Listen) -> None:
    server = start(control=ANY)
    begun, go_on = threading.Event(), threading.Event()
    server.handle("wait", lambda: [begun.set(), go_on.wait(10)])
    with asker(server.addresses["control"]) as socket:
        socket.send(encode({"command": "wait"}))
        assert begun.wait(5)
        server.publish("demo", "tags", {})
        listen(server.addresses["publish"], "demo/").next()
        go_on.set()
        assert decode(socket.recv())["ok"]


def test_a_command_that_never_ends_does_not_keep_the_server(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STOP_S", 0.05)
    server = start(control=ANY)
    begun, go_on = threading.Event(), threading.Event()
    server.handle("wait", lambda: [begun.set(), go_on.wait(30)])
    with asker(server.addresses["control"]) as socket:
        socket.send(encode({"command": "wait"}))
        assert begun.wait(5)
        server.stop()
        assert not go_on.is_set()
        go_on.set()


# -- keys ------------------------------------------------------------------------------------------


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Path]:
    """Secret keys of a server and two clients, of whom one is let in, and the server's public key."""
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
    assert friend.next("heartbeat")
    stranger = listen(address, keys=(keys["stranger"], keys["server public"]))
    watched(stranger)(zmq.EVENT_HANDSHAKE_FAILED_AUTH)
    keyless = listen(address)
    watched(keyless)(zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)
    server.publish("demo", "tags", {})
    friend.next("tags")
    friend.next("heartbeat")
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
