"""Releases, artists and labels that tracks can share, as numbers, without placeholder names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from auricle.errors import TrainingError, one_line
from auricle.training.data.csr import Csr
from auricle.training.data.manifest import Part, Track

UNSPECIFIC: Final = {
    "releases": ("",),
    "artists": ("", "various", "various artists", "unknown", "unknown artist", "no artist"),
    "labels": ("", "not on label", "unknown label", "no label"),
}
"""Names, in lower case, that stand for no one in particular: two tracks of "Various" share no
artist, and two that are "Not On Label" no label. The papers do not say that they left these out."""


@dataclass(frozen=True, slots=True, eq=False)
class Catalogue:
    """Releases, artists and labels of tracks, each as a number.

    Attributes:
        releases: Releases of each track, (tracks, releases); columns are int32.
        artists: Artists of each track, (tracks, artists).
        labels: Labels of each track, (tracks, labels).

    Raises:
        TrainingError: The numbers of tracks differ.
    """

    releases: Csr
    artists: Csr
    labels: Csr

    def __post_init__(self) -> None:
        sizes = (len(self.releases), len(self.artists), len(self.labels))
        if len(set(sizes)) > 1:
            raise TrainingError(f"catalogue: releases, artists and labels of {sizes} tracks")

    def __len__(self) -> int:
        return len(self.releases)

    @classmethod
    def of_tracks(cls, tracks: Iterable[Track]) -> Catalogue:
        """Build the catalogue of `tracks`; row i of each (tracks, n) table is track i."""
        tracks = list(tracks)
        strings = pa.list_(pa.string())

        def numbered(field: str) -> Csr:
            names = [getattr(track, field) for track in tracks]
            return _numbered(pa.chunked_array([names], strings), field)

        return cls(numbered("releases"), numbered("artists"), numbered("labels"))

    @classmethod
    def load(cls, file: Path, split: Part = "train") -> Catalogue:
        """Read the catalogue of one part of a manifest file, in its order.

        The file is read column by column, without creating a `Track` per row, since a corpus can
        have millions of tracks.

        Raises:
            TrainingError: The file does not exist, or is not a manifest.
        """
        return cls(
            *(
                _numbered(_column(file, name, split), name)
                for name in ("releases", "artists", "labels")
            )
        )


def _column(file: Path, name: str, split: Part) -> pa.ChunkedArray:
    """Lists of names of the tracks of one part."""
    try:
        table = pq.read_table(file, columns=[name, "split"])
    except (OSError, pa.ArrowException) as error:
        raise TrainingError(f"{file}: not a manifest: {one_line(error)}") from error
    return table.filter(pc.equal(table["split"], split))[name]


def _numbered(lists: pa.ChunkedArray, kind: str) -> Csr:
    """Names as numbers, without those in `UNSPECIFIC`."""
    counts = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    encoded = pc.list_flatten(lists).dictionary_encode(null_encoding="encode")
    encoded = encoded.unify_dictionaries().combine_chunks()
    names = pc.fill_null(pc.utf8_lower(pc.utf8_trim_whitespace(encoded.dictionary)), "")
    specific = ~pc.is_in(names, value_set=pa.array(UNSPECIFIC[kind])).to_numpy(zero_copy_only=False)
    columns = encoded.indices.to_numpy()
    kept = specific[columns]
    rows = np.repeat(np.arange(len(lists), dtype=np.int32), counts)[kept]
    return Csr.of(np.bincount(rows, minlength=len(lists)), columns[kept], len(names))
