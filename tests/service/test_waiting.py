"""Streams whose source is waited for: one state, wherever it is looked at."""

from __future__ import annotations

import threading
import wave
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from auricle.wire.client import Subscriber
from auricle.wire.messages import Heartbeat, State
from tests.service.later import States
from tests.service.running import make_service, request

GRAPH = """
stream: template
nodes:
  - {id: input, class: UrlInput, params: {url: "http://localhost/"}}
  - {id: sink, class: "tests.service.tunable:Tunable"}
edges: [input -> sink]
wire: {publish: "tcp://127.0.0.1:*", control: "tcp://127.0.0.1:*"}
restart: {first_pause_s: 0.01, longest_pause_s: 0.05}
streams:
"""


class Station:
    """An HTTP server that is off the air until `on_air` is set, and sends a second of noise.

    Attributes:
        over: Set when listeners are to be hung up on.
    """

    def __init__(self) -> None:
        self.on_air, self.over = threading.Event(), threading.Event()
        content = BytesIO()
        with wave.open(content, "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", ""))
            file.writeframes(np.random.default_rng(0).integers(-99, 99, 16000, "<i2").tobytes())
        station, sound = self, content.getvalue()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if not station.on_air.is_set():
                    self.send_error(503)
                    return
                self.send_response(200)
                self.send_header("icy-name", "for ever")
                self.end_headers()
                self.wfile.write(sound)
                station.over.wait(500)

            def log_message(self, *arguments: object) -> None:
                """Nothing on standard error."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.block_on_close = False
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/radio.wav"

    def close(self) -> None:
        self.over.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def station() -> Iterator[Station]:
    station = Station()
    yield station
    station.close()


def test_a_station_that_is_away_is_waiting_wherever_one_looks(
    station: Station, tmp_path: Path
) -> None:
    (tmp_path / "graph.yaml").write_text(f"{GRAPH} [{{name: jazz, input: '{station.url}'}}]\n")
    states = States()
    service = make_service(tmp_path / "graph.yaml", changed=states)
    service.server.start()
    with Subscriber(service.server.addresses["publish"]) as subscriber:
        assert isinstance(subscriber.receive(500), Heartbeat)
        service.start_streams()
        try:
            message = _next_state(subscriber, "waiting")
            assert message.error is not None
            assert "5XX" in message.error
            assert message.retry_at is not None
            listed = request(service.server.addresses["control"], "list")["jazz"]
            assert (listed["state"], listed["since"]) == ("waiting", message.since)
            assert listed["error"] == f"{station.url}: Server returned 5XX Server Error reply"
            assert listed["retry_at"] > listed["since"]
            while dict(_heartbeat(subscriber).streams) != {"waiting": 1}:
                pass
            station.on_air.set()
            assert _next_state(subscriber, "running").error is None
            assert request(service.server.addresses["control"], "list")["jazz"]["error"] is None
            station.on_air.clear()
            station.over.set()
            since = _next_state(subscriber, "waiting").since
            assert since > message.since
            assert _next_state(subscriber, "waiting").since == since, "another try, still away"
            run = service.streams.all[0].run
        finally:
            service.stop()
    assert run is service.streams.all[0].run, "all that was one run"
    seen = [states.next("jazz") for _ in range(2)]
    assert seen[0] == "opening"
    assert seen[1] in ("running", "waiting")
    assert service.streams.all[0].state == "stopped"


def test_a_stream_has_a_policy_of_its_own(station: Station, tmp_path: Path) -> None:
    (tmp_path / "graph.yaml").write_text(
        f"{GRAPH}\n"
        f" - {{name: patient, input: '{station.url}', restart: {{first_pause_s: 600, "
        "longest_pause_s: 900}}\n"
        f" - {{name: strict, input: '{station.url}', values: {{input.reconnect: false}}}}\n"
        f" - {{name: eager, input: '{station.url}'}}\n"
    )
    states = States()
    with make_service(tmp_path / "graph.yaml", changed=states) as service:
        patient, strict, eager = service.streams.all
        assert service.streams.wait_for(
            lambda: strict.over and all(each.retry_at is not None for each in (patient, eager)), 500
        )
        assert strict.state == "failed"
        assert patient.retry_at is not None
        assert patient.retry_at - patient.since > 50
        assert eager.state == "waiting"


def _next_state(subscriber: Subscriber, state: str) -> State:
    while True:
        message = subscriber.receive(500)
        assert message is not None
        if isinstance(message, State) and message.state == state:
            return message


def _heartbeat(subscriber: Subscriber) -> Heartbeat:
    while not isinstance(message := subscriber.receive(500), Heartbeat):
        assert message is not None
    return message
