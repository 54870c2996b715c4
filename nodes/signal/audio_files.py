"""Which files in a folder are audio, by the endings of their names."""

from __future__ import annotations

from pathlib import Path

LOSSLESS = (".aif", ".aiff", ".ape", ".au", ".caf", ".flac", ".tta", ".w64", ".wav", ".wv")
LOSSY = (
    ".aac",
    ".ac3",
    ".amr",
    ".m4a",
    ".mp2",
    ".mp3",
    ".mpc",
    ".oga",
    ".ogg",
    ".opus",
    ".ra",
    ".wma",
)
CONTAINERS = (".m4b", ".mka", ".mkv", ".mov", ".mp4", ".weba", ".webm")

SUFFIXES = frozenset((*LOSSLESS, *LOSSY, *CONTAINERS))
"""Endings, in lower case, of files taken from a folder. A file that is named is always tried."""


def audio_files_below(folder: Path) -> list[Path]:
    """The audio files at any depth in `folder`, sorted by path."""
    return sorted(
        file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file()
    )
