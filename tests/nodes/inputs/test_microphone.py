"""The node and its capture process, with a sound card made by hand."""

from __future__ import annotations

import io
import json
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from auricle.engine.backoff import Backoff
from auricle.engine.run import Run, State
from auricle.errors import AuricleError, ConfigError, InputError
from auricle.nodes.inputs import capture, devices, microphone
from auricle.nodes.inputs.capture import Request
from auricle.nodes.inputs.capture_process import CaptureProcess
from auricle.nodes.inputs.devices import Device, find_device, server_sources
from auricle.nodes.inputs.microphone import Microphone
from tests.nodes.listening import Listener, Outages, listening, one_line
from tests.nodes.waiting import wait_until

LINE = Request("Line", None, None, 0)

POPEN = "auricle.nodes.inputs.capture_process.Popen"


class FakeAudio:
    """As much of sounddevice as the node uses; the test is the sound card."""

    class PortAudioError(Exception):
        pass

    def __init__(self) -> None:
        self.default = SimpleNamespace(device=(1, 0))
        self.refuses: tuple[Any, ...] | None = None
        self.absent: set[str] = set()
        self.rate = 16000.0
        self.streams: queue.Queue[Any] = queue.Queue()

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
                "default_samplerate": self.rate,
                "index": index,
            }
            for index, (name, api, channels) in enumerate(names)
            if name not in self.absent
        ]

    def RawInputStream(self, **how: Any) -> Any:  # noqa: N802 - sounddevice's name
        if self.refuses:
            raise self.PortAudioError(*self.refuses)
        stream = SimpleNamespace(how=how, active=True, start=lambda: None)
        self.streams.put(stream)
        return stream


class FakeProcess:
    """A process whose program runs on a thread of this one."""

    pid = 1

    def __init__(self, arguments: list[str], **_: Any) -> None:
        read, write = os.pipe()
        self.stdout = os.fdopen(read, "rb", 0)
        self.stdin = io.BytesIO()
        self._thread = threading.Thread(
            target=self._run, args=(arguments[-1], os.fdopen(write, "wb"))
        )
        self._thread.start()

    def _run(self, request: str, output: Any) -> None:
        with suppress(OSError), output:
            capture.record(Request(**json.loads(request)), output)

    def kill(self) -> None:
        # As good as it gets for a thread: its next write fails, and a wait ends.
        for recording in recordings:
            recording.fail("killed")

    def wait(self, timeout: float) -> int:
        return -9


recordings: list[capture.Recording] = []
"""Recordings of the present test."""


@pytest.fixture
def audio(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAudio]:
    fake = FakeAudio()
    original = capture.Recording

    def record(*arguments: Any) -> capture.Recording:
        recordings.append(original(*arguments))
        return recordings[-1]

    monkeypatch.setattr(capture, "portaudio", lambda: fake)
    monkeypatch.setattr(capture, "Recording", record)
    monkeypatch.setattr(capture, "LOOK_S", 0.05)
    monkeypatch.setattr(POPEN, FakeProcess)
    monkeypatch.setenv("PULSE_SOURCE", "")  # which a recording sets for its process
    monkeypatch.setattr(devices, "server_sources", lambda: None)
    monkeypatch.setattr(microphone, "fingerprint", lambda: None)
    monkeypatch.setattr(microphone, "LOST_S", 500.0)
    yield fake
    recordings.clear()


