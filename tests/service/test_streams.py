"""One graph for many streams: from the file and over the control socket, together and apart."""

from __future__ import annotations

import shutil
import struct
import threading
import time
import wave
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import zmq

from auricle.engine.overload import Ladder
from auricle.engine.scheduler import usable_cores
from auricle.errors import WireError
from auricle.models.inference.incremental import IncrementalInference
from auricle.nodes.backbone import Backbone
from auricle.nodes.inputs import url as url_input
from auricle.service.graph_file import read_graph_file
from auricle.service.service import Service
from auricle.service.stream_list import StreamSpec, list_streams
from auricle.service.template import load_graph
from auricle.tagging import FileTagger
from auricle.wire.client import Subscriber, request
from auricle.wire.messages import (
    Computed,
    End,
    Error,
    Heartbeat,
    Message,
    Prediction,
    Skip,
)
from tests.cli.command import assert_one_line, auricle
from tests.tiny import make_backbone, make_head, make_transformer

GRAPH = """
stream: template
nodes:
  - {id: input, class: FileInput, params: {path: a.wav}}
  - {id: mel, class: MelSpectrogram}
  - {id: backbone, class: Backbone, params: {model: MODEL}}
  - {id: publish, class: Publisher}
edges:
  - input -> mel -> backbone.predictions -> publish.predictions
wire: {publish: "tcp://127.0.0.1:*", control: "tcp://127.0.0.1:*"}
"""

REALTIME = {"input.realtime": True}


