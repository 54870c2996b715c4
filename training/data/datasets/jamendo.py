"""MTG-Jamendo: 55,000 tracks with genres, instruments, moods and themes, in five splits.

Its repository, github.com/MTG/mtg-jamendo-dataset, has the tables; Bogdanov et al., "The
MTG-Jamendo dataset for automatic music tagging", ICML workshop 2019. Split 0 has 32,572, 11,043 and
11,479 tracks with 87 genres; 14,395, 5,466 and 5,115 with 40 instruments; 9,949, 3,802 and 4,231
with 56 moods and themes.
"""

from __future__ import annotations

import csv
from pathlib import Path, PurePosixPath
from typing import Final, Literal, get_args

from auricle.errors import TrainingError
from auricle.training.data.datasets.published import check_audio, malformed, number, rows
from auricle.training.data.manifest import PARTS, Manifest, Part, Track
from auricle.training.data.tasks import Task

Subset = Literal["all", "genre", "instrument", "moodtheme", "top50tags"]
SUBSETS: Final[tuple[Subset, ...]] = get_args(Subset)

CATEGORIES: Final = ("genre", "instrument", "mood/theme")

HEADER: Final = ["TRACK_ID", "ARTIST_ID", "ALBUM_ID", "PATH", "DURATION", "TAGS"]

FOLDS: Final = 5


def read(
    folder: Path, audio: Path, subset: Subset = "genre", split: int = 0
) -> tuple[Manifest, Task]:
    """Read the tracks of a subset, and the tags of each.

    Classes are named as in the tables, `category---name`, in alphabetical order. Artists and
    releases are given by their ids, durations in seconds.

    Args:
        folder: Clone of the repository, or its folder `data`.
        audio: Folder with `48/948.mp3`, or with `48/948.low.mp3` of the smaller version.
        subset: Name of the subset, which decides the tags.
        split: Number of the split, from 0 to 4.

    Raises:
        TrainingError: A table is missing or malformed, or `audio` has none of the tracks.
    """
    if subset not in SUBSETS:
        raise TrainingError(f"MTG-Jamendo: subset {subset!r} must be one of {', '.join(SUBSETS)}")
    if not 0 <= split < FOLDS:
        raise TrainingError(f"MTG-Jamendo: split {split} must be one of 0 to {FOLDS - 1}")
    data = folder / "data" if (folder / "data").is_dir() else folder
    stem = "autotagging" if subset == "all" else f"autotagging_{subset}"
    tracks: dict[str, Track] = {}
    tags: dict[str, list[str]] = {}
    for part in PARTS:
        _read_part(
            data / "splits" / f"split-{split}" / f"{stem}-{part}.tsv", part, audio, tracks, tags
        )
    check_audio(audio, tracks.values())
    classes = tuple(sorted({tag for found in tags.values() for tag in found}))
    indices = {name: index for index, name in enumerate(classes)}
    targets = {
        track_id: tuple(sorted(map(indices.__getitem__, found))) for track_id, found in tags.items()
    }
    parts = {track.track_id: track.part for track in tracks.values()}
    name = f"MTG-Jamendo {subset}, split {split}"
    return Manifest(tracks.values()), Task(name, classes, targets, multilabel=True, parts=parts)


def _read_part(
    file: Path, part: Part, audio: Path, tracks: dict[str, Track], tags: dict[str, list[str]]
) -> None:
    """Add the tracks of one table, and their tags."""
    headed = False
    # Each row has as many columns as it has tags.
    for line, row in rows(file, delimiter="\t", quoting=csv.QUOTE_NONE):
        if not headed:
            if row != HEADER:
                raise malformed(
                    file, line, f"header {' '.join(row)!r} must be {' '.join(HEADER)!r}"
                )
            headed = True
            continue
        if len(row) < len(HEADER):
            raise malformed(file, line, f"{len(row)} columns, must be at least {len(HEADER)}")
        track_id, artist, album, place, duration = row[:5]
        if track_id in tracks:
            raise malformed(file, line, f"{track_id} is in {tracks[track_id].part} already")
        found = list(dict.fromkeys(row[5:]))
        for tag in found:
            category, _, name = tag.partition("---")
            if category not in CATEGORIES or not name:
                allowed = ", ".join(CATEGORIES)
                raise malformed(
                    file, line, f"tag {tag!r} must be category---name, with one of {allowed}"
                )
        tags[track_id] = found
        tracks[track_id] = Track(
            track_id,
            _file(audio, place),
            number(file, line, "DURATION", duration),
            artists=(artist,),
            releases=(album,),
            genres=tuple(
                tag.removeprefix("genre---") for tag in found if tag.startswith("genre---")
            ),
            part=part,
        )
    if not headed:
        raise malformed(file, 1, f"no header, must be {' '.join(HEADER)!r}")


def _file(audio: Path, place: str) -> Path:
    """Path of a track; in the version with small files, `48/948.mp3` is `48/948.low.mp3`."""
    small = audio / PurePosixPath(place).with_suffix(".low.mp3")
    return small if small.is_file() else audio / place
