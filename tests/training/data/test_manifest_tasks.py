"""Tasks that tags make."""

from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="auricle.training.data.manifest reads Parquet")

from auricle.errors import TrainingError
from auricle.training.data.manifest import Manifest, Track
from auricle.training.data.manifest_tasks import artist_groups, artist_task, genre_task, only
from tests.training.clusters import corpus


def track(name: str, artists: str = "", genres: str = "", releases: str = "") -> Track:
    parts = (tuple(filter(None, text.split("+"))) for text in (artists, releases, genres))
    who, where, what = parts
    return Track(name, Path(name), 1.0, artists=who, releases=where, genres=what, part="test")


def test_genres_need_tracks_and_artists_who_are_not_one_group() -> None:
    manifest = Manifest(
        [
            track("1", "A", "Hip-Hop+Rare"),
            track("2", "B", "hip hop+Two People"),
            track("3", "C+D", "Two People+Rock & Roll"),
            track("4", "D", "Two People"),
            track("5", "C", "two_people"),
            track("6", "E", "Unknown"),
            track("7", "E"),
        ]
    )
    task = genre_task(manifest, min_tracks=2, min_artists=2)
    # "two people": four tracks, of B and of C with D. "hip hop": two of A and B.
    assert task.classes == ("hip hop", "two people")
    assert task.multilabel
    assert task.targets == {"1": (0,), "2": (0, 1), "3": (1,), "4": (1,), "5": (1,)}
    assert task.parts == dict.fromkeys("12345", "test")
    assert genre_task(manifest, min_tracks=2, min_artists=1).classes == ("hip hop", "two people")
    assert genre_task(manifest, min_tracks=1, min_artists=1).classes[1] == "rare"
    assert "rock and roll" in genre_task(manifest, min_tracks=1, min_artists=1).classes


def test_no_genre_is_left() -> None:
    with pytest.raises(
        TrainingError, match="none of 3 genres of 54 tracks has 20 tracks of 5 artists"
    ):
        genre_task(corpus()[0])


def test_genres_of_one_group_of_artists_are_none() -> None:
    manifest = Manifest([track("1", "A", "x"), track("2", "A+B", "x"), track("3", "B", "x")])
    with pytest.raises(TrainingError, match="of 2 artists"):
        genre_task(manifest, min_tracks=1, min_artists=2)


def test_artists() -> None:
    manifest = Manifest(
        [track(str(n), "AABBCC"[n]) for n in range(6)] + [track("6", "A+B"), track("7", "D")]
    )
    task = artist_task(manifest, min_tracks=2)
    assert task.classes == ("A", "B", "C")
    assert task.targets == {str(n): (n // 2,) for n in range(6)}
    with pytest.raises(TrainingError, match="artists: 0 of 4 have 3 tracks"):
        artist_task(manifest, min_tracks=3)


def test_groups_of_artists_are_transitive() -> None:
    groups = artist_groups(
        [
            track("1", "A"),
            track("2", "B"),
            track("3", "B+C"),
            track("4", "C+A"),
            track("5", "D"),
            track("6", "", "", "A"),
            track("7", "", "", "A"),
            track("8"),
            track("9"),
        ]
    )
    assert len({groups[n] for n in "1234"}) == 1
    assert groups["6"] == groups["7"]
    assert len(set(groups.values())) == 5


def test_only() -> None:
    task = artist_task(Manifest([track("1", "A"), track("2", "B")]), min_tracks=1)
    assert only(task, ["2", "3"]).targets == {"2": (1,)}
    with pytest.raises(TrainingError, match="artists: none of its 2 tracks is there"):
        only(task, ["3"])
