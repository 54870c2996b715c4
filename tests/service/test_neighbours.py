"""Bad neighbours: whatever becomes of some streams, the others lose nothing."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from auricle.engine.overload import Ladder, Member
from auricle.service.service import Service
from auricle.wire.client import Subscriber
from auricle.wire.messages import End, Error, Gap, Heartbeat, Message, Prediction, Skip
from tests.service.gate import Gate
from tests.service.running import (
    REALTIME,
    activations_of,
    make_service,
    names,
    tagged,
    write_graph,
    write_sound,
)

GOOD = [f"good-{n}" for n in range(50)]


class Patient(Member):
    """A place where nothing is too late, however busy the machine is with other things."""

    def begin(self, late_s: float, deadline_s: float) -> bool:
        return super().begin(0.0, deadline_s)


class PatientLadder(Ladder):
    """A ladder of which nobody is late: what is lost then, a neighbour has taken."""

    member_class = Patient


class Station:
    """A web radio that sends 16 kHz WAV in real time, and hangs up after a second."""

    def __init__(self) -> None:
        station = self
        self.closing = threading.Event()
        self.came_back = threading.Event()
        self.asked = 0

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                station.asked += 1
                if station.asked > 1:
                    station.came_back.set()
                self.send_response(200)
                self.send_header("Content-Type", "audio/wav")
                self.end_headers()
                with suppress(OSError):
                    self.wfile.write(HEADER)
                    for _ in range(10):
                        self.wfile.write(np.random.default_rng(0).bytes(3200))
                        if station.closing.wait(0.1):
                            return

            def log_message(self, *arguments: object) -> None:
                """Nothing on standard error."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.block_on_close = False
        self.url = f"http://127.0.0.1:{self.server.server_port}/radio.wav"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


# A length of 2**32 - 1 says that nobody knows it.
HEADER = struct.pack(
    "<4sI8sIHHIIHH4sI",
    b"RIFF",
    2**32 - 1,
    b"WAVEfmt ",
    16,
    1,
    1,
    16000,
    32000,
    2,
    16,
    b"data",
    2**32 - 1,
)


@pytest.fixture
def station() -> Iterator[Station]:
    station = Station()
    yield station
    station.closing.set()
    station.server.shutdown()
    station.server.server_close()


@pytest.fixture
def sender() -> Iterator[zmq.Socket[bytes]]:
    """A sender of PCM that has said nothing yet."""
    with zmq.Context() as context, context.socket(zmq.PUSH) as sender:
        sender.linger = 0
        sender.bind("tcp://127.0.0.1:*")
        yield sender


@pytest.fixture
def silent() -> Iterator[zmq.Socket[bytes]]:
    """A sender of PCM that never says anything."""
    with zmq.Context() as context, context.socket(zmq.PUSH) as sender:
        sender.linger = 0
        sender.bind("tcp://127.0.0.1:*")
        yield sender


@pytest.fixture
def service(folder: Path) -> Iterator[Service]:
    """A service without streams, with a gate that guests can be held up at."""
    path = write_graph(folder, "[]", "neighbours.yaml")
    gate = "  - {id: gate, class: 'tests.service.gate:Gate'}\nedges:\n  - mel -> gate"
    path.write_text(path.read_text().replace("edges:", gate))
    with make_service(path, ladder=PatientLadder()) as service:
        yield service


def state_of(service: Service, name: str) -> str:
    (stream,) = service.streams.choose(name)
    return stream.state


def wait_for_state(service: Service, name: str, state: str) -> None:
    reached = service.streams.wait_for(lambda: state_of(service, name) == state, 30)
    assert reached, f"{name} is {state_of(service, name)}"


def add_bad_neighbours(
    service: Service, folder: Path, station: Station, sender: Any, silent: Any
) -> None:
    """Silence, garbage, no sound, a station that hangs up every second, and 192 kHz."""
    write_sound(folder / "wide.wav", 9, 3, rate=192_000)
    connect = {"input.connect": True}
    neighbours: list[tuple[str, str, dict[str, Any]]] = [
        ("silent", f"zmq:{silent.getsockopt_string(zmq.LAST_ENDPOINT)}", connect),
        ("garbage", f"zmq:{sender.getsockopt_string(zmq.LAST_ENDPOINT)}", connect),
        ("noise", str(folder / "tiny/model.onnx"), REALTIME),
        ("hanging-up", station.url, {"input.timeout_s": 2}),
        ("wide", str(folder / "wide.wav"), REALTIME),
    ]
    for name, source, values in neighbours:
        service.add_stream(name, source, values)
    sender.send_multipart([b"\xff\x00 no header", b"\x01" * 999])
    wait_for_state(service, "noise", "failed")
    wait_for_state(service, "garbage", "waiting")
    wait_for_state(service, "silent", "waiting")
    assert station.came_back.wait(30)


def remove_while_it_computes(service: Service, name: str) -> None:
    """Add a stream, and remove it while its worker is held up in the middle of its work."""
    service.add_stream(name, "long.wav")
    wait_for_state(service, name, "running")
    gate = Gate.gates[name]
    assert gate.inside.wait(30)
    service.remove_stream(name)
    gate.opened.set()
    assert service.streams.wait_for(lambda: name not in names(service), 30)


def receive_until_all_have_ended(subscriber: Subscriber) -> list[Message]:
    messages: list[Message] = []
    ended = 0
    while ended < len(GOOD):
        message = subscriber.receive(60)
        assert message is not None
        messages.append(message)
        ended += isinstance(message, End | Error)
    return messages


@pytest.mark.slow
def test_bad_streams_cost_fifty_good_ones_nothing(
    service: Service, folder: Path, station: Station, sender: Any, silent: Any
) -> None:
    """The good ones say all that their file gives, to the bit, with bad ones beside them.

    How soon they say it is measured by `auricle bench streams`: a test on a machine that does other
    things cannot.
    """
    with Subscriber(service.server.addresses["publish"], ["good-", "_engine/"]) as subscriber:
        assert isinstance(subscriber.receive(10), Heartbeat)
        add_bad_neighbours(service, folder, station, sender, silent)
        for name in GOOD:
            service.add_stream(name, "long.wav")
        for n in range(5):
            remove_while_it_computes(service, f"guest-{n}")
        messages = receive_until_all_have_ended(subscriber)
        assert subscriber.losses.total == 0
    expected = tagged(folder, "long.wav")
    for name in GOOD:
        assert activations_of(messages, name) == expected, "all, and the same"
    assert not any(isinstance(message, Skip | Gap | Error) for message in messages)
    assert {message.rung for message in messages if isinstance(message, Prediction)} == {0}
    (hanging_up,) = service.streams.choose("hanging-up")
    assert hanging_up.summary()["counts"].get("reconnect", 0) > 0
    assert state_of(service, "silent") == "waiting"
