"""A PulseAudio server of the tests' own, with a null sink that plays a tone."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.nodes.waiting import wait_until

QUIET = subprocess.DEVNULL

TONE_HZ = 1000
"""Frequency of what the null sink `virt` plays; `hush`, the default one, is silent."""


class SoundServer:
    """A server, and who plays to it. Programs that use it need its `environment`.

    Args:
        folder: Folder for its socket and for the settings of its clients.
    """

    def __init__(self, folder: Path) -> None:
        # Not the user's own server, and not one that it would start.
        (folder / ".asoundrc").write_text(
            "pcm.!default { type pulse }\nctl.!default { type pulse }\n"
        )
        self.socket = folder / "native"
        self.own = {
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(folder),
            "XDG_CONFIG_HOME": str(folder),
            "PULSE_RUNTIME_PATH": str(folder),
            "PULSE_SERVER": f"unix:{self.socket}",
        }
        self.environment = {**os.environ, **self.own}
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start the server, and the tone on its sink `virt`."""
        loaded = [
            f"module-native-protocol-unix socket={self.socket} auth-anonymous=1",
            "module-null-sink sink_name=hush rate=48000",
            "module-null-sink sink_name=virt rate=44100",
        ]
        options = ["-n", "--exit-idle-time=-1", "--daemonize=no", "--use-pid-file=no"]
        modules = [option for module in loaded for option in ("-L", module)]
        server = self._run("pulseaudio", *options, *modules)

        def answers() -> bool:
            assert server.poll() is None, "PulseAudio does not start"
            return self.pactl("set-default-source", "virt.monitor", check=False) == 0

        wait_until(answers)
        self.play()

    def play(self) -> None:
        """Play the tone on the sink `virt`."""
        tone = f"aevalsrc=0.5*sin({TONE_HZ}*2*PI*t):s=44100"
        source = ["-re", "-f", "lavfi", "-i", tone]
        self._run(
            "ffmpeg", "-nostdin", "-v", "quiet", *source, "-f", "pulse", "-device", "virt", "tone"
        )

    def pactl(self, *command: str, check: bool = True) -> int:
        """Give the server a command; returns the exit code."""
        done = subprocess.run(
            ["pactl", *command], env=self.environment, check=check, stdout=QUIET, stderr=QUIET
        )
        return done.returncode

    def stop(self) -> None:
        """End the server and whoever plays. It may be started again."""
        for process in reversed(self._running):
            process.kill()
            process.wait(100)
        self._running.clear()
        self.socket.unlink(missing_ok=True)

    def _run(self, *command: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(command, env=self.environment, stdout=QUIET, stderr=QUIET)
        self._running.append(process)
        return process


@contextmanager
def sound_server(folder: Path) -> Iterator[SoundServer]:
    """A running server; skips the test where something for it is not installed."""
    for program in ("pulseaudio", "pactl", "ffmpeg"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    try:
        import sounddevice  # noqa: F401
    except OSError:
        pytest.skip("PortAudio is not installed")
    if not [*Path("/usr/lib").glob("*/alsa-lib/libasound_module_pcm_pulse.so")]:
        pytest.skip("libasound2-plugins is not installed")
    server = SoundServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
