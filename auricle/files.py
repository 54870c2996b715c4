"""Which files a path stands for."""

from __future__ import annotations

from pathlib import Path

from engine.errors import InputError

LOSSLESS = (".aif", ".aiff", ".ape", ".au", ".caf", ".flac", ".tta", ".w64", ".wav", ".wv")
LOSSY = (".aac", ".ac3", ".amr", ".m4a", ".mp2", ".mp3", ".mpc", ".oga", ".ogg", ".opus", ".ra", ".wma")
CONTAINERS = (".m4b", ".mka", ".mkv", ".mov", ".mp4", ".weba", ".webm")

SUFFIXES = frozenset((*LOSSLESS, *LOSSY, *CONTAINERS))
"""What is taken from a folder. A file that is named is tried whatever it is called."""


def audio_files(path: Path) -> list[Path]:
    """`path` itself, or the audio files anywhere in it, sorted, if it is a folder.

    Raises:
        InputError: It is a folder without audio.
    """
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    if not found:
        raise InputError(f"{path}: no audio files in this folder")
    return found
