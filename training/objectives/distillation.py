"""Distillation: what other models say of a segment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from auricle.errors import TrainingError
from auricle.training.data.manifest import Part
from auricle.training.data.material import Material
from auricle.training.data.outputs import Outputs, joint_classes
from auricle.training.data.store import Rows
from auricle.training.evaluation import metrics
from auricle.training.objectives.losses import EmbeddingLoss, activation_loss
from auricle.training.objectives.objective import Objective
from auricle.training.objectives.system import System
from auricle.training.recipe import ObjectiveSpec, Positive, Recipe
from auricle.training.sampling.batches import Batch, batch_items, cut
from auricle.training.seeds import seeded_generator


class DistillationSpec(ObjectiveSpec):
    """What other models say (distillation)."""

    temperature: Annotated[float, Field(gt=0)] = 1.0
    embeddings: Annotated[float, Field(ge=0)] = Field(
        0.0, description="Weight of the distance of embeddings."
    )
    samples: Positive | None = Field(
        None, description="Segments of an epoch, drawn for each; all of them, if left out."
    )


class Distillation(Objective[DistillationSpec]):
    """The activations of teachers, side by side, and if so chosen their embeddings."""

    def __init__(self, recipe: Recipe, material: Material) -> None:
        super().__init__(recipe, material)
        check_teachers(material.teachers, recipe.segment_size, self.spec.embeddings > 0)
        self.classes = joint_classes(material.teachers)

    def batches(self, part: Part, epoch: int) -> TaughtBatches:
        recipe, teachers = self.recipe, self.material.teachers
        track_ids = [
            track.track_id
            for track in self.tracks[part]
            if track.track_id in teachers[0].activations
        ]
        items = segments_of(teachers[0].activations, track_ids)
        if not len(items):
            raise TrainingError(f"part {part!r}: the teachers have no outputs for its tracks")
        if part == "train":
            items = seeded_generator(recipe.seed, epoch).permutation(items)[: self.spec.samples]
        embeddings = part == "train" and self.spec.embeddings > 0
        return TaughtBatches(
            self.material.features, items, track_ids, teachers, recipe.batch_size, embeddings
        )

    @property
    def remedy(self) -> str:
        return "make batch_size smaller"

    def system(self, network: nn.Module) -> Student:
        sizes = [teacher.card.embedding_size or 0 for teacher in self.material.teachers]
        return Student(self.recipe, network, sizes)


def check_teachers(teachers: Sequence[Outputs], segment_size: int, embeddings: bool) -> None:
    """Refuse teachers whose outputs cannot be learned from side by side.

    Args:
        teachers: Outputs of each.
        segment_size: Frames of a segment in the recipe.
        embeddings: Whether their embeddings are learned, too.

    Raises:
        TrainingError: There are no teachers, or their segments differ.
    """
    if not teachers:
        raise TrainingError("the recipe has teachers; name the folders of their outputs")
    first = teachers[0]
    for teacher in teachers:
        where = (
            f"{teacher.folder}: segments of {teacher.segment_size} frames, {teacher.hop_size} apart"
        )
        if teacher.segment_size != segment_size:
            raise TrainingError(f"{where}; the recipe has segment_size {segment_size}")
        if embeddings and not teacher.embeddings:
            raise TrainingError(
                f"{teacher.folder}: no embeddings; the recipe has objective.embeddings"
            )
        same_tracks = set(teacher.activations) == set(first.activations)
        if teacher.hop_size != first.hop_size or not same_tracks:
            raise TrainingError(f"{where}; {first.folder} has others, or other tracks")


def segments_of(outputs: Mapping[str, Rows], track_ids: Sequence[str]) -> NDArray[np.int64]:
    """All segments of some tracks, (segments, 2): index of the track, number of the segment."""
    counts = np.array([len(outputs[track_id]) for track_id in track_ids], np.int64)
    tracks = np.repeat(np.arange(len(track_ids)), counts)
    numbers = np.arange(len(tracks)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.stack([tracks, numbers], axis=1)


# -- batches ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TaughtBatches:
    """Segments with what teachers say of them.

    A batch has `mel` (batch, frames, bands) and `activations` (batch, classes), those of all
    teachers side by side; and `embeddings 0`, `embeddings 1`, ... (batch, embedding_size) of each
    teacher, if asked for; float32 all. The last batch of an epoch may be smaller.

    Attributes:
        features: Mel frames of each track, (frames, bands).
        items: (items, 2): index of the track, number of the teachers' segment.
        track_ids: Names of the tracks that items are indices of.
        teachers: Outputs of teachers with the same segments.
        batch_size: Items in a batch.
        with_embeddings: Whether batches have embeddings.
    """

    features: Mapping[str, Rows]
    items: NDArray[np.int64]
    track_ids: Sequence[str]
    teachers: Sequence[Outputs]
    batch_size: int
    with_embeddings: bool = True

    def __len__(self) -> int:
        return -(-len(self.items) // self.batch_size)

    def __getitem__(self, number: int) -> Batch:
        items = self.items[batch_items(number, self.batch_size, len(self.items))]
        chosen = [(self.track_ids[track], int(segment)) for track, segment in items]
        size, hop = self.teachers[0].segment_size, self.teachers[0].hop_size
        mel = [cut(self.features[track_id], segment * hop, size) for track_id, segment in chosen]
        activations = [_rows(teacher.activations, chosen) for teacher in self.teachers]
        batch = {
            "mel": torch.from_numpy(np.stack(mel)),
            "activations": torch.from_numpy(np.concatenate(activations, axis=1)),
        }
        if self.with_embeddings:
            for index, teacher in enumerate(self.teachers):
                batch[f"embeddings {index}"] = torch.from_numpy(_rows(teacher.embeddings, chosen))
        return batch


def _rows(outputs: Mapping[str, Rows], chosen: Sequence[tuple[str, int]]) -> NDArray[np.float32]:
    """Outputs of a teacher for some segments of tracks, (segments, values) float32."""
    return np.stack([outputs[track_id][segment] for track_id, segment in chosen]).astype(np.float32)


# -- the system ------------------------------------------------------------------------------------


class Student(System):
    """A student that learns the activations of teachers, and may learn their embeddings.

    Args:
        recipe: A recipe whose objective is `teachers`.
        network: The student, with as many logits as the teachers have classes together.
        embedding_sizes: Values of each teacher's embeddings.
    """

    goal = "validation/rank_correlation"
    goal_mode = "max"

    def __init__(self, recipe: Recipe, network: nn.Module, embedding_sizes: Sequence[int]) -> None:
        super().__init__(recipe, network)
        assert isinstance(recipe.objective, DistillationSpec)
        self.spec = recipe.objective
        sizes = embedding_sizes if self.spec.embeddings else ()
        self.embedding_losses = nn.ModuleList(
            EmbeddingLoss(network.embedding_size, size) for size in sizes
        )
        self._validated: list[tuple[Tensor, Tensor]] = []

    def loss(self, batch: Batch) -> Tensor:
        """Distance of the activations plus the weighted one of the embeddings, a scalar.

        Args:
            batch: "mel" (batch, frames, bands), "activations" (batch, classes) of the teachers and,
                for each teacher, "embeddings N" (batch, size).
        """
        names = [f"embeddings {index}" for index in range(len(self.embedding_losses))]
        mel, activations, *taught = self.augmented(
            batch["mel"], batch["activations"], *(batch[name] for name in names)
        )
        logits, embeddings = self.network(mel)
        loss = activation_loss(logits, activations, self.spec.temperature)
        for distance, target in zip(self.embedding_losses, taught, strict=True):
            loss = loss + self.spec.embeddings * distance(embeddings, target) / len(taught)
        return loss

    def validation_step(self, batch: Batch, number: int) -> None:
        """Log the loss of a batch; keep logits and activations, (batch, classes), for the end."""
        logits, _ = self.network(self.normalised(batch["mel"]))
        loss = activation_loss(logits, batch["activations"])
        self.log("validation/loss", loss, batch_size=len(logits), sync_dist=True)
        self._validated.append((logits.float().cpu(), batch["activations"].cpu()))

    def on_validation_epoch_end(self) -> None:
        """Log Spearman's correlation, averaged over the classes that vary at all."""
        scores, taught = (torch.cat(part).numpy() for part in zip(*self._validated, strict=True))
        self._validated.clear()
        names = [str(index) for index in range(taught.shape[1])]
        found = metrics.agreement(taught, scores, names)
        self.log_dict(
            {self.goal: found.spearman, "validation/top1": found.top_1},
            prog_bar=True,
            sync_dist=True,
        )
