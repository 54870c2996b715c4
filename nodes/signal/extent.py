"""How much sound a file says that it has, and how much of that is there.

FFmpeg derives the length of most files of samples from their size, and takes what a pipe has in its
header at its word. Both are told apart here by the headers themselves.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MOST_CHUNKS = 1000
"""Most chunks in front of the sound that are passed over."""

UNKNOWN_SIZES = (0x7F00_0000, 0x7FFF_0000, 0x8000_0000, 0xFFFF_FFFF, 2**63, 2**64 - 1)
"""Sizes that programs write which cannot know the real one, up to `NEAR`."""

NEAR = 1 << 16
"""Bytes by which the size of a header, or of a block, is added to or taken from these."""


@dataclass(frozen=True, slots=True)
class Extent:
    """The bytes of a file that are sound.

    Attributes:
        size: Number that the header declares; None if the program that wrote it did not know.
        present: Number that the file has.
    """

    size: int | None
    present: int

    @property
    def missing_share(self) -> float:
        """Share of the bytes that are declared and missing, from 0 to 1."""
        if self.size is None or self.size <= self.present:
            return 0.0
        return 1 - self.present / self.size


def find_extent(path: Path) -> Extent | None:
    """The extent of the sound in a file, in bytes.

    Args:
        path: Path of the file.

    Returns:
        None for a format whose header does not say where the sound lies: WAV, RF64, AVI, W64, AIFF,
        CAF, AU and ASF do.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        magic = file.read(4)
        finder = FINDERS.get(magic)
        place = finder(file) if finder else None
        if place is None:
            return None
        start, size = place
        present = max(0, file.seek(0, os.SEEK_END) - start)
    known = size and not any(abs(size - each) <= NEAR for each in UNKNOWN_SIZES)
    return Extent(size if known else None, present)


Place = tuple[int, int]
"""Where sound begins in a file, and the number of bytes declared."""


def _in_riff(file: BinaryIO) -> Place | None:
    """RIFF: WAV, its form for more than 4 GiB, and AVI."""
    size = _number(file, 4, "little")
    form = file.read(4)
    if form == b"AVI ":
        return 8, size
    long_size = None
    for name, size in _chunks(file, 4, "little"):
        if name == b"ds64":
            file.seek(8, os.SEEK_CUR)
            long_size = _number(file, 8, "little")
        if name == b"data":
            is_long = long_size is not None and size == 0xFFFF_FFFF
            return file.tell(), (long_size or 0) if is_long else size
    return None


def _in_aiff(file: BinaryIO) -> Place | None:
    file.seek(12)
    return next(
        ((file.tell(), size) for name, size in _chunks(file, 4, "big") if name == b"SSND"), None
    )


def _in_caf(file: BinaryIO) -> Place | None:
    file.seek(8)
    return next(
        ((file.tell(), size) for name, size in _chunks(file, 8, "big") if name == b"data"), None
    )


def _in_au(file: BinaryIO) -> Place:
    return _number(file, 4, "big"), _number(file, 4, "big")


def _in_w64(file: BinaryIO) -> Place | None:
    """W64: chunks with names of 16 bytes, whose size includes their header."""
    header, step = 24, 8
    file.seek(40)
    for _ in range(MOST_CHUNKS):
        begin = file.tell()
        name = file.read(16)
        size = _number(file, 8, "little")
        if name[:4] == b"data":
            return begin + header, max(0, size - header)
        if len(name) < 16 or size < header:
            break
        _skip_to(file, begin + -(-size // step) * step)
    return None


def _in_asf(file: BinaryIO) -> Place:
    """ASF, which WMA is: an object of headers, then one of data."""
    object_header, data_header = 24, 50
    file.seek(16)
    data = _number(file, 8, "little")
    _skip_to(file, data + object_header - 8)
    return data + data_header, max(0, _number(file, 8, "little") - data_header)


FINDERS: dict[bytes, Callable[[BinaryIO], Place | None]] = {
    b"RIFF": _in_riff,
    b"RF64": _in_riff,
    b"BW64": _in_riff,
    b"FORM": _in_aiff,
    b"caff": _in_caf,
    b".snd": _in_au,
    b"riff": _in_w64,
    b"\x30\x26\xb2\x75": _in_asf,
}
"""Function that finds the sound, by the first bytes of a file."""


def _chunks(file: BinaryIO, size_bytes: int, order: str) -> Iterator[tuple[bytes, int]]:
    """Name and size of each chunk from here on, with the file at the beginning of its content."""
    even = size_bytes == 4  # those of RIFF and AIFF are padded, those of CAF are not
    for _ in range(MOST_CHUNKS):
        name = file.read(4)
        size = _number(file, size_bytes, order)
        if len(name) < 4:
            return
        content = file.tell()
        yield name, size
        _skip_to(file, content + size + (size % 2 if even else 0))


def _skip_to(file: BinaryIO, offset: int) -> None:
    """Go on at a place that a header names, or at the end of the file if it lies behind that."""
    file.seek(min(offset, os.fstat(file.fileno()).st_size))


def _number(file: BinaryIO, size: int, order: str) -> int:
    return int.from_bytes(file.read(size), "little" if order == "little" else "big")
