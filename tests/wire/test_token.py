"""Only the user who runs an engine sends it commands."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zmq

from auricle.errors import WireError
from auricle.wire.client import request
from auricle.wire.codec import decode_map
from auricle.wire.messages import VERSION
from auricle.wire.server import Server
from auricle.wire.settings import WireSpec
from auricle.wire.token import token_path

PATIENCE_MS = 20_000


def start(address: str) -> Server:
    server = Server(WireSpec(control=address))
    server.handle("ping", lambda: "pong")
    server.start()
    return server


@pytest.fixture
def server() -> Iterator[Server]:
    server = start("tcp://127.0.0.1:*")
    yield server
    server.stop()


def ask(server: Server, **arguments: Any) -> dict[str, Any]:
    opened: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.REQ)
    opened.linger = 0
    opened.rcvtimeo = PATIENCE_MS
    opened.connect(server.addresses["control"])
    try:
        opened.send(msgpack.packb({"v": VERSION, "command": "ping", **arguments}))
        return decode_map(opened.recv())
    finally:
        opened.close()


@pytest.mark.parametrize("arguments", [{}, {"token": ""}, {"token": "0" * 64}, {"token": 5}])
def test_a_request_without_the_token_is_refused(server: Server, arguments: dict[str, Any]) -> None:
    path = token_path(server.addresses["control"])
    answer = ask(server, **arguments)
    assert answer["error"] == f"the request has no valid token; it is in {path}"
    assert ask(server, token=path.read_text())["result"] == "pong"


def test_the_client_finds_the_token(server: Server) -> None:
    address = server.addresses["control"]
    assert request(address, "ping") == "pong"
    assert request(address.replace("127.0.0.1", "localhost"), "ping") == "pong"


def test_only_its_user_can_read_the_token(server: Server) -> None:
    path = token_path(server.addresses["control"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_the_token_is_gone_with_the_engine_and_every_start_has_another(tmp_path: Path) -> None:
    address = f"ipc://{tmp_path}/control"
    tokens = set()
    for _ in range(2):
        server = start(address)
        tokens.add(token_path(address).read_text())
        assert request(address, "ping") == "pong"
        server.stop()
        assert not token_path(address).exists()
    assert len(tokens) == 2


def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(WireError, match=r"wire.control: the token cannot be written to .*shared"):
        start("tcp://127.0.0.1:*")
