"""One graph for many streams: together and apart, coming and going."""

from __future__ import annotations

import gc
from pathlib import Path

import onnxruntime
import pytest

from auricle.engine.node import Source
from auricle.engine.scheduler import usable_cores
from auricle.errors import WireError
from auricle.service.service import Service
from auricle.wire.client import Subscriber
from auricle.wire.messages import End, Heartbeat, Message, State
from tests.service.running import (
    REALTIME,
    activations_of,
    listen_to_all,
    make_service,
    names,
    request,
    tagged,
    write_graph,
)
from tests.tiny import make_backbone


def test_each_stream_gives_what_its_file_gives(folder: Path) -> None:
    specs = [
        f"{{name: radio-{n}, input: {n}.wav, values: {{input.realtime: true}}}}" for n in "abc"
    ]
    service = make_service(write_graph(folder, f"[{', '.join(specs)}]"))
    messages = listen_to_all(service, streams=3)
    service.stop()
    for name in "abc":
        assert activations_of(messages, f"radio-{name}") == tagged(folder, f"{name}.wav")
    assert not any(message.stream == "template" for message in messages)


def test_parameters_may_differ(folder: Path) -> None:
    streams = "[{name: x, input: a.wav}, {name: y, input: a.wav, values: {backbone.hop_size: 40}}]"
    service = make_service(write_graph(folder, streams))
    messages = listen_to_all(service, streams=2)
    service.stop()
    counts = [len(activations_of(messages, name)) for name in "xy"]
    frames = 1 + 32000 // 256
    assert counts == [(frames - 40) // 13 + 1, (frames - 40) // 40 + 1]


def count_sessions() -> int:
    gc.collect()
    sessions = (
        onnxruntime.InferenceSession,
        onnxruntime.capi.onnxruntime_inference_collection.Session,
    )
    return sum(isinstance(each, sessions) for each in gc.get_objects())


def test_streams_share_sessions_and_workers(folder: Path, tmp_path: Path) -> None:
    make_backbone(tmp_path / "fresh", seed=17)
    path = write_graph(folder, "[{name: s0, input: long.wav}]", "shared.yaml")
    path.write_text(path.read_text().replace(str(folder / "tiny"), str(tmp_path / "fresh")))
    with make_service(path) as service:
        assert service.workers == usable_cores()
        assert service.streams.wait_for(lambda: not service.opening, 30)
        of_one = count_sessions()
        for n in range(1, 6):
            service.add_stream(f"s{n}", "long.wav")
        assert service.streams.wait_for(lambda: not service.opening, 30)
        assert len(service.runs) == 6
        assert count_sessions() == of_one > 0


def test_streams_come_and_go_over_the_control_socket(folder: Path) -> None:
    with make_service(write_graph(folder, "[]", "coming.yaml")) as service:
        address = service.server.addresses["control"]
        assert request(address, "list") == {}
        assert not service.wait(0), "without streams it waits for some"
        with Subscriber(service.server.addresses["publish"], ["one/", "two/"]) as subscriber:
            added = request(address, "add-stream", stream="one", input="long.wav", values=REALTIME)
            assert added == "one"
            assert request(address, "add-stream", stream="two", input=f"{folder}/a.wav") == "two"
            assert list(request(address, "list")) == ["one", "two"]
            heard = [subscriber.receive(20) for _ in range(4)]
            assert all(heard)
            assert request(address, "remove-stream", stream="one") == "one"
            reasons: dict[str, str] = {}
            while len(reasons) < 2:
                message = subscriber.receive(20)
                assert message is not None
                if isinstance(message, End):
                    reasons[message.stream] = message.reason
            assert reasons == {"one": "stopped", "two": "finished"}
            assert subscriber.losses.total == 0
        assert service.streams.wait_for(lambda: names(service) == ["two"], 20)
        assert list(request(address, "list")) == ["two"]
        assert not any(topic.startswith("one/") for topic in topics_for_late_joiners(service))
        # A name that has ended may be used again; what cannot be built leaves the old entry.
        with pytest.raises(WireError, match="no parameter 'hop'"):
            request(address, "add-stream", stream="two", input="b.wav", values={"mel.hop": 1})
        assert list(request(address, "list")) == ["two"]
        assert request(address, "add-stream", stream="two", input="b.wav") == "two"
        assert request(address, "add-stream", stream="one", input="b.wav") == "one"


def topics_for_late_joiners(service: Service) -> set[str]:
    """What a server repeats for a late subscriber: everything that is retained."""
    with Subscriber(service.server.addresses["publish"]) as late:
        topics: set[str] = set()
        while (message := late.receive(20)) is not None:
            if isinstance(message, Heartbeat) and not message.retained:
                return topics
            topics.add(message.topic)
    raise AssertionError("no heartbeat")


def test_states_are_published_when_they_change(folder: Path) -> None:
    """In order with everything else; and the last of them for whoever comes late."""
    streams = "[{name: good, input: a.wav}, {name: bad, input: gone.wav}]"
    service = make_service(write_graph(folder, streams, "states.yaml"))
    service.server.start()
    found: dict[str, list[State]] = {"good": [], "bad": []}
    order: list[Message] = []
    with Subscriber(service.server.addresses["publish"], ["good/", "bad/"]) as subscriber:
        with Subscriber(service.server.addresses["publish"]) as probe:
            assert probe.receive(10)
        service.start_streams()
        while not all(
            states and states[-1].state in ("finished", "failed") for states in found.values()
        ):
            message = subscriber.receive(20)
            assert message is not None
            order.append(message)
            if isinstance(message, State):
                found[message.stream].append(message)
        assert subscriber.losses.total == 0
    assert [state.state for state in found["good"]] == ["opening", "running", "finished"]
    assert [state.state for state in found["bad"]] == ["opening", "failed"]
    assert "gone.wav: No such file" in str(found["bad"][-1].error)
    assert [state.since for state in found["good"]] == sorted(s.since for s in found["good"])
    good = [message.type for message in order if message.stream == "good"]
    assert good[:2] == ["state", "state"], "before anything that was heard"
    assert good[-2:] == ["end", "state"]
    assert {"good/state", "bad/state"} <= topics_for_late_joiners(service)
    service.stop()


def test_files_among_streams_play_in_real_time(folder: Path) -> None:
    fast = "{name: fast, input: long.wav, values: {input.realtime: false}}"
    streams = f"[{{name: live, input: long.wav}}, {fast}]"
    service = make_service(write_graph(folder, streams, "speed.yaml"))
    sources = [run.graph.nodes["input"] for run in service.runs]
    assert [source.live for source in sources if isinstance(source, Source)] == [True, False]


def test_heartbeats_have_latencies_the_rung_and_states(folder: Path) -> None:
    streams = "[{name: x, input: long.wav, values: {input.realtime: true}}]"
    with make_service(write_graph(folder, streams, "beating.yaml")) as service:
        with Subscriber(service.server.addresses["publish"]) as subscriber:
            beat: Message | None = None
            while not (isinstance(beat, Heartbeat) and beat.latency):
                beat = subscriber.receive(20)
                assert beat is not None
        statistics = request(service.server.addresses["control"], "statistics", stream="x")
    assert (beat.rung, beat.streams) == (0, {"running": 1})
    stages = {"capture", "queue", "mel", "inference", "publish", "total"}
    assert stages <= beat.latency.keys()
    for figures in beat.latency.values():
        assert figures.count > 0
        assert figures.p50 <= figures.p95 <= figures.p99 <= figures.max
    assert stages <= statistics["x"]["latency"].keys()
    for stage in statistics["x"]["latency"].values():
        assert stage["count"] > 0
        assert stage["p50"] <= stage["p95"] <= stage["p99"] <= stage["max"]
