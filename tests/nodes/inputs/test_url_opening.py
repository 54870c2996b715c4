"""How a URL is opened: schemes as people type them, the client's name, certificates."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from auricle.errors import ConfigError, InputError
from auricle.nodes.inputs.url import UrlInput
from tests.nodes.listening import heard_live, needs_ffmpeg, one_line

pytestmark = [
    needs_ffmpeg,
    pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate"),
]


class Server:
    """A server of one file, over TLS with a certificate of its own, or without.

    Attributes:
        content: Content of the file, whatever its name.
        folder: Folder of the files instead, if there are several.
        port: Port that it listens to.
        agents: Names that clients gave.
    """

    def __init__(self, content: bytes, tls: ssl.SSLContext | None) -> None:
        self.content = content
        self.folder: Path | None = None
        self.agents: list[str | None] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.agents.append(self.headers.get("User-Agent"))
                content = server.content
                if server.folder is not None:
                    content = (server.folder / self.path.lstrip("/")).read_bytes()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments: object) -> None:
                """Nothing on standard error."""

        self._server = ThreadingHTTPServer(("0.0.0.0", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # refusals
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound, a certificate that nobody has signed but its owner, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    sound = ["-f", "lavfi", "-i", "sine=duration=1:sample_rate=16000", folder / "a.wav"]
    subprocess.run(["ffmpeg", "-v", "error", *map(str, sound)], check=True)
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run([*command, *names, *files], check=True, capture_output=True)
    return folder


@pytest.fixture
def plain(folder: Path) -> Iterator[Server]:
    server = Server((folder / "a.wav").read_bytes(), None)
    yield server
    server.close()


@pytest.fixture
def secure(folder: Path) -> Iterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    server = Server((folder / "a.wav").read_bytes(), context)
    yield server
    server.close()


def test_scheme_in_capitals_and_spaces_around_an_address(plain: Server) -> None:
    node = UrlInput("radio", url=f" HTTP://127.0.0.1:{plain.port}/a.wav ")
    assert node.params.url == f"http://127.0.0.1:{plain.port}/a.wav"
    assert node.origin == ("http", None)
    assert len(heard_live(node).samples) == 16000


def test_an_address_that_is_refused_does_not_show_its_password() -> None:
    with pytest.raises(ConfigError) as caught:
        UrlInput("radio", url="ht tp://bob:s3cret@radio/a")
    assert "radio/a" in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("name", ["list.m3u", "LIST.PLS?x=1"])
def test_a_list_of_addresses_is_named_as_one(plain: Server, name: str) -> None:
    plain.content = b"[playlist]\nNumberOfEntries=1\nFile1=http://127.0.0.1:1/a.mp3\n"
    with pytest.raises(InputError, match="a list of addresses is not followed: give one of them"):
        heard_live(UrlInput("radio", url=f"http://127.0.0.1:{plain.port}/{name}", reconnect=False))


@pytest.mark.parametrize("name", ["Some Player/1.0", None])
def test_name_of_the_client(plain: Server, name: str | None) -> None:
    heard_live(UrlInput("radio", url=f"http://127.0.0.1:{plain.port}/a.wav", user_agent=name))
    (agent,) = set(plain.agents)
    assert agent is not None
    assert agent == name or (name is None and agent.startswith("Lavf"))


def test_the_name_of_the_client_adds_no_header() -> None:
    with pytest.raises(ConfigError):
        UrlInput("radio", url="http://radio/a", user_agent="x\r\nCookie: y")


def test_a_certificate_that_nobody_signed_is_refused(secure: Server) -> None:
    url = f"https://bob:s3cret@127.0.0.1:{secure.port}/a.wav"
    with pytest.raises(InputError) as caught:
        heard_live(UrlInput("radio", url=url, reconnect=False))
    message = one_line(str(caught.value))
    assert "127.0.0.1" in message
    assert "s3cret" not in message
    assert "certificate is refused: self-signed certificate; verify: false" in message.replace(
        "self signed", "self-signed"
    )
    assert not secure.agents, "nothing was asked of it"


@pytest.mark.parametrize("verify", [True, False])
def test_what_a_playlist_names_is_fetched_as_the_playlist_is(
    secure: Server, folder: Path, monkeypatch: pytest.MonkeyPatch, verify: bool
) -> None:
    if verify:
        monkeypatch.setenv("SSL_CERT_FILE", str(folder / "cert.pem"))
    form = ("-c:a", "aac", "-f", "hls", "-hls_playlist_type", "vod", str(folder / "i.m3u8"))
    sound = ("-f", "lavfi", "-i", "sine=duration=5:sample_rate=16000")
    subprocess.run(["ffmpeg", "-v", "error", "-y", *sound, *form], check=True)
    secure.folder = folder
    url = f"https://localhost:{secure.port}/i.m3u8"
    node = UrlInput("radio", url=url, verify=verify, user_agent="Player/1")
    assert len(heard_live(node).samples) / 16000 == pytest.approx(5, abs=0.2)
    assert set(secure.agents) == {"Player/1"}
    assert len(secure.agents) >= 4


def test_any_certificate_is_taken_if_asked_to(secure: Server) -> None:
    url = f"https://127.0.0.1:{secure.port}/a.wav"
    assert len(heard_live(UrlInput("radio", url=url, verify=False)).samples) == 16000


def test_an_authority_of_the_machine_is_trusted(
    secure: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "cert.pem"))
    url = f"https://localhost:{secure.port}/a.wav"
    assert len(heard_live(UrlInput("radio", url=url)).samples) == 16000
    other = UrlInput("radio", url=url.replace("localhost", "127.0.0.2"), reconnect=False)
    with pytest.raises(InputError, match=r"127\.0\.0\.2:\d+/a\.wav: its certificate is refused"):
        heard_live(other)