class Card:
    """A microphone of 16 kHz that is fed by hand; sample `n` is `n`, up to a factor."""

    def __init__(self, audio: FakeAudio, start: int, node: Microphone, listener: Listener) -> None:
        self.audio, self.start, self.node, self.listener = audio, start, node, listener
        self.at = 0
        self.ramp: NDArray[np.float32] = (np.arange(16000 * 60) % 10007 / 16384).astype(np.float32)
        self.opened()

    def opened(self) -> None:
        """Wait until the node has opened it."""
        self.stream = self.audio.streams.get(timeout=500)
        self.callback: Callable[..., None] = self.stream.how["callback"]

    def hear(self, count: int, overflow: bool = False, adc_s: float | None = None) -> None:
        """The card hands over its next samples."""
        when = SimpleNamespace(inputBufferAdcTime=100 + self.at / 16000 if adc_s is None else adc_s)
        block = bytearray(self.ramp[self.at : self.at + count].tobytes())
        self.callback(block, count, when, SimpleNamespace(input_overflow=overflow))
        block[:] = bytes(len(block))  # PortAudio uses its buffer again
        self.at += count

    def wait(self) -> None:
        """Wait until everything is heard."""
        self.listener.wait_for(lambda: len(self.listener.tokens) == self.at)

    def check(self, *gaps: tuple[int, int, str]) -> None:
        """What was heard lies where it was heard, and is silent in the gaps."""
        self.wait()
        start = self.start
        found = [(gap.start - start, gap.stop - start, gap.reason) for gap in self.listener.gaps]
        assert found == list(gaps)
        assert all(
            gap.source == (gap.start - start, gap.stop - start) for gap in self.listener.gaps
        )
        self.check_samples()
        lost = sum(last - first for first, last, _ in gaps)
        assert self.node.statistics()["lost_samples"] == lost

    def check_samples(self) -> None:
        expected = self.ramp[: self.at].copy()
        for gap in self.listener.gaps:
            expected[gap.start - self.start : gap.stop - self.start] = 0
        np.testing.assert_array_equal(self.listener.samples, expected)


@contextmanager
def card(audio: FakeAudio, start: int = 0, **params: Any) -> Iterator[Card]:
    node = Microphone("mic", device="Line", **params)
    with listening(node, start) as (scheduler, listener):
        yield Card(audio, start, node, listener)
        assert scheduler.runs[0].error is None


def failure(node: Microphone) -> AuricleError:
    """The error with which the node ends."""
    with listening(node) as (scheduler, _):
        assert scheduler.wait(500)
        run: Run = scheduler.runs[0]
        assert run.state is State.FAILED
        assert run.error is not None
        return run.error


# What it hears
# ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [0, 2**31 - 5, 2**53])
@pytest.mark.parametrize(
    "blocks", [[1] * 300, [127] * 20, [256, 4096, 3], [16000]], ids=lambda b: str(b[0])
)
def test_blocks_come_whole(audio: FakeAudio, start: int, blocks: list[int]) -> None:
    with card(audio, start) as line:
        for block in blocks:
            line.hear(block)
        line.check()


@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize("start", [0, 2**53])
def test_xrun_is_a_gap_as_long_as_the_device_says(
    audio: FakeAudio, start: int, waits: bool
) -> None:
    with card(audio, start) as line:
        for block in range(10):
            if block == 4:
                line.at += 3333  # which nobody heard
            line.hear(500, overflow=block == 4)
            if not waits:
                line.wait()
        line.check((2000, 5333, "xrun"))


def test_xrun_of_a_device_without_a_clock_is_a_block_at_least(audio: FakeAudio) -> None:
    with card(audio) as line:
        line.hear(500, adc_s=0.0)
        line.at += 500
        line.hear(500, overflow=True, adc_s=0.0)
        line.check((500, 1000, "xrun"))


def test_xruns_in_a_row(audio: FakeAudio) -> None:
    with card(audio) as line:
        line.hear(500)
        for _ in range(2):
            line.at += 700
            line.hear(500, overflow=True)
        line.check((500, 1200, "xrun"), (1700, 2400, "xrun"))


def test_long_xrun_does_not_outgrow_the_ring(audio: FakeAudio) -> None:
    with card(audio) as line:
        line.hear(500)
        line.at += 16000 * 15
        line.hear(500, overflow=True)
        wait_until(lambda: line.node._next_sample == line.at)
        line.listener.wait_for(lambda: line.listener.tokens.get(1000 + 3 * 16000 - 1))
        (gap,) = line.listener.gaps
        assert gap.source == (500, 500 + 16000 * 15)
        np.testing.assert_array_equal(
            line.listener.samples[gap.stop :], line.ramp[line.at - 500 : line.at]
        )


