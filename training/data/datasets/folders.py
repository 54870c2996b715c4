"""Folders of folders: a class is a folder of that name with its audio."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from auricle.errors import InputError, TrainingError
from auricle.nodes.signal.audio_files import find_audio
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
    folder: Path, report_skipped: Callable[[str], None] = lambda reason: None
) -> tuple[Manifest, Task]:
    """The audio below `folder`, and the class of each file, in alphabetical order.

    `rock/a.mp3` and `rock/live/b.mp3` are of class `rock`. Where the top folders are parts, as in
    `train/rock/a.mp3`, the task has these parts; otherwise none, and every track is in train. A
    track's id is its path in `folder`.

    Args:
        folder: Folder of the classes or parts.
        report_skipped: Called with a line on each file or folder that cannot be opened, and is left
            out.

    Raises:
        TrainingError: No audio file can be opened, or one is in no class or part.
    """
    if not folder.is_dir():
        raise TrainingError(f"{folder}: no such folder")
    found = find_audio(folder)
    files = found.files
    if not files:
        raise TrainingError(f"{folder}: no audio files in there")
    in_parts = any(file.relative_to(folder).parts[0] in PARTS for file in files)
    tracks: list[Track] = []
    names: dict[str, str] = {}
    reasons = [f"{path}: {reason}" for path, reason in found.unreadable]
    for file in files:
        part, name = _part_and_class(file, folder, in_parts)
        try:
            duration_s = _duration_s(file)
        except TrainingError as error:
            reasons.append(str(error))
            continue
        track = Track(file.relative_to(folder).as_posix(), file, duration_s, part=part)
        tracks.append(track)
        names[track.track_id] = name
    if not tracks:
        raise TrainingError(
            f"none of {len(files)} audio files can be used; the first, {reasons[0]}"
        )
    for reason in reasons:
        report_skipped(reason)
    return Manifest(tracks), _task(folder.resolve().name, tracks, names, in_parts)


def _part_and_class(file: Path, folder: Path, in_parts: bool) -> tuple[Part, str]:
    """The part and the class that the folders of a file name."""
    *above, _ = file.relative_to(folder).parts
    if in_parts and above and above[0] not in PARTS:
        raise TrainingError(
            f"{file}: {above[0]!r} must be one of {', '.join(PARTS)}, as others are there"
        )
    if len(above) < 1 + in_parts:
        form = "PART/CLASS/FILE" if in_parts else "CLASS/FILE"
        raise TrainingError(f"{file}: is in no class; in {folder} it must be {form}")
    return (PARTS[above[0]], above[1]) if in_parts else ("train", above[0])


def _task(name: str, tracks: list[Track], names: dict[str, str], in_parts: bool) -> Task:
    """The task of telling which class a track is of, from the name of its class by track."""
    classes = tuple(sorted(set(names.values())))
    targets = {track_id: (classes.index(own),) for track_id, own in names.items()}
    parts = {track.track_id: track.part for track in tracks} if in_parts else {}
    return Task(name, classes, targets, multilabel=False, parts=parts)


def _duration_s(file: Path) -> float:
    """Seconds as the file says, or FFmpeg estimates.

    Raises:
        TrainingError: The file cannot be opened.
    """
    check_name(file)
    try:
        decoder = Decoder(file)
    except InputError as error:
        raise TrainingError(error.message) from error
    try:
        return decoder.duration_s or 0
    finally:
        decoder.close()
