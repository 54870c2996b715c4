"""Whatever any program of this machine, or a web page in its browser, sends to the sockets."""

from __future__ import annotations

import math
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import msgpack
import pytest
import zmq

from auricle.wire.channel import REPEAT_S, Channel
from auricle.wire.codec import MAX_MESSAGE, decode, decode_map
from auricle.wire.messages import VERSION, Heartbeat
from auricle.wire.server import LONGEST_SUBSCRIPTION, Server
from auricle.wire.settings import ServerSettings, WireSpec
from tests.wire.samples import gap

ANY = "tcp://127.0.0.1:*"
PATIENCE_MS = 20_000


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(
        WireSpec(publish=ANY, arrays=ANY, control=ANY, shared=True),
        settings=ServerSettings(heartbeat_s=0.1),
    )
    made.handle("ping", lambda: "pong")
    made.start()
    yield made
    made.stop()


@contextmanager
def connected(kind: int, address: str) -> Iterator[zmq.Socket[bytes]]:
    opened: zmq.Socket[bytes] = zmq.Context.instance().socket(kind)
    opened.linger = 0
    opened.rcvtimeo = PATIENCE_MS
    opened.connect(address)
    try:
        yield opened
    finally:
        opened.close()


def assert_alive(server: Server) -> None:
    """It answers, and publishes."""
    with connected(zmq.REQ, server.addresses["control"]) as asking:
        asking.send(msgpack.packb({"v": VERSION, "command": "ping"}))
        assert decode_map(asking.recv())["result"] == "pong"
    with connected(zmq.SUB, server.addresses["publish"]) as listening:
        listening.subscribe("")
        assert isinstance(decode(listening.recv_multipart()), Heartbeat)


def post(body: bytes) -> bytes:
    """The request that a page makes with `fetch(..., {method: "POST", mode: "no-cors"})`."""
    head = (
        "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: keep-alive\r\n"
        f"Content-Length: {len(body)}\r\nContent-Type: text/plain;charset=UTF-8\r\n"
        "Origin: https://page.example\r\nSec-Fetch-Mode: no-cors\r\n\r\n"
    )
    return head.encode() + body


def old_frame(content: bytes, more: bool) -> bytes:
    """A frame of ZMTP 1.0."""
    return bytes([len(content) + 1, more]) + content


def test_a_web_page_commands_nothing(server: Server) -> None:
    obeyed = []
    server.handle("stop", lambda: obeyed.append("stop"))
    command = msgpack.packb({"v": VERSION, "command": "stop"})
    # As frames of the old protocol, the headers end somewhere in the body, after some filler.
    for filler in range(130):
        body = b"x" * filler + old_frame(b"", True) + old_frame(command, False)
        talk(server.addresses["control"], post(body))
    talk(
        server.addresses["control"], b"\x01\x00" + old_frame(b"", True) + old_frame(command, False)
    )
    assert_alive(server)
    assert not obeyed


@pytest.mark.parametrize("name", ["publish", "arrays", "control"])
@pytest.mark.parametrize(
    "greeting",
    [
        post(b"hello"),
        bytes.fromhex("16030100a5010000a10303") + b"x" * 160,
        b"SSH-2.0-OpenSSH_9.6\r\n" + b"x" * 100,
        b"\x00" * 1000,
        b"\xff" * 1000,
        b"",
    ],
    ids=["http", "tls", "ssh", "zeros", "ones", "nothing"],
)
def test_what_does_not_speak_zeromq_harms_nobody(
    server: Server, name: str, greeting: bytes
) -> None:
    talk(server.addresses[name], greeting)
    assert_alive(server)


def talk(address: str, content: bytes) -> None:
    """Send bytes to a port, and hang up once the other end has, if it does."""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    with (
        suppress(ConnectionError, TimeoutError),
        socket.create_connection((host, int(port))) as stranger,
    ):
        stranger.settimeout(0.05)
        stranger.sendall(content)
        while stranger.recv(1000):
            pass


@pytest.mark.parametrize("length", [300_000, MAX_MESSAGE - 50])
def test_a_long_request_is_answered_in_short(server: Server, length: int) -> None:
    with connected(zmq.REQ, server.addresses["control"]) as asking:
        asking.send(msgpack.packb({"v": VERSION, "command": "\0" * length}))
        answer = asking.recv()
    assert not decode_map(answer)["ok"]
    assert len(answer) < 2000
    assert_alive(server)


def test_a_request_that_is_too_long_ends_its_connection_only(server: Server) -> None:
    with connected(zmq.DEALER, server.addresses["control"]) as asking:
        asking.send_multipart([b"", b"x" * (MAX_MESSAGE + 1)])
        assert_alive(server)
        assert not asking.poll(0)


def test_a_long_subscription_is_not_kept(server: Server) -> None:
    with connected(zmq.XSUB, server.addresses["publish"]) as subscribing:
        subscribing.send(b"\x01" + b"x" * LONGEST_SUBSCRIPTION)
        assert_alive(server)


# -- late subscribers ------------------------------------------------------------------------------


class Wire:
    """The socket of a channel: gives subscriptions, and keeps what is sent."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.sent: list[str] = []

    def recv(self, flags: int = 0) -> bytes:
        if not self.asked:
            raise zmq.Again
        return self.asked.pop(0)

    def send_multipart(self, frames: list[bytes]) -> None:
        self.sent.append(frames[0].decode())


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def channel(wire: Wire) -> Channel:
    made = Channel(wire, "engine", 64)  # type: ignore[arg-type]  # as much of a socket as it uses
    for stream in ("jazz", "jazz-fm", "news"):
        made.send(gap(stream=stream))
    wire.sent.clear()
    return made


def subscribe(wire: Wire, channel: Channel, *prefixes: bytes) -> None:
    wire.asked += [b"\x01" + prefix for prefix in prefixes]
    while wire.asked:
        channel.read_subscriptions()


def test_topics_that_are_asked_for_are_repeated(wire: Wire, channel: Channel) -> None:
    assert channel.repeat(5.0) == math.inf
    subscribe(wire, channel, b"jazz/", b"new", b"x", b"\xff")
    assert channel.repeat(5.0) == math.inf
    assert wire.sent == ["jazz/gap", "news/gap"]


def test_however_many_ask_each_message_is_repeated_once_a_second(
    wire: Wire, channel: Channel
) -> None:
    subscribe(wire, channel, b"")
    channel.repeat(5.0)
    assert wire.sent == ["jazz/gap", "jazz-fm/gap", "news/gap"]
    wire.sent.clear()
    for number in range(5000):
        subscribe(wire, channel, b"jazz", b"%d" % number, b"")
        assert channel.repeat(5.25) == pytest.approx(REPEAT_S - 0.25)
    assert not wire.sent
    assert channel.repeat(5.0 + REPEAT_S) == math.inf
    assert wire.sent == ["jazz/gap", "jazz-fm/gap", "news/gap"]


def test_unsubscribing_repeats_nothing(wire: Wire, channel: Channel) -> None:
    wire.asked = [b"\x00jazz", b"", b"hello"]
    channel.read_subscriptions()
    assert channel.repeat(5.0) == math.inf
    assert not wire.sent
