"""The batches of an objective, epoch by epoch, for Lightning."""

from __future__ import annotations

from typing import Any

import lightning
from torch.utils.data import DataLoader

from auricle.errors import TrainingError
from auricle.training.data.manifest import Part
from auricle.training.objectives.objective import Objective
from auricle.training.sampling.batches import VALIDATION_EPOCH, Batch, Batches


class Loaders(lightning.LightningDataModule):
    """Batches for Lightning: others in each epoch of training, always the same in validation.

    Each of several processes makes its share: batch `i` of an epoch is made by process `i %
    processes`. The validation part is small, and every process goes through all of it, so that all
    have the same figures.

    Args:
        objective: Objective of the recipe.
        workers: Processes that make batches beside each process that trains.

    Attributes:
        unmeasured: Classes that validation cannot measure.

    Raises:
        TrainingError: The material is not enough for the recipe.
    """

    def __init__(self, objective: Objective[Any], workers: int = 0) -> None:
        super().__init__()
        self.objective = objective
        self.workers = workers
        # Fail now, not after an hour, if the corpus is too small.
        self.batches("train", 0)
        self._validation = self.batches("validation", VALIDATION_EPOCH)
        self.unmeasured = objective.unmeasured()

    def batches(self, part: Part, epoch: int) -> Batches:
        """The batches of an epoch.

        Raises:
            TrainingError: The epoch has too few batches.
        """
        recipe = self.objective.recipe
        made = self.objective.batches(part, epoch)
        least = recipe.batches_per_step if part == "train" else 1
        if len(made) < least:
            raise TrainingError(
                f"part {part!r}: {len(made)} batches of {recipe.batch_size}, must be {least} or "
                f"more; {self.objective.remedy}"
            )
        return made

    def train_dataloader(self) -> DataLoader[Batch]:
        """See Lightning; called for each epoch."""
        assert self.trainer is not None
        batches = self.batches("train", self.trainer.current_epoch)
        per_step = self.objective.recipe.batches_per_step
        whole = len(batches) // per_step * per_step
        return self._loader(
            batches, range(self.trainer.global_rank, whole, self.trainer.world_size)
        )

    def val_dataloader(self) -> DataLoader[Batch]:
        """See Lightning."""
        return self._loader(self._validation, range(len(self._validation)))

    def _loader(self, batches: Batches, numbers: range) -> DataLoader[Batch]:
        return DataLoader(batches, batch_size=None, sampler=numbers, num_workers=self.workers)
