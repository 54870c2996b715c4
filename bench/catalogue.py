"""A made-up catalogue of music, as large and as uneven as that of the papers.

It follows the figures of the papers and of Discogs (section 4.2 of Alonso-Jimenez' thesis, 2024).
Albums have 6 tracks, all of which are on all releases of the album; 42 % of albums have one
release, the others a number with a long tail, so that a track is on 5; and one track in twenty is
on a compilation of 15. Artists (one for 13 tracks) and labels (one for 25) have shares that fall
with their rank; the largest are on thousands of tracks. A quarter of the tracks have a second
artist. Of the releases of an album half are on the label of the album, the rest on any. Some
artists are "Various", some labels "Not On Label".

Needs pyarrow, and the training package.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from auricle.training.data.csr import Csr

Integers = NDArray[np.int64]

ALBUM, COMPILATION = 6, 15
"""Tracks of an album and of a compilation."""

SINGLE_RELEASE = 0.42
"""Share of albums with one release."""

ON_COMPILATION = 0.05
"""Share of tracks that are on a compilation."""

GUESTS = 0.25
"""Share of tracks with a second artist."""

UNSPECIFIC = 0.03
"""Share of placeholders among the names of artists and labels."""

TRACKS_PER_ARTIST, TRACKS_PER_LABEL = 13, 25

MOST_RELEASES = 500
"""Most releases of an album."""

ARTIST_OFFSET, LABEL_OFFSET = 100, 20
"""Added to ranks: shares fall as 1 / (rank + offset)."""

WRITTEN_AT_ONCE = 200_000
"""Number of tracks written at a time."""


def write_manifest(file: Path, tracks: int, seed: int = 0) -> str:
    """Write a manifest's columns `releases`, `artists`, `labels` and `split`.

    Args:
        file: Parquet file to write.
        tracks: Number of tracks.
        seed: Seed of all that is drawn.

    Returns:
        A line on its contents.
    """
    catalogue = _Catalogue(tracks, np.random.default_rng(seed))
    columns = [
        _Column("releases", catalogue.releases(), "Release"),
        _Column("artists", catalogue.artists(), "Artist", "Various"),
        _Column("labels", catalogue.labels(), "Label", "Not On Label"),
    ]
    fields = [(column.name, pa.list_(pa.string())) for column in columns]
    schema = pa.schema([*fields, ("split", pa.string())])
    with pq.ParquetWriter(file, schema) as writer:
        for begin in range(0, tracks, WRITTEN_AT_ONCE):
            rows = slice(begin, min(begin + WRITTEN_AT_ONCE, tracks))
            lists = [column.lists(rows) for column in columns]
            split = pa.array(["train"] * len(lists[0]))
            writer.write_table(pa.table([*lists, split], schema=schema))
    return _described(tracks, *columns)


class _Catalogue:
    """Tracks, the albums that they are on, and the releases of these.

    Args:
        tracks: Number of tracks.
        rng: Source of all draws, in the order of the calls.
    """

    def __init__(self, tracks: int, rng: np.random.Generator) -> None:
        self._rng, self._tracks = rng, tracks
        self._albums = max(1, tracks // ALBUM)
        self._album = np.sort(rng.integers(0, self._albums, tracks))
        # Of those with several: 2, and a lognormal with mean 6.4, rounded down, so 7.9.
        drawn = rng.lognormal(1.136, 1.2, self._albums)
        several = 2 + np.minimum(drawn, MOST_RELEASES - 2).astype(np.int64)
        self._versions = np.where(rng.random(self._albums) < SINGLE_RELEASE, 1, several)

    def releases(self) -> Csr:
        """The releases of each track: those of its album, and maybe a compilation."""
        compiled = np.flatnonzero(self._rng.random(self._tracks) < ON_COMPILATION)
        compilations = len(compiled) // COMPILATION + 1
        releases = int(self._versions.sum()) + compilations
        first = np.cumsum(self._versions) - self._versions
        of_albums = _ranges(first[self._album], self._versions[self._album])
        others = releases - 1 - self._rng.integers(0, compilations, len(compiled))
        rows = np.repeat(np.arange(self._tracks), self._versions[self._album])
        return _grouped(
            np.concatenate((rows, compiled)),
            np.concatenate((of_albums, others)),
            (self._tracks, releases),
        )

    def artists(self) -> Csr:
        """The artist of each track's album, and maybe a guest."""
        artists = self._tracks // TRACKS_PER_ARTIST + 1
        guests = np.flatnonzero(self._rng.random(self._tracks) < GUESTS)
        of_albums = _ranked(self._rng, self._albums, artists, ARTIST_OFFSET)[self._album]
        others = _ranked(self._rng, len(guests), artists, ARTIST_OFFSET)
        return _grouped(
            np.concatenate((np.arange(self._tracks), guests)),
            np.concatenate((of_albums, others)),
            (self._tracks, artists),
        )

    def labels(self) -> Csr:
        """The label of each release of each track's album."""
        labels = self._tracks // TRACKS_PER_LABEL + 1
        of_album = np.repeat(_ranked(self._rng, self._albums, labels, LABEL_OFFSET), self._versions)
        keep = self._rng.random(len(of_album)) < 0.5
        any_label = _ranked(self._rng, len(of_album), labels, LABEL_OFFSET)
        own = np.where(keep, of_album, any_label)
        by_album = Csr.of(self._versions, own.astype(np.int32), labels)
        counts = np.diff(by_album.starts)[self._album]
        columns = by_album.columns[_ranges(by_album.starts[self._album], counts)]
        return Csr.of(counts, columns, labels)


