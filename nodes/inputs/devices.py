"""The sound devices and sources to listen to, and the choice of one by its name.

PortAudio lists the devices of the system once, when it is initialised, so only the capture process
(`auricle.nodes.inputs.capture`) asks it: each has the devices of its own moment. Of the sources of
PulseAudio and PipeWire it knows one, the default; the others are listed by the server's `pactl`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auricle.errors import ConfigError, InputError

SOURCE_PREFIX = "pulse:"
"""Beginning of the names of sources of PulseAudio and PipeWire."""

PLUGIN = "pulse"
"""Name of ALSA's device that leads to the sound server, and that `PULSE_SOURCE` directs."""

SYSTEM_SERVER = "/run/pulse"
"""Folder of the socket of a sound server that serves all users."""

PACTL_TIMEOUT_S = 5.0
"""Longest wait for an answer of the sound server."""

UNKNOWN_SOURCE = 2, 44100
"""Channels and sample rate, Hz, of a source that the sound server does not describe."""


@dataclass(frozen=True, slots=True)
class Device:
    """A sound device, or a source of a sound server, that can be listened to.

    Attributes:
        name: Name in the system, which stays the same while PortAudio's index may change; of a
            source, `pulse:` and its name in the sound server.
        host_api: Audio interface of the system: ALSA, Core Audio and so on.
        channels: Number of input channels.
        sample_rate: Default sample rate, Hz.
        default: Whether it is the system's default input, which a source never is by itself.
        index: Present number in PortAudio, for opening it; None for a source.
        description: Name for people, if it is another.
        loopback: Whether it is a monitor: what the computer plays.
    """

    name: str
    host_api: str
    channels: int
    sample_rate: int
    default: bool
    index: int | None
    description: str = ""
    loopback: bool = False

    def __str__(self) -> str:
        return self.name if self.is_source else f"{self.name}, {self.host_api}"

    @property
    def names(self) -> tuple[str, ...]:
        """Names by which it can be asked for in full."""
        return self.name, self.name.removeprefix(SOURCE_PREFIX), str(self), self.description

    @property
    def is_source(self) -> bool:
        """Whether a sound server has it, which PortAudio does not know by name."""
        return self.index is None


def portaudio() -> Any:
    """The module sounddevice, with PortAudio initialised if it was not.

    Raises:
        InputError: PortAudio is not installed.
    """
    try:
        import sounddevice
    except OSError as error:
        raise InputError(
            "PortAudio is not installed; "
            "Debian: apt install libportaudio2, macOS: brew install portaudio"
        ) from error
    return sounddevice


def portaudio_devices(audio: Any) -> list[Device]:
    """The devices that PortAudio found when it was initialised.

    Args:
        audio: The module sounddevice.
    """
    apis = audio.query_hostapis()
    usual = audio.default.device[0]
    return [
        Device(
            each["name"],
            apis[each["hostapi"]]["name"],
            each["max_input_channels"],
            round(each["default_samplerate"]),
            each["index"] == usual,
            each["index"],
        )
        for each in audio.query_devices()
        if each["max_input_channels"] > 0
    ]


def server_sources() -> list[Device] | None:
    """The sources of PulseAudio or PipeWire, monitors among them.

    None where `pactl` is not installed or the server does not answer. Asking starts no server.
    """
    if not _may_run():
        return None
    try:
        done = subprocess.run(
            ["pactl", "-f", "json", "list", "sources"],
            env={**os.environ, "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PACTL_TIMEOUT_S,
            check=True,
        )
        listed = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    if not isinstance(listed, list):
        return None
    return [_source(each) for each in listed if isinstance(each, dict)]


def find_device(wanted: str | None, audio: Any) -> Device:
    """The device of a name, or else the only one whose name contains it.

    Devices of PortAudio come first; sources of the sound server are considered if none of them
    matches, or if the name begins with `pulse:`.

    Args:
        wanted: Name, `name, host API`, or `pulse:` and the name of a source; None for the system's
            default input.
        audio: The module sounddevice.

    Raises:
        InputError: No device matches at present.
        ConfigError: More than one matches.
    """
    found = portaudio_devices(audio)
    if wanted is None:
        chosen = [device for device in found if device.default] or found[:1]
        if not chosen:
            raise InputError("no sound device to listen to")
        return chosen[0]
    sources = server_sources()
    if not wanted.startswith(SOURCE_PREFIX):
        matching = _matching(wanted, found) or _matching(wanted, sources or [])
    elif sources is not None:
        matching = _matching(wanted.removeprefix(SOURCE_PREFIX), sources)
    else:  # the name has to be complete then; opening it shows whether it exists
        matching = [Device(wanted, "PulseAudio", *UNKNOWN_SOURCE, default=False, index=None)]
    if not matching:
        known = "; ".join(map(str, [*found, *(sources or [])])) or "none"
        raise InputError(f"no sound device {wanted!r}; devices are: {known}")
    if len(matching) > 1:
        raise ConfigError(
            f"more than one sound device is called {wanted!r}: {'; '.join(map(str, matching))}"
        )
    return matching[0]


def plugin_index(audio: Any) -> int:
    """PortAudio's number of the device that leads to the sound server.

    Args:
        audio: The module sounddevice.

    Raises:
        InputError: There is none at present.
    """
    for device in portaudio_devices(audio):
        if device.name == PLUGIN and device.index is not None:
            return device.index
    raise InputError(
        "the sound server does not run, or ALSA's plugin for it is missing; "
        "Debian: apt install libasound2-plugins"
    )


def fingerprint() -> object:
    """What the system shows of its sound cards, sound server and sources, to be compared only.

    It changes when one of them comes or goes, and costs some milliseconds. On macOS it never
    changes.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    server = os.environ.get("PULSE_SERVER", "").removeprefix("unix:")
    places = ("/dev/snd", f"{runtime}/pulse/native", f"{runtime}/pipewire-0", server)
    names = [source.name for source in server_sources() or []]
    return [_state_of(Path(place)) for place in places], names


def _may_run() -> bool:
    """Whether there may be a sound server; without one, `pactl` would start it.

    That server would take the sound cards, which another program may be about to open.
    """
    environment = os.environ
    if environment.get("PULSE_SERVER"):
        return True
    runtime = environment.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    home = Path(environment.get("HOME") or "/")
    folders = [
        Path(environment.get("PULSE_RUNTIME_PATH") or SYSTEM_SERVER),
        Path(runtime, "pulse"),
        Path(SYSTEM_SERVER),
        *home.glob(".config/pulse/*-runtime"),
    ]
    return any((folder / "native").exists() for folder in folders)


def _state_of(path: Path) -> tuple[int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_ino, state.st_mtime_ns


def _matching(wanted: str, among: Sequence[Device]) -> list[Device]:
    exact = [device for device in among if wanted in device.names]
    return exact or [device for device in among if wanted.lower() in " ".join(device.names).lower()]


def _source(about: dict[str, Any]) -> Device:
    name = str(about.get("name"))
    form = re.search(r"(\d+)ch (\d+)Hz", str(about.get("sample_specification")))
    channels, rate = map(int, form.groups()) if form else UNKNOWN_SOURCE
    return Device(
        SOURCE_PREFIX + name,
        "PipeWire" if "pipewire" in str(about.get("driver")).lower() else "PulseAudio",
        channels,
        rate,
        default=False,
        index=None,
        # Bluetooth devices name themselves.
        description="".join(filter(str.isprintable, str(about.get("description") or ""))),
        loopback=bool(about.get("monitor_source")) or name.endswith(".monitor"),
    )
