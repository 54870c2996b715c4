"""What all systems that are trained have in common."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from auricle.training.run import recipe
from auricle.training.run.schedules import warm_up_cosine, warm_up_hold_decay
from auricle.training.sampling import augment
from auricle.training.sampling.batches import Batch, random_of


class System(lightning.LightningModule):
    """A network with an objective.

    Args:
        chosen: The recipe.
        network: From mel frames (batch, frames, bands), normalised, to (logits, embeddings).
    """

    goal: str
    """The figure of the validation part that says which epoch was the best, logged in every one."""

    goal_mode: str = "min"
    """Whether the least or the greatest is the best."""

    def __init__(self, chosen: recipe.Recipe, network: nn.Module) -> None:
        super().__init__()
        self.recipe = chosen
        self.network = network
        self._draws = torch.Generator()

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """The loss of a batch, whose parts it logs."""

    def training_step(self, batch: Batch, number: int) -> Tensor:
        """See Lightning."""
        self._draw_anew(number * self.trainer.world_size + self.global_rank)
        loss = self.loss(batch)
        self.log("train/loss", loss, prog_bar=True, on_step=True, on_epoch=True, batch_size=1)
        return loss

    def _draw_anew(self, number: int) -> None:
        """Random numbers that go by the batch, whichever process has it, and whenever the run was
        begun.
        """
        seeds = random_of(self.recipe.seed, self.current_epoch, number).integers(2**63, size=2)
        torch.manual_seed(int(seeds[0]))
        self._draws.manual_seed(int(seeds[1]))

    def normalised(self, mel: Tensor) -> Tensor:
        """As the network takes it."""
        return (mel - self.recipe.mean) / self.recipe.std

    def augmented(self, mel: Tensor, *targets: Tensor) -> tuple[Tensor, ...]:
        """Normalised frames and targets, in training mixed and masked as the recipe says."""
        mel = self.normalised(mel)
        if not self.training:
            return (mel, *targets)
        mixed = [mel, *targets]
        if self.recipe.mixup is not None:
            mixup = augment.Mixup.draw(len(mel), self._draws, self.recipe.mixup)
            mixed = [mixup(each) for each in mixed]
        if self.recipe.spec_augment is not None:
            masks = augment.SpecAugment(**self.recipe.spec_augment.model_dump())
            mixed[0] = masks(mixed[0], self._draws)
        return tuple(mixed)

    def configure_optimizers(self) -> Any:
        """See Lightning."""
        settings = self.recipe.optimizer
        kind = torch.optim.Adam if settings.name == "adam" else torch.optim.AdamW
        optimizer = kind(self.parameters(), settings.lr, weight_decay=settings.weight_decay)
        match self.recipe.schedule:
            case recipe.Constant():
                return optimizer
            case recipe.Plateau() as plateau:
                scheduler = ReduceLROnPlateau(optimizer, "min", plateau.factor, plateau.patience)
                return {
                    "optimizer": optimizer,
                    "lr_scheduler": {"scheduler": scheduler, "monitor": "validation/loss"},
                }
            case recipe.Cosine() as curve:
                steps = int(self.trainer.estimated_stepping_batches)
                warm_up = math.ceil(steps * curve.warm_up / self.recipe.epochs)
                return _by(optimizer, partial(warm_up_cosine, warm_up=warm_up, total=steps), "step")
            case recipe.WarmUpLinear() as line:
                return _by(
                    optimizer,
                    partial(warm_up_hold_decay, **line.model_dump(exclude={"name"})),
                    "epoch",
                )


def _by(optimizer: Optimizer, multiplier: Callable[[int], float], interval: str) -> dict[str, Any]:
    return {
        "optimizer": optimizer,
        "lr_scheduler": {"scheduler": LambdaLR(optimizer, multiplier), "interval": interval},
    }
