"""Reading the files of published data sets, with errors that name the offending line."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from auricle.errors import TrainingError
from auricle.training.data.manifest import Track


def rows(file: Path, **dialect: Any) -> Iterator[tuple[int, list[str]]]:
    """The rows of a table as text, each with the number of its last line, from 1.

    Args:
        file: Path of the table, in UTF-8.
        dialect: Format of the table, as arguments of `csv.reader`.

    Raises:
        TrainingError: The file cannot be read, or is not such a table.
    """
    line = 0
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            reader = csv.reader(opened, **dialect)
            for row in reader:
                line = reader.line_num
                yield line, row
    except OSError as error:
        raise TrainingError(f"{file}: {error.strerror or error}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise malformed(file, line + 1, str(error)) from error


def malformed(file: Path, line: int, what: str) -> TrainingError:
    """The error that a line of a published file differs from the published format."""
    return TrainingError(f"{file}, line {line}: {what}")


def number(file: Path, line: int, name: str, text: str) -> float:
    """Parse a field as a finite number of at least 0.

    Raises:
        TrainingError: The field is not such a number.
    """
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value < float("inf"):
        raise malformed(file, line, f"{name} {text!r} must be a number, at least 0")
    return value


def header(file: Path, line: int, found: list[str], wanted: Iterable[str]) -> dict[str, int]:
    """Index of each of the columns `wanted`.

    Raises:
        TrainingError: A column is missing, or occurs twice.
    """
    for name in wanted:
        if found.count(name) != 1:
            raise malformed(
                file, line, f"{found.count(name)} columns {name!r} in the header, must be one"
            )
    return {name: found.index(name) for name in wanted}


def check_audio(audio: Path, tracks: Iterable[Track]) -> None:
    """Check that a folder holds audio of the data set.

    A single missing file is reported later, when it is read.

    Raises:
        TrainingError: The folder has none of the tracks.
    """
    paths = [track.path for track in tracks]
    if not paths:
        raise TrainingError(f"{audio}: the data set has no tracks")
    if not any(path.is_file() for path in paths):
        raise TrainingError(
            f"{audio}: none of {len(paths)} tracks is in there, not even {paths[0]}"
        )
