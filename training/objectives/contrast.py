"""Contrast: which tracks belong together (COLA with editorial metadata).

P. Alonso-Jimenez, X. Serra, D. Bogdanov, "Music representation learning based on editorial metadata
from Discogs" (ISMIR 2022), sections 3 and 4.
"""

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
from auricle.training.data.catalogue import Catalogue
from auricle.training.data.manifest import Part
from auricle.training.data.material import TRAINING_PARTS, Material
from auricle.training.data.store import Rows
from auricle.training.objectives.losses import (
    BilinearSimilarity,
    Projection,
    contrastive_loss,
    multitask_loss,
    top1_accuracy,
)
from auricle.training.objectives.objective import Objective
from auricle.training.objectives.system import System
from auricle.training.recipe import ObjectiveSpec, Positive, Recipe
from auricle.training.sampling.batches import VALIDATION_EPOCH, Batch, cut, random_start
from auricle.training.sampling.pairs import Association, alike, draw_pairs
from auricle.training.seeds import seeded_generator


class ContrastSpec(ObjectiveSpec):
    """Which tracks belong together, by contrast (COLA with editorial metadata)."""

    weights: dict[Association, Annotated[float, Field(gt=0)]] = Field(min_length=1)
    width: Positive = Field(512, description="Values of a projection.")

    def check(self, recipe: Recipe) -> None:
        if recipe.mixup or recipe.spec_augment:
            raise ValueError("mixup and spec_augment: not with associations")


class Contrast(Objective[ContrastSpec]):
    """Which tracks share a release, an artist or a label; it needs no logits.

    Attributes:
        catalogues: What the tracks of each part can share.
    """

    def __init__(self, recipe: Recipe, material: Material) -> None:
        super().__init__(recipe, material)
        self.catalogues = {part: Catalogue.of_tracks(self.tracks[part]) for part in TRAINING_PARTS}

    def batches(self, part: Part, epoch: int) -> PairBatches:
        pairs = {name: self._pairs(name, part, epoch) for name in self.spec.weights}
        # Validation parts may be smaller than a batch.
        size = self.recipe.batch_size
        if part != "train":
            size = max(2, min(size, *(len(each) for each in pairs.values())))
        return PairBatches(
            self.recipe,
            epoch,
            self.material.features,
            [track.track_id for track in self.tracks[part]],
            self.catalogues[part],
            pairs,
            size,
        )

    def system(self, network: nn.Module) -> ContrastiveSystem:
        return ContrastiveSystem(self.recipe, network)

    def unmeasured(self) -> tuple[str, ...]:
        if self.recipe.epochs and not self.recipe.averaging:
            for name in self.batches("validation", VALIDATION_EPOCH).without_negatives():
                raise TrainingError(
                    f"part 'validation': all pairs for {name!r} belong together, so the best "
                    "epoch cannot be chosen; split the corpus otherwise, or average epochs "
                    "(averaging)"
                )
        return ()

    def _pairs(self, association: Association, part: Part, epoch: int) -> NDArray[np.int64]:
        """Pairs of an epoch, (pairs, 2), rows of the catalogue."""
        recipe, catalogue = self.recipe, self.catalogues[part]
        first = epoch * recipe.crops_per_track
        draws = range(first, first + recipe.crops_per_track)
        pairs = np.concatenate(
            [draw_pairs(catalogue, association, recipe.seed, draw) for draw in draws]
        )
        least = 1 if part == "train" else 2
        if len(pairs) < least:
            raise TrainingError(
                f"part {part!r}: {len(pairs)} pairs of {len(self.tracks[part])} tracks for "
                f"{association!r}, must be {least} or more"
            )
        return pairs


