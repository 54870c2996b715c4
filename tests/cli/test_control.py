"""`auricle control`: asking a running engine from the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq.auth
from click.testing import CliRunner

from auricle.cli import cli
from auricle.cli.control import ADDRESS, ControlGroup, control
from auricle.cli.graph_names import find_graph
from auricle.cli.stream_table import print_streams
from auricle.errors import ConfigError
from auricle.service.graph_file import read_graph_file
from auricle.wire import client
from auricle.wire.server import Server
from auricle.wire.settings import CurveSpec, WireSpec
from tests.cli.command import assert_one_line, auricle

ANY = "tcp://127.0.0.1:*"


COMMANDS = (
    "blink",
    "describe",
    "list",
    "statistics",
    "stop",
    "add-head",
    "remove-head",
    "add-stream",
    "remove-stream",
    "reload",
    "patchout",
)


@pytest.fixture
def asked() -> list[Any]:
    return []


@pytest.fixture
def server(asked: list[Any]) -> Iterator[Server]:
    server = Server(WireSpec(control=ANY))
    for command in COMMANDS:
        server.handle(
            command, lambda command=command, **arguments: asked.append((command, arguments))
        )
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize(
    ("words", "request_"),
    [
        (["list"], ("list", {})),
        (["statistics"], ("statistics", {})),
        (["statistics", "demo"], ("statistics", {"stream": "demo"})),
        (["stop"], ("stop", {})),
        (["stop", "demo"], ("stop", {"stream": "demo"})),
        (
            ["add-stream", "fip", "http://x/y", "--set", "mel.front_end=musicnn"],
            (
                "add-stream",
                {"stream": "fip", "input": "http://x/y", "values": {"mel.front_end": "musicnn"}},
            ),
        ),
        (["remove-stream", "fip"], ("remove-stream", {"stream": "fip"})),
        (["reload"], ("reload", {})),
        (["add-head", "mood"], ("add-head", {"head": "mood"})),
        (
            ["add-head", "mood", "--stream", "demo"],
            ("add-head", {"head": "mood", "stream": "demo"}),
        ),
        (["remove-head", "mood"], ("remove-head", {"head": "mood"})),
        (
            ["patchout", "t2", "--stream", "demo"],
            ("patchout", {"patchout": "t2", "stream": "demo"}),
        ),
        (
            ["patchout", "--keep-every", "3", "--drop-row", "0", "--drop-row", "8", "--adaptive"],
            ("patchout", {"patchout": {"keep_every": 3, "drop_rows": [0, 8]}, "adaptive": True}),
        ),
        (["patchout", "--fixed"], ("patchout", {"adaptive": False})),
        (["describe"], ("describe", {})),
        (["describe", "demo"], ("describe", {"stream": "demo"})),
        (
            ["call", "blink", "colour=red", "times=[1, 2]"],
            ("blink", {"colour": "red", "times": [1, 2]}),
        ),
    ],
)
def test_each_command_sends_its_request(
    server: Server, asked: list[Any], words: list[str], request_: Any
) -> None:
    result = auricle("control", server.addresses["control"], *words)
    assert result.returncode == 0, result.stderr
    assert asked == [request_]


def test_a_folder_is_named_in_full(server: Server, asked: list[Any], tmp_path: Path) -> None:
    (tmp_path / "mood").mkdir()
    auricle("control", server.addresses["control"], "add-head", "mood", cwd=tmp_path)
    assert asked == [("add-head", {"head": str(tmp_path / "mood")})]


def test_the_answer_is_json(server: Server) -> None:
    server.handle("list", lambda: {"demo": {"state": "running", "seconds": 1.5}})
    result = auricle("control", server.addresses["control"], "list")
    assert json.loads(result.stdout) == {"demo": {"state": "running", "seconds": 1.5}}


def test_a_refusal_is_one_line(server: Server) -> None:
    def refuse(stream: str) -> None:
        raise ConfigError(f"no stream {stream!r}; streams are: demo")

    server.handle("stop", refuse)
    result = auricle("control", server.addresses["control"], "stop", "radio")
    assert_one_line(result, server.addresses["control"], "no stream 'radio'; streams are: demo")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["list"], [ADDRESS, "list"]),
        (["ipc://list", "list"], ["ipc://list", "list"]),
        (["call", "list"], [ADDRESS, "call", "list"]),
        (["--key", "list", "list"], ["--key", "list", ADDRESS, "list"]),
        (["--key=list", "stop"], ["--key=list", ADDRESS, "stop"]),
        (["--help"], ["--help"]),
        ([], []),
    ],
)
def test_an_address_that_is_left_out_is_that_of_the_graphs(
    given: list[str], expected: list[str]
) -> None:
    assert isinstance(control, ControlGroup)
    assert control.with_address(given) == expected
    for graph in ("demo", "live", "radio"):
        assert read_graph_file(find_graph(graph)).wire.control == ADDRESS


def test_a_command_without_an_address_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []
    monkeypatch.setattr(client, "request", lambda *words, **named: sent.append((words, named)))
    result = CliRunner().invoke(cli, ["control", "call", "smoothing", "window_s=4"])
    assert (result.exit_code, result.output) == (0, "null\n")
    assert sent == [((ADDRESS, "smoothing"), {"keys": None, "window_s": 4})]


def test_streams_are_a_table_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    jazz = {"state": "running", "seconds": 3723.4, "counts": {"reconnect": 2, "gap": 1}}
    print_streams({"jazz": {**jazz, "error": None}, "[x]": {"state": "failed", "error": "[gone]"}})
    title, *rows = capsys.readouterr().out.splitlines()
    assert title.split() == ["STREAM", "STATE", "HEARD", "LOST", "OR", "LEFT", "OUT", "ERROR"]
    assert [row.split() for row in rows] == [
        ["jazz", "running", "1:02:03", "reconnect", "2,", "gap", "1"],
        ["[x]", "failed", "0:00", "[gone]"],
    ]


def test_a_wrong_address_is_one_line() -> None:
    assert_one_line(auricle("control", "tcp://127.0.0.1:99999", "list"), "port 99999 is invalid")


def test_a_setting_that_is_not_yaml_is_one_line(server: Server, asked: list[Any]) -> None:
    words = ["add-stream", "fip", "http://x/y", "--set", "mel.front_end=["]
    result = auricle("control", server.addresses["control"], *words)
    assert_one_line(result, "--set mel.front_end=[: not YAML: while parsing", code=2)
    assert asked == []


def test_keys_go_together() -> None:
    result = auricle("control", "--key", "mine", "tcp://127.0.0.1:1", "list")
    assert result.returncode == 2
    assert "--key and --server-key go together" in result.stderr


def test_keys_open_an_engine_that_asks_for_them(tmp_path: Path) -> None:
    clients = tmp_path / "clients"
    clients.mkdir()
    zmq.auth.create_certificates(tmp_path, "server")
    zmq.auth.create_certificates(clients, "friend")
    spec = CurveSpec(secret_key=tmp_path / "server.key_secret", clients=clients)
    server = Server(WireSpec(control=ANY, curve=spec))
    server.handle("list", lambda: ["demo"])
    server.start()
    keys = ("--key", clients / "friend.key_secret", "--server-key", tmp_path / "server.key")
    result = auricle("control", *keys, server.addresses["control"], "list")
    server.stop()
    assert json.loads(result.stdout) == ["demo"]
