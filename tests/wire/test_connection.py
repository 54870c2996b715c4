"""What becomes of a connection: refused keys, a line that is dead though nobody hung up."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq
import zmq.auth

from auricle.errors import ConfigError, WireError
from auricle.wire import connection as module
from auricle.wire.client import Subscriber, request
from auricle.wire.connection import Keys
from auricle.wire.server import Server
from auricle.wire.settings import CurveSpec, ServerSettings, WireSpec
from tests.wire.samples import gap

ANY = "tcp://127.0.0.1:*"
PATIENCE_S = 10
QUICK = ServerSettings(heartbeat_s=0.1)

Start = Callable[..., Server]


@pytest.fixture
def start() -> Iterator[Start]:
    servers = []

    def new(curve: CurveSpec | None = None, publish: str = ANY) -> Server:
        spec = WireSpec(publish=publish, control=ANY, curve=curve)
        servers.append(Server(spec, settings=QUICK))
        servers[-1].handle("list", lambda: ["demo"])
        servers[-1].start()
        return servers[-1]

    yield new
    for server in servers:
        server.stop()


# -- keys ------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Keys of a server, another server, and a friend that is not let in yet."""
    (tmp_path / "clients").mkdir()
    for name in ("server", "other", "friend"):
        zmq.auth.create_certificates(tmp_path, name)
    return tmp_path


def curve(folder: Path) -> CurveSpec:
    return CurveSpec(secret_key=folder / "server.key_secret", clients=folder / "clients")


def keys(folder: Path, server: str = "server") -> Keys:
    return Keys(folder / "friend.key_secret", folder / f"{server}.key")


def let_in(folder: Path) -> None:
    shutil.copy(folder / "friend.key", folder / "clients")


