"""Finding the audio files that a path on the command line stands for."""

from __future__ import annotations

import os
from pathlib import Path

from auricle.nodes.signal.audio_files import Found, find_audio


def audio_files(path: Path) -> Found:
    """List the audio files that a path stands for.

    Args:
        path: Path of a file, which is taken as it is, or of a folder.

    Returns:
        The file; or what was found anywhere below the folder.
    """
    # Not `Path.is_dir`, which raises for what may not be looked at.
    return find_audio(path) if os.path.isdir(path) else Found([path])
