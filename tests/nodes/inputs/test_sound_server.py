"""The sound card for real: PulseAudio's null sinks, which come and go."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import pytest

from auricle.nodes.inputs.capture import Request
from auricle.nodes.inputs.capture_process import MODULE, devices
from auricle.nodes.inputs.microphone import Microphone
from tests.nodes.listening import Listener, Outages, listening, spectrum_peak
from tests.nodes.sound import TONE_HZ, SoundServer, sound_server
from tests.nodes.waiting import LIMIT_S, wait_until

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoundServer]:
    with sound_server(tmp_path_factory.mktemp("pulse")) as found:
        yield found


@pytest.fixture
def sound(server: SoundServer, monkeypatch: pytest.MonkeyPatch) -> SoundServer:
    """The server as that of this process, which itself never opens a device."""
    for name, value in server.own.items():
        monkeypatch.setenv(name, value)
    return server


def program(sound: SoundServer, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env=sound.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
    )


def hear_tone(listener: Listener) -> None:
    """Wait for half a second of the tone, at its level, from now on."""
    length = 8000
    begin = len(listener.tokens) + 4000  # whatever was under way before

    def heard() -> bool:
        nonlocal begin
        if len(listener.tokens) < begin + length:
            return False
        frequency, level = spectrum_peak(listener.samples[begin : begin + length], 16000)
        begin += length
        # A bin is 2 Hz. The level: one channel in, two out at the same level, 16 bits; 2 %.
        return abs(frequency - TONE_HZ) <= 2 and abs(level - 0.5) < 0.01

    wait_until(heard)


@pytest.mark.parametrize("device", [None, "pulse", "pulse:virt.monitor"])
def test_tone_is_recorded(sound: SoundServer, device: str | None) -> None:
    node = Microphone("mic", device=device)
    with listening(node) as (scheduler, listener):
        hear_tone(listener)
        assert scheduler.runs[0].error is None
    assert node.statistics()["device"] in ("default, ALSA", "pulse, ALSA", "pulse:virt.monitor")


def test_source_is_chosen_by_its_name(sound: SoundServer) -> None:
    node = Microphone("mic", device="pulse:hush.monitor")
    with listening(node) as (_, listener):
        listener.wait_for(lambda: len(listener.tokens) > 16000)
        assert not listener.samples.any()
    assert node.statistics()["device"] == "pulse:hush.monitor"


def test_devices_are_listed(sound: SoundServer) -> None:
    done = program(sound, "-m", "auricle", "devices")
    assert done.returncode == 0
    assert done.stderr == ""
    assert "pulse, ALSA" in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if "pulse:virt.monitor" in line]
    assert "2 channels   44100 Hz" in line
    assert line.endswith("loopback")
    listed = json.loads(program(sound, "-m", "auricle", "devices", "--json").stdout)
    assert [device["default"] for device in listed].count(True) == 1
    assert [device["name"] for device in listed if device["loopback"]] == [
        "pulse:hush.monitor",
        "pulse:virt.monitor",
    ]
    assert [device["name"] for device in listed] == [device.name for device in devices()]


def test_source_that_is_pulled_and_plugged_in_again(sound: SoundServer) -> None:
    with listening(Microphone("mic", device="pulse:virt.monitor")) as (scheduler, listener):
        hear_tone(listener)
        # The server may move the recording to the source that is left, which is another.
        sound.pactl("unload-module", "module-null-sink")
        sound.pactl("load-module", "module-null-sink", "sink_name=hush", "rate=48000")
        sound.pactl("load-module", "module-null-sink", "sink_name=virt", "rate=44100")
        sound.play()
        wait_until(listener.reasons)
        hear_tone(listener)
        assert set(listener.reasons()) == {"reconnect"}
        assert scheduler.runs[0].error is None


@pytest.mark.slow
def test_sound_server_that_is_ended_and_started_again(
    sound: SoundServer, capfd: pytest.CaptureFixture[str]
) -> None:
    node, outages = Microphone("mic", device="pulse:virt.monitor"), Outages()
    with listening(node, outages=outages) as (scheduler, listener):
        hear_tone(listener)
        sound.stop()
        for _ in range(2):
            outages.next_reason()
        sound.start()
        hear_tone(listener)
        assert set(listener.reasons()) == {"reconnect"}
        assert scheduler.runs[0].error is None
    assert capfd.readouterr() == ("", "")


def test_server_that_starts_later(sound: SoundServer) -> None:
    sound.stop()
    outages = Outages()
    with listening(Microphone("mic"), outages=outages) as (_, listener):
        assert outages.next_reason() == "no sound device to listen to"
        sound.start()
        hear_tone(listener)
        assert not listener.reasons()


def test_capture_process_that_is_killed_is_replaced(sound: SoundServer) -> None:
    with listening(Microphone("mic", device="pulse:virt.monitor")) as (_, listener):
        hear_tone(listener)
        (child,) = capture_processes(os.getpid())
        os.kill(child, signal.SIGKILL)
        wait_until(lambda: listener.reasons() == ["reconnect"])
        hear_tone(listener)
    assert not capture_processes(os.getpid())


LISTEN = """
import sys
from auricle.nodes.inputs.microphone import Microphone
from tests.nodes.listening import listening
with listening(Microphone("mic", device=sys.argv[1])) as (_, listener):
    listener.wait_for(lambda: len(listener.tokens) > 1000)
    print("heard", flush=True)
    listener.wait_for(lambda: False)
"""


def test_no_capture_process_outlives_the_engine(sound: SoundServer) -> None:
    command = [sys.executable, "-c", LISTEN, "pulse:virt.monitor"]
    engine = subprocess.Popen(command, env=sound.environment, cwd=ROOT, stdout=subprocess.PIPE)
    with engine:
        try:
            assert engine.stdout is not None
            assert engine.stdout.readline() == b"heard\n"
            (child,) = capture_processes(engine.pid)
            # Those that a terminal or a service manager sends to all, which the engine answers.
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                os.kill(child, number)
            assert capture_processes(engine.pid) == [child]
        finally:
            engine.kill()
    wait_until(lambda: not is_running(child))


def capture_processes(parent: int) -> list[int]:
    """Numbers of the capture processes of a process."""
    found = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(parent)], capture_output=True)
    lines = found.stdout.decode().splitlines()
    return [int(line.split()[0]) for line in lines if "inputs.capture" in line]


def is_running(process: int) -> bool:
    with suppress(OSError):
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return False


def test_capture_process_ends_with_its_parent_even_if_it_cannot_write(sound: SoundServer) -> None:
    request = json.dumps(asdict(Request("pulse:virt.monitor", None, None, 0)))
    command = [sys.executable, "-m", MODULE, request]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, env=sound.environment, cwd=ROOT, stdin=pipe, stdout=pipe
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.read(1000)  # and no more, so that the pipe is soon full
            process.stdin.close()
            assert process.wait(LIMIT_S) == 0
        finally:
            process.kill()
