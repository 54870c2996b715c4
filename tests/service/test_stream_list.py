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


@pytest.mark.parametrize(
    ("name", "text", "numbers"),
    [
        ("list.txt", "\ufeffhttp://radio/a\nhttp://radio/b\n", [1, 2]),
        ("list.txt", "\ufeff# mine\r\nhttp://radio/a\r\nhttp://radio/b\r\n", [2, 3]),
        ("list.m3u", "#EXTM3U\n#EXTINF:-1,A\nhttp://radio/a\n#EXTINF:-1,B\nhttp://radio/b", [3, 5]),
        (
            "list.PLS",
            "[playlist]\nNumberOfEntries=2\nFile1=http://radio/a\nTitle1=A\n"
            "Length1=-1\nfile2 = http://radio/b\nVersion=2\n",
            [3, 6],
        ),
    ],
)
def test_lists_as_other_programs_write_them(
    folder: Path, tmp_path: Path, name: str, text: str, numbers: list[int]
) -> None:
    (tmp_path / name).write_text(text)
    path = write_graph(folder, f"{{name: 'r{{number}}', sources: {name}}}")
    assert list_streams(read_graph_file(path).streams, tmp_path) == [
        StreamSpec(name=f"r{number}", input=f"http://radio/{letter}")
        for number, letter in zip(numbers, "ab", strict=True)
    ]


def test_a_bad_line_ends_no_other_stream(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "stations.txt").write_text("a.wav\nht_tp://bob:s3cret@radio/x\nzmq:5690\nb.wav\n")
    path = write_graph(folder, "{name: 'r{number}', sources: stations.txt}")
    service = make_service(path)
    assert [stream.name for stream in service.streams.all] == ["r1", "r4"]
    errors = [record.getMessage() for record in caplog.records]
    assert len(errors) == 2
    assert "radio/x" in errors[0]
    assert "s3cret" not in errors[0]
    assert "r3" in errors[1]
    assert_one_line(auricle("graph", "check", path), "radio/x", code=2)


def test_a_list_of_bad_lines_is_refused(folder: Path) -> None:
    (folder / "stations.txt").write_text("zmq:5690\nzmq:5691\n")
    path = write_graph(folder, "{name: 'r{number}', sources: stations.txt}")
    with pytest.raises(ConfigError, match="zmq:5690"):
        make_service(path)


BAD = [
    ("[{name: x, input: a.wav}, {name: x, input: b.wav}]", "2 streams have the name 'x'"),
    ("[{name: x/y, input: a.wav}]", "streams.list.0.name='x/y'"),
    ("[{name: x}]", "parameter 'streams.list.0.input' is missing"),
    ("[{name: x, input: a.wav, values: {input.loop: 1}}]", "input: no parameter 'loop'"),
    ("{name: 'r{number}', sources: none.txt}", "none.txt: No such file"),
    ("{name: 'r{hour}', sources: list.txt}", "only {stem}, {key} and {number}"),
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
