"""Streams that end, and are started again: with timers that go off when the test says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from auricle.engine.scheduler import LiveScheduler
from auricle.errors import ConfigError
from auricle.service.graph_file import GraphFile
from auricle.service.streams import Stream, Streams
from auricle.service.supervisor import Supervisor
from auricle.service.template import StreamTemplate
from tests.service.later import ManualTimers, States

NOW = 1_795_238_590.0


class Bench:
    """A stream of numbers under a supervisor.

    Args:
        policy: Fields of the policy.
        params: Parameters of the source.
    """

    def __init__(self, policy: dict[str, Any], **params: Any) -> None:
        content = {
            "stream": "test",
            "nodes": [
                {"id": "a", "class": "tests.toys:Counter", "params": params},
                {"id": "b", "class": "tests.service.tunable:Tunable"},
            ],
            "edges": ["a -> b"],
            "restart": policy,
        }
        self.timers, self.states = ManualTimers(), States()
        self.forgotten: list[str] = []
        self.scheduler = LiveScheduler(
            ended=lambda run: self.supervisor.note(run),
            opened=lambda run: self.supervisor.note(run),
            outage=lambda run: self.supervisor.note(run),
        )
        self.streams = Streams(
            StreamTemplate(GraphFile.model_validate(content), Path()),
            self.scheduler,
            changed=self.states,
            forgotten=self.forgotten.append,
            utc=lambda: NOW,
        )
        self.supervisor = Supervisor(
            self.streams,
            self.timers.after,
            chance=lambda: 1.0,
            utc=lambda: NOW,
        )
        self.stream = self.streams.add(None)
        self.scheduler.start()


@pytest.fixture
def benches() -> Iterator[list[Bench]]:
    benches: list[Bench] = []
    yield benches
    for bench in benches:
        bench.scheduler.close()


BROKEN = {"total": 100, "breaks_at": 20}
ERROR = "a: the line was cut"


def test_by_default_a_stream_that_failed_stays_so(benches: list[Bench]) -> None:
    benches.append(bench := Bench({}, **BROKEN))
    assert bench.states.next_few(3) == ["opening", "running", "failed"]
    assert bench.streams.wait(30)
    summary = bench.stream.summary()
    assert (summary["state"], summary["error"], summary["retry_at"]) == ("failed", ERROR, None)
    assert bench.timers.pauses == []


def test_a_stream_is_started_again_after_ever_longer_pauses(benches: list[Bench]) -> None:
    benches.append(bench := Bench({"when": "on-error", "longest_pause_s": 5}, **BROKEN))
    assert bench.states.next_few(3) == ["opening", "running", "waiting"]
    for n, pause in enumerate((1, 2, 4, 5, 5)):
        assert not bench.streams.wait(0), "more is to come"
        assert bench.timers.pauses[n:] == [pause]
        summary = bench.stream.summary()
        assert (summary["state"], summary["error"]) == ("waiting", ERROR)
        assert (summary["since"], summary["retry_at"]) == (NOW, NOW + pause)
        before = bench.stream.run
        bench.timers.go_off()
        assert bench.states.next_few(3) == ["opening", "running", "waiting"]
        assert bench.stream.run is not before
        assert bench.scheduler.runs == [bench.stream.run], "the old one is forgotten"


def test_the_pause_falls_back_after_some_seconds_of_good_audio(benches: list[Bench]) -> None:
    """100 numbers a second: 15 s of them come before the line is cut."""
    benches.append(bench := Bench({"when": "on-error"}, total=2000, breaks_at=1500, blocks=[50]))
    for _ in range(3):
        assert bench.states.next_few(3) == ["opening", "running", "waiting"]
        bench.timers.go_off()
    assert bench.timers.pauses[:3] == [1, 1, 1]


def test_always_includes_the_end_of_the_input(benches: list[Bench]) -> None:
    benches.append(bench := Bench({"when": "always"}, total=10))
    assert bench.states.next_few(3) == ["opening", "running", "waiting"]
    assert bench.stream.summary()["error"] is None
    bench.timers.go_off()
    assert bench.states.next_few(3) == ["opening", "running", "waiting"]


def test_a_stream_that_cannot_be_built_again_fails(
    benches: list[Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    benches.append(bench := Bench({"when": "on-error"}, **BROKEN))
    assert bench.states.next_few(3) == ["opening", "running", "waiting"]

    def run_again(stream: Stream) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(bench.streams, "run_again", run_again)
    bench.timers.go_off()
    assert bench.states.next() == "failed"
    assert bench.streams.wait(30)
    assert bench.stream.summary()["error"] == "OSError: [Errno 24] Too many open files"


@pytest.mark.parametrize("command", ["stop", "remove"])
def test_what_waits_can_be_stopped_and_removed(benches: list[Bench], command: str) -> None:
    benches.append(bench := Bench({"when": "always"}, **BROKEN))
    assert bench.states.next_few(3) == ["opening", "running", "waiting"]
    getattr(bench.streams, command)("test")
    assert bench.states.next() == "stopped"
    assert bench.timers.waiting == []
    assert bench.forgotten == (["test"] if command == "remove" else [])
    assert len(bench.streams.all) == (command == "stop")


def test_what_was_stopped_does_not_come_back(benches: list[Bench]) -> None:
    benches.append(bench := Bench({"when": "always"}, endless=True))
    assert bench.states.next_few(2) == ["opening", "running"]
    bench.streams.stop()
    assert bench.states.next() == "stopped"
    assert bench.timers.pauses == []


def test_a_try_that_fails_once_the_stream_was_stopped_is_no_failure(benches: list[Bench]) -> None:
    benches.append(bench := Bench({"when": "on-error"}, **BROKEN))
    assert bench.states.next_few(3) == ["opening", "running", "waiting"]
    with bench.streams.lock:  # another try was under way, and fails after the command to stop
        bench.stream.state, bench.stream.cancel_retry = "opening", None
        bench.streams.stop()
        bench.supervisor.note(bench.stream.run)
    assert bench.states.next_few(1) == ["stopped"]
    assert bench.stream.error is None


def test_a_stream_comes_back_as_commands_have_changed_it(benches: list[Bench]) -> None:
    benches.append(bench := Bench({"when": "on-error"}, **BROKEN))
    assert bench.states.next_few(3) == ["opening", "running", "waiting"]
    bench.stream.run.graph.nodes["b"].commands()["tune"](gain=7)()
    bench.timers.go_off()
    assert bench.stream.run.graph.nodes["b"].settings() == {"gain": 7, "limit": 10}


def test_a_stream_that_cannot_be_built_any_more_has_failed(benches: list[Bench]) -> None:
    benches.append(bench := Bench({"when": "on-error"}, **BROKEN))
    assert bench.states.next_few(3) == ["opening", "running", "waiting"]
    bench.stream.run.graph.nodes["b"].commands()["spoil"]()()
    bench.timers.go_off()
    assert bench.states.next() == "failed"
    assert isinstance(bench.stream.error, ConfigError)
    assert bench.streams.wait(30)
