"""GTZAN: a thousand clips of 30 s of ten genres, without its faults.

Tzanetakis and Cook, 2002. The fault-filtered split (Sturm; Kereliuk et al., 2015) leaves out copies
and distorted clips, and no artist is in two parts; it has 443, 197 and 290 clips. Its lists are at
github.com/jongpillee/music_dataset_split.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from auricle.training.data.datasets.published import check_audio, malformed, rows
from auricle.training.data.manifest import Manifest, Part, Track
from auricle.training.data.tasks import Task

GENRES: Final = (
    *("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock"),
)

LISTS: Final[dict[Part, str]] = {
    "train": "train_filtered.txt",
    "validation": "valid_filtered.txt",
    "test": "test_filtered.txt",
}

CLIP_S: Final = 30.0

_LINE: Final = re.compile(rf"({'|'.join(GENRES)})/(\1\.\d{{5}})\.(?:wav|au|mp3)")


def read(folder: Path, audio: Path) -> tuple[Manifest, Task]:
    """Read the clips of the three lists, 30 seconds each, and their genres.

    Args:
        folder: Folder with the three lists, whose lines read like `blues/blues.00029.wav`.
        audio: Folder with `blues` to `rock`; files may also end in `.au`, as in the first edition.

    Raises:
        TrainingError: A list is missing or malformed, or `audio` has none of the clips.
    """
    tracks: dict[str, Track] = {}
    targets: dict[str, tuple[int, ...]] = {}
    for part, name in LISTS.items():
        file = folder / name
        for line, row in rows(file):
            if not row:
                continue
            listed = ",".join(row).strip()
            matched = _LINE.fullmatch(listed)
            if not matched:
                raise malformed(file, line, f"{listed!r} must be like blues/blues.00029.wav")
            genre, clip = matched.groups()
            if clip in tracks:
                raise malformed(file, line, f"{clip} is in {tracks[clip].part} already")
            tracks[clip] = Track(clip, _file(audio / listed), CLIP_S, genres=(genre,), part=part)
            targets[clip] = (GENRES.index(genre),)
    check_audio(audio, tracks.values())
    parts = {track.track_id: track.part for track in tracks.values()}
    return Manifest(tracks.values()), Task("GTZAN", GENRES, targets, multilabel=False, parts=parts)


def _file(path: Path) -> Path:
    first_edition = path.with_suffix(".au")
    return first_edition if first_edition.is_file() and not path.is_file() else path