# -- batches ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PairBatches:
    """Random segments of pairs of tracks.

    For each association, as `artist`, a batch has `artist` (2, batch, frames, bands) float32,
    anchors first, and `artist alike` (batch, batch) boolean: which positives belong to which
    anchors. All batches are full, since a contrast depends on how many there are to choose from;
    what remains is left out, and so is what one association has more than another.

    Attributes:
        recipe: Recipe with the size of segments and the seed.
        epoch: Number of the epoch, for the random segments.
        features: Mel frames of each track, (frames, bands).
        track_ids: Names of the tracks that pairs are indices of.
        catalogue: What these tracks share.
        pairs: (pairs, 2) for each association.
        batch_size: Pairs in a batch.
    """

    recipe: Recipe
    epoch: int
    features: Mapping[str, Rows]
    track_ids: Sequence[str]
    catalogue: Catalogue
    pairs: Mapping[Association, NDArray[np.int64]]
    batch_size: int

    def __len__(self) -> int:
        return min(len(pairs) for pairs in self.pairs.values()) // self.batch_size

    def __getitem__(self, number: int) -> Batch:
        if not 0 <= number < len(self):
            raise IndexError(number)
        rng = seeded_generator(self.recipe.seed, self.epoch, number)
        batch: Batch = {}
        for association in self.pairs:
            sides = self._sides(association, number)
            segments = [self._segment(int(track), rng) for track in sides.flat]
            mel = np.stack(segments).reshape(*sides.shape, *segments[0].shape)
            batch[association] = torch.from_numpy(mel)
            batch[f"{association} alike"] = torch.from_numpy(self.alike(association, number))
        return batch

    def alike(self, association: Association, number: int) -> NDArray[np.bool_]:
        """Which positives of a batch belong to which anchors, (batch, batch).

        See `auricle.training.sampling.pairs.alike`.
        """
        return alike(self.catalogue, association, *self._sides(association, number))

    def without_negatives(self) -> tuple[str, ...]:
        """Associations without negatives: in each batch, all positives belong to all anchors."""
        return tuple(name for name in self.pairs if self._has_no_negatives(name))

    def _has_no_negatives(self, association: Association) -> bool:
        return all(self.alike(association, number).all() for number in range(len(self)))

    def _sides(self, association: Association, number: int) -> NDArray[np.int64]:
        """Anchors and positives of a batch, (2, batch)."""
        chosen = slice(number * self.batch_size, (number + 1) * self.batch_size)
        return self.pairs[association][chosen].T

    def _segment(self, track: int, rng: np.random.Generator) -> NDArray[np.float32]:
        frames, size = self.features[self.track_ids[track]], self.recipe.segment_size
        return cut(frames, random_start(frames, size, rng), size)


# -- the system ------------------------------------------------------------------------------------


class ContrastiveSystem(System):
    """An encoder with a projection and a similarity for each association; the encoder is shared.

    Args:
        recipe: A recipe whose objective is `associations`.
        network: The encoder; its embeddings are compared, and it needs no logits.
    """

    goal = "validation/loss"

    def __init__(self, recipe: Recipe, network: nn.Module) -> None:
        super().__init__(recipe, network)
        assert isinstance(recipe.objective, ContrastSpec)
        width, self.weights = recipe.objective.width, recipe.objective.weights
        self.projections = nn.ModuleDict(
            {name: Projection(network.embedding_size, width) for name in self.weights}
        )
        self.similarities = nn.ModuleDict(
            {name: BilinearSimilarity(width) for name in self.weights}
        )

    def loss(self, batch: Batch) -> Tensor:
        """The weighted sum of the losses of all associations, a scalar.

        Args:
            batch: By association, mel frames (2, batch, frames, bands) float32, anchors first; and,
                as "NAME alike", which positives belong to which anchors, (batch, batch) bool.
        """
        return self._weighted_loss(batch, "train")

    def validation_step(self, batch: Batch, number: int) -> None:
        """Log the loss of a batch; see Lightning."""
        loss = self._weighted_loss(batch, "validation")
        self.log(self.goal, loss, batch_size=1, sync_dist=True)

    def _weighted_loss(self, batch: Batch, part: str) -> Tensor:
        losses: dict[str, Tensor] = {}
        for name in self.weights:
            similarity, same = self._similarity(name, batch[name]), batch[f"{name} alike"]
            losses[name] = contrastive_loss(similarity, same)
            top1 = top1_accuracy(similarity, same)
            self.log_dict(
                {f"{part}/{name}/loss": losses[name], f"{part}/{name}/top1": top1},
                batch_size=1,
                on_step=False,
                on_epoch=True,
                sync_dist=part == "validation",
            )
        return multitask_loss(losses, {str(name): weight for name, weight in self.weights.items()})

    def _similarity(self, name: str, segments: Tensor) -> Tensor:
        """Similarity of each anchor to each positive, (batch, batch).

        Anchors and positives pass through the encoder as one batch, as batch norm was trained.

        Args:
            name: Name of the association.
            segments: (2, batch, frames, bands), anchors first.
        """
        _, embeddings = self.network(self.normalised(segments.flatten(0, 1)))
        anchors, positives = self.projections[name](embeddings).chunk(2)
        similarity: Tensor = self.similarities[name](anchors, positives)
        return similarity
