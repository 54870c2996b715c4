"""Folders of folders: a class is a folder of that name with its audio."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from auricle.errors import InputError, TrainingError
from auricle.nodes.inputs.audio_files import audio_files_below
from auricle.nodes.signal.decoder import Decoder
from auricle.training.data.manifest import Manifest, Part, Track, check_name
from auricle.training.data.tasks import Task

PARTS: Final[dict[str, Part]] = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
}
"""Top folders that say which part their files are in."""


def read(
    folder: Path, skipped: Callable[[str], None] = lambda reason: None
) -> tuple[Manifest, Task]:
    """The audio below `folder`, and the class of each file, in alphabetical order.

    `rock/a.mp3` and `rock/live/b.mp3` are of class `rock`. Where the top folders are parts, as in
    `train/rock/a.mp3`, the task has these splits; else none, and every track is in train. A track's
    id is its path in `folder`.

    Args:
        folder: Of the classes or parts.
        skipped: Hears of each file that cannot be opened, which is left out.

    Raises:
        TrainingError: There is no audio that can be opened, or some is in no class or part.
    """
    if not folder.is_dir():
        raise TrainingError(f"{folder}: no such folder")
    files = audio_files_below(folder)
    if not files:
        raise TrainingError(f"{folder}: no audio files in there")
    split = any(file.relative_to(folder).parts[0] in PARTS for file in files)
    tracks: list[Track] = []
    names: dict[str, str] = {}
    reasons: list[str] = []
    for file in files:
        *above, _ = file.relative_to(folder).parts
        if split and above and above[0] not in PARTS:
            raise TrainingError(
                f"{file}: {above[0]!r} must be one of {', '.join(PARTS)}, as others are there"
            )
        if len(above) < 1 + split:
            form = "PART/CLASS/FILE" if split else "CLASS/FILE"
            raise TrainingError(f"{file}: is in no class; in {folder} it must be {form}")
        track_id = file.relative_to(folder).as_posix()
        try:
            duration_s = _duration_s(file)
        except TrainingError as error:
            reasons.append(str(error))
            continue
        tracks.append(Track(track_id, file, duration_s, part=PARTS[above[0]] if split else "train"))
        names[track_id] = above[split]
    if not tracks:
        raise TrainingError(
            f"none of {len(files)} audio files can be used; the first, {reasons[0]}"
        )
    for reason in reasons:
        skipped(reason)
    classes = tuple(sorted(set(names.values())))
    targets = {track_id: (classes.index(name),) for track_id, name in names.items()}
    parts = {track.track_id: track.part for track in tracks} if split else {}
    return Manifest(tracks), Task(
        folder.resolve().name, classes, targets, multilabel=False, parts=parts
    )


def _duration_s(file: Path) -> float:
    """What the file says, or FFmpeg guesses. Raises TrainingError if it cannot be opened."""
    check_name(file)
    try:
        decoder = Decoder(file)
    except InputError as error:
        raise TrainingError(error.message) from error
    try:
        return decoder.duration_s or 0
    finally:
        decoder.close()
