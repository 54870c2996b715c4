"""Playlists from outside: they never make the engine open a file of its own machine."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest

from auricle.errors import InputError
from auricle.nodes.signal.decoder import Block, Decoder
from auricle.nodes.signal.hls import find_playlist
from tests.nodes.listening import PATIENCE_S, needs_ffmpeg

pytestmark = needs_ffmpeg

PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{}\n#EXT-X-ENDLIST\n"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A segment of two seconds, as HLS has them."""
    path = tmp_path_factory.mktemp("hls") / "sound.ts"
    source = ["-f", "lavfi", "-i", "sine=duration=2:sample_rate=48000"]
    subprocess.run(["ffmpeg", "-v", "error", *source, "-c:a", "aac", str(path)], check=True)
    return path


@pytest.fixture(scope="module")
def server(sound: Path) -> Iterator[str]:
    """A server whose playlists name what their own path says after a question mark."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, named = self.path.partition("?")
            if path == "/moved":
                self.send_response(302)
                self.send_header("Location", named)
                self.end_headers()
                return
            playlist = path == "/list.m3u8"
            content = PLAYLIST.format(named).encode() if playlist else sound.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            """Nothing on standard error."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def decoded_s(url: str) -> float:
    decoder = Decoder(url, timeout_s=PATIENCE_S)
    try:
        frames = sum(len(item.samples) for item in decoder.blocks() if isinstance(item, Block))
        return frames / decoder.sample_rate
    finally:
        decoder.close()


def test_a_playlist_names_a_segment_of_its_server(server: str) -> None:
    # AAC comes in frames of 1024 samples, the first of which is the encoder's delay.
    assert decoded_s(f"{server}/list.m3u8?sound.ts") == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize(
    "form", ["file://{}", "file:{}", "concat:{}", "subfile,,start,0,end,0,,:{}"]
)
def test_a_playlist_names_no_file(server: str, sound: Path, form: str) -> None:
    with pytest.raises(InputError):
        decoded_s(f"{server}/list.m3u8?{form.format(sound)}")


def test_a_server_does_not_lead_to_a_file(server: str, sound: Path) -> None:
    with pytest.raises(InputError):
        decoded_s(f"{server}/moved?file://{sound}")


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that knows one radio station, and a name of its that leads back to here."""
    known = {"radio.example": "192.0.2.1", "cdn.example": "192.0.2.2", "back.example": "127.0.0.1"}
    resolve = socket.getaddrinfo

    def getaddrinfo(host: str, *arguments: Any, **options: Any) -> Any:
        return resolve(known.get(host, host), *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize(
    "named",
    [
        "http://127.0.0.1:5681/x",
        "http://localhost/x",
        "http://[::1]/x",
        "http://[::ffff:127.0.0.1]/x",
        "http://0/x",
        "http://2130706433/x",
        "http://169.254.169.254/latest/meta-data",
        "http://back.example/x",
        '#EXT-X-KEY:METHOD=AES-128,URI="http://127.0.0.1/key"',
        "//127.0.0.1/x",
    ],
)
@pytest.mark.parametrize("where", ["list", "variant", "redirection"])
def test_a_playlist_from_outside_leads_nowhere_on_this_machine(named: str, where: str) -> None:
    url = "http://radio.example/list.m3u8"
    bad, good = PLAYLIST.format(named), PLAYLIST.format("http://cdn.example/sound.ts")
    master = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://cdn.example/v.m3u8\n"

    def fetch(asked: str) -> tuple[str, str]:
        if where == "redirection":
            return good, urljoin(url, named.partition('URI="')[2].strip('"') or named)
        return (master if where == "variant" and asked == url else bad), asked

    with pytest.raises(InputError, match="an address of this machine"):
        find_playlist(url, fetch)
    find_playlist(url, lambda asked: (good, asked))


def test_a_playlist_of_this_machine_leads_to_this_machine() -> None:
    bad = PLAYLIST.format("http://[::1]/x")
    assert find_playlist("http://127.0.0.1/list.m3u8", lambda asked: (bad, asked)).is_playlist
