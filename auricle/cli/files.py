"""Finding the audio files that a path on the command line stands for."""

from __future__ import annotations

from pathlib import Path

from auricle.errors import InputError
from auricle.nodes.signal.audio_files import audio_files_below


def audio_files(path: Path) -> list[Path]:
    """List the audio files that a path stands for.

    Args:
        path: Path of a file, which is taken as it is, or of a folder.

    Returns:
        The file; or all audio files anywhere below the folder, sorted.

    Raises:
        InputError: The folder has no audio files.
    """
    if not path.is_dir():
        return [path]
    found = audio_files_below(path)
    if not found:
        raise InputError(f"{path}: no audio files in this folder")
    return found
