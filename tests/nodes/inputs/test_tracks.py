"""Sources with several tracks, variants or programmes one behind another."""

from __future__ import annotations

import functools
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from auricle.errors import InputError
from auricle.nodes.inputs.file import FileInput
from auricle.nodes.inputs.url import UrlInput
from auricle.nodes.signal.decoder import Block, Damage, Decoder
from auricle.nodes.signal.hls import Playlist, find_playlist
from tests.nodes.listening import (
    heard_at_once,
    heard_live,
    listening,
    needs_ffmpeg,
    spectrum_peak,
)

pytestmark = needs_ffmpeg


def ffmpeg(*arguments: str | Path) -> None:
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True, timeout=500)


def sine(frequency: int, seconds: float = 6) -> tuple[str, ...]:
    return ("-f", "lavfi", "-i", f"sine=f={frequency}:d={seconds}:r=44100")


def pitch(samples: np.ndarray[tuple[int], np.dtype[np.float32]]) -> float:
    return spectrum_peak(samples[8000:16000], 16000)[0]


@pytest.fixture(scope="module")
def two_tracks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tracks") / "a.mka"
    ffmpeg(*sine(440), *sine(880), "-map", "0", "-map", "1", "-c:a", "flac", path)
    return path


@pytest.mark.parametrize(("track", "frequency"), [(1, 440), (2, 880)])
def test_a_track_can_be_chosen(two_tracks: Path, track: int, frequency: int) -> None:
    samples = heard_at_once(FileInput("file", path=two_tracks, track=track)).samples
    assert pitch(samples) == pytest.approx(frequency, abs=2)


def test_a_track_that_there_is_not(two_tracks: Path) -> None:
    with pytest.raises(InputError, match="no audio track 3; it has 2 tracks"):
        heard_at_once(FileInput("file", path=two_tracks, track=3))


def stream(folder: Path, seconds: float, frequency: int, offset_s: float = 0) -> Path:
    """A transport stream whose clock begins at `offset_s`."""
    path = folder / f"{frequency}-{offset_s}.ts"
    codec = ("-c:a", "aac", "-output_ts_offset", str(offset_s))
    ffmpeg(*sine(frequency, seconds), *codec, path)
    return path


def decoded(path: Path) -> tuple[float, list[float]]:
    """Seconds of audio, and those of each damage."""
    decoder = Decoder(path)
    items = list(decoder.blocks())
    decoder.close()
    frames = sum(len(item.samples) for item in items if isinstance(item, Block))
    return frames / decoder.sample_rate, [
        item.seconds for item in items if isinstance(item, Damage)
    ]


@pytest.mark.parametrize("offset_s", [26.0, 6.6, 200.0, 0.0])
def test_a_splice_in_a_transport_stream_is_no_silence(tmp_path: Path, offset_s: float) -> None:
    first, second = stream(tmp_path, 6, 440), stream(tmp_path, 6, 880, offset_s)
    path = tmp_path / "spliced.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    seconds, damage = decoded(path)
    assert seconds == pytest.approx(12, abs=0.2)
    assert damage == []
    node = FileInput("file", path=path)
    assert len(heard_at_once(node).samples) / 16000 == pytest.approx(12, abs=0.2)
    assert node.warnings == []


def test_a_loss_in_a_transport_stream_is_silence(tmp_path: Path) -> None:
    path = stream(tmp_path, 6, 440)
    data = path.read_bytes()
    middle = len(data) // 188 // 2 * 188
    lost = 60 * 188
    path.write_bytes(data[:middle] + data[middle + lost :])
    seconds, damage = decoded(path)
    assert seconds + sum(damage) == pytest.approx(6, abs=0.2)
    assert max(damage) > 0.5


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Counter[str]]]:
    """A server of what is in `tmp_path`, and how often each path was asked for."""
    asked: Counter[str] = Counter()

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked[self.path.lstrip("/")] += 1
            super().do_GET()

        def log_message(self, *arguments: object) -> None:
            """Nothing on standard error."""

    handler = functools.partial(Handler, directory=str(tmp_path))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def hls(folder: Path, name: str, *arguments: str, seconds: int = 1) -> None:
    """A playlist of segments of so many seconds."""
    (folder / name).mkdir()
    form = (
        "-f",
        "hls",
        "-hls_time",
        str(seconds),
        "-hls_playlist_type",
        "vod",
        "-hls_segment_filename",
    )
    ffmpeg(*arguments, *form, folder / name / "s%d.ts", folder / name / "i.m3u8")


def test_a_live_playlist_with_segments_longer_than_the_time_out(
    tmp_path: Path, served: tuple[str, Counter[str]]
) -> None:
    url, asked = served
    hls(tmp_path, "live", *sine(440, 24), "-c:a", "aac", seconds=4)
    whole = (tmp_path / "live/i.m3u8").read_text().replace("#EXT-X-PLAYLIST-TYPE:VOD\n", "")
    head, *segments = whole.replace("#EXT-X-ENDLIST\n", "").split("#EXTINF")
    playlist = tmp_path / "live/grows.m3u8"

    def publish(number: int) -> None:
        new = playlist.with_suffix(".new")
        new.write_text(head + "".join(f"#EXTINF{segment}" for segment in segments[:number]))
        new.replace(playlist)

    publish(2)
    node = UrlInput("radio", url=f"{url}/live/grows.m3u8", timeout_s=1)
    with listening(node) as (scheduler, listener):
        listener.wait_for(lambda: asked["live/s1.ts"])
        # FFmpeg looks again after the length of a segment, which is longer than the time-out.
        before = asked["live/grows.m3u8"]
        while asked["live/grows.m3u8"] == before and not scheduler.wait(0.05):
            pass
        publish(3)
        listener.wait_for(lambda: len(listener.tokens) > 10 * 16000)
        scheduler.stop()
    assert "reconnect" not in listener.reasons()
    assert max(count for path, count in asked.items() if path.endswith(".ts")) == 1


