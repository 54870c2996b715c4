"""Where models, downloads and compiled programs are kept.

The folder is `$AURICLE_CACHE`, or else the user's cache folder as the platform has it.
"""

import os
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """Folder of everything that Auricle caches: `$AURICLE_CACHE`, or the platform's own."""
    chosen = os.environ.get("AURICLE_CACHE")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("auricle"))


def models_folder() -> Path:
    """Folder of the installed models, with a folder for each."""
    return cache_folder() / "models"


def programs_folder() -> Path:
    """Folder of the programs that TensorRT has compiled."""
    return cache_folder() / "programs"
