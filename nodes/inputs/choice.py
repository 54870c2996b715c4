"""The input node that a short form on a command line stands for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from auricle.errors import ConfigError


def input_for(what: str, folder: Path = Path()) -> tuple[str, dict[str, Any]]:
    """Class and parameters of the input that a short form stands for.

    Args:
        what: `mic` or `mic:NAME`, a sound device; `zmq:ADDRESS`, PCM blocks over ZeroMQ; `-` or
            `-:RATE,CHANNELS,FORMAT`, raw PCM on standard input (RATE in Hz); anything with a
            scheme, a URL; else a file.
        folder: Folder that the path of a file is relative to.

    Raises:
        ConfigError: The form begins like one of these but is malformed.
    """
    kind, colon, rest = what.partition(":")
    if kind == "mic":
        return "Microphone", {"device": rest} if rest else {}
    if kind == "zmq":
        if "://" not in rest:
            raise ConfigError(
                f"input {what!r}: an address is needed, such as zmq:tcp://127.0.0.1:5690"
            )
        return "ZmqInput", {"address": rest}
    if kind == "-":
        return "StdinInput", _pcm(what, rest) if colon else {}
    if "://" in what:
        return "UrlInput", {"url": what}
    return "FileInput", {"path": (folder / what).absolute()}


def _pcm(what: str, form: str) -> dict[str, Any]:
    parts = form.split(",")
    if len(parts) != 3 or not parts[0].isdigit() or not parts[1].isdigit():
        raise ConfigError(
            f"input {what!r}: not of the form -:RATE,CHANNELS,FORMAT, such as -:48000,2,s16le"
        )
    return {"rate": int(parts[0]), "channels": int(parts[1]), "format": parts[2]}
