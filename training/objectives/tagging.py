"""Learning tags: several classes a track (DiscogsEffNet, MAEST)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from auricle.models.networks.maest import Maest
from auricle.training.evaluation import metrics
from auricle.training.objectives.losses import (
    multi_label_loss,
    teacher_labels,
    teacher_student_loss,
)
from auricle.training.objectives.system import System
from auricle.training.run import recipe
from auricle.training.sampling.batches import Batch


class Tagging(System):
    """A network that learns tags, and the distillation token of MAEST what a teacher makes of them.

    It is validated, and exported, as MAEST's authors run theirs: see `Maest.separated`.

    Args:
        chosen: A recipe whose objective is `tags`.
        network: With as many logits as there are tags.
    """

    goal = "validation/average_precision"
    goal_mode = "max"

    def __init__(self, chosen: recipe.Recipe, network: nn.Module) -> None:
        super().__init__(chosen, network)
        self._said: list[tuple[Tensor, Tensor]] = []

    def loss(self, batch: Batch) -> Tensor:
        """The mean over classes of binary cross entropy; with a teacher, of both tokens."""
        targets = batch["targets"]
        if "taught" in batch and isinstance(self.network, Maest):
            mel, targets, taught = self.augmented(
                batch["mel"], targets, teacher_labels(batch["taught"])
            )
            cls_logits, dist_logits, _ = self.network.separated(mel)
            return teacher_student_loss(cls_logits, dist_logits, targets, taught)
        mel, targets = self.augmented(batch["mel"], targets)
        logits, _ = self.network(mel)
        return multi_label_loss(logits, targets)

    def validation_step(self, batch: Batch, number: int) -> None:
        """See Lightning."""
        logits, _ = self.network(self.normalised(batch["mel"]))
        loss = multi_label_loss(logits, batch["targets"])
        self.log("validation/loss", loss, batch_size=len(logits), sync_dist=True)
        self._said.append((logits.float().cpu(), batch["targets"].cpu()))

    def on_validation_epoch_end(self) -> None:
        """Macro average precision over the tags that some validation track has, and some has not."""
        scores, targets = (torch.cat(part).numpy() for part in zip(*self._said, strict=True))
        self._said.clear()
        names = [str(index) for index in range(targets.shape[1])]
        found = metrics.macro(targets.astype(bool), scores, names)
        self.log(self.goal, found.average_precision, prog_bar=True, sync_dist=True)
