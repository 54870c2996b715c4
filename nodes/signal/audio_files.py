"""Which files in a folder are audio, by the endings of their names."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

LOSSLESS = (
    *(".aif", ".aifc", ".aiff", ".ape", ".au", ".bwf", ".caf", ".dff", ".dsf", ".flac", ".mlp"),
    *(".rf64", ".shn", ".snd", ".sph", ".tak", ".thd", ".tta", ".voc", ".w64", ".wav", ".wv"),
)
LOSSY = (
    *(".aac", ".ac3", ".adts", ".amr", ".awb", ".dts", ".dtshd", ".eac3", ".ec3", ".gsm", ".loas"),
    *(".m4a", ".m4r", ".mp1", ".mp2", ".mp3", ".mpa", ".mpc", ".oga", ".ogg", ".oma", ".opus"),
    *(".ra", ".spx", ".wma", ".xwma"),
)
CONTAINERS = (
    *(".3g2", ".3gp", ".asf", ".avi", ".f4v", ".flv", ".m2ts", ".m4b", ".m4v", ".mka", ".mkv"),
    *(".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ogx", ".rm", ".rmvb", ".ts", ".vob"),
    *(".weba", ".webm", ".wmv"),
)

SUFFIXES = frozenset((*LOSSLESS, *LOSSY, *CONTAINERS))
"""Endings, in lower case, of files taken from a folder. A file that is named is always tried."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was found in a folder, at any depth.

    Attributes:
        files: Audio files, sorted by path.
        unreadable: Folders that may not be read, with the reason, sorted by path.
        others: Number of files with other endings, by ending in lower case.
        hidden: Number of files and folders whose names begin with a dot, such as those that macOS
            puts beside each file; they were not looked at.
    """

    files: list[Path] = field(default_factory=list)
    unreadable: list[tuple[Path, str]] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    hidden: int = 0

    @property
    def passed_over(self) -> str:
        """What was not taken, in words; empty if everything was."""
        parts = []
        if self.others:
            endings = ", ".join(sorted(ending or "none" for ending in self.others))
            number = self.others.total()
            parts.append(f"{number} file{'s' * (number != 1)} with other endings ({endings})")
        if self.hidden:
            parts.append(f"{self.hidden} hidden")
        return " and ".join(parts)


def find_audio(folder: Path) -> Found:
    """Find the audio files at any depth in a folder.

    Links to folders are followed, except to folders above; a folder that is reached twice is looked
    at once.

    Args:
        folder: Folder to look in.
    """
    files, unreadable = [], []
    others: Counter[str] = Counter()
    hidden = 0
    # A link back to a folder above does not make everything in that part of this one.
    seen = {_identity(above) for above in folder.resolve().parents}
    # Links come last, so that files have the paths at which they really are, if those are inside.
    to_read, links = [folder], list[Path]()
    while to_read or links:
        place = to_read.pop() if to_read else links.pop(0)
        try:
            entries = _entries(place, seen)
        except OSError as error:
            unreadable.append((place, error.strerror or str(error)))
            continue
        for entry in entries:
            path = place / entry.name
            if entry.name.startswith("."):
                hidden += 1
            elif _is_folder(entry):
                (links if entry.is_symlink() else to_read).append(path)
            elif path.suffix.lower() in SUFFIXES and _is_file(entry):
                files.append(path)
            else:
                others[path.suffix.lower()] += 1
    return Found(sorted(files), sorted(unreadable), others, hidden)


def _entries(folder: Path, seen: set[tuple[int, int]]) -> list[os.DirEntry[str]]:
    """What is in a folder, sorted by name; nothing if it is among those `seen`, else it joins them.

    Raises:
        OSError: The folder, or what is in it, may not be read.
    """
    identity = _identity(folder)
    if identity in seen:
        return []
    seen.add(identity)
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _identity(folder: Path) -> tuple[int, int]:
    """What tells a folder from any other. Refused for one that may be listed, but not entered."""
    status = os.stat(f"{folder}/.")
    return status.st_dev, status.st_ino


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to what may not be read, or to itself
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Whether it is a file, or a link that leads nowhere, which is an error to report."""
    try:
        return entry.is_file() or (entry.is_symlink() and not Path(entry.path).exists())
    except OSError:
        return True
