"""From a manifest, features and a recipe to the batches of training and validation, epoch by epoch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import lightning
import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from auricle.errors import TrainingError
from auricle.training.data.catalogue import Catalogue
from auricle.training.data.csr import Csr
from auricle.training.data.manifest import Manifest, Part, Track
from auricle.training.data.manifest_tasks import normalised
from auricle.training.data.outputs import Outputs
from auricle.training.data.store import Store
from auricle.training.run import recipe
from auricle.training.sampling.batches import (
    VALIDATION_EPOCH,
    Batch,
    PairBatches,
    TagBatches,
    TaughtBatches,
    random_of,
)
from auricle.training.sampling.epochs import balanced_weights, draw_tracks
from auricle.training.sampling.pairs import draw_pairs

PARTS: Final[tuple[Part, ...]] = ("train", "validation")
"""Of a corpus that training takes."""


@dataclass(frozen=True, slots=True)
class Material:
    """What a run learns from.

    Attributes:
        manifest: The tracks; those without features are left out.
        features: Their mel frames.
        teachers: What models say of them, if the recipe has teachers.
        name: Of the corpus, for the cards of models; empty if it has none.
    """

    manifest: Manifest
    features: Store
    teachers: tuple[Outputs, ...] = ()
    name: str = ""

    def tracks(self, split: Part) -> list[Track]:
        """Tracks of a part that have features.

        Raises:
            TrainingError: There are none.
        """
        part = self.manifest.part(split)
        if not len(part):
            raise TrainingError(f"the manifest has no track in the part {split!r}")
        found = [track for track in part if track.track_id in self.features]
        if not found:
            raise TrainingError(
                f"{self.features.folder}: no features of a track in the part {split!r}"
            )
        return found


def tag_names(tracks: Sequence[Track], objective: recipe.Tags) -> tuple[str, ...]:
    """The tags that enough tracks have, from the most frequent; of several spellings, the most
    frequent one.

    Raises:
        TrainingError: There are none.
    """
    spellings = Counter(genre for track in tracks for genre in track.genres)
    spelling = {normalised(name): name for name, _ in reversed(spellings.most_common())}
    counts = Counter(genre for track in tracks for genre in sorted(_genres(track)))
    names = tuple(
        spelling[name] for name, count in counts.most_common() if count >= objective.least_tracks
    )
    if not names:
        most = next((f"{spelling[name]!r} with {n}" for name, n in counts.most_common(1)), "none")
        raise TrainingError(
            f"no genre has {objective.least_tracks} tracks in the training part (objective.least_tracks); "
            f"the most frequent is {most}"
        )
    return names


def _genres(track: Track) -> set[str]:
    """Without what spellings differ in."""
    return {normalised(genre) for genre in track.genres} - {""}


@dataclass(frozen=True, slots=True)
class _Tagged:
    """Tracks of a part that tags are learned from.

    Attributes:
        ids: Of the tracks.
        targets: (tracks, classes), boolean.
    """

    ids: list[str]
    targets: NDArray[np.bool_]


class Loaders(lightning.LightningDataModule):
    """Batches for Lightning: anew each epoch in training, always the same in validation.

    Each process of several makes its share: batch `i` of an epoch is made by process `i %
    processes`. The validation part is small, and each goes through all of it, so that all know the
    same of it.

    Args:
        chosen: The recipe.
        material: What it learns from.
        workers: Processes that make batches beside each of training.

    Attributes:
        classes: Of the logits.
        unmeasured: Tags that all tracks of the validation part have, or none.

    Raises:
        TrainingError: The material is not enough for the recipe.
    """

    def __init__(self, chosen: recipe.Recipe, material: Material, workers: int = 0) -> None:
        super().__init__()
        self.recipe = chosen
        self.material = material
        self.workers = workers
        self._tracks = {split: material.tracks(split) for split in PARTS}
        self._catalogues: dict[Part, Catalogue] = {}
        self._tagged: dict[Part, _Tagged] = {}
        self.classes: tuple[str, ...] = ()
        self.unmeasured: tuple[str, ...] = ()
        match chosen.objective:
            case recipe.Tags() as objective:
                self.classes = tag_names(self._tracks["train"], objective)
                if objective.taught and [teacher.card.classes for teacher in material.teachers] != [
                    self.classes
                ]:
                    raise TrainingError(
                        "objective.taught: takes outputs of one teacher with the same tags"
                    )
                self._tagged = {split: self._with_tags(objective, split) for split in PARTS}
            case recipe.Associations():
                self._catalogues = {
                    split: Catalogue.of_tracks(self._tracks[split]) for split in PARTS
                }
            case recipe.Teachers() as objective:
                self.classes = _teachers_classes(
                    material.teachers, chosen, objective.embeddings > 0
                )
        # A corpus that is not enough is told of now, not after an hour.
        self.batches("train", 0)
        self._validation = self.batches("validation", VALIDATION_EPOCH)
        if self._tagged:
            self.unmeasured = self._unmeasured(self._tagged["validation"])
        if isinstance(self._validation, PairBatches) and chosen.epochs and not chosen.averaging:
            for name in self._validation.without_negatives():
                raise TrainingError(
                    f"part 'validation': all pairs for {name!r} belong together, so no epoch can be told to "
                    "be the best; split the corpus otherwise, or average epochs (averaging)"
                )

    def batches(self, split: Part, epoch: int) -> Dataset[Batch]:
        """The batches of an epoch.

        Raises:
            TrainingError: There are none.
        """
        objective = self.recipe.objective
        match objective:
            case recipe.Tags():
                made: Any = self._tags(objective, split, epoch)
            case recipe.Associations():
                made = self._pairs(objective, split, epoch)
            case recipe.Teachers():
                made = self._taught(objective, split, epoch)
        least = self.recipe.batches_per_step if split == "train" else 1
        if len(made) < least:
            one_each = (
                split == "train" and isinstance(objective, recipe.Tags) and objective.balanced
            )
            raise TrainingError(
                f"part {split!r}: {len(made)} batches of {self.recipe.batch_size}, must be {least} or more; "
                "make batch_size smaller, or "
                + ("set objective.balanced=null and make " if one_each else "")
                + "crops_per_track greater"
            )
        return made

    def train_dataloader(self) -> DataLoader[Batch]:
        """See Lightning; made anew for each epoch."""
        assert self.trainer is not None
        batches = self.batches("train", self.trainer.current_epoch)
        whole = len(batches) // self.recipe.batches_per_step * self.recipe.batches_per_step
        return self._loader(
            batches, range(self.trainer.global_rank, whole, self.trainer.world_size)
        )

    def val_dataloader(self) -> DataLoader[Batch]:
        """See Lightning."""
        return self._loader(self._validation, range(len(self._validation)))

    def _loader(self, batches: Dataset[Batch], numbers: range) -> DataLoader[Batch]:
        return DataLoader(batches, batch_size=None, sampler=numbers, num_workers=self.workers)

    def _with_tags(self, objective: recipe.Tags, split: Part) -> _Tagged:
        classes = {normalised(name): column for column, name in enumerate(self.classes)}
        teacher = self._teacher(objective, split)
        ids: list[str] = []
        columns: list[list[int]] = []
        for track in self._tracks[split]:
            found = [classes[genre] for genre in _genres(track) if genre in classes]
            heard = teacher is None or len(teacher.activations.get(track.track_id, ()))
            if 0 < len(found) <= objective.most_tags and heard:
                ids.append(track.track_id)
                columns.append(found)
        if not ids:
            heard_by = " and was heard by the teacher" if teacher else ""
            raise TrainingError(
                f"part {split!r}: no track has one of the {len(classes)} genres{heard_by}"
            )
        targets = np.zeros((len(ids), len(classes)), bool)
        for row, found in zip(targets, columns, strict=True):
            row[found] = True
        return _Tagged(ids, targets)

    def _teacher(self, objective: recipe.Tags, split: Part) -> Outputs | None:
        return self.material.teachers[0] if objective.taught and split == "train" else None

    def _unmeasured(self, validation: _Tagged) -> tuple[str, ...]:
        """Names of classes that validation says nothing of."""
        same = np.asarray(validation.targets.all(0) | ~validation.targets.any(0))
        if same.all():
            raise TrainingError(
                f"part 'validation': none of {len(same)} genres has tracks with it and tracks without it"
            )
        return tuple(name for name, missing in zip(self.classes, same, strict=True) if missing)

    def _tags(self, objective: recipe.Tags, split: Part, epoch: int) -> TagBatches:
        chosen, tagged = self.recipe, self._tagged[split]
        targets = tagged.targets
        if split != "train":
            order = np.repeat(np.arange(len(targets)), chosen.crops_per_track)
        elif objective.balanced is not None:
            columns = np.nonzero(targets)[1].astype(np.int32)
            weights = balanced_weights(Csr.of(targets.sum(1), columns, len(self.classes)))
            order = draw_tracks(weights, objective.balanced, chosen.seed, epoch)
        else:
            rng = random_of(chosen.seed, epoch)
            order = rng.permutation(np.repeat(np.arange(len(targets)), chosen.crops_per_track))
        return TagBatches(
            self.material.features,
            [tagged.ids[index] for index in order],
            targets[order],
            chosen.segment_size,
            chosen.batch_size,
            chosen.seed,
            epoch,
            self._teacher(objective, split),
        )

    def _pairs(self, objective: recipe.Associations, split: Part, epoch: int) -> PairBatches:
        chosen = self.recipe
        tracks = self._tracks[split]
        catalogue = self._catalogues[split]
        pairs: dict[str, NDArray[np.int64]] = {}
        for association in objective.weights:
            drawn = [
                draw_pairs(
                    catalogue, association, chosen.seed, epoch * chosen.crops_per_track + crop
                )
                for crop in range(chosen.crops_per_track)
            ]
            pairs[association] = np.concatenate(drawn)
            least = 1 if split == "train" else 2
            if len(pairs[association]) < least:
                raise TrainingError(
                    f"part {split!r}: {len(pairs[association])} pairs of {len(tracks)} tracks for "
                    f"{association!r}, must be {least} or more"
                )
        # Validation parts may be smaller than a batch.
        size = chosen.batch_size
        if split != "train":
            size = max(2, min(size, *(len(each) for each in pairs.values())))
        ids = [track.track_id for track in tracks]
        return PairBatches(
            self.material.features,
            ids,
            catalogue,
            pairs,
            chosen.segment_size,
            size,
            chosen.seed,
            epoch,
        )

    def _taught(self, objective: recipe.Teachers, split: Part, epoch: int) -> TaughtBatches:
        chosen, teachers = self.recipe, self.material.teachers
        ids = [
            track.track_id
            for track in self._tracks[split]
            if track.track_id in teachers[0].activations
        ]
        items = [
            np.stack([np.full(count, index), np.arange(count)], axis=1)
            for index, track_id in enumerate(ids)
            if (count := len(teachers[0].activations[track_id]))
        ]
        if not items:
            raise TrainingError(f"part {split!r}: the teachers have said nothing of its tracks")
        order: NDArray[np.int64] = np.concatenate(items)
        if split == "train":
            order = random_of(chosen.seed, epoch).permutation(order)[: objective.samples]
        embeddings = split == "train" and objective.embeddings > 0
        return TaughtBatches(
            self.material.features, order, ids, teachers, chosen.batch_size, embeddings
        )


def _teachers_classes(
    teachers: Sequence[Outputs], chosen: recipe.Recipe, learned: bool
) -> tuple[str, ...]:
    """Those of all teachers, whose outputs must be of the same segments; `learned`, with
    embeddings.
    """
    if not teachers:
        raise TrainingError("the recipe has teachers; name the folders of their outputs")
    for teacher in teachers:
        where = (
            f"{teacher.folder}: segments of {teacher.segment_size} frames, {teacher.hop_size} apart"
        )
        if teacher.segment_size != chosen.segment_size:
            raise TrainingError(f"{where}; the recipe has segment_size {chosen.segment_size}")
        if learned and not teacher.embeddings:
            raise TrainingError(
                f"{teacher.folder}: no embeddings; the recipe has objective.embeddings"
            )
        if teacher.hop_size != teachers[0].hop_size or set(teacher.activations) != set(
            teachers[0].activations
        ):
            raise TrainingError(f"{where}; {teachers[0].folder} has others, or other tracks")
    return side_by_side(teachers)


def side_by_side(teachers: Sequence[Outputs]) -> tuple[str, ...]:
    """The classes of all teachers; one that an earlier teacher has, too, carries the name of the
    model.
    """
    names: list[str] = []
    for teacher in teachers:
        known = set(names)
        names += [
            f"{name} ({teacher.card.name})" if name in known else name
            for name in teacher.card.classes
        ]
    return tuple(names)
