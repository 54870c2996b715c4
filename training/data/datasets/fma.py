"""FMA: music of the Free Music Archive with one top genre a track.

Defferrard et al., "FMA: a dataset for music analysis", ISMIR 2017. The subset `small` has 8,000
clips of 30 s, a thousand of each of 8 genres, split 6,400, 800 and 800.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, get_args

from auricle.errors import TrainingError
from auricle.training.data.datasets.published import check_audio, header, malformed, number, rows
from auricle.training.data.manifest import Manifest, Part, Track
from auricle.training.data.tags import clean
from auricle.training.data.tasks import Task

Subset = Literal["small", "medium", "large"]
SUBSETS: Final[tuple[Subset, ...]] = get_args(Subset)
"""Each holds those before it."""

PARTS: Final[dict[str, Part]] = {"training": "train", "validation": "validation", "test": "test"}

BROKEN: Final = frozenset({"099134", "108925", "133297", "098565", "098567", "098569"})
"""Ids of broken clips: the first three have no audio, the others are far too short (issues 8, 41
and 44 of the data set's repository).
"""

CLIP_S: Final = 30.0
"""Longest clip of these subsets, in seconds; the table gives the length of the whole track."""

_COLUMNS: Final = (
    *(
        "set, split",
        "set, subset",
        "track, title",
        "track, genre_top",
        "track, duration",
        "track, license",
    ),
    *("artist, name", "album, title"),
)


def read(folder: Path, audio: Path, subset: Subset = "small") -> tuple[Manifest, Task]:
    """Read a subset without its broken clips, and the genre of each clip that has one.

    Genres are in alphabetical order. In `large`, half of the tracks have no top genre: they are in
    the manifest but not in the task. Clips last 30 seconds at most.

    Args:
        folder: Folder with tracks.csv.
        audio: Folder `fma_small`, `fma_medium` or `fma_large`, with `000/000002.mp3`.
        subset: Name of the subset to read.

    Raises:
        TrainingError: The table is missing or malformed, or `audio` has none of the tracks.
    """
    if subset not in SUBSETS:
        raise TrainingError(f"FMA: subset {subset!r} must be one of {', '.join(SUBSETS)}")
    wanted = SUBSETS[: SUBSETS.index(subset) + 1]
    file = folder / "tracks.csv"
    tracks: list[Track] = []
    for line, track_id, field in _fields(file):
        # A few tracks of the whole archive are in no subset.
        if field["set, subset"] not in ("", *SUBSETS):
            found = field["set, subset"]
            raise malformed(file, line, f"subset {found!r} must be one of {', '.join(SUBSETS)}")
        if field["set, subset"] in wanted and track_id not in BROKEN:
            tracks.append(_track(file, line, track_id, field, audio))
    check_audio(audio, tracks)
    genres = {track.track_id: track.genres[0] for track in tracks if track.genres}
    classes = tuple(sorted(set(genres.values())))
    targets = {track_id: (classes.index(genre),) for track_id, genre in genres.items()}
    parts = {track.track_id: track.part for track in tracks if track.genres}
    return Manifest(tracks), Task(f"FMA {subset}", classes, targets, multilabel=False, parts=parts)


def _fields(file: Path) -> Iterator[tuple[int, str, dict[str, str]]]:
    """The number of each line, its track id of six digits, and its fields by `group, name`."""
    groups: list[str] = []
    columns: dict[str, int] = {}
    # The header is a line of groups, one of names, and one that names the first column.
    for count, (line, row) in enumerate(rows(file, strict=True)):
        if count == 0:
            groups = row
        elif len(row) != len(groups):
            raise malformed(file, line, f"{len(row)} columns, the header has {len(groups)}")
        elif count == 1:
            names = [f"{group}, {name}" for group, name in zip(groups, row, strict=True)]
            columns = header(file, line, names, _COLUMNS)
        elif count == 2:
            if row[0] != "track_id":
                raise malformed(file, line, f"{row[0]!r} must be 'track_id', the end of the header")
        elif not row[0].isdecimal():
            raise malformed(file, line, f"track_id {row[0]!r} must be a whole number")
        else:
            yield (
                line,
                row[0].zfill(6),
                {name: clean(row[index]) for name, index in columns.items()},
            )


def _track(file: Path, line: int, track_id: str, field: dict[str, str], audio: Path) -> Track:
    if field["set, split"] not in PARTS:
        raise malformed(
            file, line, f"split {field['set, split']!r} must be one of {', '.join(PARTS)}"
        )

    def names(name: str) -> tuple[str, ...]:
        return (field[name],) if field[name] else ()

    return Track(
        track_id,
        audio / track_id[:3] / f"{track_id}.mp3",
        min(CLIP_S, number(file, line, "duration", field["track, duration"])),
        field["track, title"],
        artists=names("artist, name"),
        releases=names("album, title"),
        genres=names("track, genre_top"),
        licence=field["track, license"],
        part=PARTS[field["set, split"]],
    )