def write_sound(path: Path, seconds: float, seed: int, rate: int = 16000) -> None:
    samples = np.random.default_rng(seed).integers(-9999, 9999, round(seconds * rate)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(samples.tobytes())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and sounds of two seconds and of nine."""
    folder = tmp_path_factory.mktemp("streams")
    make_backbone(folder / "tiny")
    for seed, name in enumerate("abc"):
        write_sound(folder / f"{name}.wav", 2, seed)
    write_sound(folder / "long.wav", 9, 9)
    return folder


def graph(folder: Path, streams: str, name: str = "many.yaml") -> Path:
    path = folder / name
    path.write_text(GRAPH.replace("MODEL", str(folder / "tiny")) + f"streams: {streams}\n")
    return path


def service_of(path: Path) -> Service:
    return Service(load_graph(path), path.parent)


def listen_to_all(
    service: Service, topics: tuple[str, ...] = ("",), streams: int = 0
) -> list[Message]:
    """What a service publishes until so many streams have ended; it is started once it is heard."""
    ended, messages = 0, []
    service.server.start()
    with Subscriber(service.server.addresses["publish"], topics) as subscriber:
        assert subscriber.receive(10), "the heartbeat"
        service._scheduler.start()
        while ended < streams:
            message = subscriber.receive(20)
            assert message is not None
            messages.append(message)
            ended += isinstance(message, (End, Error))
        assert subscriber.losses.total == 0
    return messages


def activations_of(messages: list[Message], stream: str) -> list[dict[str, float]]:
    """Activations by label of each prediction of a stream."""
    return [
        dict(each.activations)
        for each in messages
        if isinstance(each, Prediction) and each.stream == stream
    ]


def test_each_stream_gives_what_its_file_gives(folder: Path) -> None:
    names = "abc"
    specs = [
        f"{{name: radio-{n}, input: {n}.wav, values: {{input.realtime: true}}}}" for n in names
    ]
    service = service_of(graph(folder, f"[{', '.join(specs)}]"))
    messages = listen_to_all(service, streams=3)
    service.stop()
    for name in names:
        found = activations_of(messages, f"radio-{name}")
        offline = FileTagger(folder / f"{name}.wav", str(folder / "tiny"))
        assert found == [segment.activations for segment in offline]
    assert not any(m.stream == "template" for m in messages)


def test_parameters_may_differ(folder: Path) -> None:
    streams = "[{name: x, input: a.wav}, {name: y, input: a.wav, values: {backbone.hop_size: 40}}]"
    service = service_of(graph(folder, streams))
    messages = listen_to_all(service, streams=2)
    service.stop()
    counts = [len(activations_of(messages, name)) for name in "xy"]
    frames = 1 + 32000 // 256
    assert counts == [(frames - 40) // 13 + 1, (frames - 40) // 40 + 1]


def test_streams_share_sessions_and_workers(folder: Path) -> None:
    specs = ", ".join(
        f"{{name: s{n}, input: long.wav, values: {{input.realtime: true}}}}" for n in range(6)
    )
    with service_of(graph(folder, f"[{specs}]")) as service:
        backbones = [
            b for run in service.runs if isinstance(b := run.graph.nodes["backbone"], Backbone)
        ]
        assert len(backbones) == 6
        # Runs say that they run while their nodes are opened.
        wait_until(lambda: all(b._inference is not None for b in backbones))
        inferences = [b._inference for b in backbones]
        sessions = {id(i._session) for i in inferences if isinstance(i, IncrementalInference)}
        assert len(sessions) == 1
        assert service._scheduler.workers == usable_cores()


def wait_until(condition: object, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.01)


def test_streams_come_and_go_over_the_control_socket(folder: Path) -> None:
    with service_of(graph(folder, "[]")) as service:
        address = service.server.addresses["control"]
        assert request(address, "list") == {}
        assert not service.wait(0.2), "without streams it waits for some"
        with Subscriber(service.server.addresses["publish"], ["one/", "two/"]) as subscriber:
            assert (
                request(address, "add-stream", stream="one", input="long.wav", values=REALTIME)
                == "one"
            )
            assert (
                request(address, "add-stream", stream="two", input=str(folder / "a.wav")) == "two"
            )
            assert request(address, "list").keys() == {"one", "two"}
            heard = [subscriber.receive(20) for _ in range(4)]
            assert all(heard)
            assert request(address, "remove-stream", stream="one") == "one"
            kinds = {}
            while len(kinds) < 2:
                message = subscriber.receive(20)
                assert message is not None
                if isinstance(message, End):
                    kinds[message.stream] = message.reason
            assert kinds == {"one": "stopped", "two": "finished"}
            assert subscriber.losses.total == 0
        wait_until(lambda: request(address, "list").keys() == {"two"})
        with Subscriber(service.server.addresses["publish"]) as late:
            beat = late.receive(20)
            topics = {beat.topic if beat else ""}
            while message := late.receive(1.5):
                if isinstance(message, Heartbeat):
                    break
                topics.add(message.topic)
        assert not any(topic.startswith("one/") for topic in topics), (
            "nothing is kept of what is removed"
        )
        # A name that has ended may be used again; what cannot be built leaves the old entry.
        with pytest.raises(WireError, match="no parameter 'hop'"):
            request(address, "add-stream", stream="two", input="b.wav", values={"mel.hop": 1})
        assert request(address, "list").keys() == {"two"}
        assert request(address, "add-stream", stream="two", input="b.wav") == "two"
        assert request(address, "add-stream", stream="one", input="b.wav") == "one"


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        ("add-stream", {"stream": "a b", "input": "a.wav"}, "name='a b'"),
        ("add-stream", {"stream": "x", "input": "zmq:nowhere"}, "stream 'x': input 'zmq:nowhere'"),
        (
            "add-stream",
            {"stream": "x", "input": "a.wav", "values": {"mel.hop": 3}},
            "no parameter 'hop'",
        ),
        (
            "add-stream",
            {"stream": "x", "input": "a.wav", "values": {"lem.hop": 3}},
            "no node 'lem'",
        ),
        ("add-stream", {"stream": "here", "input": "a.wav"}, "there is a stream 'here' already"),
        ("add-stream", {"stream": "x"}, "missing a required argument: 'input'"),
        ("remove-stream", {"stream": "x"}, "no stream 'x'; streams are: here"),
    ],
)
def test_bad_requests_change_nothing(
    folder: Path, command: str, arguments: dict, message: str
) -> None:
    streams = "[{name: here, input: long.wav, values: {input.realtime: true}}]"
    with service_of(graph(folder, streams)) as service:
        address = service.server.addresses["control"]
        with pytest.raises(WireError) as caught:
            request(address, command, **arguments)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
        assert request(address, "list").keys() == {"here"}


def test_list_of_sources(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "stations.txt").write_text(
        "# stations\n\nhttp://radio.example/Jazz%20FM.mp3?x=1.2\n  a.wav  \nzmq:tcp://127.0.0.1:5690\n"
    )
    path = graph(
        folder,
        "{name: 'r{number}-{stem}', sources: stations.txt, values: {mel.front_end: musicnn}}",
    )
    assert list_streams(read_graph_file(path).streams, tmp_path) == [
        StreamSpec(name=name, input=line, values={"mel.front_end": "musicnn"})
        for name, line in [
            ("r3-Jazz-20FM", "http://radio.example/Jazz%20FM.mp3?x=1.2"),
            ("r4-a", "a.wav"),
            ("r5-127.0.0", "zmq:tcp://127.0.0.1:5690"),
        ]
    ]


@pytest.mark.parametrize(
    ("streams", "message"),
    [
        ("[{name: x, input: a.wav}, {name: x, input: b.wav}]", "2 streams have the name 'x'"),
        ("[{name: x/y, input: a.wav}]", "streams.list.0.name='x/y'"),
        ("[{name: x}]", "parameter 'streams.list.0.input' is missing"),
        ("[{name: x, input: a.wav, values: {input.loop: 1}}]", "input: no parameter 'loop'"),
        ("{name: 'r{number}', sources: none.txt}", "none.txt: No such file"),
        ("{name: 'r{hour}', sources: list.txt}", "only {number} and {stem}"),
        ("{name: 'r', sources: list.txt}", "2 streams have the name 'r'"),
        ("{name: 'r {number}', sources: list.txt}", "list.txt, line 1: name='r 1'"),
    ],
)
def test_bad_streams_are_one_line(folder: Path, streams: str, message: str) -> None:
    (folder / "list.txt").write_text("a.wav\nb.wav\n")
    path = graph(folder, streams, "bad.yaml")
    assert_one_line(auricle("run", path), message, code=2)


def test_check_looks_at_every_stream(folder: Path) -> None:
    streams = "[{name: x, input: a.wav}, {name: y, input: a.wav, values: {mel.hop: 3}}]"
    path = graph(folder, streams, "checked.yaml")
    assert_one_line(auricle("graph", "check", path), "no parameter 'hop'", code=2)
    path.write_text(path.read_text().replace("mel.hop: 3", "mel.front_end: musicnn"))
    assert auricle("graph", "check", path).stdout == f"{path}: ok, 4 nodes, 3 edges, 2 streams\n"


def test_another_input_has_no_place(folder: Path) -> None:
    path = graph(folder, "[{name: x, input: a.wav}]", "one.yaml")
    assert_one_line(auricle("run", path, "--input", "a.wav"), "it has streams of its own", code=2)


def test_command_line_tells_of_each_stream(folder: Path) -> None:
    streams = (
        "[{name: good, input: a.wav}, {name: bad, input: gone.wav}, {name: cut, input: a.yaml}]"
    )
    (folder / "a.yaml").write_text("no sound")
    result = auricle("run", graph(folder, streams, "some.yaml"))
    lines = result.stderr.strip().splitlines()
    assert result.returncode == 1
    assert any(line.startswith("3 streams; publish tcp://") for line in lines)
    assert any(
        line.startswith("auricle: bad: input: ") and "gone.wav: No such file" in line
        for line in lines
    )
    assert any(line.startswith("auricle: cut: input: ") for line in lines)
    assert "2 of 3 streams failed" in lines[-1]


def test_status_has_latencies_and_the_rung(folder: Path) -> None:
    streams = "[{name: x, input: long.wav, values: {input.realtime: true}}]"
    with service_of(graph(folder, streams)) as service:
        with Subscriber(service.server.addresses["publish"]) as subscriber:
            beat: Message | None = None
            while not isinstance(beat, Heartbeat) or not beat.latency:
                beat = subscriber.receive(20)
                assert beat is not None
        of_stream = request(service.server.addresses["control"], "statistics", stream="x")["x"][
            "latency"
        ]
    assert beat.rung == 0
    assert beat.streams == {"running": 1}
    for latency in (msgspec.to_builtins(beat.latency), of_stream):
        assert {"capture", "queue", "mel", "inference", "publish", "total"} <= latency.keys()
        for figures in latency.values():
            assert figures["count"] > 0
            assert figures["p50"] <= figures["p95"] <= figures["p99"] <= figures["max"]


def test_heads_are_for_all_streams_or_none(folder: Path) -> None:
    make_head(folder / "mood")
    make_head(folder / "genre")
    mood, genre = str(folder / "mood"), str(folder / "genre")
    path = graph(folder, "[{name: x, input: long.wav}, {name: y, input: long.wav}]", "heads.yaml")
    text = path.read_text().replace("edges:", "  - {id: heads, class: Heads}\nedges:")
    text = text.replace(
        "  - input ->", "  - backbone.embeddings -> heads -> publish.predictions\n  - input ->"
    )
    path.write_text(text)

    def heads() -> dict[str, list[str]]:
        said = request(address, "statistics")
        return {name: stream["nodes"]["heads"]["heads"] for name, stream in said.items()}

    with service_of(path) as service:
        address = service.server.addresses["control"]
        assert request(address, "add-head", head=mood, stream="y") == ["mood"]
        with pytest.raises(WireError, match="there is a head 'mood' already"):
            request(address, "add-head", head=mood)
        assert heads() == {"x": [], "y": ["mood"]}
        assert request(address, "add-head", head=genre) == ["genre", "genre"]
        request(address, "add-stream", stream="z", input="long.wav")
        assert heads() == {"x": ["genre"], "y": ["mood", "genre"], "z": ["genre"]}
        assert request(address, "remove-head", head="genre") == ["genre"]
        with pytest.raises(WireError, match="no head 'genre'"):
            request(address, "remove-head", head="genre")
        request(address, "add-stream", stream="w", input="long.wav")
        assert heads() == {"x": [], "y": ["mood"], "z": [], "w": []}
        # Without any stream, and with a head whose folder is gone.
        request(address, "add-head", head=genre, stream="x")
        for name in "xyzw":
            request(address, "remove-stream", stream=name)
        wait_until(lambda: request(address, "list") == {})
        assert request(address, "add-head", head=genre) == ["genre"]
        request(address, "add-stream", stream="v", input="long.wav")
        assert heads() == {"v": ["genre"]}
        shutil.rmtree(genre)
        assert request(address, "remove-head", head="genre") == ["genre"]
        request(address, "add-stream", stream="u", input="long.wav")
        assert heads() == {"v": [], "u": []}


MIXED = """
stream: template
nodes:
  - {id: input, class: FileInput, params: {path: long.wav}}
  - {id: mel, class: MelSpectrogram}
  - {id: one, class: Backbone, params: {model: PATCHES, kind: one}}
  - {id: two, class: Backbone, params: {model: PATCHES, kind: two}}
  - {id: plain, class: Backbone, params: {model: PLAIN}}
  - {id: publish, class: Publisher}
edges:
  - input -> mel -> one.predictions -> publish.predictions
  - mel -> two.predictions -> publish.predictions
  - mel -> plain.predictions -> publish.predictions
wire: {publish: "tcp://127.0.0.1:*", control: "tcp://127.0.0.1:*"}
streams: []
"""


def test_patches_are_left_out_by_all_transformers_and_no_other_model(
    folder: Path, tmp_path: Path
) -> None:
    transformer = make_transformer(tmp_path / "patches")
    path = tmp_path / "mixed.yaml"
    path.write_text(
        MIXED.replace("PATCHES", str(transformer)).replace("PLAIN", str(folder / "tiny"))
    )

    def levels(name: str) -> list[tuple[str, ...]]:
        (run,) = [run for run in service.runs if run.graph.name == name]
        nodes = [run.graph.nodes[node] for node in ("one", "two")]
        return [tuple(map(str, node.levels_for())) for node in nodes if isinstance(node, Backbone)]

    with service_of(path) as service:
        address = service.server.addresses["control"]
        with pytest.raises(
            WireError, match="no patchout level 'most'; levels are: full, half, least"
        ):
            request(address, "patchout", patchout="most")
        assert request(address, "patchout", patchout="half") == {}, "for streams that come later"
        request(address, "add-stream", stream="a", input=str(folder / "long.wav"), values=REALTIME)
        assert levels("a") == [("half",), ("half",)]
        assert request(address, "patchout", patchout="least") == {
            "a": {"one": ["least"], "two": ["least"]}
        }
        assert levels("a") == [("least",), ("least",)]
        with pytest.raises(WireError, match="no patchout level 'most'"):
            request(address, "patchout", patchout="most")
        request(address, "add-stream", stream="b", input=str(folder / "long.wav"), values=REALTIME)
        assert levels("a") == levels("b") == [("least",), ("least",)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"adaptive": "banana"}, "one: adaptive='banana': input should be true or false"),
        ({"adaptive": [1]}, "one: adaptive=[1]: input should be true or false"),
        ({"patchout": []}, "one: patchout=[]: input should be a valid dictionary"),
        ({"patchout": 0}, "one: patchout=0: input should be a valid dictionary"),
        (
            {"patchout": {"keep_every": 0}},
            "one: patchout.keep_every=0: input should be greater than",
        ),
        ({"patchout": {"keep_evry": 2}}, "one: no parameter 'patchout.keep_evry'"),
        (
            {"patchout": "least"},
            "one: tiny: no level is cheaper than least, and adaptive needs one; adaptive: false goes with it "
            "(auricle control: --fixed)",
        ),
    ],
)
def test_what_is_no_patchout_changes_nothing(
    folder: Path, tmp_path: Path, arguments: dict, message: str
) -> None:
    transformer = make_transformer(tmp_path / "patches")
    path = tmp_path / "mixed.yaml"
    path.write_text(
        MIXED.replace("PATCHES", str(transformer)).replace("PLAIN", str(folder / "tiny"))
    )
    with service_of(path) as service:
        address = service.server.addresses["control"]
        request(address, "add-stream", stream="a", input=str(folder / "long.wav"), values=REALTIME)
        before = request(address, "patchout", patchout="half", adaptive=True, stream="a")
        for stream in ({"stream": "a"}, {}):
            with pytest.raises(WireError) as caught:
                request(address, "patchout", **arguments, **stream)
            assert message in str(caught.value)
            assert "\n" not in str(caught.value)
        assert request(address, "patchout", stream="a") == before


SMOOTHED = """
stream: template
nodes:
  - {id: input, class: FileInput, params: {path: long.wav}}
  - {id: mel, class: MelSpectrogram}
  - {id: backbone, class: Backbone, params: {model: PATCHES}}
  - {id: smooth, class: Aggregator}
  - {id: publish, class: Publisher}
edges:
  - input -> mel -> backbone.predictions -> smooth.predictions -> publish.predictions
  - backbone.embeddings -> publish.arrays
  - mel -> publish.arrays
wire: {publish: "tcp://127.0.0.1:*", arrays: "tcp://127.0.0.1:*", control: "tcp://127.0.0.1:*"}
streams: []
"""


def test_what_is_published_says_which_patches_were_looked_at(folder: Path, tmp_path: Path) -> None:
    """Of predictions that are smoothed and of embeddings alike, before and after a change; of mel
    frames nothing.
    """
    path = tmp_path / "smoothed.yaml"
    path.write_text(SMOOTHED.replace("PATCHES", str(make_transformer(tmp_path / "patches"))))
    said: dict[str, list[tuple[int, str | None]]] = {"tags": [], "embeddings": [], "mel": []}

    def hear(subscriber: Subscriber) -> None:
        message = subscriber.receive(20)
        assert message is not None
        if isinstance(message, Computed):
            said[message.topic.split("/")[2]].append((message.index, message.patchout))

    with service_of(path) as service:
        at = service.server.addresses
        with (
            Subscriber(at["publish"], ["a/prediction", "_engine/"]) as tags,
            Subscriber(at["arrays"], ["a/", "_engine/"]) as arrays,
        ):
            assert all(each.receive(10) for each in (tags, arrays)), "the heartbeat"
            request(
                at["control"],
                "add-stream",
                stream="a",
                input=str(folder / "long.wav"),
                values=REALTIME,
            )
            while len(said["tags"]) < 3:
                hear(tags)
            request(at["control"], "patchout", patchout="least", stream="a")
            while said["tags"][-1][1] == "full":
                hear(tags)
            while not said["embeddings"] or said["embeddings"][-1][0] < said["tags"][-1][0]:
                hear(arrays)
    levels = [level for _, level in said["tags"]]
    assert levels == ["full"] * (len(levels) - 1) + ["least"]
    assert said["embeddings"] == said["tags"]
    assert {level for _, level in said["mel"]} == {None}


def test_files_among_streams_play_in_real_time(folder: Path) -> None:
    fast = "{name: fast, input: long.wav, values: {input.realtime: false}}"
    service = service_of(graph(folder, f"[{{name: live, input: long.wav}}, {fast}]", "speed.yaml"))
    assert [run.graph.nodes["input"].live for run in service.runs] == [True, False]


def test_what_the_ladder_leaves_out_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rung 3, one segment in four, and one of those too late."""
    monkeypatch.setattr(Ladder, "look", lambda self, now: None)
    late_s = Backbone._late_s
    monkeypatch.setattr(
        Backbone, "_late_s", lambda self: 99.0 if self.reader.number == 20 else late_s(self)
    )
    names = [f"s{n}" for n in range(4)]
    specs = ", ".join(f"{{name: {name}, input: long.wav}}" for name in names)
    service = service_of(graph(folder, f"[{specs}]", "ladder.yaml"))
    service._scheduler.ladder.rung = 3
    messages = listen_to_all(service, streams=len(names))
    service.stop()
    expected = [
        segment.activations for segment in FileTagger(folder / "long.wav", str(folder / "tiny"))
    ]
    skipped = Counter[str]()
    for name in names:
        mine = [m for m in messages if m.stream == name]
        served = [m for m in mine if isinstance(m, Prediction)]
        assert {m.rung for m in served} == {3}
        for m in served:
            # A segment computed after others were left out shares nothing with one before: sums may
            # differ.
            assert dict(m.activations) == pytest.approx(expected[m.index], abs=1e-5)
        left_out = Counter[str]()
        for m in mine:
            if isinstance(m, Skip):
                left_out[m.reason] += m.count
        assert len(served) + left_out.total() == len(expected), "each segment once"
        assert abs(len(served) + left_out["overload"] - len(expected) / 4) <= 1
        skipped += left_out
    assert skipped["overload"] == 1, "the one stream whose turn it was"


# -- bad neighbours --------------------------------------------------------------------------------

GOOD = 50
BAD = 8


class Station:
    """A web radio that sends 16 kHz WAV in real time, and hangs up after a second."""

    def __init__(self) -> None:
        station = self
        self.closing = threading.Event()
        self.asked = 0

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                station.asked += 1
                self.send_response(200)
                self.send_header("Content-Type", "audio/wav")
                self.end_headers()
                # A length of 2**32 - 1 says that nobody knows it.
                fields = (
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
                with suppress(OSError):
                    self.wfile.write(struct.pack("<4sI8sIHHIIHH4sI", *fields))
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


@pytest.fixture
def station(monkeypatch: pytest.MonkeyPatch) -> Iterator[Station]:
    monkeypatch.setattr(url_input, "FIRST_PAUSE_S", 0.05)
    station = Station()
    yield station
    station.closing.set()
    station.server.shutdown()
    station.server.server_close()


def test_bad_streams_cost_fifty_good_ones_nothing(
    folder: Path, station: Station, tmp_path: Path
) -> None:
    """Silence, garbage, a station that hangs up every second, 192 kHz, and streams that come and
    go.
    """
    write_sound(folder / "wide.wav", 9, 3, rate=192_000)
    specs = ", ".join(
        f"{{name: good-{n}, input: long.wav, values: {{input.realtime: true}}}}"
        for n in range(GOOD)
    )
    service = service_of(graph(folder, f"[{specs}]", "fifty.yaml"))
    service.server.start()
    with Subscriber(service.server.addresses["publish"], ["good-", "_engine/"]) as subscriber:
        assert subscriber.receive(10)
        service._scheduler.start()
        address = service.server.addresses["control"]
        garbage = zmq.Context.instance().socket(zmq.PUSH)
        port = garbage.bind_to_random_port("tcp://127.0.0.1")
        silent = zmq.Context.instance().socket(zmq.PUSH)
        quiet = silent.bind_to_random_port("tcp://127.0.0.1")
        connect = {"input.connect": True}
        messages = receive_for(subscriber, 2)  # the good ones alone
        alone = len(messages)
        bad = {
            "silent": (f"zmq:tcp://127.0.0.1:{quiet}", connect),
            "garbage": (f"zmq:tcp://127.0.0.1:{port}", connect),
            "noise": (str(folder / "tiny/model.onnx"), REALTIME),
            "hanging-up": (station.url, {"input.timeout_s": 2}),
            "wide": (str(folder / "wide.wav"), REALTIME),
        }
        for name, (source, values) in bad.items():
            request(address, "add-stream", stream=name, input=source, values=values)
        garbage.send_multipart([b"\xff\x00 no header", b"\x01" * 999])
        for n in range(5):
            request(address, "add-stream", stream=f"guest-{n}", input="long.wav")
            remove_in_mid_inference(service, f"guest-{n}")
        states = request(address, "list")
        assert states["garbage"]["state"] == states["noise"]["state"] == "failed"
        assert states["silent"]["state"] == states["wide"]["state"] == "running"
        assert station.asked > 1
        assert states["hanging-up"]["counts"].get("reconnect", 0) > 0
        while sum(isinstance(message, End) for message in messages) < GOOD:
            message = subscriber.receive(20)
            assert message is not None
            messages.append(message)
        assert subscriber.losses.total == 0
    service.stop()
    garbage.close(0)
    silent.close(0)
    expected = [
        segment.activations for segment in FileTagger(folder / "long.wav", str(folder / "tiny"))
    ]
    for n in range(GOOD):
        assert activations_of(messages, f"good-{n}") == expected, "all, and the same"
    assert not any(m.type in ("skip", "gap", "error") for m in messages)
    assert {m.rung for m in messages if isinstance(m, Prediction)} == {0}
    # The median of the good ones, before the bad ones came and with them there; the slowest ones
    # are at the mercy of whatever else the machine does. A tenth of a second is a fifth of a
    # window's deadline.
    before, during = (
        np.median([m.latency["total"] for m in part if isinstance(m, Prediction)])
        for part in (messages[:alone], messages[alone:])
    )
    assert during <= before + 0.1


def receive_for(subscriber: Subscriber, seconds: float) -> list[Message]:
    end = time.monotonic() + seconds
    messages = []
    while (left := end - time.monotonic()) > 0:
        if (message := subscriber.receive(left)) is not None:
            messages.append(message)
    return messages


def remove_in_mid_inference(service: Service, name: str) -> None:
    """Remove a stream while its worker is computing."""
    (run,) = [run for run in service.runs if run.graph.name == name]
    node, inside, removed = run.graph.nodes["backbone"], threading.Event(), threading.Event()
    assert isinstance(node, Backbone)
    compute = node.compute

    def held(*arguments: Any) -> None:
        inside.set()
        assert removed.wait(10)
        compute(*arguments)

    node.compute = held  # type: ignore[method-assign]
    assert inside.wait(10)
    request(service.server.addresses["control"], "remove-stream", stream=name)
    removed.set()
    wait_until(lambda: all(run.graph.name != name for run in service.runs))
