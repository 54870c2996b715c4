"""Loudness: a network learns how loud a segment is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from auricle.training.data.manifest import Part
from auricle.training.objectives.objective import Objective
from auricle.training.objectives.system import System
from auricle.training.recipe import ObjectiveSpec, Recipe
from auricle.training.sampling.batches import Batch, batch_items, cut, random_start
from auricle.training.seeds import seeded_generator


class LoudnessSpec(ObjectiveSpec):
    """Fields of `Loudness` in a recipe."""

    scale: float = Field(1.0, gt=0, description="Loudness is divided by this.")


class Loudness(Objective[LoudnessSpec]):
    """The mean of a segment's mel frames."""

    def batches(self, part: Part, epoch: int) -> LoudnessBatches:
        track_ids = np.array([track.track_id for track in self.tracks[part]])
        if part == "train":
            track_ids = seeded_generator(self.recipe.seed, epoch).permutation(track_ids)
        return LoudnessBatches(self.recipe, epoch, self.material.features, track_ids.tolist())

    def system(self, network: nn.Module) -> LoudnessSystem:
        return LoudnessSystem(self.recipe, network, self.spec.scale)


@dataclass(frozen=True)
class LoudnessBatches:
    """Random segments: `mel` (batch, frames, bands), and their `loudness` (batch,)."""

    recipe: Recipe
    epoch: int
    features: Mapping[str, NDArray[np.float16]]
    track_ids: Sequence[str]

    def __len__(self) -> int:
        return -(-len(self.track_ids) // self.recipe.batch_size)

    def __getitem__(self, number: int) -> Batch:
        items = batch_items(number, self.recipe.batch_size, len(self.track_ids))
        rng = seeded_generator(self.recipe.seed, self.epoch, number)
        size = self.recipe.segment_size
        tracks = [self.features[track_id] for track_id in self.track_ids[items]]
        mel = np.stack([cut(frames, random_start(frames, size, rng), size) for frames in tracks])
        return {
            "mel": torch.from_numpy(mel),
            "loudness": torch.from_numpy(mel.mean(axis=(1, 2))),
        }


class LoudnessSystem(System):
    """A network and a linear layer from its embeddings to loudness."""

    goal = "validation/loss"

    def __init__(self, recipe: Recipe, network: nn.Module, scale: float) -> None:
        super().__init__(recipe, network)
        self.scale = scale
        self.output = nn.Linear(network.embedding_size, 1)

    def loss(self, batch: Batch) -> Tensor:
        """The mean squared error."""
        _, embeddings = self.network(self.normalised(batch["mel"]))
        loudness = self.output(embeddings)[:, 0]
        return nn.functional.mse_loss(loudness, batch["loudness"] / self.scale)

    def validation_step(self, batch: Batch, number: int) -> None:
        """See Lightning."""
        self.log(self.goal, self.loss(batch), batch_size=len(batch["mel"]), sync_dist=True)