@pytest.mark.parametrize("kind", ["rendition", "variant"])
def test_the_picture_of_hls_is_not_fetched(
    tmp_path: Path, served: tuple[str, Counter[str]], kind: str
) -> None:
    url, asked = served
    hls(tmp_path, "sound", *sine(440, 4), "-c:a", "aac")
    picture = ("-f", "lavfi", "-i", "testsrc=d=4:s=64x48:r=25")
    hls(tmp_path, "tv", *sine(880, 4), *picture, "-c:v", "mpeg2video", "-c:a", "aac")
    form = 'BANDWIDTH=2100000,RESOLUTION=64x48,CODECS="mp2v,mp4a.40.2"'
    if kind == "rendition":
        sound = 'TYPE=AUDIO,GROUP-ID="a",NAME="en",DEFAULT=YES,URI="sound/i.m3u8"'
        text = f'#EXTM3U\n#EXT-X-MEDIA:{sound}\n#EXT-X-STREAM-INF:{form},AUDIO="a"\ntv/i.m3u8\n'
    else:
        alone = 'BANDWIDTH=96000,CODECS="mp4a.40.2"'
        text = (
            f"#EXTM3U\n#EXT-X-STREAM-INF:{form}\ntv/i.m3u8\n"
            f"#EXT-X-STREAM-INF:{alone}\nsound/i.m3u8\n"
        )
    (tmp_path / "master.m3u8").write_text(text)
    listener = heard_live(UrlInput("radio", url=f"{url}/master.m3u8"))
    assert pitch(listener.samples) == pytest.approx(440, abs=2)
    assert not any(path.startswith("tv") for path in asked)


def test_a_master_playlist_leads_to_no_file(
    tmp_path: Path, served: tuple[str, Counter[str]]
) -> None:
    url, _ = served
    hls(tmp_path, "a", *sine(440, 2), "-c:a", "aac")
    named = f"file://{tmp_path}/a/i.m3u8"
    (tmp_path / "master.m3u8").write_text(f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{named}\n")
    with pytest.raises(InputError):
        heard_live(UrlInput("radio", url=f"{url}/master.m3u8", reconnect=False))


def test_variants_of_a_server_that_wants_a_password() -> None:
    pages = {
        "http://u:p@radio/x/master.m3u8": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=5\nlow.m3u8\n"
        "#EXT-X-STREAM-INF:BANDWIDTH=7\n/high.m3u8\n",
        "http://u:p@radio/high.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:12\n#EXTINF:12,\na.ts\n",
    }
    found = find_playlist("http://u:p@radio/x/master.m3u8", lambda url: (pages[url], url))
    assert found == Playlist("http://u:p@radio/high.m3u8", 12, is_playlist=True)


@pytest.mark.parametrize("error", [OSError("no"), ValueError("not text")])
def test_a_playlist_that_cannot_be_read_is_left_to_ffmpeg(error: Exception) -> None:
    def fetch(url: str) -> tuple[str, str]:
        raise error

    assert find_playlist("http://radio/a.m3u8", fetch) == Playlist("http://radio/a.m3u8")
    assert find_playlist("rtsp://radio/a.m3u8", fetch) == Playlist("rtsp://radio/a.m3u8")
    assert find_playlist("http://radio/a.mp3", fetch) == Playlist("http://radio/a.mp3")


def test_the_best_variant_of_hls_is_heard(tmp_path: Path, served: tuple[str, Counter[str]]) -> None:
    url, asked = served
    master = "#EXTM3U\n"
    for name, frequency, rate in (("low", 330, 48), ("high", 440, 192), ("middle", 550, 96)):
        hls(tmp_path, name, *sine(frequency, 12), "-c:a", "aac", "-b:a", f"{rate}k")
        stated = f'BANDWIDTH={rate}000,CODECS="mp4a.40.2"'
        master += f"#EXT-X-STREAM-INF:{stated}\n{name}/i.m3u8\n"
    (tmp_path / "master.m3u8").write_text(master)
    listener = heard_live(UrlInput("radio", url=f"{url}/master.m3u8"))
    assert pitch(listener.samples) == pytest.approx(440, abs=2)
    assert asked["high/s11.ts"] == 1
    assert not any(path.startswith(("low/s", "middle/s")) for path in asked)


def test_a_discontinuity_of_hls_is_a_short_gap(
    tmp_path: Path, served: tuple[str, Counter[str]]
) -> None:
    url, _ = served
    hls(tmp_path, "a", *sine(440, 3), "-c:a", "aac")
    hls(tmp_path, "b", *sine(880, 3), "-c:a", "aac", "-output_ts_offset", "23")
    first = (tmp_path / "a/i.m3u8").read_text().replace("\ns", "\na/s")
    second = (tmp_path / "b/i.m3u8").read_text().replace("\ns", "\nb/s")
    spliced = first.replace("#EXT-X-ENDLIST", "#EXT-X-DISCONTINUITY")
    spliced += second[second.index("#EXTINF") :]
    (tmp_path / "spliced.m3u8").write_text(spliced)
    listener = heard_live(UrlInput("radio", url=f"{url}/spliced.m3u8"))
    assert len(listener.samples) / 16000 == pytest.approx(6, abs=0.3)
    assert listener.reasons() == ["damaged"]