def test_full_queue_is_a_gap_of_what_was_dropped(audio: FakeAudio) -> None:
    with card(audio) as line:
        line.listener.deaf = True  # while the worker is busy elsewhere
        while not recordings[0]._dropped:
            line.hear(1600)
        line.hear(1600)
        line.listener.deaf = False
        line.node.context.wake()
        # The note of what was dropped comes with the next block that there is room for.
        wait_until(lambda: recordings[0]._put == recordings[0]._taken)
        line.hear(1600)
        line.wait()
        assert set(line.listener.reasons()) == {"dropped"}
        line.check_samples()
        lost = sum(gap.stop - gap.start for gap in line.listener.gaps)
        assert line.node.statistics()["lost_samples"] == lost


def test_an_overflow_of_a_dropped_block_is_not_forgotten(audio: FakeAudio) -> None:
    recording = capture.Recording(audio, LINE)
    recording._room = 100
    when = SimpleNamespace(inputBufferAdcTime=5.0)
    calm, overflowed = (SimpleNamespace(input_overflow=value) for value in (False, True))
    recording.hear(bytes(4 * 80), 80, when, calm)
    recording.hear(bytes(4 * 80), 80, when, overflowed)
    recording.next_record()
    recording.hear(bytes(4 * 80), 80, when, calm)
    header, _ = recording.next_record()
    assert capture.HEADER.unpack(header)[:4] == (capture.BLOCK, True, 4 * 80, 80)


def test_slow_graph_is_no_silent_device(audio: FakeAudio, monkeypatch: pytest.MonkeyPatch) -> None:
    with card(audio) as line:
        line.listener.deaf = True
        for _ in range(60):
            line.hear(1600)
            wait_until(lambda: recordings[0]._put - recordings[0]._taken < 32000)
        wait_until(lambda: line.node._waiting)
        monkeypatch.setattr(microphone, "LOST_S", 0.0)
        time.sleep(3 * microphone.POLL_S)
        monkeypatch.setattr(microphone, "LOST_S", 500.0)
        line.listener.deaf = False
        line.node.context.wake()
        line.check()


def test_parameters_reach_the_device(audio: FakeAudio) -> None:
    with card(audio, channels=1, device_rate=8000, block_size=160) as line:
        how = line.stream.how
        names = ("device", "channels", "samplerate", "blocksize")
        assert [how[name] for name in names] == [3, 1, 8000, 160]


def test_stop_before_the_start() -> None:
    Microphone("mic").stop()


# What it waits for
# ------------------------------------------------------------------------------------------------


class Clock:
    """Monotonic time of the capture process."""

    def __init__(self) -> None:
        self.now_s = 50.0

    def monotonic_ns(self) -> int:
        return round(self.now_s * 1e9)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(capture, "time", found)
    return found


def lose(line: Card) -> None:
    """The device stops, and is opened again."""
    line.stream.active = False
    line.opened()


def hear_a_second(line: Card, clock: Clock) -> None:
    """A second of audio, taken by the node before it returns."""
    for _ in range(8):
        clock.now_s += 0.125
        line.hear(2000)
    wait_until(lambda: recordings[-1]._put == recordings[-1]._taken)


def test_lost_device_is_opened_again_and_the_time_between_is_a_gap(
    audio: FakeAudio, clock: Clock
) -> None:
    with card(audio) as line:
        hear_a_second(line, clock)
        line.wait()
        for _ in range(2):
            lose(line)
            clock.now_s += 2
            line.at += 2 * 16000
            hear_a_second(line, clock)
            print(line.at, len(line.listener.tokens), line.listener.gaps)
        line.check((16000, 3 * 16000, "reconnect"), (4 * 16000, 6 * 16000, "reconnect"))


