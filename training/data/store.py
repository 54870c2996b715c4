"""Rows of float16 for every track of a corpus, in shards that are memory-mapped.

A folder holds `store.json`, which says what a row is, and pairs of files: `00000.f16`, the rows of
some tracks one after the other, and `00000.json`, which tracks they are and a CRC-32C of the rows.
The second is written last, by a rename, and a shard without it does not count: a full disk or a
kill leaves whole shards, and the next run continues after them.
"""

from __future__ import annotations

import fcntl
import json
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from auricle.errors import TrainingError
from auricle.models.files import write_atomically
from auricle.training.resuming import resumable

HEADER: Final = "store.json"
LOCK: Final = "lock"
ROWS, INDEX = ".f16", ".json"

SHARD_BYTES: Final = 1 << 27
"""When a shard is closed: what a kill can cost, 128 MiB, is three hours of mel frames."""

Rows = NDArray[np.float16]


class Store(Mapping[str, Rows]):
    """The rows of each track, (rows, width) float16, by the track's id.

    They are views of memory-mapped files, read from disk when used.

    Args:
        folder: Folder written by `StoreWriter`.

    Attributes:
        about: Description of the rows, as given to the writer.
        width: Values of a row.

    Raises:
        TrainingError: The folder has no store, or a shard is shorter than its index says.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        header = _read(folder / HEADER)
        self.width: int = header["width"]
        self.about: dict[str, Any] = header["about"]
        self._rows: dict[str, Rows] = {}
        for index in _indices(folder):
            shard = _read(index)
            rows = self._map(index)
            start = 0
            for track_id, count in shard["tracks"]:
                self._rows[track_id] = rows[start : start + count]
                start += count
            if start != len(rows):
                raise TrainingError(
                    f"{index.with_suffix(ROWS)}: {len(rows)} rows, its index says {start}"
                )

    def __getitem__(self, track_id: str) -> Rows:
        return self._rows[track_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __reduce__(self) -> tuple[type[Store], tuple[Path]]:
        # Another process opens it again; a memory map would travel as all its bytes.
        return Store, (self.folder,)

    def verify(self) -> list[Path]:
        """Read all bytes, and return the shards whose rows do not match their checksum."""
        return [
            index.with_suffix(ROWS)
            for index in _indices(self.folder)
            if _crc(index.with_suffix(ROWS).read_bytes()) != _read(index)["crc32c"]
        ]

    def _map(self, index: Path) -> Rows:
        file = index.with_suffix(ROWS)
        try:
            size = file.stat().st_size
            if not size:
                return np.zeros((0, self.width), np.float16)
            if size % (2 * self.width):
                raise TrainingError(f"{file}: {size} bytes are not rows of {self.width}")
            return np.memmap(file, np.float16, "r").reshape(-1, self.width)
        except OSError as error:
            raise TrainingError(
                f"{file}: {error.strerror}; without it {index.name} is worth nothing"
            ) from error


class StoreWriter:
    """Adds tracks to a store, shard by shard. A context; leaving it closes the last shard.

    Args:
        folder: Folder of the store; created if it does not exist.
        width: Values of a row.
        about: Description of a row, as JSON. A store that exists must have the same.

    Attributes:
        done: Ids of the tracks that were stored before.

    Raises:
        TrainingError: The folder has a store of something else, or another process is writing to
            it.
    """

    def __init__(self, folder: Path, width: int, about: dict[str, Any]) -> None:
        self.folder = folder
        self.width = width
        header = {"width": width, "about": about}
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(folder)
        for left in folder.glob(".*-*"):
            left.unlink()  # half a file, of a writer that was killed
        if (folder / HEADER).exists():
            found = _read(folder / HEADER)
            if found != (wished := json.loads(json.dumps(header))):
                name, one, other = _first_difference(found, wished)
                raise TrainingError(
                    f"{folder}: has rows of {name} {one}, not {other}; choose another folder"
                )
        else:
            write_atomically(folder / HEADER, json.dumps(header, indent=2).encode())
        indices = _indices(folder)
        self.done = frozenset(
            track_id for index in indices for track_id, _ in _read(index)["tracks"]
        )
        self._number = 1 + max((int(index.stem) for index in indices), default=-1)
        self._tracks: list[tuple[str, int]] = []
        self._rows: list[Rows] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Also when interrupted: what is finished is kept. Not after a failure to write it.
        try:
            if kind is None or not issubclass(kind, OSError):
                self._close_shard()
        finally:
            self._lock.close()

    def add(self, track_id: str, rows: NDArray[np.floating]) -> None:
        """Add the rows of a track, (rows, width).

        Raises:
            OSError: A shard cannot be written.
        """
        assert rows.shape == (len(rows), self.width), rows.shape
        self._tracks.append((track_id, len(rows)))
        self._rows.append(rows.astype(np.float16))
        if sum(each.nbytes for each in self._rows) >= SHARD_BYTES:
            self._close_shard()

    def _close_shard(self) -> None:
        if not self._tracks:
            return
        content = b"".join(np.ascontiguousarray(rows).tobytes() for rows in self._rows)
        index = {"tracks": self._tracks, "crc32c": _crc(content)}
        stem = f"{self._number:05d}"
        with resumable():
            write_atomically(self.folder / (stem + ROWS), content)
            write_atomically(self.folder / (stem + INDEX), json.dumps(index).encode())
        self._number += 1
        self._tracks, self._rows = [], []


def _first_difference(one: Any, other: Any, name: str = "") -> tuple[str, str, str]:
    """The name of the first field in which two JSON objects differ, and both values, abridged."""
    if isinstance(one, dict) and isinstance(other, dict):
        for field in one | other:
            if one.get(field) != other.get(field):
                return _first_difference(
                    one.get(field), other.get(field), f"{name}.{field}".lstrip(".")
                )
    return name, reprlib.repr(one), reprlib.repr(other)


def _locked(folder: Path) -> IO[bytes]:
    """A file that no other process can lock until it is closed or this process ends."""
    lock = (folder / LOCK).open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise TrainingError(f"{folder}: another process is writing to it") from error
    return lock


def _indices(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*" + INDEX) if path.stem.isdecimal())


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or error
        raise TrainingError(f"{file}: not the index of a store: {what}") from error


def _crc(content: bytes) -> str:
    return str(google_crc32c.Checksum(content).hexdigest(), "ascii")


def missing(store: Mapping[str, Rows], track_ids: Sequence[str], folder: Path) -> None:
    """Raise TrainingError if the store lacks one of these tracks."""
    absent = [track_id for track_id in track_ids if track_id not in store]
    if absent:
        raise TrainingError(
            f"{folder}: lacks {len(absent)} of {len(track_ids)} tracks, such as {absent[0]}"
        )
