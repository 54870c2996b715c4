"""The sound card: PulseAudio's null sink for the real path, a callback by hand for its faults."""

from __future__ import annotations

import builtins
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from auricle.engine.graph import Graph
from auricle.engine.run import Run, State
from auricle.errors import InputError
from auricle.nodes.inputs import microphone
from auricle.nodes.inputs.microphone import Device, Microphone, devices, find_device
from tests.nodes.listening import Listener, one_line, spectrum_peak, wired

ROOT = Path(__file__).parents[3]

# A real device
# --------------------------------------------------------------------------------------------

RECORD = """
import sys, time, numpy as np
from auricle.nodes.inputs.microphone import Microphone
from tests.nodes.listening import listening
node = Microphone("mic", device=sys.argv[1] or None)
with listening(node) as (scheduler, listener):
    listener.wait_for(lambda: len(listener.tokens) > 3 * 16000 or scheduler.runs[0].over)
    assert scheduler.runs[0].error is None, scheduler.runs[0].error
np.save(sys.argv[2], listener.samples)
print(listener.reasons(), node.statistics())
"""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of programs that hear a tone of 1000 Hz from PulseAudio's null sink."""
    for program in ("pulseaudio", "pactl", "ffmpeg"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    try:
        import sounddevice  # noqa: F401
    except OSError:
        pytest.skip("PortAudio is not installed")
    folder = tmp_path_factory.mktemp("pulse")
    plugins = [*Path("/usr/lib").glob("*/alsa-lib/libasound_module_pcm_pulse.so")]
    if not plugins:
        pytest.skip("libasound2-plugins is not installed")
    # Not the user's own server, and not one that it would start.
    (folder / ".asoundrc").write_text("pcm.!default { type pulse }\nctl.!default { type pulse }\n")
    server = f"unix:{folder}/native"
    own = {"HOME": str(folder), "XDG_RUNTIME_DIR": str(folder), "PULSE_RUNTIME_PATH": str(folder)}
    environment = {**os.environ, **own, "PULSE_SERVER": server, "XDG_CONFIG_HOME": str(folder)}
    modules = [
        f"module-native-protocol-unix socket={folder}/native auth-anonymous=1",
        "module-null-sink sink_name=virt rate=44100",
    ]
    options = ["-n", "--exit-idle-time=-1", "--daemonize=no", "--use-pid-file=no"]
    loaded = [option for module in modules for option in ("-L", module)]
    quiet = subprocess.DEVNULL
    tone = ["-re", "-f", "lavfi", "-i", "aevalsrc=0.5*sin(1000*2*PI*t):s=44100", "-f", "pulse"]
    command = ["pulseaudio", *options, *loaded]
    running = [subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet)]
    try:
        pause = threading.Event()
        for _ in range(100):
            asked = subprocess.run(
                ["pactl", "info"], env=environment, check=False, stdout=quiet, stderr=quiet
            )
            if asked.returncode == 0:
                break
            assert running[0].poll() is None, "PulseAudio does not start"
            pause.wait(0.1)
        player = ["ffmpeg", "-nostdin", "-v", "error", *tone, "-device", "virt", "tone"]
        running.append(subprocess.Popen(player, env=environment))
        yield environment
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait(10)


def program(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
    )


@pytest.mark.parametrize("device", ["", "pulse"])
def test_tone_is_recorded(sound: dict[str, str], tmp_path: Path, device: str) -> None:
    done = program(sound, "-c", RECORD, device, str(tmp_path / "heard.npy"))
    assert done.returncode == 0, done.stderr[-2000:]
    heard = np.load(tmp_path / "heard.npy")
    # The second after the first: the player may have begun later than we.
    frequency, level = spectrum_peak(heard[32000:48000], 16000)
    # A bin is 1 Hz. The level: one channel in, two out at the same level, 16 bits; 2 %.
    assert abs(frequency - 1000) <= 1
    assert level == pytest.approx(0.5, rel=0.02)
    # The device was faster than real time for no more than its buffers hold.
    assert len(heard) < 6 * 16000


def test_devices_are_listed(sound: dict[str, str]) -> None:
    done = program(sound, "-m", "auricle", "devices")
    assert done.returncode == 0, done.stderr
    assert "pulse, ALSA" in done.stdout
    assert "Hz" in done.stdout
    done = program(sound, "-m", "auricle", "devices", "--json")
    listed = json.loads(done.stdout)
    assert "pulse" in [device["name"] for device in listed]
    assert [device["default"] for device in listed].count(True) == 1


def test_no_such_device_lists_those_there_are(sound: dict[str, str]) -> None:
    code = (
        "from auricle.nodes.inputs.microphone import Microphone\n"
        "Microphone('mic', device='Foo 9').start()"
    )
    done = program(sound, "-c", code)
    assert done.returncode != 0
    last = one_line(done.stderr.strip().splitlines()[-1])
    assert "no sound device 'Foo 9'; devices are: " in last
    assert "pulse, ALSA" in last


