"""MagnaTagATune: 25,860 clips of 29 s with the 50 most frequent of 188 tags.

Law et al., "Evaluation of algorithms using games: the case of music tagging", ISMIR 2009; the split
and the order of the tags are those of MusiCNN (Pons and Serra, 2019).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from auricle.training.data.datasets.published import check_audio, header, malformed, rows
from auricle.training.data.manifest import Manifest, Part, Track
from auricle.training.data.tasks import Task

TOP_50: Final = (
    *("guitar", "classical", "slow", "techno", "strings", "drums", "electronic", "rock", "fast"),
    *("piano", "ambient", "beat", "violin", "vocal", "synth", "female", "indian", "opera", "male"),
    *(
        "singing",
        "vocals",
        "no vocals",
        "harpsichord",
        "loud",
        "quiet",
        "flute",
        "woman",
        "male vocal",
    ),
    *("no vocal", "pop", "soft", "sitar", "solo", "man", "classic", "choir", "voice", "new age"),
    *(
        "dance",
        "male voice",
        "female vocal",
        "beats",
        "harp",
        "cello",
        "no voice",
        "weird",
        "country",
    ),
    *("metal", "female voice", "choral"),
)
"""The 50 most frequent tags, most frequent first, in the order of the outputs of MusiCNN-MTT. Two
other orders are in use: alphabetical, and with `metal` and `female voice` swapped."""

BROKEN: Final = frozenset({"35644", "55753", "57881"})
"""Ids of clips without audio."""

CLIP_S: Final = 29.0
"""Nominal length of a clip in seconds; the tables do not give it."""

FOLDERS: Final[dict[str, Part]] = {
    **dict.fromkeys("0123456789ab", "train"),
    "c": "validation",
    **dict.fromkeys("def", "test"),
}
"""The usual 12:1:3 split, by the folder a clip is in: 18,706, 1,825 and 5,329 clips."""


def read(folder: Path, audio: Path, tags: tuple[str, ...] = TOP_50) -> tuple[Manifest, Task]:
    """Read all clips except the broken ones, 29 seconds each, and which of `tags` they have.

    4,752 clips have none of the 50 tags; they are kept, as in papers that report 25,860 clips.
    Results on the "clean" version with 21,108 clips are not comparable.

    Args:
        folder: Folder with annotations_final.csv.
        audio: Folder with `0` to `f`.
        tags: Names of the classes, in this order.

    Raises:
        TrainingError: The table is missing or malformed, or `audio` has none of the clips.
    """
    file = folder / "annotations_final.csv"
    columns: dict[str, int] = {}
    width = 0
    tracks: list[Track] = []
    targets: dict[str, tuple[int, ...]] = {}
    for line, row in rows(file, delimiter="\t", strict=True):
        if not columns:
            columns, width = header(file, line, row, ("clip_id", "mp3_path", *tags)), len(row)
            continue
        if len(row) != width:
            raise malformed(file, line, f"{len(row)} columns, the header has {width}")
        clip, place = row[columns["clip_id"]], row[columns["mp3_path"]]
        if clip in BROKEN:
            continue
        if place[:1] not in FOLDERS or place[1:2] != "/":
            raise malformed(file, line, f"mp3_path {place!r} must begin with a folder, 0/ to f/")
        if clip in targets:
            raise malformed(file, line, f"clip_id {clip} is listed twice")
        for tag in tags:
            if row[columns[tag]] not in ("0", "1"):
                raise malformed(file, line, f"{tag} {row[columns[tag]]!r} must be 0 or 1")
        targets[clip] = tuple(index for index, tag in enumerate(tags) if row[columns[tag]] == "1")
        tracks.append(Track(clip, audio / place, CLIP_S, part=FOLDERS[place[0]]))
    check_audio(audio, tracks)
    parts = {track.track_id: track.part for track in tracks}
    return Manifest(tracks), Task("MagnaTagATune", tags, targets, multilabel=True, parts=parts)
