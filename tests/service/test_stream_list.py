"""The streams of a graph file: one by one, as a text file, and refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from auricle.errors import ConfigError
from auricle.service.graph_file import read_graph_file
from auricle.service.overrides import load_graph
from auricle.service.stream_list import StreamSpec, list_streams
from tests.cli.command import assert_one_line, auricle
from tests.service.running import make_service, write_graph


def test_list_of_sources(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "stations.txt").write_text(
        "# stations\n\nhttp://radio.example/Jazz%20FM.mp3?x=1.2\n  a.wav  \nzmq:tcp://127.0.0.1:5690\n"
    )
    path = write_graph(
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


BAD = [
    ("[{name: x, input: a.wav}, {name: x, input: b.wav}]", "2 streams have the name 'x'"),
    ("[{name: x/y, input: a.wav}]", "streams.list.0.name='x/y'"),
    ("[{name: x}]", "parameter 'streams.list.0.input' is missing"),
    ("[{name: x, input: a.wav, values: {input.loop: 1}}]", "input: no parameter 'loop'"),
    ("{name: 'r{number}', sources: none.txt}", "none.txt: No such file"),
    ("{name: 'r{hour}', sources: list.txt}", "only {number} and {stem}"),
    ("{name: 'r', sources: list.txt}", "2 streams have the name 'r'"),
    ("{name: 'r {number}', sources: list.txt}", "list.txt, line 1: name='r 1'"),
]


@pytest.mark.parametrize(("streams", "message"), BAD)
def test_bad_streams_are_one_line(folder: Path, streams: str, message: str) -> None:
    (folder / "list.txt").write_text("a.wav\nb.wav\n")
    path = write_graph(folder, streams, "bad.yaml")
    with pytest.raises(ConfigError) as caught:
        make_service(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_command_line_refuses_them_too(folder: Path) -> None:
    streams, message = BAD[0]
    path = write_graph(folder, streams, "bad.yaml")
    assert_one_line(auricle("run", path), message, code=2)


def test_check_looks_at_every_stream(folder: Path) -> None:
    streams = "[{name: x, input: a.wav}, {name: y, input: a.wav, values: {mel.hop: 3}}]"
    path = write_graph(folder, streams, "checked.yaml")
    assert_one_line(auricle("graph", "check", path), "no parameter 'hop'", code=2)
    path.write_text(path.read_text().replace("mel.hop: 3", "mel.front_end: musicnn"))
    assert auricle("graph", "check", path).stdout == f"{path}: ok, 4 nodes, 3 edges, 2 streams\n"


def test_another_input_has_no_place(folder: Path) -> None:
    path = write_graph(folder, "[{name: x, input: a.wav}]", "one.yaml")
    with pytest.raises(ConfigError, match="another input cannot replace the streams of this graph"):
        load_graph(path, source="a.wav")