def test_index_and_clock_agree_after_a_long_outage(audio: FakeAudio, clock: Clock) -> None:
    with card(audio) as line:
        hear_a_second(line, clock)
        line.wait()
        lose(line)
        clock.now_s += 3600
        hear_a_second(line, clock)
        line.listener.wait_for(lambda: line.listener.gaps)
        wait_until(lambda: line.node._next_sample == 3602 * 16000)
        assert line.listener.gaps[0].source == (16000, 3601 * 16000)


def test_index_and_clock_agree_after_a_device_of_another_rate(
    audio: FakeAudio, clock: Clock
) -> None:
    with card(audio) as line:
        hear_a_second(line, clock)
        line.wait()
        audio.rate = 8000.0
        lose(line)
        clock.now_s += 2
        for _ in range(16):
            clock.now_s += 0.125
            line.hear(1000)
        line.listener.wait_for(lambda: len(line.listener.tokens) > 4.8 * 16000)
        (gap,) = line.listener.gaps
        # soxr holds samples back when it is flushed; the place does not depend on it.
        assert abs(gap.stop - 3 * 16000) <= 16
        assert abs(line.node._next_sample - 5 * 16000) <= 16


def test_silent_device_is_opened_again(audio: FakeAudio, monkeypatch: pytest.MonkeyPatch) -> None:
    with card(audio) as line:
        line.hear(500)
        line.wait()
        monkeypatch.setattr(microphone, "LOST_S", 0.0)
        line.opened()
        monkeypatch.setattr(microphone, "LOST_S", 500.0)
        line.hear(500)
        line.listener.wait_for(lambda: line.listener.reasons() == ["reconnect"])


def test_everything_before_a_loss_is_heard(audio: FakeAudio) -> None:
    with card(audio) as line:
        for _ in range(30):
            line.hear(1600)
        line.stream.active = False
        line.check()
        line.opened()


def test_absent_device_is_waited_for(audio: FakeAudio) -> None:
    audio.absent = {"Line", "Line In"}
    node, outages = Microphone("mic", device="Line"), Outages()
    with listening(node, outages=outages) as (scheduler, listener):
        reasons = [one_line(outages.next_reason()) for _ in range(3)]
        audio.absent = set()
        line = Card(audio, 0, node, listener)
        line.hear(500)
        line.check()
        outages.heard()
        assert scheduler.runs[0].error is None
    assert len({*reasons}) == 1
    assert "no sound device 'Line'; devices are: USB Audio, ALSA" in reasons[0]


def test_device_that_cannot_be_opened_at_present_is_waited_for(audio: FakeAudio) -> None:
    audio.refuses = ("Error opening RawInputStream: Device unavailable", -9985)
    node, outages = Microphone("mic", device="Line"), Outages()
    with listening(node, outages=outages) as (_, listener):
        assert one_line(outages.next_reason()) == "Line, ALSA: Device unavailable"
        audio.refuses = None
        line = Card(audio, 0, node, listener)
        line.hear(500)
        line.check()


