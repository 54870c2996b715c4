"""Metadata as numbers: which tracks share what, and which names are nobody's."""

from pathlib import Path
from typing import Any

import pytest

from auricle.errors import TrainingError

pytest.importorskip("pyarrow", reason="manifests are Parquet files")
from auricle.training.data.catalogue import Catalogue
from auricle.training.data.csr import Csr
from auricle.training.data.manifest import Manifest, Part, Track


def track(name: str, part: Part = "train", **metadata: Any) -> Track:
    return Track(name, Path(f"/music/{name}.flac"), 1.0, part=part, **metadata)


TRACKS = [
    track(
        "a", artists=("Björk", "Various"), releases=("Post", "Debut"), labels=("One Little Indian",)
    ),
    track("b", artists=("Various Artists",), releases=("Debut",), labels=("Not On Label",)),
    track("c", "test", artists=("Björk",), releases=("Post",)),
    track("d"),
    track(
        "e",
        artists=("Unknown Artist", "Björk"),
        releases=("Various",),
        labels=(" NOT ON LABEL ", ""),
    ),
]


def shared(csr: Csr) -> set[tuple[int, int]]:
    """Which rows have a column in common."""
    rows = [set(csr[row].tolist()) for row in range(len(csr))]
    return {(i, j) for i in range(len(rows)) for j in range(i) if rows[i] & rows[j]}


def test_tracks() -> None:
    catalogue = Catalogue.of_tracks(TRACKS)
    assert len(catalogue) == 5
    assert shared(catalogue.releases) == {(1, 0), (2, 0)}
    assert shared(catalogue.artists) == {(2, 0), (4, 0), (4, 2)}
    assert shared(catalogue.labels) == set()
    counts = [[len(csr[i]) for i in range(5)] for csr in (catalogue.releases, catalogue.artists)]
    assert counts == [[2, 1, 1, 0, 1], [1, 0, 1, 0, 1]]


def test_a_file_gives_what_its_tracks_give(tmp_path: Path) -> None:
    file = tmp_path / "manifest.parquet"
    Manifest(TRACKS).save(file)
    loaded = Catalogue.load(file)
    expected = Catalogue.of_tracks(Manifest(TRACKS).part("train"))
    assert len(loaded) == 4
    for name in ("releases", "artists", "labels"):
        one, other = getattr(loaded, name), getattr(expected, name)
        assert shared(one) == shared(other)
        assert [len(one[i]) for i in range(4)] == [len(other[i]) for i in range(4)]
    assert len(Catalogue.load(file, "test")) == 1
    assert len(Catalogue.load(file, "validation")) == 0


def test_no_tracks() -> None:
    assert len(Catalogue.of_tracks([])) == 0


def test_what_is_no_manifest_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "manifest.parquet"
    with pytest.raises(TrainingError, match=r"manifest\.parquet: not a manifest: "):
        Catalogue.load(file)
    file.write_text("no")
    with pytest.raises(TrainingError, match=r"manifest\.parquet: not a manifest: "):
        Catalogue.load(file)


def test_another_parquet_file_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = tmp_path / "other.parquet"
    pq.write_table(pa.table({"split": ["train"]}), file)
    with pytest.raises(TrainingError, match=r"other\.parquet: not a manifest: .*releases"):
        Catalogue.load(file)


def test_parts_of_different_sizes_are_refused() -> None:
    with pytest.raises(TrainingError, match=r"releases, artists and labels of \(1, 2, 1\) tracks"):
        Catalogue(*(Csr.of_lists([[]] * rows, 1) for rows in (1, 2, 1)))
