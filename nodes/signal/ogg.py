"""Chained Ogg files: one stream behind another, as recorders of radio write them.

FFmpeg continues from one link of the chain to the next only if rate and channels stay the same.
Where it stops, the links behind are opened one by one.
"""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

PAGE_HEADER = 27
"""Bytes of the header of a page, without the table of its segments (RFC 3533)."""

MAGIC = b"OggS"
"""First bytes of every page."""

SEARCHED_BYTES = 1 << 16
"""Bytes that are searched for a page at a time."""

FIRST_PAGE = 2
"""Flag of the first page of a logical stream."""


@dataclass(frozen=True, slots=True)
class Link:
    """A link of a chain: the bytes from `start` up to `stop` of its file."""

    start: int
    stop: int


def find_links(path: Path) -> list[Link]:
    """The links of an Ogg file, in their order; empty for a file that is not Ogg.

    A link begins at the first page of a logical stream that comes after other pages. Only the
    headers of pages are read.

    Raises:
        OSError: The file cannot be read.
    """
    starts: list[int] = []
    with path.open("rb") as file:
        before_first = True  # streams that are multiplexed begin with one such page each
        for offset, flags in _pages(file):
            is_first = bool(flags & FIRST_PAGE)
            if is_first and (not starts or not before_first):
                starts.append(offset)
            before_first = is_first
        end = file.seek(0, os.SEEK_END)
    return [Link(start, stop) for start, stop in itertools.pairwise([*starts, end])]


def _pages(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Offset and flags of each page; none if the file does not begin with one."""
    offset: int | None = 0
    while offset is not None:
        file.seek(offset)
        header = file.read(PAGE_HEADER)
        if header[:4] == MAGIC and len(header) == PAGE_HEADER:
            yield offset, header[5]
            sizes = file.read(header[26])
            offset += PAGE_HEADER + len(sizes) + sum(sizes)
        else:
            offset = _find_page(file, offset) if offset else None


def _find_page(file: BinaryIO, offset: int) -> int | None:
    """Offset of the first page after damage at `offset`; None if the file has no more pages."""
    while True:
        file.seek(offset)
        data = file.read(SEARCHED_BYTES)
        found = data.find(MAGIC)
        if found >= 0:
            return offset + found
        if len(data) < SEARCHED_BYTES:
            return None
        offset += len(data) - len(MAGIC) + 1  # it may lie across the end


class LinkReader(io.RawIOBase):
    """A link as a file of its own, for PyAV.

    Args:
        path: Path of the chain.
        link: The link.
    """

    def __init__(self, path: Path, link: Link) -> None:
        super().__init__()
        self._file = path.open("rb")
        self._link = link
        self._file.seek(link.start)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Read up to `size` bytes, all that is left of the link if it is negative."""
        left = max(0, self._link.stop - self._file.tell())
        return self._file.read(left if size < 0 else min(size, left))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {
            os.SEEK_SET: self._link.start,
            os.SEEK_CUR: self._file.tell(),
            os.SEEK_END: self._link.stop,
        }[whence]
        return self._file.seek(base + offset) - self._link.start

    def tell(self) -> int:
        return self._file.tell() - self._link.start

    def close(self) -> None:
        self._file.close()
        super().close()
