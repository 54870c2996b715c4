"""Tags: several classes a track (DiscogsEffNet, MAEST)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from auricle.errors import TrainingError
from auricle.models.networks import maest
from auricle.training.data.csr import Csr
from auricle.training.data.manifest import Part, Track
from auricle.training.data.manifest_tasks import normalised
from auricle.training.data.material import TRAINING_PARTS, Material
from auricle.training.data.outputs import Outputs
from auricle.training.data.store import Rows
from auricle.training.evaluation import metrics
from auricle.training.objectives.losses import (
    multi_label_loss,
    teacher_labels,
    teacher_student_loss,
)
from auricle.training.objectives.objective import Objective
from auricle.training.objectives.system import System
from auricle.training.recipe import Maest, ObjectiveSpec, Positive, Recipe
from auricle.training.sampling.batches import Batch, batch_items, cut, random_start
from auricle.training.sampling.epochs import balanced_weights, draw_tracks
from auricle.training.seeds import seeded_generator


class TagsSpec(ObjectiveSpec):
    """The genres of the manifest, several a track (DiscogsEffNet, MAEST)."""

    least_tracks: Positive = Field(
        10, description="Training tracks that a tag must have; rarer tags are left out."
    )
    most_tags: Positive = Field(
        5, description="Tags that a track may have; tracks with more are left out."
    )
    balanced: Positive | None = Field(
        None,
        description="Tracks of an epoch, drawn with rare tags more often, or all tracks if they "
        "are fewer; if left out, crops_per_track of each track.",
    )
    taught: bool = Field(
        False,
        description="The distillation token of MAEST learns from a teacher with the same tags.",
    )

    def check(self, recipe: Recipe) -> None:
        if self.taught and not isinstance(recipe.network, Maest):
            raise ValueError("objective.taught: only maest has a distillation token")


class Tags(Objective[TagsSpec]):
    """The genres of the manifest, as multi-label classification.

    Attributes:
        tagged: Tracks of each part that tags are learned from.
    """

    def __init__(self, recipe: Recipe, material: Material) -> None:
        super().__init__(recipe, material)
        self.classes = tag_names(self.tracks["train"], self.spec.least_tracks)
        if self.spec.taught and [teacher.card.classes for teacher in material.teachers] != [
            self.classes
        ]:
            raise TrainingError("objective.taught: takes outputs of one teacher with the same tags")
        self.tagged = {part: self._with_tags(part) for part in TRAINING_PARTS}

    def batches(self, part: Part, epoch: int) -> TagBatches:
        tagged = self.tagged[part]
        order = self._order(part, epoch)
        return TagBatches(
            self.recipe,
            epoch,
            self.material.features,
            [tagged.track_ids[index] for index in order],
            tagged.targets[order],
            self._teacher(part),
        )

    def system(self, network: nn.Module) -> Tagging:
        return Tagging(self.recipe, network)

    def unmeasured(self) -> tuple[str, ...]:
        targets = self.tagged["validation"].targets
        same = np.asarray(targets.all(0) | ~targets.any(0))
        if same.all():
            raise TrainingError(
                f"part 'validation': none of {len(same)} genres has tracks with it and tracks "
                "without it"
            )
        return tuple(name for name, missing in zip(self.classes, same, strict=True) if missing)

    @property
    def remedy(self) -> str:
        if self.spec.balanced is None:
            return super().remedy
        return (
            "make batch_size smaller, or set objective.balanced=null and make crops_per_track "
            "greater"
        )

    def _with_tags(self, part: Part) -> Tagged:
        columns = {normalised(name): column for column, name in enumerate(self.classes)}
        teacher = self._teacher(part)
        track_ids: list[str] = []
        found: list[list[int]] = []
        for track in self.tracks[part]:
            own = [columns[genre] for genre in _genres(track) if genre in columns]
            is_taught = teacher is None or len(teacher.activations.get(track.track_id, ()))
            if 0 < len(own) <= self.spec.most_tags and is_taught:
                track_ids.append(track.track_id)
                found.append(own)
        if not track_ids:
            and_taught = " and outputs by the teacher" if teacher else ""
            raise TrainingError(
                f"part {part!r}: no track has one of the {len(columns)} genres{and_taught}"
            )
        targets = np.zeros((len(track_ids), len(columns)), bool)
        for row, own in zip(targets, found, strict=True):
            row[own] = True
        return Tagged(track_ids, targets)

    def _teacher(self, part: Part) -> Outputs | None:
        return self.material.teachers[0] if self.spec.taught and part == "train" else None

    def _order(self, part: Part, epoch: int) -> NDArray[np.int64]:
        """The tracks of an epoch as rows of `tagged`; a track may come several times."""
        recipe, targets = self.recipe, self.tagged[part].targets
        if part == "train" and self.spec.balanced is not None:
            columns = np.nonzero(targets)[1].astype(np.int32)
            weights = balanced_weights(Csr.of(targets.sum(1), columns, len(self.classes)))
            return draw_tracks(weights, self.spec.balanced, recipe.seed, epoch)
        rows = np.repeat(np.arange(len(targets)), recipe.crops_per_track)
        return seeded_generator(recipe.seed, epoch).permutation(rows) if part == "train" else rows


@dataclass(frozen=True, slots=True)
class Tagged:
    """Tracks of a part that tags are learned from.

    Attributes:
        track_ids: Names of the tracks.
        targets: (tracks, classes), boolean.
    """

    track_ids: list[str]
    targets: NDArray[np.bool_]


def tag_names(tracks: Sequence[Track], least_tracks: int) -> tuple[str, ...]:
    """The tags of at least `least_tracks` tracks, most frequent first.

    Different spellings count as one tag, named by the most frequent of them.

    Raises:
        TrainingError: No tag has so many tracks.
    """
    spellings = Counter(genre for track in tracks for genre in track.genres)
    spelling = {normalised(name): name for name, _ in reversed(spellings.most_common())}
    counts = Counter(genre for track in tracks for genre in sorted(_genres(track)))
    names = tuple(spelling[name] for name, count in counts.most_common() if count >= least_tracks)
    if not names:
        most = next((f"{spelling[name]!r} with {n}" for name, n in counts.most_common(1)), "none")
        raise TrainingError(
            f"no genre has {least_tracks} tracks in the training part (objective.least_tracks); "
            f"the most frequent is {most}"
        )
    return names


def _genres(track: Track) -> set[str]:
    """The genres of a track, without what spellings differ in."""
    return {normalised(genre) for genre in track.genres} - {""}


# -- batches ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TagBatches:
    """Random segments of tracks with their tags.

    A batch has `mel` (batch, frames, bands) and `targets` (batch, classes), float32 both; with a
    teacher also `taught` (batch, classes), its activations where the segment is. The last batch of
    an epoch may be smaller.

    Attributes:
        recipe: Recipe with the sizes of segments and batches, and the seed.
        epoch: Number of the epoch, for the random segments.
        features: Mel frames of each track, (frames, bands).
        track_ids: Tracks in the order of the epoch; one may come several times.
        targets: (items, classes) boolean, in the same order.
        teacher: Outputs of a teacher, if there is one.
    """

    recipe: Recipe
    epoch: int
    features: Mapping[str, Rows]
    track_ids: Sequence[str]
    targets: NDArray[np.bool_]
    teacher: Outputs | None = None

    def __len__(self) -> int:
        return -(-len(self.track_ids) // self.recipe.batch_size)

    def __getitem__(self, number: int) -> Batch:
        items = batch_items(number, self.recipe.batch_size, len(self.track_ids))
        rng = seeded_generator(self.recipe.seed, self.epoch, number)
        size = self.recipe.segment_size
        mel, taught = [], []
        for track_id in self.track_ids[items]:
            frames = self.features[track_id]
            start = random_start(frames, size, rng)
            mel.append(cut(frames, start, size))
            if self.teacher is not None:
                taught.append(taught_activations(self.teacher, track_id, start, size))
        batch = {
            "mel": torch.from_numpy(np.stack(mel)),
            "targets": torch.from_numpy(self.targets[items].astype(np.float32)),
        }
        if taught:
            batch["taught"] = torch.from_numpy(np.stack(taught))
        return batch


def taught_activations(
    teacher: Outputs, track_id: str, start: int, size: int
) -> NDArray[np.float32]:
    """A teacher's activations where a segment is, (classes,).

    They are the mean over the teacher's segments whose middles lie within it, at least the next.

    Args:
        teacher: Outputs of the teacher.
        track_id: Name of the track.
        start: First frame of the segment.
        size: Frames of the segment.
    """
    rows = teacher.activations[track_id]
    middle = teacher.segment_size / 2
    first = max(0, int(np.ceil((start - middle) / teacher.hop_size)))
    last = max(first, int((start + size - middle) // teacher.hop_size))
    chosen = rows[min(first, len(rows) - 1) : last + 1]
    return np.asarray(chosen.astype(np.float32).mean(axis=0))


# -- the system ------------------------------------------------------------------------------------


class Tagging(System):
    """A network that learns tags; the distillation token of MAEST may learn from a teacher.

    It is validated, and exported, as MAEST's authors run theirs: see `Maest.separated`.

    Args:
        recipe: A recipe whose objective is `tags`.
        network: A network with as many logits as there are tags.
    """

    goal = "validation/average_precision"
    goal_mode = "max"

    def __init__(self, recipe: Recipe, network: nn.Module) -> None:
        super().__init__(recipe, network)
        self._validated: list[tuple[Tensor, Tensor]] = []

    def loss(self, batch: Batch) -> Tensor:
        """The mean over classes of binary cross entropy; with a teacher, of both tokens."""
        targets = batch["targets"]
        if "taught" in batch and isinstance(self.network, maest.Maest):
            mel, targets, taught = self.augmented(
                batch["mel"], targets, teacher_labels(batch["taught"])
            )
            cls_logits, dist_logits, _ = self.network.separated(mel)
            return teacher_student_loss(cls_logits, dist_logits, targets, taught)
        mel, targets = self.augmented(batch["mel"], targets)
        logits, _ = self.network(mel)
        return multi_label_loss(logits, targets)

    def validation_step(self, batch: Batch, number: int) -> None:
        """Log the loss of a batch; keep its logits and targets, (batch, tags), for the end."""
        logits, _ = self.network(self.normalised(batch["mel"]))
        loss = multi_label_loss(logits, batch["targets"])
        self.log("validation/loss", loss, batch_size=len(logits), sync_dist=True)
        self._validated.append((logits.float().cpu(), batch["targets"].cpu()))

    def on_validation_epoch_end(self) -> None:
        """Log macro average precision over tags that some validation tracks have and some lack."""
        scores, targets = (torch.cat(part).numpy() for part in zip(*self._validated, strict=True))
        self._validated.clear()
        names = [str(index) for index in range(targets.shape[1])]
        found = metrics.macro(targets.astype(bool), scores, names)
        self.log(self.goal, found.average_precision, prog_bar=True, sync_dist=True)
