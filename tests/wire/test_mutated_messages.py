"""Messages with other bits to each socket: everything is answered or dropped, and nothing ends."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import zmq

from auricle.errors import WireError
from auricle.nodes.inputs.zmq import ZmqInput
from auricle.wire.codec import decode, decode_map, encode, encode_map
from auricle.wire.pcm import PcmHeader, encode_pcm
from auricle.wire.server import Server
from auricle.wire.settings import ServerSettings, WireSpec
from tests.mutation import mutated_bytes
from tests.nodes.listening import listening
from tests.wire.samples import EVERY, sent

PATIENCE_MS = 120_000


@contextmanager
def opened(kind: int, address: str) -> Iterator[zmq.Socket[bytes]]:
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(kind)
    socket.linger = 0
    socket.rcvtimeo = socket.sndtimeo = PATIENCE_MS
    socket.connect(address)
    try:
        yield socket
    finally:
        socket.close()


@pytest.fixture
def server() -> Iterator[Server]:
    spec = WireSpec(publish="tcp://127.0.0.1:*", control="tcp://127.0.0.1:*", shared=True)
    server = Server(spec, "1", ServerSettings(heartbeat_s=0.1))
    server.handle("add", lambda a=1, b="x", c=(): {"a": a, "b": b, "c": c})
    server.start()
    yield server
    server.stop()


def send_requests(server: Server, seeds: range) -> None:
    """Mutated requests, all of which are answered."""
    request = encode_map({"command": "add", "a": 12345, "b": "word", "c": [1, 2.5, None, {"d": 3}]})
    with opened(zmq.REQ, server.addresses["control"]) as socket:
        for seed in seeds:
            rng = random.Random(seed)
            frames = [mutated_bytes(rng, request) for _ in range(rng.choice([1, 1, 1, 2, 5]))]
            socket.send_multipart(frames)
            answer = decode_map(socket.recv())
            assert isinstance(answer["ok"], bool)
            if not answer["ok"]:
                assert answer["error"].isprintable(), seed
                assert len(answer["error"]) <= 1000, seed


def send_subscriptions(server: Server, seeds: range) -> None:
    """Mutated subscriptions; heartbeats go on."""
    with opened(zmq.XSUB, server.addresses["publish"]) as socket:
        for seed in seeds:
            socket.send(mutated_bytes(random.Random(seed), b"\x01test/prediction/tags"))
    with opened(zmq.SUB, server.addresses["publish"]) as socket:
        socket.subscribe("_engine/heartbeat")
        for _ in range(3):
            socket.recv_multipart()


def send_blocks(seeds: range) -> None:
    """Mutated blocks of PCM; those that are whole are heard before and after them."""
    node = ZmqInput("zmq", address="tcp://127.0.0.1:*")
    samples = np.full(320, 0.25, "<f4").tobytes()
    with listening(node, 0) as (scheduler, listener):
        listener.wait_for(lambda: not node.address.endswith("*"))
        with opened(zmq.PUSH, node.address) as socket:
            for seed in seeds:
                rng = random.Random(seed)
                header = PcmHeader(
                    sample_rate=16000,
                    channels=1,
                    format="f32le",
                    first_sample=(seed - seeds.start) * 320,
                    seq=seed - seeds.start,
                )
                head, raw = encode_pcm(header, samples)
                which = rng.randrange(3)
                head = mutated_bytes(rng, head) if which != 0 else head
                raw = mutated_bytes(rng, raw) if which == 2 else raw
                socket.send_multipart([head, raw] if rng.random() < 0.95 else [head])
            heard = len(listener.tokens)
            for number in range(5):
                header = PcmHeader(
                    sample_rate=16000, channels=1, format="f32le", first_sample=number * 320, seq=0
                )
                socket.send_multipart(encode_pcm(header, samples))
            listener.wait_for(lambda: len(listener.tokens) > heard)
        assert not scheduler.runs[0].over


def read_messages(seeds: range) -> None:
    """What a listener reads: mutated messages are refused, or are messages."""
    for seed in seeds:
        rng = random.Random(seed)
        frames = encode(sent(rng.choice(EVERY)()))
        at = rng.randrange(len(frames))
        frames[at] = mutated_bytes(rng, frames[at])
        check_message(frames)


def check_message(frames: list[bytes]) -> None:
    try:
        message = decode(frames)
    except WireError as error:
        text = str(error)
    else:
        text = message.topic
    assert text.isprintable()


def test_requests(server: Server) -> None:
    send_requests(server, range(300))


def test_subscriptions(server: Server) -> None:
    send_subscriptions(server, range(300))


def test_blocks_of_pcm() -> None:
    send_blocks(range(300))


def test_messages() -> None:
    read_messages(range(500))


@pytest.mark.slow
def test_many_of_each(server: Server) -> None:
    send_requests(server, range(10_000, 40_000))
    send_subscriptions(server, range(10_000, 40_000))
    send_blocks(range(10_000, 20_000))
    read_messages(range(10_000, 40_000))
