"""From material to batches: the same for all processes and after a kill, others in each epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="batches are tensors")
pytest.importorskip("lightning", reason="batches are loaded for Lightning")
pytest.importorskip("pyarrow", reason="manifests are Parquet")

import torch

from auricle.errors import TrainingError
from auricle.training.data.manifest import Manifest, Track
from auricle.training.data.material import Material
from auricle.training.data.outputs import Outputs, store_outputs
from auricle.training.objectives.tags import tag_names
from auricle.training.recipe import Recipe
from auricle.training.run.loaders import Loaders
from auricle.training.sampling.batches import VALIDATION_EPOCH, Batch, cut
from auricle.training.testing import GENRES, make_material, make_tracks
from tests.tiny import LABELS, SIZE, make_backbone
from tests.training.runs import MAEST, TAGS, objective, recipe

PAIRS = {"kind": "associations", "weights": {"track": 0.4, "release": 0.6}}
TEACHERS = {"kind": "teachers", "embeddings": 0.5}
SHARED: dict[str, Callable[[Track], object]] = {
    "track": lambda track: track.track_id,
    "release": lambda track: track.releases,
}
"""What both tracks of a pair have, by association."""

OBJECTIVES: dict[str, dict[str, Any]] = {"tags": TAGS, "pairs": PAIRS, "teachers": TEACHERS}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """Nine artists, and what two teachers say; one is the other under another name."""
    folder = tmp_path_factory.mktemp("corpus")
    found = make_material(folder / "features", artists=9)
    make_backbone(folder / "model")
    ids = [track.track_id for track in found.manifest]
    for name in ("one", "two"):
        store_outputs(folder / "features", ids, folder / "model", folder / name)
    return Material(
        found.manifest, found.features, (Outputs(folder / "one"), Outputs(folder / "two"))
    )


def loaders(
    chosen: Recipe, whole: Material, rank: int = 0, processes: int = 1, epoch: int = 0
) -> Loaders:
    made = Loaders(objective(chosen, whole))
    made.trainer = SimpleNamespace(global_rank=rank, world_size=processes, current_epoch=epoch)
    return made


def same(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_an_epoch_is_shared_by_processes(whole: Material, kind: str) -> None:
    chosen = recipe(OBJECTIVES[kind], batches_per_step=2, crops_per_track=2)
    one = list(loaders(chosen, whole).train_dataloader())
    assert len(one) >= 4
    assert len(one) % 2 == 0
    shares = [list(loaders(chosen, whole, rank, 2).train_dataloader()) for rank in (0, 1)]
    assert same([batch for pair in zip(*shares, strict=True) for batch in pair], one)
    # A run that continues has the epochs that it would have had, and no two are the same.
    assert same(list(loaders(chosen, whole).train_dataloader()), one)
    assert not same(list(loaders(chosen, whole, epoch=1).train_dataloader()), one)
    seeded = chosen.model_copy(update={"seed": 1})
    assert not same(list(loaders(seeded, whole).train_dataloader()), one)
    # Validation is the same for all, and all the time.
    known = list(loaders(chosen, whole).val_dataloader())
    assert same(list(loaders(chosen, whole, 1, 2, epoch=2).val_dataloader()), known)


def test_segments_with_tags(whole: Material) -> None:
    chosen = recipe(TAGS, batch_size=5, crops_per_track=2)
    made = loaders(chosen, whole)
    assert set(made.objective.classes) == set(GENRES)
    batches = list(made.train_dataloader())
    assert [len(batch["mel"]) for batch in batches] == [5] * 9 + [3]  # of 24 tracks
    for batch in batches:
        # The bands of its genre are louder.
        bands = batch["mel"].mean(1)[:, :90].reshape(-1, 3, 30).mean(2)
        names = [made.objective.classes[index] for index in batch["targets"].argmax(1)]
        assert [GENRES[index] for index in bands.argmax(1)] == names
        assert batch["targets"].sum(1).tolist() == [1.0] * len(names)


def test_an_epoch_of_more_tracks_than_there_are(whole: Material) -> None:
    tags = recipe({**TAGS, "balanced": 200_000})
    batches: Any = Loaders(objective(tags, whole)).batches("train", 0)
    assert sorted(batches.track_ids) == sorted(
        t.track_id for t in whole.manifest if t.part == "train"
    )


def test_pairs_share_what_they_should(whole: Material) -> None:
    found = {track.track_id: track for track in whole.manifest}
    batches: Any = Loaders(objective(recipe(PAIRS), whole)).batches("train", 0)
    for association, share in SHARED.items():
        for one, other in batches.pairs[association]:
            sides = [found[batches.track_ids[index]] for index in (one, other)]
            assert share(sides[0]) == share(sides[1])
    # And segments are of these: each side's frames are somewhere in its track.
    batch = batches[0]
    assert batch["release"].shape == (2, 4, 40, 96)
    for association, share in SHARED.items():
        anchors, positives = (
            [share(found[batches.track_ids[index]]) for index in side]
            for side in batches.pairs[association][:4].T
        )
        expected = [[anchor == positive for positive in positives] for anchor in anchors]
        assert batch[f"{association} alike"].tolist() == expected
    for side, column in zip(batch["release"], batches.pairs["release"][:4].T, strict=True):
        for segment, index in zip(side.numpy(), column, strict=True):
            frames = np.array(whole.features[batches.track_ids[index]], np.float32)
            round_and_round = np.concatenate([frames, frames])
            starts = np.flatnonzero((round_and_round[: len(frames)] == segment[0]).all(1))
            assert any((round_and_round[start:][:40] == segment).all() for start in starts)


def test_what_teachers_say_of_a_segment(whole: Material) -> None:
    made = Loaders(objective(recipe(TEACHERS), whole))
    assert made.objective.classes == (*LABELS, *(f"{label} (tiny)" for label in LABELS))
    batches: Any = made.batches("train", 0)
    batch = batches[0]
    assert set(batch) == {"mel", "activations", "embeddings 0", "embeddings 1"}
    assert batch["activations"].shape == (4, 2 * len(LABELS))
    assert batch["embeddings 1"].shape == (4, SIZE)
    for row, (track, segment) in enumerate(batches.items[:4]):
        track_id = batches.track_ids[track]
        frames = whole.features[track_id][13 * segment :][:40].astype(np.float32)
        np.testing.assert_array_equal(batch["mel"][row], frames)
        said = whole.teachers[1].activations[track_id][segment].astype(np.float32)
        np.testing.assert_array_equal(batch["activations"][row, len(LABELS) :], said)
    assert (
        "embeddings 0"
        not in Loaders(objective(recipe({"kind": "teachers"}), whole)).batches("train", 0)[0]
    )
    fewer = Loaders(objective(recipe({"kind": "teachers", "samples": 6}), whole)).batches(
        "train", 0
    )
    assert [len(fewer[number]["mel"]) for number in range(len(fewer))] == [4, 2]


def test_tags_that_validation_cannot_measure(whole: Material) -> None:
    assert Loaders(objective(recipe(TAGS), whole)).unmeasured == ()
    corpus = [
        replace(
            track,
            genres=(*track.genres, "everywhere", *(["new"] if track.part == "train" else [])),
        )
        for track in whole.manifest
    ]
    made = Loaders(objective(recipe(TAGS), Material(Manifest(corpus), whole.features)))
    assert set(made.unmeasured) == {"everywhere", "new"}
    assert set(made.objective.classes) == {*GENRES, "everywhere", "new"}


def test_a_track_that_is_shorter_goes_round() -> None:
    frames = np.arange(3, dtype=np.float16)[:, None]
    assert cut(frames, 0, 7)[:, 0].tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert cut(frames, 1, 2)[:, 0].tolist() == [1, 2]


def part(whole: Material, keep: Any) -> Material:
    return Material(Manifest(filter(keep, whole.manifest)), whole.features, whole.teachers)


def test_material_that_is_not_enough(whole: Material, tmp_path: Path) -> None:
    def refused(chosen: Recipe, material: Material, message: str) -> None:
        with pytest.raises(TrainingError, match=message) as caught:
            Loaders(objective(chosen, material))
        assert "\n" not in str(caught.value)

    one_artist = [
        Track(
            f"t{i}-{j}",
            Path("x"),
            1.0,
            artists=("a",),
            releases=("r",),
            part="validation" if i == 2 else "train",
        )
        for i in range(9)
        for j in range(4)
    ]
    alone = Material(Manifest(one_artist), whole.features)
    artist = recipe({"kind": "associations", "weights": {"artist": 1}})
    refused(artist, alone, "^part 'train': 0 pairs of 32 tracks for 'artist', must be 1 or more$")
    single = part(whole, lambda t: t.part == "train" or t.artists == ("artist 2",))
    refused(
        artist,
        single,
        "^part 'validation': all pairs for 'artist' belong together, so the best epoch cannot be "
        "chosen; split",
    )
    Loaders(
        objective(recipe(artist.objective.model_dump(), averaging={"begin": 1, "every": 1}), single)
    )
    three = part(whole, lambda t: t.track_id in ("t0-0", "t1-0", "t2-0"))
    refused(artist, three, "^part 'train': 0 pairs of 2 tracks for 'artist'")
    refused(recipe(PAIRS), three, "^part 'train': 0 pairs of 2 tracks for 'release'")
    refused(recipe(TAGS, batches_per_step=2), three, "must be 2 or more; make batch_size smaller")
    balanced = recipe({**TAGS, "balanced": 99}, batches_per_step=2)
    refused(
        balanced,
        three,
        "; make batch_size smaller, or set objective.balanced=null and make crops_per",
    )
    refused(
        recipe(TAGS),
        three,
        "^part 'validation': none of 1 genres has tracks with it and tracks without",
    )
    refused(
        recipe(TAGS),
        alone,
        r"no genre has 1 tracks in the training part .*; the most frequent is none",
    )
    refused(
        recipe({**TAGS, "least_tracks": 99}),
        whole,
        r"no genre has 99 tracks .* is 'ambient' with 8$",
    )
    train = part(whole, lambda t: t.part == "train")
    refused(recipe(TAGS), train, "^the manifest has no track in the part 'validation'$")
    unheard = replace(
        whole, manifest=Manifest(replace(t, track_id="x" + t.track_id) for t in whole.manifest)
    )
    refused(recipe(TAGS), unheard, "features: no features of a track in the part 'train'")
    refused(
        recipe(TEACHERS),
        Material(whole.manifest, whole.features),
        "name the folders of their outputs",
    )
    refused(
        recipe(TEACHERS, segment_size=50),
        whole,
        "one: segments of 40 frames, 13 apart; the recipe has",
    )
    refused(
        recipe({**TAGS, "taught": True}, MAEST),
        whole,
        "takes outputs of one teacher with the same tags",
    )


def test_a_teacher_that_has_not_heard_all(whole: Material, tmp_path: Path) -> None:
    model = make_backbone(tmp_path / "model")
    corpus = [
        Track(t.track_id, t.path, 1.0, genres=(LABELS[i % 3],), part=t.part)
        for i, t in enumerate(make_tracks(9))
    ]
    features = whole.features
    heard = [track.track_id for track in corpus if track.part == "train"][3:]
    store_outputs(features.folder, heard, model, tmp_path / "o")
    teacher = Outputs(tmp_path / "o")
    chosen = recipe({**TAGS, "taught": True}, MAEST)
    made = loaders(chosen, Material(Manifest(corpus), features, (teacher,)))
    assert set(made.objective.classes) == set(LABELS)
    batches: Any = made.batches("train", 0)
    long_enough = {name for name in heard if len(features[name]) >= 40}
    assert set(batches.track_ids) == long_enough
    batch = batches[0]
    assert torch.isfinite(batch["taught"]).all()
    assert batch["taught"].shape == batch["targets"].shape
    assert "taught" not in made.batches("validation", VALIDATION_EPOCH)[0]


def test_spellings_of_a_genre_are_one_tag(whole: Material) -> None:
    spellings = ("Hip-Hop", "hip hop", "Hip-Hop", "Folk", "folk", "Rock & Roll")
    found = [Track(str(i), Path("a"), 1.0, genres=(name,)) for i, name in enumerate(spellings)]
    assert tag_names(found, 2) == ("Hip-Hop", "Folk")
    respelt = Manifest(
        replace(t, genres=tuple(g.upper() for g in t.genres)) for t in whole.manifest
    )
    one, other = (
        list(loaders(recipe(TAGS), Material(manifest, whole.features)).train_dataloader())
        for manifest in (whole.manifest, Manifest([*respelt][:1] + [*whole.manifest][1:]))
    )
    assert same(one, other)
