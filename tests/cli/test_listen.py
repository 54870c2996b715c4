"""`auricle listen`: live, as lines, as JSON Lines; until when; with what exit code."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from auricle.cli import live_view
from auricle.cli.listening import listen
from auricle.cli.live_view import LiveView
from auricle.cli.views import JsonView, LatencyTable, PlainView, describe
from auricle.wire.client import Subscriber
from auricle.wire.messages import Heartbeat, Message
from auricle.wire.server import Server
from auricle.wire.settings import ServerSettings, WireSpec
from tests.cli.command import assert_one_line, auricle
from tests.wire.samples import (
    array,
    end,
    error,
    event,
    gap,
    heartbeat,
    prediction,
    sent,
    skip,
    state,
)

ANY = "tcp://127.0.0.1:*"
GONE = "tcp://127.0.0.1:1"

OTHERS = (event, gap, skip, state, end)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(WireSpec(publish=ANY, arrays=ANY), settings=ServerSettings(heartbeat_s=0.1))
    server.start()
    yield server
    server.stop()


def publish_all(server: Server) -> None:
    """Publish a message of each type; once this returns, they are the last of their topics."""
    server.send(prediction(), 0)
    for make in OTHERS:
        server.send(make())
    # A heartbeat counts the topics so far, its own among them. A subscription to one of the others
    # would have its message repeated to whoever comes next.
    with Subscriber(server.addresses["publish"], ["_engine/"]) as subscriber:
        topics = 0
        while topics < len(OTHERS) + 2:
            beat = subscriber.receive(60)
            assert isinstance(beat, Heartbeat)
            topics = beat.topics


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# -- the command -----------------------------------------------------------------------------------


def test_json_lines_until_the_end(server: Server) -> None:
    publish_all(server)
    result = auricle(
        "listen", server.addresses["publish"], "--json", "--until-end", "--topic", "demo/"
    )
    assert result.returncode == 0, result.stderr
    got = objects(result.stdout)
    assert [message["type"] for message in got] == [
        "prediction",
        "event",
        "gap",
        "skip",
        "state",
        "end",
    ]
    assert got[0]["activations"] == [["guitar", 0.75], ["piano", 0.5]]
    assert got[0]["received"] >= got[0]["published"]
    assert "1 predictions" not in result.stdout
    assert "0 messages lost" in result.stderr


def test_plain_lines_and_a_summary_in_a_pipe(server: Server) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "auricle", "listen", server.addresses["publish"], "--until-end"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        # Not before it has subscribed: repeated messages do not measure latency.
        with Subscriber(server.addresses["publish"], ["demo/prediction"]) as probe:
            server.send(prediction(), 0)
            while probe.receive(10) is None or not process.stdout.readline().startswith(
                "demo/prediction/tags"
            ):
                pass
        publish_all(server)
        lines = process.stdout.read().splitlines()
    assert process.returncode == 0
    assert lines[0] == "demo/prediction/tags      4.00 s  guitar 0.75  piano 0.50  [gap:xrun]"
    assert "demo/end  the stream ended after 30.50 s" in lines
    assert not [line for line in lines if "heartbeat" in line]
    assert "1 predictions, 0 messages lost" in lines
    table = lines[lines.index("1 predictions, 0 messages lost") + 1 :]
    assert table[0].split() == ["latency,", "ms", "p50", "p95", "p99", "max"]
    assert [line.split()[0] for line in table[1:]] == [
        "capture",
        "inference",
        "publish",
        "transport",
        "total",
    ]
    assert table[2].split()[1:] == ["20.00"] * 4


def test_an_error_ends_it_badly(server: Server) -> None:
    server.send(error())
    result = auricle("listen", server.addresses["publish"], "--until-end", "--json")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == "auricle: demo: input: the line was cut"
    assert objects(result.stdout)[-1]["type"] == "error"


def test_without_an_engine_it_waits_and_says_so() -> None:
    result = auricle("listen", GONE, "--duration", "1.5")
    assert result.returncode == 1
    assert f"waiting for {GONE}" in result.stderr
    assert (
        result.stderr.splitlines()[-1]
        == f"auricle: {GONE}: no message received; is an engine running there?"
    )


def test_a_wrong_address_is_one_line() -> None:
    assert_one_line(auricle("listen", "5680"), "'5680' is not an address")


def test_interrupted_it_still_sums_up(server: Server) -> None:
    server.send(prediction(), 0)
    with subprocess.Popen(
        [sys.executable, "-m", "auricle", "listen", server.addresses["publish"]],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("demo/prediction/tags")
        process.send_signal(signal.SIGINT)
        assert "0 messages lost" in process.stdout.read()
    assert process.returncode == 0


# -- listening -------------------------------------------------------------------------------------


class Shown:
    """A view that remembers."""

    shows_totals = False

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.ticks = 0
        self.closed = False

    def show(self, message: Message, lost: Mapping[str, int]) -> None:
        self.messages.append(message)

    def tick(self, silent_s: float, trouble: str | None) -> None:
        self.ticks += 1

    def close(self) -> None:
        self.closed = True


def test_a_count_of_messages_leaves_heartbeats_out(server: Server) -> None:
    publish_all(server)
    view = Shown()
    with Subscriber(server.addresses["publish"]) as subscriber:
        _, last = listen(subscriber, view, count=3, duration_s=10)
    types = [message.type for message in view.messages if not isinstance(message, Heartbeat)]
    assert types == ["prediction", "event", "gap"]
    assert last is view.messages[-1]
    assert view.closed


def test_it_stops_when_asked_and_ticks_while_nothing_comes() -> None:
    view, stop = Shown(), threading.Event()
    waited: list[str | None] = []

    def waiting(trouble: str | None) -> None:
        waited.append(trouble)
        stop.set()

    with Subscriber(GONE) as subscriber:
        _, last = listen(subscriber, view, stop=stop, waiting=waiting, duration_s=10)
    assert (last, waited, view.closed) == (None, [None], True)
    assert view.ticks > 2


def test_a_view_is_closed_when_a_message_cannot_be_shown(server: Server) -> None:
    class Broken(Shown):
        def show(self, message: Message, lost: Mapping[str, int]) -> None:
            raise BrokenPipeError

    publish_all(server)
    view = Broken()
    with Subscriber(server.addresses["publish"]) as subscriber, pytest.raises(BrokenPipeError):
        listen(subscriber, view, duration_s=10)
    assert view.closed


def test_percentiles_are_by_stage_and_include_the_transport() -> None:
    latencies = LatencyTable()
    assert str(latencies) == ""
    for ms in range(1, 101):
        latency = {"capture": ms / 1000, "total": ms / 1000}
        latencies.add(sent(prediction(latency=latency), published=0.0, received=0.01))
    latencies.add(sent(prediction(latency={"capture": 9.0}), retained=True))
    latencies.add(gap())
    latencies.add(event())
    assert latencies.predictions == 100
    expected = np.array([50, 95, 99, 100])
    # A percentile is the upper end of a bucket that is 1/64 of an octave wide.
    for stage, more in (("capture", 0), ("total", 10)):
        found = np.array(latencies.percentiles(stage))
        assert np.all(found >= expected + more)
        np.testing.assert_allclose(found, expected + more, rtol=1 / 64)
    assert str(latencies).splitlines()[-1].split()[0] == "total"
    assert str(latencies).splitlines()[-1].split()[4] == "110.00"


@pytest.mark.parametrize("view", [JsonView, PlainView])
def test_losses_are_shown_by_topic(view: type[Any], capsys: pytest.CaptureFixture[str]) -> None:
    view().show(prediction(), {"demo/prediction/tags": 3, "demo/gap": 1})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    if view is JsonView:
        lost = {"type": "lost", "topic": "demo/prediction/tags", "count": 3}
        assert json.loads(lines[0]) == lost
    else:
        assert lines[:2] == ["demo/prediction/tags: 3 messages lost", "demo/gap: 1 messages lost"]


def test_arrays_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    values = np.array([[1, 2]], np.float32)
    message = sent(array(values=values, end=2.0, dtype="float32", shape=values.shape))
    JsonView().show(message, {})
    shown = json.loads(capsys.readouterr().out)
    assert (shown["values"], shown["shape"]) == ([[1.0, 2.0]], [1, 2])
    assert describe(message) == "    2.00 s  float32 (1, 2)"


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (event(), "    2.50 s  guitar off  0.25 (end)"),
        (gap(), "0.125 s lost: xrun"),
        (skip(), "3 segments skipped: overload"),
        (end(), "the stream ended after 30.50 s"),
        (state(), "waiting: no route to host"),
        (state(state="running", error=None), "running"),
        (error(), "input: the line was cut"),
        (heartbeat(), "up for 60 s"),
    ],
)
def test_other_messages_in_a_few_words(message: Message, says: str) -> None:
    assert describe(message) == says


def test_the_live_view_draws_labels_losses_and_silence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    view = LiveView()
    view.show(prediction(), {"demo/prediction/tags": 2})
    view.show(gap(), {})
    view.show(heartbeat(), {})
    view.tick(live_view.SILENT_S + 1, "the engine asks for keys")
    view.close()
    picture = capsys.readouterr().out
    for part in ("demo/tags", "guitar", "0.75", "1.00 to 4.00 s", "demo/gap  0.125 s lost: xrun"):
        assert part in picture
    assert "1 predictions, 2 messages lost" in picture
    assert "the engine has been silent for 4 s, the engine asks for keys" in picture
    assert "heartbeat" not in picture
