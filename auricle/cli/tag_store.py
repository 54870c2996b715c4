"""Writing what `auricle tag` finds to one file: NumPy's .npz, or Parquet.

While files are tagged, their results go to small files in a folder beside it, which are put
together at the end. So an interrupted run loses little, and memory does not grow with the number of
files.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from auricle.errors import ConfigError, InputError, one_line

if TYPE_CHECKING:
    from auricle.cli.tag_work import Tagged
    from auricle.nodes.sinks.collector import Segment

MOST_FILES = 256
"""Most files whose results wait in memory."""

MOST_SEGMENTS = 20_000
"""Most segments whose results wait in memory."""

LONGEST_S = 30.0
"""Most seconds for which results wait in memory."""

SETTINGS = "settings"
"""Name of the array, a string of JSON, with what the numbers depend on and the labels."""

FORMATS = (".npz", ".parquet")

Part = dict[str, NDArray[Any]]
"""The results of some files, in arrays by name."""


class TagStore:
    """Gathers the results of files and writes them to one.

    Args:
        path: File to write.
        resume: Whether to add to the file if it exists.

    Attributes:
        path: File to write.

    Raises:
        ConfigError: The file exists and is not to be added to, cannot be read or has another
            ending; or pyarrow is missing.
    """

    def __init__(self, path: Path, resume: bool) -> None:
        self.path = path
        self._folder = path.with_name(f"{path.name}.parts")
        if path.suffix not in FORMATS:
            raise ConfigError(f"--out {path}: the name must end with {' or '.join(FORMATS)}")
        if path.suffix == ".parquet":
            _need_pyarrow(path)
        if not path.parent.is_dir():
            raise ConfigError(f"--out {path}: no folder {path.parent}")
        if not resume and path.exists():
            raise ConfigError(f"--out {path}: already exists; add to it with --resume")
        if not resume and self._folder.exists():
            raise ConfigError(
                f"--out {path}: {self._folder} is left from an interrupted run; go on with "
                "--resume, or delete it"
            )
        self._settings: str | None = None
        self._known: set[str] = set()
        if path.exists():
            self._take_known(path)
        for part in self._parts():
            self._take_known(part)
        self._waiting: list[Tagged] = []
        self._since = time.monotonic()

    def _take_known(self, path: Path) -> None:
        try:
            names, settings = _read_known(path)
        except Exception as error:  # of two libraries, for damage of any kind
            raise ConfigError(f"--out {path}: cannot be read: {one_line(error)}") from None
        self._known.update(names)
        self._check_settings(settings)

    def _check_settings(self, settings: str) -> None:
        if self._settings is None:
            self._settings = settings
        elif self._settings != settings:
            old, new = json.loads(self._settings), json.loads(settings)
            differing = [name for name in new if new[name] != old.get(name)]
            raise ConfigError(
                f"--out {self.path}: it was made with different {', '.join(differing)}; "
                "choose the same, or another file"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Also after an interrupt or an error: what is done is done.
        self._flush()
        parts = self._parts()
        if not parts:
            return
        sources = [self.path, *parts] if self.path.exists() else parts
        write = _write_parquet if self.path.suffix == ".parquet" else _write_npz
        _replace(self.path, lambda temporary: write(temporary, sources))
        shutil.rmtree(self._folder)

    def has(self, file: Path) -> bool:
        """Whether the results of a file are there already."""
        return _name(file) in self._known

    def add(self, tagged: Tagged) -> None:
        """Take the results of a file, with its segments.

        Raises:
            ConfigError: What is there already was made with other settings.
        """
        self._check_settings(_settings(tagged))
        self._known.add(_name(tagged.file))
        self._waiting.append(tagged)
        segments = sum(each.count for each in self._waiting)
        waited_s = time.monotonic() - self._since
        if len(self._waiting) >= MOST_FILES or segments >= MOST_SEGMENTS or waited_s > LONGEST_S:
            self._flush()

    def describe(self) -> str:
        """One line on what the file has."""
        if not self.path.exists():
            return f"{self.path}: nothing to write"
        size = self.path.stat().st_size / 1e6
        files = "1 file" if len(self._known) == 1 else f"{len(self._known)} files"
        return f"{self.path}: {files}, {size:.1f} MB"

    def _parts(self) -> list[Path]:
        return sorted(self._folder.glob("*.npz"))

    def _flush(self) -> None:
        """Write what waits in memory to another part."""
        self._since = time.monotonic()
        if not self._waiting:
            return
        part = _part(self._waiting)
        self._folder.mkdir(exist_ok=True)
        # Its name sorts behind those of the parts before it.
        target = self._folder / f"{time.time_ns():020}.npz"

        def write(temporary: Path) -> None:
            # Not by `np.savez`, which cannot write an array called `file`.
            with zipfile.ZipFile(temporary, "w") as archive:
                for name, array in part.items():
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as out:
                        np.lib.format.write_array(out, array)

        _replace(target, write)
        self._waiting = []


def _name(file: Path) -> str:
    """Name of a file as text that every format can hold."""
    return str(file).encode("utf-8", "backslashreplace").decode()


def _need_pyarrow(path: Path) -> None:
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise ConfigError(
            f"--out {path}: needs pyarrow: pip install 'auricle[train]'; or write .npz"
        ) from None


def _settings(tagged: Tagged) -> str:
    labels = {"labels": list(tagged.means)}
    heads = {"heads": {name: list(scores) for name, scores in tagged.heads.items()}}
    return json.dumps({**tagged.settings, **labels, **heads})


def _part(files: list[Tagged]) -> Part:
    """The results of files as arrays."""
    segments = [segment for tagged in files for segment in tagged.segments]
    part: Part = {
        SETTINGS: np.array(_settings(files[0])),
        "file": np.array([_name(tagged.file) for tagged in files]),
        "duration": np.array([tagged.seconds for tagged in files]),
        "segments": np.array([tagged.count for tagged in files], np.int64),
        **_places(segments),
    }
    if files[0].means:
        part["labels"] = np.array(list(files[0].means))
        part["activations"] = _rows(tagged.means for tagged in files)
        part["segment_activations"] = _rows(segment.activations for segment in segments)
    for name, scores in files[0].heads.items():
        part[f"heads/{name}/labels"] = np.array(list(scores))
        part[f"heads/{name}/activations"] = _rows(tagged.heads[name] for tagged in files)
        part[f"heads/{name}/segment_activations"] = _rows(each.heads[name] for each in segments)
    if segments[0].embeddings is not None:
        vectors = np.stack([np.asarray(segment.embeddings) for segment in segments])
        part["embeddings"] = _means(vectors, part["segments"])
        part["segment_embeddings"] = vectors
    return part


def _means(vectors: NDArray[np.float32], counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Means of vectors by file: `counts` of them belong to each."""
    parts = np.split(vectors, np.cumsum(counts)[:-1])
    return np.array([each.mean(axis=0, dtype=np.float64) for each in parts], np.float32)