def wait_for_trouble(subscriber: Subscriber, words: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while words not in str(subscriber.trouble):
        assert time.monotonic() < deadline, f"{subscriber.trouble}, not {words}"
        assert subscriber.receive(0.05) is None


def test_keys_open_an_engine_that_asks_for_them(start: Start, folder: Path) -> None:
    let_in(folder)
    server = start(curve(folder))
    with Subscriber(server.addresses["publish"], keys=keys(folder)) as subscriber:
        assert subscriber.receive(PATIENCE_S)
        assert subscriber.trouble is None
    assert request(server.addresses["control"], "list", keys=keys(folder)) == ["demo"]


def test_a_client_whose_key_is_added_later_is_heard_from_then_on(
    start: Start, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.1)
    server = start(curve(folder))
    with Subscriber(server.addresses["publish"], keys=keys(folder)) as subscriber:
        wait_for_trouble(subscriber, "the engine refuses the key")
        let_in(folder)
        assert subscriber.receive(PATIENCE_S)
        assert subscriber.trouble is None


def test_a_client_whose_key_is_added_before_the_engine_is_started_again_is_heard(
    start: Start, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.1)
    server = start(curve(folder))
    address = server.addresses["publish"]
    with Subscriber(address, keys=keys(folder)) as subscriber:
        wait_for_trouble(subscriber, "the engine refuses the key")
        server.stop()
        let_in(folder)
        start(curve(folder), publish=address)
        assert subscriber.receive(PATIENCE_S)


def test_a_key_that_is_taken_away_opens_nothing_any_more(start: Start, folder: Path) -> None:
    let_in(folder)
    server = start(curve(folder))
    with Subscriber(server.addresses["publish"], keys=keys(folder)) as subscriber:
        assert subscriber.receive(PATIENCE_S)
        (folder / "clients/friend.key").unlink()
        with Subscriber(server.addresses["publish"], keys=keys(folder)) as again:
            wait_for_trouble(again, "the engine refuses the key")
        assert subscriber.receive(PATIENCE_S), "a connection that stands is left alone"


def test_a_file_that_holds_no_key_keeps_nobody_else_out(
    start: Start, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    let_in(folder)
    (folder / "clients/notes.key").write_text("call Anna\n")
    server = start(curve(folder))
    with Subscriber(server.addresses["publish"], keys=keys(folder)) as subscriber:
        assert subscriber.receive(PATIENCE_S)
    assert "notes.key: No public key found" in caplog.text


def test_a_folder_that_is_gone_lets_nobody_in(start: Start, folder: Path) -> None:
    let_in(folder)
    server = start(curve(folder))
    shutil.rmtree(folder / "clients")
    with Subscriber(server.addresses["publish"], keys=keys(folder)) as subscriber:
        wait_for_trouble(subscriber, "the engine refuses the key")


def test_a_refused_key_is_in_the_log_once(
    start: Start,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.05)
    server = start(curve(folder))
    public, _ = zmq.auth.load_certificate(folder / "friend.key")
    with Subscriber(server.addresses["publish"], keys=keys(folder)) as subscriber:
        wait_for_trouble(subscriber, "the engine refuses the key")
        assert subscriber.receive(0.5) is None
    refusals = [each for each in caplog.messages if public.decode() in each]
    assert len(refusals) == 1


def test_an_engine_that_asks_for_keys_is_said_to(start: Start, folder: Path) -> None:
    server = start(curve(folder))
    with Subscriber(server.addresses["publish"]) as subscriber:
        wait_for_trouble(subscriber, "the engine asks for keys")
    # A single try sees either the greeting or the end of the connection first.
    told = "no answer within 1 s; the engine (asks for keys|hangs up; does it ask for keys.)"
    with pytest.raises(WireError, match=told):
        request(server.addresses["control"], "list", timeout_s=1)


def test_the_key_of_another_server_is_said_to_be_wrong(start: Start, folder: Path) -> None:
    let_in(folder)
    server = start(curve(folder))
    with Subscriber(server.addresses["publish"], keys=keys(folder, "other")) as subscriber:
        wait_for_trouble(subscriber, "is the server's key right?")


def test_where_nothing_listens_there_is_nothing_to_say() -> None:
    with Subscriber("tcp://127.0.0.1:1") as subscriber:
        assert subscriber.receive(0.3) is None
        assert subscriber.trouble is None


@pytest.mark.parametrize("wrong", ["own", "server", "public", "short"])
def test_keys_that_cannot_be_read_are_named(tmp_path: Path, wrong: str) -> None:
    public, secret = map(Path, zmq.auth.create_certificates(tmp_path, "mine"))
    (tmp_path / "short.key").write_text('curve\n    public-key = "abc"\n')
    keys = {
        "own": Keys(tmp_path / "none", public),
        "server": Keys(secret, tmp_path / "none"),
        "public": Keys(public, public),
        "short": Keys(secret, tmp_path / "short.key"),
    }
    with pytest.raises(ConfigError, match="keys: "):
        Subscriber("tcp://127.0.0.1:5680", keys=keys[wrong])


# -- a dead line -----------------------------------------------------------------------------------


class Proxy:
    """Passes bytes between clients and a server, until it no longer does; hangs up on nobody."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self.accepted = 0
        self._kept: list[socket.socket] = []
        self._dead: set[int] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def die(self) -> None:
        """Pass nothing on any more that belongs to connections of now; new ones work."""
        self._dead = set(range(self.accepted))

    def close(self) -> None:
        self._listener.close()
        for each in self._kept:
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            self._kept += [client, server]
            number, self.accepted = self.accepted, self.accepted + 1
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self._pass, args=(number, one, other), daemon=True).start()

    def _pass(self, number: int, one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(65536):
                if number not in self._dead:
                    other.sendall(data)
        except OSError:
            pass


def test_a_line_that_is_dead_though_nobody_hung_up_is_made_again(start: Start) -> None:
    server = start()
    proxy = Proxy(int(server.addresses["publish"].rpartition(":")[2]))
    with Subscriber(proxy.address, ping_s=0.2) as subscriber:
        assert subscriber.receive(PATIENCE_S)
        proxy.die()
        while subscriber.receive(0.15):
            pass  # what was on its way
        server.send(gap())
        message = subscriber.receive(PATIENCE_S)
        assert message is not None
        assert proxy.accepted == 2
        deadline = time.monotonic() + PATIENCE_S
        while message is None or message.topic != "demo/gap":
            assert time.monotonic() < deadline
            message = subscriber.receive(1)
    proxy.close()
