"""Live HLS that ends, is replaced, disappears or expires: it is said, and waited for."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from auricle.nodes.inputs.url import UrlInput
from tests.nodes.listening import Outages, listening, needs_ffmpeg

pytestmark = [needs_ffmpeg, pytest.mark.slow]

SEGMENTS = 30
"""Segments of a second that there are; the last are repeated."""


class Channel:
    """A server of live HLS, whose window moves by a segment every second.

    Attributes:
        mode: `live`; `ended`, the list says so; `html` in place of the list; `gone`, 404;
            `expired`, 403 for every segment.
    """

    def __init__(self, folder: Path) -> None:
        self.mode = "live"
        self.folder = folder
        began, channel = time.monotonic(), self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.strip("/")
                is_list = name.endswith("m3u8")
                if channel.mode == ("gone" if is_list else "expired"):
                    self.send_error(404 if is_list else 403)
                    return
                self.send_response(200)
                self.end_headers()
                if is_list:
                    first = min(int(time.monotonic() - began), SEGMENTS - 4)
                    self.wfile.write(channel.list_from(first).encode())
                else:
                    self.wfile.write((channel.folder / name).read_bytes())

            def log_message(self, *arguments: object) -> None:
                """Nothing on standard error."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.block_on_close = False
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/live.m3u8"

    def list_from(self, first: int) -> str:
        if self.mode == "html":
            return "<html>Please log in</html>"
        head = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{first}\n"
        body = "".join(f"#EXTINF:1.0,\ns{n}.ts\n" for n in range(first, first + 4))
        return head + body + "#EXT-X-ENDLIST\n" * (self.mode == "ended")


@pytest.fixture(scope="module")
def segments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hls")
    sound = ["-f", "lavfi", "-i", f"sine=frequency=1000:duration={SEGMENTS}:sample_rate=44100"]
    cut = ["-c:a", "aac", "-f", "segment", "-segment_time", "1", "s%d.ts"]
    subprocess.run(["ffmpeg", "-v", "error", *sound, *cut], cwd=folder, check=True, timeout=500)
    return folder


@pytest.fixture
def channel(segments: Path) -> Iterator[Channel]:
    channel = Channel(segments)
    yield channel
    channel.server.shutdown()
    channel.server.server_close()


@pytest.mark.parametrize("mode", ["ended", "html", "gone", "expired"])
def test_a_channel_that_ends_is_waited_for_with_a_word(channel: Channel, mode: str) -> None:
    outages = Outages()
    node = UrlInput("radio", url=channel.url, timeout_s=2)
    with listening(node, outages=outages) as (scheduler, listener):
        listener.wait_for(lambda: len(listener.tokens) > 16000)
        channel.mode = mode
        reason = outages.next_reason()
        assert channel.url in reason
        assert "a list of addresses" not in reason
        if mode == "ended":  # what is left of the list is not heard a second time
            while "it declares a length now" not in outages.next_reason():
                pass
            assert "reconnect" not in listener.reasons()
        assert not scheduler.runs[0].over