def _places(segments: list[Segment]) -> Part:
    return {
        "segment_start": np.array([segment.start for segment in segments]),
        "segment_end": np.array([segment.end for segment in segments]),
        "segment_flags": np.array([" ".join(segment.flags) for segment in segments], np.str_),
    }


def _rows(scores: Iterable[Mapping[str, float]]) -> NDArray[np.float32]:
    return np.array([list(each.values()) for each in scores], np.float32)


def _read_known(path: Path) -> tuple[list[str], str]:
    """Names of the files that have results there, and the settings they were made with."""
    if path.suffix == ".parquet":
        import pyarrow.parquet

        with pyarrow.parquet.ParquetFile(path) as file:
            settings = file.schema_arrow.metadata[SETTINGS.encode()].decode()
            return file.read(["file"])["file"].to_pylist(), settings
    with np.load(path) as content:
        return content["file"].tolist(), str(content[SETTINGS])


def _replace(path: Path, write: Callable[[Path], None]) -> None:
    """Have a file written beside `path`, and rename it to that; nothing is left if it fails."""
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        write(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or one_line(error)}") from None
    finally:
        temporary.unlink(missing_ok=True)


# -- .npz ---------------------------------------------------------------------------------------


def _write_npz(target: Path, sources: list[Path]) -> None:
    """Put .npz files together, an array at a time and without having it in memory.

    Only the strings of all files are read whole.
    """
    files = [zipfile.ZipFile(source) for source in sources]
    try:
        with zipfile.ZipFile(target, "w") as archive:
            names = [name for name in files[0].namelist() if name != "segment_file.npy"]
            for name in names:
                _copy_array(archive, name, files)
            counts = np.concatenate([_load(file, "segments.npy") for file in files])
            with archive.open("segment_file.npy", "w", force_zip64=True) as out:
                np.lib.format.write_array(out, np.repeat(np.arange(len(counts)), counts))
    finally:
        for file in files:
            file.close()