def test_change_of_the_system_ends_a_long_pause(
    audio: FakeAudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    audio.absent = {"Line", "Line In"}
    monkeypatch.setattr(microphone, "LOOK_S", 0.02)
    node, outages = Microphone("mic", device="Line"), Outages()
    with listening(node, 0, Backoff(36_000, 36_000), outages) as (_, listener):
        outages.next_reason()
        audio.absent = set()
        monkeypatch.setattr(microphone, "fingerprint", lambda: "another card")
        line = Card(audio, 0, node, listener)
        line.hear(500)
        line.check()


def test_pauses_start_over_after_good_audio_only(
    audio: FakeAudio, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    def note(self: Microphone, pause_s: float, seen: object) -> None:
        tries.append(self._tries)

    monkeypatch.setattr(Microphone, "_wait", note)
    with card(audio) as line:
        for seconds in (1, 9, 10, 1):
            for _ in range(seconds):
                hear_a_second(line, clock)
            lose(line)
    assert tries == [1, 2, 1, 2]


def test_process_that_cannot_be_started_is_waited_for(
    audio: FakeAudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(POPEN, refuse)
    node, outages = Microphone("mic", device="Line"), Outages()
    with listening(node, outages=outages) as (_, listener):
        assert "Too many open files" in one_line(outages.next_reason())
        monkeypatch.setattr(POPEN, FakeProcess)
        line = Card(audio, 0, node, listener)
        line.hear(500)
        line.check()


# What it does not wait for
# ------------------------------------------------------------------------------------------------


def test_device_that_must_not_be_waited_for(audio: FakeAudio) -> None:
    error = failure(Microphone("mic", device="Foo", reconnect=False))
    assert isinstance(error, InputError)
    assert "no sound device 'Foo'" in one_line(str(error))


def test_lost_device_that_must_not_be_waited_for(audio: FakeAudio) -> None:
    node = Microphone("mic", device="Line", reconnect=False)
    with listening(node) as (scheduler, listener):
        line = Card(audio, 0, node, listener)
        line.hear(500)
        line.stream.active = False
        assert scheduler.wait(500)
        assert scheduler.runs[0].state is State.FAILED
        assert "Line, ALSA: the device has stopped" in one_line(str(scheduler.runs[0].error))
        assert node.audio.stream.written == 500


@pytest.mark.parametrize(
    ("code", "said"), [(-9997, "Invalid sample rate"), (-9998, "Invalid number of channels")]
)
def test_parameters_that_the_device_does_not_take(audio: FakeAudio, code: int, said: str) -> None:
    audio.refuses = (f"Error opening RawInputStream: {said}", code)
    error = failure(Microphone("mic", device="Line", channels=7))
    assert isinstance(error, ConfigError)
    assert f"Line, ALSA: {said}" in one_line(str(error))


def test_ambiguous_name_is_an_error_at_the_start_only(audio: FakeAudio) -> None:
    assert isinstance(failure(Microphone("mic", device="USB Audio")), ConfigError)
    audio.absent = {"Line In"}
    node, outages = Microphone("mic", device="line"), Outages()
    with listening(node, outages=outages) as (_, listener):
        line = Card(audio, 0, node, listener)
        line.hear(500)
        line.wait()
        audio.absent = set()
        line.stream.active = False
        while "more than one" not in outages.next_reason():
            pass
        audio.absent = {"Line In"}
        line.opened()


def test_missing_portaudio_names_the_package(
    audio: FakeAudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "portaudio", devices.portaudio)
    monkeypatch.setitem(__import__("sys").modules, "sounddevice", None)
    original = __import__

    def refuse(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name == "sounddevice":
            raise OSError("PortAudio library not found")
        return original(name, *arguments, **keywords)

    monkeypatch.setattr("builtins.__import__", refuse)
    error = failure(Microphone("mic"))
    assert type(error) is InputError
    assert "apt install libportaudio2" in one_line(str(error))


def test_error_that_nobody_foresaw_is_one_line(
    audio: FakeAudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> Any:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(audio, "query_hostapis", fail)
    error = failure(Microphone("mic", reconnect=False))
    assert one_line(str(error)) == "mic: RuntimeError: two lines"


# Names
# ------------------------------------------------------------------------------------------------


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
    assert find_device(wanted, audio).index == index


@pytest.mark.parametrize(
    ("wanted", "kind", "said"),
    [
        ("Foo", InputError, "no sound device 'Foo'"),
        ("USB Audio", ConfigError, "more than one"),
        ("Out", InputError, "no sound device 'Out'"),
    ],
)
def test_device_by_an_invalid_name(
    audio: FakeAudio, wanted: str, kind: type[AuricleError], said: str
) -> None:
    with pytest.raises(kind) as caught:
        find_device(wanted, audio)
    message = one_line(str(caught.value))
    assert said in message
    assert "USB Audio, ALSA; USB Audio, JACK" in message


def test_no_device_at_all(audio: FakeAudio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "query_devices", list)
    with pytest.raises(InputError, match="no sound device to listen to"):
        find_device(None, audio)


def test_device_is_written_as_it_is_asked_for() -> None:
    assert str(Device("USB Audio", "ALSA", 2, 48000, True, 7)) == "USB Audio, ALSA"
    assert str(Device("pulse:x", "PulseAudio", 2, 48000, False, None)) == "pulse:x"


SOURCES = [
    {
        "name": "in.usb",
        "description": "Mixer\x1b[2J Line",
        "driver": "PipeWire",
        "sample_specification": "s32le 4ch 96000Hz",
        "monitor_source": "",
    },
    {
        "name": "out.usb.monitor",
        "description": "Monitor of Mixer",
        "driver": "PipeWire",
        "sample_specification": "float32le 2ch 48000Hz",
        "monitor_source": "out.usb",
    },
    {"name": "odd"},
]


@pytest.fixture
def pactl(audio: FakeAudio, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What `pactl` answers."""
    answer = SimpleNamespace(stdout=json.dumps(SOURCES).encode())
    monkeypatch.setenv("PULSE_SERVER", "unix:/somewhere")
    monkeypatch.setattr(devices, "server_sources", server_sources)
    monkeypatch.setattr("auricle.nodes.inputs.devices.subprocess.run", lambda *_, **__: answer)
    return answer


def test_sources_of_a_sound_server(pactl: SimpleNamespace) -> None:
    assert server_sources() == [
        Device("pulse:in.usb", "PipeWire", 4, 96000, False, None, "Mixer[2J Line"),
        Device(
            "pulse:out.usb.monitor", "PipeWire", 2, 48000, False, None, "Monitor of Mixer", True
        ),
        Device("pulse:odd", "PulseAudio", 2, 44100, False, None),
    ]


def test_looking_for_sources_starts_no_server(
    pactl: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("HOME", "PULSE_RUNTIME_PATH", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv("PULSE_SERVER")
    monkeypatch.setattr(devices, "SYSTEM_SERVER", str(tmp_path))
    assert server_sources() is None
    (tmp_path / "pulse").mkdir()
    (tmp_path / "pulse/native").touch()
    assert server_sources()


@pytest.mark.parametrize("answer", [b"", b"Connection refused", b"{}", b"\xff"])
def test_sound_server_that_does_not_answer(pactl: SimpleNamespace, answer: bytes) -> None:
    pactl.stdout = answer
    assert server_sources() is None


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("pulse:in.usb", "pulse:in.usb"),
        ("pulse:monitor", "pulse:out.usb.monitor"),
        ("pulse:Monitor of Mixer", "pulse:out.usb.monitor"),
        ("out.usb", "pulse:out.usb.monitor"),
        ("monitor of", "pulse:out.usb.monitor"),
        ("USB Audio, JACK", "USB Audio"),  # devices of PortAudio come first
        ("line", None),
        ("pulse:usb", None),
        ("pulse:Line In", None),
    ],
)
def test_source_by_name(
    audio: FakeAudio, pactl: SimpleNamespace, wanted: str, name: str | None
) -> None:
    if name is None:
        with pytest.raises(AuricleError) as caught:
            find_device(wanted, audio)
        one_line(str(caught.value))
    else:
        assert find_device(wanted, audio).name == name


def test_source_that_cannot_be_looked_up_is_taken_by_its_full_name(audio: FakeAudio) -> None:
    assert find_device("pulse:in.usb", audio).name == "pulse:in.usb"


def test_source_without_a_way_to_it_names_the_package(audio: FakeAudio) -> None:
    with pytest.raises(InputError, match="apt install libasound2-plugins"):
        capture.Recording(audio, Request("pulse:in.usb", None, None, 0))


def test_missing_process_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    process = CaptureProcess(LINE)
    process._process.kill()
    with pytest.raises(InputError, match="capture process has ended by signal 9"):
        process.read(500)
    process.close()
    process.close()