# An invalid device
# ------------------------------------------------------------------------------------


class FakeAudio:
    """As much of sounddevice as the node uses; the test is the sound card."""

    class PortAudioError(Exception):
        pass

    def __init__(self) -> None:
        self.default = SimpleNamespace(device=(1, 0))
        self.refuses: str | None = None
        self.stream: Any = None

    def query_hostapis(self) -> list[dict[str, Any]]:
        return [{"name": "ALSA"}, {"name": "JACK"}]

    def query_devices(self) -> list[dict[str, Any]]:
        names = [
            ("Out", 0, 0),
            ("USB Audio", 0, 2),
            ("USB Audio", 1, 2),
            ("Line", 0, 1),
            ("Line In", 0, 1),
        ]
        return [
            {
                "name": name,
                "hostapi": api,
                "max_input_channels": channels,
                "default_samplerate": 16000.0,
                "index": index,
            }
            for index, (name, api, channels) in enumerate(names)
        ]

    def InputStream(self, **how: Any) -> Any:  # noqa: N802 - sounddevice's name
        if self.refuses:
            raise self.PortAudioError(self.refuses)
        calls: list[str] = []
        self.stream = SimpleNamespace(
            how=how,
            active=True,
            calls=calls,
            start=lambda: calls.append("start"),
            close=lambda: calls.append("close"),
        )
        return self.stream


@pytest.fixture
def audio(monkeypatch: pytest.MonkeyPatch) -> FakeAudio:
    fake = FakeAudio()
    monkeypatch.setattr(microphone, "_portaudio", lambda: fake)
    return fake


class Card:
    """A microphone of 16 kHz whose callback and worker are called by hand; sample `n` is `n`."""

    def __init__(self, audio: FakeAudio, start: int = 0, **params: Any) -> None:
        self.node = Microphone("mic", device="Line", **params)
        graph, self.listener = wired(self.node, start)
        self.graph: Graph = graph
        self.run = Run(graph)
        self.run.start()
        assert self.run.error is None, self.run.error
        self.callback = audio.stream.how["callback"]
        self.at = 0
        self.ramp: NDArray[np.float32] = (np.arange(16000 * 20) % 10007 / 16384).astype(np.float32)

    def hear(self, count: int, overflow: bool = False, adc_s: float | None = None) -> None:
        """The card hands over its next samples."""
        when = SimpleNamespace(inputBufferAdcTime=100 + self.at / 16000 if adc_s is None else adc_s)
        block = self.ramp[self.at : self.at + count, None].copy()
        self.callback(block, count, when, SimpleNamespace(input_overflow=overflow))
        block[:] = 9  # PortAudio uses its buffer again
        self.at += count

    def work(self) -> None:
        while self.run.advance():
            pass

    def check(self, *gaps: tuple[int, int, str], start: int = 0) -> None:
        """What was heard lies where it was heard, and is silent in the gaps."""
        self.work()
        listener: Listener = self.listener
        found = [(gap.start - start, gap.stop - start, gap.reason) for gap in listener.gaps]
        assert found == list(gaps)
        assert all(gap.source == (gap.start - start, gap.stop - start) for gap in listener.gaps)
        expected = self.ramp[: self.at].copy()
        for first, last, _ in gaps:
            expected[first:last] = 0
        np.testing.assert_array_equal(listener.samples, expected)
        assert self.node.statistics()["lost_samples"] == sum(
            last - first for first, last, _ in gaps
        )


@pytest.mark.parametrize("start", [0, 2**31 - 5, 2**53])
@pytest.mark.parametrize(
    "blocks", [[1] * 300, [127] * 20, [256, 4096, 3], [16000]], ids=lambda b: str(b[0])
)
def test_blocks_come_whole(audio: FakeAudio, start: int, blocks: list[int]) -> None:
    card = Card(audio, start)
    for block in blocks:
        card.hear(block)
        card.work()
    card.check(start=start)


@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize("start", [0, 2**53])
def test_xrun_is_a_gap_as_long_as_the_device_says(
    audio: FakeAudio, start: int, waits: bool
) -> None:
    card = Card(audio, start)
    for block in range(10):
        if block == 4:
            card.at += 3333  # which nobody heard
        card.hear(500, overflow=block == 4)
        if not waits:
            card.work()
    card.check((2000, 5333, "xrun"), start=start)


def test_xrun_of_a_device_without_a_clock_is_a_block_at_least(audio: FakeAudio) -> None:
    card = Card(audio)
    card.hear(500, adc_s=0.0)
    card.at += 500
    card.hear(500, overflow=True, adc_s=0.0)
    card.check((500, 1000, "xrun"))


