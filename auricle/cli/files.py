"""Which files a path stands for."""

from __future__ import annotations

from pathlib import Path

from auricle.errors import InputError
from auricle.nodes.inputs.audio_files import audio_files_below


def audio_files(path: Path) -> list[Path]:
    """`path` itself, or the audio files anywhere in it, sorted, if it is a folder.

    Raises:
        InputError: It is a folder without audio.
    """
    if not path.is_dir():
        return [path]
    found = audio_files_below(path)
    if not found:
        raise InputError(f"{path}: no audio files in this folder")
    return found
