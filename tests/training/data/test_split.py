"""Parts share no artist, and are as large as was asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from auricle.errors import TrainingError

pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'auricle[train]'")
pytest.importorskip("mutagen", reason="needs mutagen: pip install 'auricle[train]'")

from auricle.training.data.manifest import PARTS, Manifest, Track
from auricle.training.data.split import artist_groups, extended, split


def track(number: int, artists: str = "", releases: str = "", seconds: float = 100) -> Track:
    """A track by the artists, on the releases, whose names are letters."""
    name = f"t{number}"
    return Track(name, Path(name), seconds, artists=tuple(artists), releases=tuple(releases))


def corpus(groups: list[int], seconds: float = 100) -> Manifest:
    """As many tracks by each artist as `groups` says."""
    owners = [chr(0x4E00 + artist) for artist, count in enumerate(groups) for _ in range(count)]
    return Manifest(track(number, artist, seconds=seconds) for number, artist in enumerate(owners))


def hours(manifest: Manifest) -> dict[str, float]:
    return {name: sum(track.duration_s for track in manifest.part(name)) for name in PARTS}


def test_groups_by_hand() -> None:
    tracks = [
        track(0, "A", "x"),
        track(1, "B", "x"),  # the release does not join tracks with artists
        track(2, "BC"),
        track(3, "C"),
        track(4, "", "x"),  # nor one without an artist to them
        track(5, "", "xy"),
        track(6, "", "y"),
        track(7),
        track(8),
        track(9, "a"),
    ]
    assert artist_groups(tracks) == [[0, 9], [1, 2, 3], [4, 5, 6], [7], [8]]


def test_groups_joined_late() -> None:
    assert artist_groups([track(0, "A"), track(1, "B"), track(2, "C"), track(3, "CA")]) == [
        [0, 2, 3],
        [1],
    ]


def test_groups_of_releases_and_guests() -> None:
    tracks = [
        replace(track(0), artists=("A",), album_artists=("A",)),
        replace(track(1), artists=("A & C",), album_artists=("a",)),
        *(
            replace(track(2), artists=(f"A {guests}",))
            for guests in ("feat. B", "(Ft. B)", "featuring B")
        ),
        replace(track(5), artists=("B",)),
        replace(track(6), artists=("A feature",)),
        track(7),
    ]
    assert artist_groups(tracks) == [[0, 1, 2, 3, 4], [5], [6], [7]]


@pytest.mark.parametrize("seed", range(5))
def test_no_artist_in_two_parts(seed: int) -> None:
    manifest = split(corpus([1, 2, 3, 4, 5, 6, 7] * 6), seed=seed)
    places: dict[str, set[str]] = {}
    for entry in manifest:
        places.setdefault(entry.artists[0], set()).add(entry.part)
    assert all(len(parts) == 1 for parts in places.values())
    assert [entry.track_id for entry in manifest] == [
        f"t{number}" for number in range(len(manifest))
    ]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("fractions", [(0.7, 0.15, 0.15), (0.5, 0.25, 0.25), (0.8, 0.1, 0.1)])
def test_sizes(seed: int, fractions: tuple[float, float, float]) -> None:
    manifest = split(corpus([1, 2, 3, 4, 5, 6, 7] * 6), fractions, seed)
    total = sum(hours(manifest).values())
    for wish, found in zip(fractions, hours(manifest).values(), strict=True):
        assert found / total == pytest.approx(wish, rel=0.25)


def test_large_artists_are_in_train() -> None:
    manifest = split(corpus([40, 30] + [1] * 30))
    assert {entry.artists[0] for entry in manifest.part("train")} >= {"\u4e00", "\u4e01"}
    assert len(manifest.part("validation")) == len(manifest.part("test")) == 15


@pytest.mark.parametrize("seed", range(5))
def test_small_parts_have_many_artists(seed: int) -> None:
    """One artist would fill a part; there are enough small ones to do so too."""
    manifest = split(corpus([15] * 4 + [1] * 40), seed=seed)
    for name in ("validation", "test"):
        assert len({entry.artists for entry in manifest.part(name)}) >= 11


def test_size_is_duration() -> None:
    long = [track(number, chr(65 + number), seconds=1000) for number in range(7)]
    short = [track(number, chr(65 + number), seconds=10) for number in range(7, 57)]
    found = hours(split(Manifest(long + short), (0.9, 0.05, 0.05)))
    assert found["validation"] == pytest.approx(375, rel=0.5)
    assert found["test"] == pytest.approx(375, rel=0.5)


def test_seed() -> None:
    manifest = corpus([1, 2, 3] * 20)
    once = [entry.part for entry in split(manifest, seed=1)]
    assert once == [entry.part for entry in split(split(manifest, seed=2), seed=1)]
    assert once != [entry.part for entry in split(manifest, seed=2)]


def test_part_that_is_not_wanted_is_empty() -> None:
    manifest = split(corpus([3] * 10), (0.8, 0.2, 0))
    assert len(manifest.part("test")) == 0
    assert len(manifest.part("validation")) == 6


@pytest.mark.parametrize("groups", [[1, 1, 1], [9, 1, 1], [5, 5, 5], [1, 1, 1, 1]])
def test_few_artists_are_in_every_part(groups: list[int]) -> None:
    assert all(len(split(corpus(groups)).part(name)) for name in PARTS)


@pytest.mark.parametrize(
    ("groups", "fractions", "words"),
    [
        (
            [20],
            (0.7, 0.15, 0.15),
            "20 tracks by 1 independent artist .* 3 parts .*: --no-split puts",
        ),
        ([20], (0.8, 0.2, 0), "20 tracks by 1 independent artist .* 2 parts .*: --no-split puts"),
        ([1], (0.7, 0.15, 0.15), "1 track by 1 .*: --no-split puts"),
        ([2, 1], (0.7, 0.15, 0.15), "3 tracks by 2 .*: --fractions 80,20,0 asks for two parts$"),
    ],
)
def test_too_few_artists(
    groups: list[int], fractions: tuple[float, float, float], words: str
) -> None:
    with pytest.raises(TrainingError, match=words):
        split(corpus(groups), fractions)


def test_two_artists_make_two_parts() -> None:
    assert {entry.part for entry in split(corpus([4, 1]), (0.8, 0.2, 0))} == {
        "train",
        "validation",
    }


def test_more_tracks_share_nothing_with_those_held_out() -> None:
    held = replace(track(0, "A"), title="Held", sha256="0", part="test")
    known = replace(track(1, "B"), title="Known", sha256="1")
    more = [
        replace(track(2, "Ca"), title="By one of the test part", sha256="2"),
        replace(track(3, "D"), title="HELD", sha256="3"),
        replace(track(4, "E"), title="Audio of the corpus", sha256="1"),
        replace(track(5, "B"), title="By one of the training part", sha256="5", part="test"),
        replace(track(6), title="By nobody", sha256="6"),
        replace(
            track(7, "F"), title="On a release of the test part's", sha256="7", album_artists=("A",)
        ),
        replace(track(8), title="With a guest", sha256="8", artists=("A feat. G",)),
    ]
    manifest = extended(Manifest([held, known]), more)
    assert [(each.track_id, each.part) for each in manifest] == [
        ("t0", "test"),
        ("t1", "train"),
        ("t5", "train"),
        ("t6", "train"),
    ]
