"""Learning which tracks belong together, by contrast (COLA with editorial metadata).

P. Alonso-Jimenez, X. Serra, D. Bogdanov, "Music representation learning based on editorial metadata
from Discogs" (ISMIR 2022), sections 3 and 4.
"""

from __future__ import annotations

from torch import Tensor, nn

from auricle.training.objectives.losses import (
    BilinearSimilarity,
    Projection,
    contrastive_loss,
    multitask_loss,
    top1_accuracy,
)
from auricle.training.objectives.system import System
from auricle.training.run import recipe
from auricle.training.sampling.batches import Batch


class Contrast(System):
    """An encoder with a projection and a similarity for each association; the encoder is shared.

    Args:
        chosen: A recipe whose objective is `associations`.
        network: Of which the embeddings are compared; it needs no logits.
        embedding_size: Values of these.
    """

    goal = "validation/loss"

    def __init__(self, chosen: recipe.Recipe, network: nn.Module, embedding_size: int) -> None:
        super().__init__(chosen, network)
        assert isinstance(chosen.objective, recipe.Associations)
        self.objective = chosen.objective
        width = self.objective.width
        names = self.objective.weights
        self.projections = nn.ModuleDict(
            {name: Projection(embedding_size, width) for name in names}
        )
        self.similarities = nn.ModuleDict({name: BilinearSimilarity(width) for name in names})

    def loss(self, batch: Batch) -> Tensor:
        """The weighted sum of the associations' losses."""
        return self._losses(batch, "train")

    def validation_step(self, batch: Batch, number: int) -> None:
        """See Lightning."""
        loss = self._losses(batch, "validation")
        self.log(self.goal, loss, batch_size=1, sync_dist=True)

    def _losses(self, batch: Batch, part: str) -> Tensor:
        losses: dict[str, Tensor] = {}
        for name in self.objective.weights:
            similarity, alike = self._similarity(name, batch[name]), batch[f"{name} alike"]
            losses[name] = contrastive_loss(similarity, alike)
            top1 = top1_accuracy(similarity, alike)
            self.log_dict(
                {f"{part}/{name}/loss": losses[name], f"{part}/{name}/top1": top1},
                batch_size=1,
                on_step=False,
                on_epoch=True,
                sync_dist=part == "validation",
            )
        return multitask_loss(
            losses, {str(name): weight for name, weight in self.objective.weights.items()}
        )

    def _similarity(self, name: str, segments: Tensor) -> Tensor:
        """Of each anchor to each positive. Both go through the encoder at once, as batch norm was
        trained.
        """
        _, embeddings = self.network(self.normalised(segments.flatten(0, 1)))
        anchors, positives = self.projections[name](embeddings).chunk(2)
        similarity: Tensor = self.similarities[name](anchors, positives)
        return similarity
