"""Radio from real servers on the loopback interface, which never end, or end, hang, die, return."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auricle.engine.backoff import Backoff
from auricle.errors import ConfigError, InputError, without_password
from auricle.nodes.inputs.file import FileInput
from auricle.nodes.inputs.url import UrlInput
from tests.nodes.listening import (
    PATIENCE_S,
    Listener,
    Outages,
    heard_at_once,
    heard_live,
    listening,
    needs_ffmpeg,
    one_line,
    spectrum_peak,
)

pytestmark = needs_ffmpeg

CHUNK_S = 0.02
"""A chunk of a twentieth of the clip every so often: five times as fast as it plays."""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two seconds of a tone as Ogg and as MP3, without a header that says how long it is."""
    folder = tmp_path_factory.mktemp("clips")
    paths = {"ogg": folder / "a.ogg", "mp3": folder / "a.mp3"}
    for name, path in paths.items():
        options = (
            ["-c:a", "libvorbis"] if name == "ogg" else ["-write_xing", "0", "-id3v2_version", "0"]
        )
        source = "aevalsrc=0.5*sin(1000*2*PI*t):d=2:s=44100"
        command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, *options, str(path)]
        subprocess.run(command, check=True, timeout=500)
    return paths


class Radio:
    """An HTTP server on its own port.

    Attributes:
        mode: `endless`; `finite`, with a length; `half`, half of that; `silent`, after one clip;
            `dying`, after one clip too; `absent`, 404; `garbage`, no audio.
        pause_s: Seconds between two chunks.
    """

    def __init__(self, clips: dict[str, Path]) -> None:
        self.mode = "endless"
        self.pause_s = CHUNK_S
        self.headers: dict[str, str] = {}
        self.asked = 0
        self.closing = threading.Event()
        self.silent = threading.Event()
        radio = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                radio.asked += 1
                if radio.mode == "absent":
                    self.send_error(404)
                    return
                data = clips[self.path[-3:]].read_bytes()
                if radio.mode == "garbage":
                    data = b"<html><body>Please log in</body></html>" * 999
                self.send_response(200)
                self.send_header(
                    "Content-Type", {"ogg": "audio/ogg", "mp3": "audio/mpeg"}[self.path[-3:]]
                )
                if radio.mode in ("finite", "half", "garbage"):
                    self.send_header("Content-Length", str(len(data)))
                for key, value in radio.headers.items():
                    self.send_header(key, value)
                self.end_headers()
                with suppress(OSError):
                    self.give(data, radio.mode)

            def give(self, data: bytes, mode: str) -> None:
                if mode in ("finite", "half", "garbage"):
                    self.wfile.write(data if mode != "half" else data[: len(data) // 2])
                    return
                step = len(data) // 20
                while not radio.closing.is_set():
                    for at in range(0, len(data), step):
                        self.wfile.write(data[at : at + step])
                        if radio.closing.wait(radio.pause_s):
                            return
                    if mode == "dying":
                        return
                    if mode == "silent":
                        radio.silent.set()
                        radio.closing.wait(PATIENCE_S)

            def log_message(self, *arguments: object) -> None:
                """Nothing on standard error."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.block_on_close = False
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def url(self, name: str = "ogg") -> str:
        return f"http://127.0.0.1:{self.server.server_port}/radio.{name}"

    def close(self) -> None:
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def radio(clips: dict[str, Path]) -> Iterator[Radio]:
    radio = Radio(clips)
    yield radio
    radio.close()


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def error_of(node: UrlInput) -> str:
    with pytest.raises(InputError) as caught:
        heard_live(node)
    message = one_line(str(caught.value))
    assert node.params.url in message
    return message


def check_tone(listener: Listener) -> None:
    samples = listener.samples[4000:20000]
    frequency, level = spectrum_peak(samples, 16000)
    # A bin is 1 Hz; lossy encoders keep a lone tone to a few per cent.
    assert abs(frequency - 1000) <= 2
    assert level == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("name", ["ogg", "mp3"])
def test_endless_stream_is_heard_beyond_its_clip(radio: Radio, name: str) -> None:
    with listening(UrlInput("radio", url=radio.url(name)), 2**31 - 5) as (scheduler, listener):
        listener.wait_for(lambda: len(listener.tokens) > 5 * 16000)
        scheduler.stop()
        assert scheduler.wait(3)
    check_tone(listener)
    assert not listener.gaps
    assert radio.asked == 1


def test_finite_file_ends_and_is_what_the_file_is(radio: Radio, clips: dict[str, Path]) -> None:
    radio.mode = "finite"
    node = UrlInput("radio", url=radio.url())
    listener = heard_live(node)
    np.testing.assert_array_equal(
        listener.samples, heard_at_once(FileInput("file", path=clips["ogg"])).samples
    )
    assert not listener.gaps
    assert node.statistics()["sample_rate"] == 44100


def test_finite_file_that_breaks_off_is_not_begun_again(radio: Radio) -> None:
    radio.mode = "half"
    node = UrlInput("radio", url=radio.url("mp3"))
    assert "Input/output error" in error_of(node)
    # All of the half that came is heard.
    assert node.statistics()["seconds"] == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("mode", ["finite", "half"])
def test_length_of_a_radio_is_no_end(radio: Radio, mode: str) -> None:
    radio.mode, radio.headers = mode, {"icy-name": "For ever"}
    with listening(UrlInput("radio", url=radio.url("mp3"))) as (_, listener):
        listener.wait_for(lambda: "reconnect" in listener.reasons())


def test_password_is_not_reported() -> None:
    url = f"http://bob:s3cret@127.0.0.1:{closed_port()}/a.ogg"
    with pytest.raises(InputError) as caught:
        heard_live(UrlInput("radio", url=url, reconnect=False))
    assert url.replace("bob:s3cret@", "") in one_line(str(caught.value))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://radio/a@b.ogg", "http://radio/a@b.ogg"),
        ("http://radio?to=a@b", "http://radio?to=a@b"),
        ("rtsp://bob@camera:554/a", "rtsp://camera:554/a"),
        ("rtsp://bob:p@ss@camera/a", "rtsp://camera/a"),
        ("http://bob:s3/cr?et@radio/a", "http://radio/a"),
        ("http://bob:1/23@radio:80/a", "http://bob:1/23@radio:80/a"),  # port 1 of the host bob
        ("'http://bob:s3cret@radio/a' or http://b:c@d", "'http://radio/a' or http://d"),
        ("http://[::1]:80/a@b", "http://[::1]:80/a@b"),
    ],
)
def test_without_password(url: str, shown: str) -> None:
    assert without_password(url) == shown


def test_not_there(radio: Radio) -> None:
    radio.mode = "absent"
    assert "404" in error_of(UrlInput("radio", url=radio.url(), reconnect=False))


def test_nobody_listens() -> None:
    url = f"http://127.0.0.1:{closed_port()}/a.ogg"
    assert "refused" in error_of(UrlInput("radio", url=url, reconnect=False))


def test_unknown_scheme() -> None:
    with pytest.raises(ConfigError) as caught:
        heard_live(UrlInput("radio", url="gopher2://127.0.0.1/a"))
    assert one_line(str(caught.value)) == "radio: gopher2://127.0.0.1/a: Protocol not found"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://", "http://: not an address: no host"),
        ("http:///radio.mp3", "no host"),
        ("http://bob:s3cret@radio:99999/a", "http://radio:99999/a: not an address: Port out of"),
        ("http://radio:eighty/a", "Port could not be cast"),
        ("http://[::1/a", "Invalid IPv6"),
    ],
)
def test_what_cannot_be_an_address(url: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        UrlInput("radio", url=url)
    assert said in one_line(str(caught.value))
    assert "s3cret" not in str(caught.value)


def test_server_that_never_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/a.ogg"
        node = UrlInput("radio", url=url, timeout_s=0.5, reconnect=False)
        assert "no data in time" in error_of(node)


def test_server_that_falls_silent(radio: Radio) -> None:
    radio.mode = "silent"
    node = UrlInput("radio", url=radio.url(), timeout_s=0.5, reconnect=False)
    assert "no data in time" in error_of(node)


@pytest.mark.parametrize("mode", ["silent", "dying"])
@pytest.mark.parametrize("name", ["ogg", "mp3"])
def test_comes_back_after_a_loss(radio: Radio, mode: str, name: str) -> None:
    radio.mode = mode
    node = UrlInput("radio", url=radio.url(name), timeout_s=0.5)
    with listening(node) as (scheduler, listener):
        listener.wait_for(lambda: "reconnect" in listener.reasons())
        radio.mode = "endless"
        count = len(listener.tokens)
        listener.wait_for(lambda: len(listener.tokens) > count + 5 * 16000)
        scheduler.stop()
        assert scheduler.wait(3)
    check_tone(listener)
    gap = next(gap for gap in listener.gaps if gap.reason == "reconnect")
    samples = listener.samples
    # The filter rings for a few milliseconds into both ends of the silence.
    assert np.abs(samples[gap.start + 100 : gap.stop - 100]).max(initial=0) < 1e-4
    # What is sent five times too fast makes the gap shorter.
    assert 0 < gap.stop - gap.start < 3 * 16000
    assert np.abs(samples[gap.stop + 200 : gap.stop + 1000]).max() > 0.4


def test_waits_for_a_server_that_is_away(radio: Radio) -> None:
    radio.mode = "dying"
    with listening(UrlInput("radio", url=radio.url())) as (_, listener):
        listener.wait_for(lambda: len(listener.tokens) > 16000)
        radio.mode = "absent"
        asked = radio.asked
        while radio.asked < asked + 2:
            assert not radio.closing.wait(0.01)
        assert "reconnect" not in listener.reasons()
        radio.mode = "endless"
        listener.wait_for(lambda: "reconnect" in listener.reasons())


def test_gives_up_after_so_many_attempts(radio: Radio) -> None:
    radio.mode = "dying"
    node = UrlInput("radio", url=radio.url(), max_retries=2)
    with listening(node) as (scheduler, listener):
        listener.wait_for(lambda: len(listener.tokens) > 16000)
        radio.mode = "absent"
        assert scheduler.wait(PATIENCE_S)
        error = scheduler.runs[0].error
        assert isinstance(error, InputError)
        assert "404" in one_line(str(error))
    assert radio.asked == 3


def test_without_reconnect_the_end_is_an_error(radio: Radio) -> None:
    radio.mode = "dying"
    # FFmpeg knows only that more was promised.
    assert "Input/output error" in error_of(UrlInput("radio", url=radio.url(), reconnect=False))


def test_stop_while_the_server_is_silent(radio: Radio) -> None:
    radio.mode = "silent"
    with listening(UrlInput("radio", url=radio.url(), timeout_s=3)) as (scheduler, _):
        assert radio.silent.wait(PATIENCE_S)
        scheduler.stop()
        # Well within the time-out of the read, which its thread sits out.
        assert scheduler.wait(2)


def test_stop_while_connecting_again(radio: Radio) -> None:
    radio.mode = "dying"
    node = UrlInput("radio", url=radio.url())
    with listening(node, backoff=Backoff(600, 600)) as (scheduler, listener):
        listener.wait_for(lambda: len(listener.tokens) > 1.8 * 16000)
        scheduler.stop()
        assert scheduler.wait(1)
    assert len(listener.tokens) < 2.2 * 16000


def test_a_source_that_is_not_there_yet_is_waited_for(radio: Radio) -> None:
    radio.mode = "absent"
    outages = Outages()
    node = UrlInput("radio", url=radio.url())
    with listening(node, outages=outages) as (scheduler, listener):
        before = time.time()
        for _ in range(3):
            outage = outages.next()
            assert outage is not None
            assert "404" in one_line(outage.reason)
            assert radio.url() in outage.reason
            assert outage.retry_at is not None
            assert outage.retry_at > before
        assert None not in [run.outage for run in scheduler.runs]
        radio.mode = "endless"
        outages.heard()
        listener.wait_for(lambda: len(listener.tokens) > 16000)
        assert [run.outage for run in scheduler.runs] == [None]
    check_tone(listener)
    assert not listener.gaps, "there was nothing to be lost"


@pytest.mark.parametrize(
    ("mode", "said"),
    [("silent", "no data in time"), ("dying", "Input/output error"), ("garbage", "End of file")],
)
def test_what_is_lost_is_waited_for_with_the_reason(radio: Radio, mode: str, said: str) -> None:
    radio.mode = mode
    outages = Outages()
    with listening(UrlInput("radio", url=radio.url(), timeout_s=0.5), outages=outages):
        assert said in outages.next_reason()


class Asked(Backoff):
    """Pauses that are short, and a note of the tries for which they were."""

    def __init__(self, good_after_s: float) -> None:
        super().__init__(good_after_s=good_after_s)
        object.__setattr__(self, "tries", [])

    def pause_s(self, tries: int, chance: float) -> float:
        self.tries.append(tries)  # type: ignore[attr-defined]
        return 0.001


@pytest.mark.parametrize(("good_after_s", "tries"), [(3600, [0, 1, 2, 3]), (0.1, [0, 0, 0, 0])])
def test_pauses_start_over_after_good_audio_only(
    radio: Radio, good_after_s: float, tries: list[int]
) -> None:
    """A server that closes after every clip, which it sends in 0.4 s."""
    radio.mode = "dying"
    outages, backoff = Outages(), Asked(good_after_s)
    with listening(UrlInput("radio", url=radio.url()), backoff=backoff, outages=outages):
        for _ in tries:
            outages.next_reason()
        assert backoff.tries[:4] == tries  # type: ignore[attr-defined]


def test_what_a_server_sends_ahead_does_not_add_up(radio: Radio) -> None:
    """Each connection gives two seconds at once and breaks off at once; so it goes six times."""
    radio.mode, radio.pause_s = "dying", 0.0
    outages = Outages()
    node = UrlInput("radio", url=radio.url("mp3"))
    with listening(node, outages=outages) as (_, listener):
        outages.heard()
        began = time.monotonic()
        for _ in range(6):
            outages.next_reason()
        heard = len(listener.tokens) / 16000
        # As much ahead of the clock as it was at first, and not by any more.
        assert heard < time.monotonic() - began + 3
        latest = node.clock.monotonic_ns(round(heard * node.clock.sample_rate))
        assert latest < time.monotonic_ns() + 3e9
        assert node.clock.drift_ppm is None
        listener.wait_for(lambda: len(listener.gaps) >= 5)


def test_what_a_server_sends_ahead_is_not_late(radio: Radio) -> None:
    """The first of two seconds that come at once came when they came, not two seconds before."""
    radio.mode, radio.pause_s = "dying", 0.0
    began = time.monotonic_ns()
    with listening(UrlInput("radio", url=radio.url("mp3"))) as (_, listener):
        listener.wait_for(lambda: len(listener.tokens) > 16000)
        assert listener.port.reader.stream.clock.monotonic_ns(16000) >= began


def test_a_live_stream_that_has_become_a_file_is_not_begun_again(radio: Radio) -> None:
    radio.mode = "dying"
    outages = Outages()
    with listening(UrlInput("radio", url=radio.url("mp3")), outages=outages) as (_, listener):
        outages.heard()
        radio.mode = "finite"
        while "it declares a length now" not in outages.next_reason():
            pass
        assert len(listener.tokens) < 2.5 * 16000


def test_a_file_beside_other_streams_is_played_in_real_time(radio: Radio) -> None:
    radio.mode = "finite"
    assert UrlInput.among_others == {"realtime": True}
    began = time.monotonic()
    listener = heard_live(UrlInput("radio", url=radio.url(), realtime=True))
    assert len(listener.tokens) > 1.9 * 16000
    assert time.monotonic() - began > 1.8


# Icecast
# ---------------------------------------------------------------------------------------------

ICECAST = """<icecast>
<authentication><source-password>secret</source-password><admin-password>secret</admin-password>
</authentication>
<listen-socket><port>{port}</port><bind-address>127.0.0.1</bind-address></listen-socket>
<paths><basedir>{folder}</basedir><logdir>{folder}</logdir><webroot>/usr/share/icecast2/web</webroot>
<adminroot>/usr/share/icecast2/admin</adminroot></paths>
</icecast>"""


@contextmanager
def icecast(folder: Path) -> Iterator[str]:
    """A server that a source may send to; gives its address."""
    if not shutil.which("icecast2"):
        pytest.skip("icecast2 is not installed")
    port = closed_port()
    config = folder / "icecast.xml"
    config.write_text(ICECAST.format(port=port, folder=folder))
    user: dict[str, Any] = {}
    if os.geteuid() == 0:  # which Icecast refuses to be
        user = {"user": pwd.getpwnam("nobody").pw_uid, "group": pwd.getpwnam("nobody").pw_gid}
        for each in (folder, *list(folder.parents)[:2]):
            each.chmod(0o755)
        shutil.chown(folder, user["user"])
    command = ["icecast2", "-c", str(config)]
    process = subprocess.Popen(
        command,
        cwd=folder,
        extra_groups=[] if user else None,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **user,
    )
    try:
        pause = threading.Event()
        for _ in range(PATIENCE_S * 20):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None, "icecast2 does not start"
            pause.wait(0.05)
        yield f"127.0.0.1:{port}/radio.ogg"
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def test_icecast(tmp_path: Path) -> None:
    with icecast(tmp_path) as place:
        source = [
            "-re",
            "-f",
            "lavfi",
            "-i",
            "aevalsrc=0.5*sin(1000*2*PI*t):s=44100",
            "-c:a",
            "libvorbis",
        ]
        target = ["-f", "ogg", "-page_duration", "100000", f"icecast://source:secret@{place}"]
        sender = subprocess.Popen(["ffmpeg", "-nostdin", "-v", "error", *source, *target])
        try:
            url, pause = f"http://{place}", threading.Event()
            for _ in range(PATIENCE_S * 5):
                with suppress(OSError), urllib.request.urlopen(url, timeout=2):
                    break
                pause.wait(0.2)
            with listening(UrlInput("radio", url=url)) as (_, listener):
                listener.wait_for(lambda: len(listener.tokens) > 2 * 16000)
            check_tone(listener)
        finally:
            sender.terminate()
            sender.wait(PATIENCE_S)