class _Column:
    """A column of lists of names.

    Args:
        name: Name of the column.
        entries: Numbers of the names, by the row.
        kind: Beginning of the names.
        unspecific: Name that names none, which some of the rows have.
    """

    def __init__(self, name: str, entries: Csr, kind: str, unspecific: str = "") -> None:
        self.name, self.entries = name, entries
        every = round(1 / UNSPECIFIC)
        names = [f"{kind} number {number}" for number in range(entries.n_columns)]
        if unspecific:
            names[every - 1 :: every] = [unspecific] * len(names[every - 1 :: every])
        self._names = pa.array(names)

    def lists(self, rows: slice) -> pa.ListArray:
        """The lists of some rows."""
        starts = self.entries.starts[rows.start : rows.stop + 1]
        columns = self.entries.columns[starts[0] : starts[-1]]
        return pa.ListArray.from_arrays(
            (starts - starts[0]).astype(np.int32), self._names.take(pa.array(columns))
        )


def _described(tracks: int, releases: _Column, artists: _Column, labels: _Column) -> str:
    columns = (releases, artists, labels)
    shares = [f"{len(each.entries.columns) / tracks:.1f} {each.name}" for each in columns]
    multiple = np.mean(np.diff(releases.entries.starts) > 1)
    sizes = [f"{each.entries.n_columns:,} {each.name}" for each in columns]
    most = [f"{np.bincount(each.entries.columns).max():,}" for each in (artists, labels)]
    return (
        f"a track has {', '.join(shares)}, {multiple:.0%} have several releases; "
        f"{', '.join(sizes)}; most tracks of an artist and of a label: {', '.join(most)}"
    )


def _ranges(begins: Integers, counts: Integers) -> Integers:
    """`begin, begin + 1, ...` for each, one after the other."""
    ranges: Integers = np.arange(counts.sum()) + np.repeat(
        begins - (np.cumsum(counts) - counts), counts
    )
    return ranges


def _grouped(rows: Integers, columns: Integers, shape: tuple[int, int]) -> Csr:
    """A matrix of entries whose rows and columns come in any order."""
    order = np.argsort(rows, kind="stable")
    return Csr.of(np.bincount(rows, minlength=shape[0]), columns[order].astype(np.int32), shape[1])


def _ranked(rng: np.random.Generator, n: int, kinds: int, offset: int) -> Integers:
    """`n` draws of `kinds` whose shares are as 1 / (rank + offset)."""
    shares = np.cumsum(1 / (np.arange(kinds) + offset))
    draws: Integers = np.searchsorted(shares, rng.random(n) * shares[-1])
    return draws
