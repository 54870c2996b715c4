"""The manifest: what a corpus consists of, a row a track, as a Parquet file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from auricle.errors import TrainingError, one_line
from auricle.models.files import write_atomically

Part = Literal["train", "validation", "test"]
PARTS: Final[tuple[Part, ...]] = get_args(Part)


@dataclass(frozen=True, slots=True)
class Track:
    """A track of a corpus.

    Attributes:
        track_id: Name that is unique in its manifest.
        path: Path of the audio file.
        duration_s: Length of the audio in seconds, decoded or as a data set states it.
        title: Title; empty if not known, as everything below.
        artists: Names of its artists as they are compared, without repetition.
        releases: Names of the releases it is on.
        labels: Names of the labels that released it.
        genres: Names of its genres.
        licence: Licence as the file states it.
        sha256: Hash that identifies the audio, whatever its tags say.
        part: Part of the corpus it is in.
        album_artists: Artists of its releases; they keep tracks in one part, and have no other use.
    """

    track_id: str
    path: Path
    duration_s: float
    title: str = ""
    artists: tuple[str, ...] = ()
    releases: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    genres: tuple[str, ...] = ()
    licence: str = ""
    sha256: str = ""
    part: Part = "train"
    album_artists: tuple[str, ...] = ()


_SCHEMA: Final = pa.schema(
    [
        ("track_id", pa.string()),
        ("path", pa.string()),
        ("duration_s", pa.float64()),
        ("title", pa.string()),
        *((name, pa.list_(pa.string())) for name in ("artists", "releases", "labels", "genres")),
        ("licence", pa.string()),
        ("sha256", pa.string()),
        ("split", pa.string()),
        ("album_artists", pa.list_(pa.string())),
    ]
)


class Manifest:
    """The tracks of a corpus, in the order of their files.

    Args:
        tracks: Tracks, each with its own `track_id`.

    Raises:
        TrainingError: Two tracks have the same id.
    """

    def __init__(self, tracks: Iterable[Track]) -> None:
        self.tracks = tuple(tracks)
        counts = Counter(track.track_id for track in self.tracks)
        for track_id, count in counts.items():
            if count > 1:
                raise TrainingError(f"{count} tracks have the id {track_id!r}")

    def __len__(self) -> int:
        return len(self.tracks)

    def __iter__(self) -> Iterator[Track]:
        return iter(self.tracks)

    def part(self, part: Part) -> Manifest:
        """The tracks of one part."""
        return Manifest(track for track in self.tracks if track.part == part)

    def save(self, file: Path) -> None:
        """Write a Parquet file.

        Paths below its folder are written relative to it, so both can be moved together.

        Raises:
            OSError: It cannot be written.
        """
        folder = file.resolve().parent
        rows = [_row(track, folder) for track in self.tracks]
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), sink)
        write_atomically(file, sink.getvalue().to_pybytes())

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read a Parquet file.

        Raises:
            TrainingError: It does not exist, or is not a manifest.
        """
        try:
            table = pq.read_table(file, schema=_SCHEMA)
        except (OSError, pa.ArrowException) as error:
            raise TrainingError(f"{file}: not a manifest: {one_line(error)}") from error
        for value in table["split"].unique().to_pylist():
            if value not in PARTS:
                raise TrainingError(f"{file}: split {value!r} must be one of {', '.join(PARTS)}")
        folder = file.resolve().parent
        return cls(_track(row, folder) for row in table.to_pylist())


def check_name(path: Path) -> None:
    """Raise TrainingError if a manifest, which is Unicode, cannot name a file."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise TrainingError(f"{path}: its name is not UTF-8; rename it") from error


def _row(track: Track, folder: Path) -> dict[str, Any]:
    """A row of the table, in which the part is called a split."""
    row = asdict(track)
    row["split"] = row.pop("part")
    row["path"] = _relative(track.path, folder)
    return row


def _track(row: dict[str, Any], folder: Path) -> Track:
    # A column that an older manifest lacks is read as nulls.
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in row.items()
        if value is not None
    }
    values["part"] = values.pop("split")
    values["path"] = folder / row["path"]
    return Track(**values)


def _relative(path: Path, folder: Path) -> str:
    path = path.resolve()
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)