def _copy_array(archive: zipfile.ZipFile, name: str, files: list[zipfile.ZipFile]) -> None:
    """Write an array that has the rows of those in all files.

    Labels and settings are the same in all of them.
    """
    if name.endswith("labels.npy") or name == f"{SETTINGS}.npy":
        files = files[:1]
    with archive.open(name, "w", force_zip64=True) as out:
        shapes, types = zip(*(_read_header(file, name) for file in files), strict=True)
        if types[0].kind == "U":
            arrays = [_load(file, name) for file in files]
            np.lib.format.write_array(out, np.concatenate(arrays) if arrays[0].ndim else arrays[0])
            return
        rows = sum(shape[0] for shape in shapes)
        header = {
            "descr": np.lib.format.dtype_to_descr(types[0]),
            "fortran_order": False,
            "shape": (rows, *shapes[0][1:]),
        }
        np.lib.format.write_array_header_2_0(out, header)
        for file in files:
            with file.open(name) as source:
                _skip_header(source)
                shutil.copyfileobj(source, out, 1 << 20)


def _load(file: zipfile.ZipFile, name: str) -> NDArray[Any]:
    with file.open(name) as source:
        array: NDArray[Any] = np.lib.format.read_array(source)
        return array


def _read_header(file: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    with file.open(name) as source:
        return _skip_header(source)


def _skip_header(source: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Read the header of an array; returns its shape and type."""
    read = (
        np.lib.format.read_array_header_1_0
        if np.lib.format.read_magic(source) == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = read(source)
    return shape, dtype


# -- Parquet ------------------------------------------------------------------------------------


def _write_parquet(target: Path, sources: list[Path]) -> None:
    """Put parts, and a Parquet file if there is one, together in groups of rows."""
    import pyarrow.parquet

    writer = None
    try:
        for table in _tables(sources):
            if writer is None:
                writer = pyarrow.parquet.ParquetWriter(target, table.schema)
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()


def _tables(sources: list[Path]) -> Iterator[Any]:
    import pyarrow.parquet

    for source in sources:
        if source.suffix == ".parquet":
            with pyarrow.parquet.ParquetFile(source) as old:
                for group in range(old.num_row_groups):
                    yield old.read_row_group(group)
        else:
            with np.load(source) as content:
                yield _table(dict(content))


def _table(part: Part) -> Any:
    """A row for each file; what belongs to its segments is a list in it."""
    import pyarrow

    offsets = np.concatenate([[0], np.cumsum(part["segments"])])
    columns = {}
    for name, array in part.items():
        if name == SETTINGS or name.endswith("labels"):
            continue
        values = pyarrow.array(array.reshape(-1))
        if array.ndim == 2:
            values = pyarrow.FixedSizeListArray.from_arrays(values, array.shape[1])
        if name.rpartition("/")[2].startswith("segment_"):
            values = pyarrow.LargeListArray.from_arrays(offsets, values)
        columns[name.replace("/", ".")] = values
    table = pyarrow.table(columns)
    return table.replace_schema_metadata({SETTINGS: str(part[SETTINGS])})
