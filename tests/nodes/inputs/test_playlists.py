"""Playlists from outside: they never make the engine open a file of its own machine."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from auricle.errors import InputError
from auricle.nodes.signal.decoder import Block, Decoder
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
