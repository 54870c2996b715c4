"""What the words of --input stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from auricle.errors import ConfigError
from auricle.nodes.inputs.choice import input_for


@pytest.mark.parametrize(
    ("what", "node", "params"),
    [
        ("mic", "Microphone", {}),
        ("mic:", "Microphone", {}),
        ("mic:USB Audio, ALSA", "Microphone", {"device": "USB Audio, ALSA"}),
        ("mic:USB: front", "Microphone", {"device": "USB: front"}),
        ("zmq:tcp://127.0.0.1:5690", "ZmqInput", {"address": "tcp://127.0.0.1:5690"}),
        ("zmq:ipc:///tmp/pcm", "ZmqInput", {"address": "ipc:///tmp/pcm"}),
        ("-", "StdinInput", {}),
        ("-:48000,1,s24le", "StdinInput", {"rate": 48000, "channels": 1, "format": "s24le"}),
        ("http://radio/x.ogg", "UrlInput", {"url": "http://radio/x.ogg"}),
        ("rtsp://camera:554/a", "UrlInput", {"url": "rtsp://camera:554/a"}),
        ("/music/a.flac", "FileInput", {"path": Path("/music/a.flac")}),
        ("a.flac", "FileInput", {"path": Path.cwd() / "a.flac"}),
        ("mic.wav", "FileInput", {"path": Path.cwd() / "mic.wav"}),
        ("-.wav", "FileInput", {"path": Path.cwd() / "-.wav"}),
        ("a: b.flac", "FileInput", {"path": Path.cwd() / "a: b.flac"}),
    ],
)
def test_table(what: str, node: str, params: dict[str, Any]) -> None:
    assert input_for(what) == (node, params)


@pytest.mark.parametrize(
    "what", ["zmq:", "zmq", "zmq:5690", "-:", "-:48000", "-:48000,x,s16le", "-:1,2,3,4"]
)
def test_forms_that_are_not_kept(what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        input_for(what)
    assert repr(what) in str(caught.value)
    assert "such as" in str(caught.value)
