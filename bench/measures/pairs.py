"""Drawing pairs for an epoch from a catalogue as large as that of the papers: time and memory on
one core.

The catalogue is made up, after what the papers and Discogs say of theirs (section 4.2 of
Alonso-Jimenez' thesis, 2024). Albums have 6 tracks, all of which are on all releases of the album;
42 % of albums have one release, the others a number with a long tail, so that a track is on 5; and
one track in twenty is on a compilation of 15. Artists (one for 13 tracks) and labels (one for 25)
have shares that fall with their rank; the largest are on thousands of tracks. A quarter of the
tracks have a second artist. Of the releases of an album half are on the label of the album, the
rest on any. Some artists are "Various", some labels "Not On Label".
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from auricle.errors import ConfigError
from bench.report import Report
from bench.timing import Spread, Progress, pinned, silent
from bench.workers import CONTENDERS, Worker

if TYPE_CHECKING:
    from auricle.training.data.csr import Csr

Integers = NDArray[np.int64]


ALBUM, COMPILATION = 6, 15
"""Tracks."""

SINGLE_RELEASE = 0.42
ON_COMPILATION = 0.05
GUESTS = 0.25
UNSPECIFIC = 0.03
"""Parts: of albums, of tracks twice, of the names of artists and labels."""

TRACKS_PER_ARTIST, TRACKS_PER_LABEL = 13, 25

MOST_RELEASES = 500

WRITTEN_AT_ONCE = 200_000
"""Tracks."""


def measure(tracks: int = 3_300_000, runs: int = 3, progress: Progress = silent) -> Report:
    """An epoch of each association, in a process of its own on the first core.

    Args:
        tracks: Of the catalogue.
        runs: Epochs that are drawn.
        progress: Called with a line that says how far it is.

    Raises:
        ConfigError: pyarrow is not installed.
    """
    try:
        import pyarrow  # noqa: F401

        from auricle.training.sampling.pairs import ASSOCIATIONS
    except ImportError as error:
        raise ConfigError(
            f"{error.name} is needed for manifests: pip install 'auricle[train]'"
        ) from None
    report = Report(
        "pairs",
        f"Pairs of an epoch from {tracks:,} tracks, on one core",
        {"tracks": tracks, "runs": runs},
    )
    with tempfile.TemporaryDirectory() as folder:
        progress("making metadata up")
        file = Path(folder) / "manifest.parquet"
        report.notes.append(write_manifest(file, tracks))
        script = CONTENDERS / "auricle_pairs.py"
        with (
            pinned((0,)),
            Worker(
                "drawing", Path(sys.executable), script, {"file": str(file)}, threads=1
            ) as worker,
        ):
            report.versions |= worker.versions
            progress("reading the manifest")
            loaded = worker.ask()
            found: dict[str, list[dict[str, Any]]] = {name: [] for name in ASSOCIATIONS}
            for epoch in range(runs):
                for name in ASSOCIATIONS:
                    progress(f"epoch {epoch + 1} of {runs}: {name}")
                    found[name].append(worker.ask(association=name, epoch=epoch))
    report.row("manifest read, once", {"s": loaded["seconds"], "peak MB": loaded["peak_mb"]})
    for association, epochs in found.items():
        pairs = Spread.of([epoch["pairs"] for epoch in epochs])
        report.row(
            association,
            {
                "s": Spread.of([epoch["seconds"] for epoch in epochs]),
                "peak MB": epochs[-1]["peak_mb"],
                "1000 pairs": pairs.median / 1000,
                "of the tracks": (1 if association == "track" else 2) * pairs.median / tracks,
                "wrong": sum(epoch["wrong"] for epoch in epochs),
            },
        )
    together = [sum(epochs[run]["seconds"] for epochs in found.values()) for run in range(runs)]
    report.target("pairs that do not comply", sum(_of(found, "wrong")), at_most=0, correctness=True)
    report.target("all four, s an epoch", Spread.of(together), at_most=60)
    report.target("peak memory, MB", max(_of(found, "peak_mb")), at_most=4000)
    return report


def _of(found: dict[str, list[dict[str, Any]]], figure: str) -> list[Any]:
    return [epoch[figure] for epochs in found.values() for epoch in epochs]


# -- made-up metadata ------------------------------------------------------------------------------


def write_manifest(file: Path, tracks: int, seed: int = 0) -> str:
    """Write a manifest's columns `releases`, `artists`, `labels` and `split`; returns a line about
    them.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from auricle.training.data.csr import Csr

    rng = np.random.default_rng(seed)
    every = np.arange(tracks)
    albums = max(1, tracks // ALBUM)
    album = np.sort(rng.integers(0, albums, tracks))
    # Of those with several: 2, and a lognormal with mean 6.4, rounded down, so 7.9.
    several = 2 + np.minimum(rng.lognormal(1.136, 1.2, albums), MOST_RELEASES - 2).astype(np.int64)
    versions = np.where(rng.random(albums) < SINGLE_RELEASE, 1, several)
    first = np.cumsum(versions) - versions

    compiled = np.flatnonzero(rng.random(tracks) < ON_COMPILATION)
    compilations = len(compiled) // COMPILATION + 1
    n_releases = int(versions.sum()) + compilations
    releases = _grouped(
        np.concatenate((np.repeat(every, versions[album]), compiled)),
        np.concatenate(
            (
                _ranges(first[album], versions[album]),
                n_releases - 1 - rng.integers(0, compilations, len(compiled)),
            )
        ),
        (tracks, n_releases),
    )

    n_artists = tracks // TRACKS_PER_ARTIST + 1
    guests = np.flatnonzero(rng.random(tracks) < GUESTS)
    artists = _grouped(
        np.concatenate((every, guests)),
        np.concatenate(
            (_ranked(rng, albums, n_artists, 100)[album], _ranked(rng, len(guests), n_artists, 100))
        ),
        (tracks, n_artists),
    )

    n_labels = tracks // TRACKS_PER_LABEL + 1
    of_album = np.repeat(_ranked(rng, albums, n_labels, 20), versions)
    own = np.where(
        rng.random(len(of_album)) < 0.5, of_album, _ranked(rng, len(of_album), n_labels, 20)
    )
    by_album = Csr.of(versions, own.astype(np.int32), n_labels)
    counts = np.diff(by_album.starts)[album]
    labels = Csr.of(counts, by_album.columns[_ranges(by_album.starts[album], counts)], n_labels)

    parts = {
        "releases": (releases, _names("Release", n_releases)),
        "artists": (artists, _names("Artist", n_artists, "Various")),
        "labels": (labels, _names("Label", n_labels, "Not On Label")),
    }
    schema = pa.schema([*((name, pa.list_(pa.string())) for name in parts), ("split", pa.string())])
    with pq.ParquetWriter(file, schema) as writer:
        for begin in range(0, tracks, WRITTEN_AT_ONCE):
            rows = slice(begin, min(begin + WRITTEN_AT_ONCE, tracks))
            lists = [_lists(csr, names, rows) for csr, names in parts.values()]
            writer.write_table(
                pa.table([*lists, pa.array(["train"] * len(lists[0]))], schema=schema)
            )
    counted = ", ".join(
        f"{len(csr.columns) / tracks:.1f} {name}" for name, (csr, _) in parts.items()
    )
    multiple = np.mean(np.diff(releases.starts) > 1)
    most = ", ".join(f"{np.bincount(csr.columns).max():,}" for csr in (artists, labels))
    return (
        f"a track has {counted}, {multiple:.0%} have several releases; {n_releases:,} releases,"
        f" {n_artists:,} artists, {n_labels:,} labels; most tracks of an artist and of a label: {most}"
    )


def _ranges(begins: Integers, counts: Integers) -> Integers:
    """`begin, begin + 1, ...` for each, one after the other."""
    ranges: Integers = np.arange(counts.sum()) + np.repeat(
        begins - (np.cumsum(counts) - counts), counts
    )
    return ranges


def _grouped(rows: Integers, columns: Integers, shape: tuple[int, int]) -> Csr:
    """Rows and columns of entries in any order."""
    from auricle.training.data.csr import Csr

    order = np.argsort(rows, kind="stable")
    return Csr.of(np.bincount(rows, minlength=shape[0]), columns[order].astype(np.int32), shape[1])


def _ranked(rng: np.random.Generator, n: int, kinds: int, offset: int) -> Integers:
    """`n` draws of `kinds` whose shares are as 1 / (rank + offset)."""
    shares = np.cumsum(1 / (np.arange(kinds) + offset))
    draws: Integers = np.searchsorted(shares, rng.random(n) * shares[-1])
    return draws


def _names(kind: str, n: int, nobody: str = "") -> Any:
    """Names, of which some are `nobody`, if given."""
    import pyarrow as pa

    every = round(1 / UNSPECIFIC)
    return pa.array(
        [nobody if nobody and i % every == every - 1 else f"{kind} number {i}" for i in range(n)]
    )


def _lists(csr: Csr, names: Any, rows: slice) -> Any:
    """Names of some rows."""
    import pyarrow as pa

    starts = csr.starts[rows.start : rows.stop + 1]
    return pa.ListArray.from_arrays(
        (starts - starts[0]).astype(np.int32),
        names.take(pa.array(csr.columns[starts[0] : starts[-1]])),
    )