def test_xruns_in_a_row(audio: FakeAudio) -> None:
    card = Card(audio)
    card.hear(500)
    for _ in range(2):
        card.at += 700
        card.hear(500, overflow=True)
    card.check((500, 1200, "xrun"), (1700, 2400, "xrun"))


def test_long_xrun_does_not_outgrow_the_ring(audio: FakeAudio) -> None:
    card = Card(audio)
    card.hear(500)
    card.at += 16000 * 15
    card.hear(500, overflow=True)
    card.check((500, 500 + 16000 * 15, "xrun"))


def test_full_ring_is_a_gap_of_what_was_dropped(audio: FakeAudio) -> None:
    card = Card(audio)
    for _ in range(70):  # 7 s, while the worker is busy elsewhere
        card.hear(1600)
    capacity = card.node._captured.ring.capacity
    assert capacity < 70 * 1600
    card.work()
    card.hear(1600)
    card.work()
    gaps = card.listener.gaps
    assert {gap.reason for gap in gaps} == {"dropped"}
    first, last = gaps[0].start, gaps[-1].stop
    assert (first, last) == (capacity, 70 * 1600)
    assert sum(gap.stop - gap.start for gap in gaps) == last - first
    expected = card.ramp[: card.at].copy()
    expected[first:last] = 0
    np.testing.assert_array_equal(card.listener.samples, expected)


def test_silent_callback_is_an_error(audio: FakeAudio, monkeypatch: pytest.MonkeyPatch) -> None:
    card = Card(audio)
    card.hear(500)
    card.work()
    monkeypatch.setattr(microphone, "LOST_S", -1.0)
    card.work()
    assert card.run.ending is State.FAILED
    assert "Line, ALSA: the device has stopped" in one_line(str(card.run.error))


def test_slow_graph_is_no_silent_device(audio: FakeAudio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(microphone, "LOST_S", 0.0)
    card = Card(audio)
    card.listener.deaf = True
    for _ in range(60):
        card.hear(1600)
        card.run.advance()
    card.work()
    assert card.run.error is None
    card.listener.deaf = False
    monkeypatch.setattr(microphone, "LOST_S", 60.0)
    card.check()


def test_stopped_stream_is_an_error_after_what_it_gave(audio: FakeAudio) -> None:
    card = Card(audio)
    card.hear(500)
    audio.stream.active = False
    card.work()
    assert card.run.ending is State.FAILED
    assert "unplugged" in one_line(str(card.run.error))
    assert card.node.audio.stream.written == 500


def test_stop_twice_and_before_the_start(audio: FakeAudio) -> None:
    card = Card(audio)
    stream = audio.stream
    card.node.stop()
    card.node.stop()
    assert stream.calls == ["start", "close"]
    Microphone("mic").stop()


def test_parameters_reach_the_device(audio: FakeAudio) -> None:
    Card(audio, channels=1, device_rate=8000, block_size=160)
    how = audio.stream.how
    assert (how["device"], how["channels"], how["samplerate"], how["blocksize"]) == (
        3,
        1,
        8000,
        160,
    )


def test_device_that_cannot_be_opened(audio: FakeAudio) -> None:
    audio.refuses = "Device unavailable [PaErrorCode -9985]"
    node = Microphone("mic", device="Line")
    wired(node)
    with pytest.raises(InputError, match="Line, ALSA: Device unavailable"):
        node.start()
    node.stop()


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (None, 1),
        ("Line", 3),
        ("line in", 4),
        ("USB Audio, JACK", 2),
        ("jack", 2),
        ("Line, ALSA", 3),
    ],
)
def test_device_by_name(audio: FakeAudio, wanted: str | None, index: int) -> None:
    assert find_device(wanted).index == index


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("Foo", "no sound device 'Foo'"),
        ("USB Audio", "more than one"),
        ("Out", "no sound device 'Out'"),
    ],
)
def test_device_by_an_invalid_name(audio: FakeAudio, wanted: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        find_device(wanted)
    message = one_line(str(caught.value))
    assert said in message
    assert "USB Audio, ALSA; USB Audio, JACK" in message


def test_no_device_at_all(audio: FakeAudio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "query_devices", list)
    assert devices() == []
    with pytest.raises(InputError, match="no sound device to listen to"):
        find_device(None)


def test_device_is_written_as_it_is_asked_for() -> None:
    assert str(Device("USB Audio", "ALSA", 2, 48000, True, 7)) == "USB Audio, ALSA"


def test_missing_portaudio_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def refuse(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name == "sounddevice":
            raise OSError("PortAudio library not found")
        return original(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(InputError) as caught:
        Microphone("mic").start()
    assert "apt install libportaudio2" in one_line(str(caught.value))
