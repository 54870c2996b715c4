"""Learning what other models say."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from auricle.training.evaluation import metrics
from auricle.training.objectives.losses import EmbeddingLoss, activation_loss
from auricle.training.objectives.system import System
from auricle.training.run import recipe
from auricle.training.sampling.batches import Batch


class Distillation(System):
    """A student that learns the activations of teachers, side by side, and may learn their
    embeddings.

    Args:
        chosen: A recipe whose objective is `teachers`.
        network: With as many logits as the teachers have classes together.
        embedding_size: Values of the network's embeddings.
        teachers: Values of each teacher's embeddings.
    """

    goal = "validation/rank_correlation"
    goal_mode = "max"

    def __init__(
        self,
        chosen: recipe.Recipe,
        network: nn.Module,
        embedding_size: int,
        teachers: Sequence[int],
    ) -> None:
        super().__init__(chosen, network)
        assert isinstance(chosen.objective, recipe.Teachers)
        self.objective = chosen.objective
        sizes = teachers if self.objective.embeddings else ()
        self.embedding_losses = nn.ModuleList(EmbeddingLoss(embedding_size, size) for size in sizes)
        self._said: list[tuple[Tensor, Tensor]] = []

    def loss(self, batch: Batch) -> Tensor:
        """Distance of the activations, plus that of the embeddings by its weight."""
        names = [f"embeddings {index}" for index in range(len(self.embedding_losses))]
        mel, activations, *taught = self.augmented(
            batch["mel"], batch["activations"], *(batch[name] for name in names)
        )
        logits, embeddings = self.network(mel)
        loss = activation_loss(logits, activations, self.objective.temperature)
        for distance, target in zip(self.embedding_losses, taught, strict=True):
            loss = loss + self.objective.embeddings * distance(embeddings, target) / len(taught)
        return loss

    def validation_step(self, batch: Batch, number: int) -> None:
        """See Lightning."""
        logits, _ = self.network(self.normalised(batch["mel"]))
        loss = activation_loss(logits, batch["activations"])
        self.log("validation/loss", loss, batch_size=len(logits), sync_dist=True)
        self._said.append((logits.float().cpu(), batch["activations"].cpu()))

    def on_validation_epoch_end(self) -> None:
        """Spearman's correlation of each class that is there at all, averaged."""
        said, taught = (torch.cat(part).numpy() for part in zip(*self._said, strict=True))
        self._said.clear()
        names = [str(index) for index in range(taught.shape[1])]
        found = metrics.agreement(taught, said, names)
        self.log_dict(
            {self.goal: found.spearman, "validation/top1": found.top_1},
            prog_bar=True,
            sync_dist=True,
        )
