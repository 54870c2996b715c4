"""Common parts of all trained systems: normalisation, augmentation, optimizers."""

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

from auricle.training.objectives.schedules import warm_up_cosine, warm_up_hold_decay
from auricle.training.recipe import Constant, Cosine, Plateau, Recipe, WarmUpLinear
from auricle.training.sampling import augment
from auricle.training.sampling.batches import Batch
from auricle.training.seeds import seeded_generator


class System(lightning.LightningModule):
    """A network with the loss of an objective, as Lightning trains it.

    A subclass gives `loss`, and in `validation_step` logs "validation/loss" and `goal`.

    Args:
        recipe: The recipe.
        network: From mel frames (batch, frames, bands), normalised, to logits (batch, classes) and
            embeddings (batch, embedding_size).
    """

    goal: str
    """Figure of the validation part, logged in every epoch, by which the best epoch is chosen."""

    goal_mode: str = "min"
    """"min" if the lowest figure is the best, "max" if the highest is."""

    def __init__(self, recipe: Recipe, network: nn.Module) -> None:
        super().__init__()
        self.recipe = recipe
        self.network = network
        self._draws = torch.Generator()

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """The loss of a batch, a scalar; mel frames in it are (..., frames, bands) float32."""

    def training_step(self, batch: Batch, number: int) -> Tensor:
        """See Lightning."""
        self._seed_draws(number * self.trainer.world_size + self.global_rank)
        loss = self.loss(batch)
        self.log("train/loss", loss, prog_bar=True, on_step=True, on_epoch=True, batch_size=1)
        return loss

    def _seed_draws(self, number: int) -> None:
        """Seed the draws by the batch, so that they depend on no process and on no restart."""
        rng = seeded_generator(self.recipe.seed, self.current_epoch, number)
        seeds = rng.integers(2**63, size=2)
        torch.manual_seed(int(seeds[0]))
        self._draws.manual_seed(int(seeds[1]))

    def normalised(self, mel: Tensor) -> Tensor:
        """Mel frames (batch, frames, bands) as the network takes them: (mel - mean) / std."""
        return (mel - self.recipe.mean) / self.recipe.std

    def augmented(self, mel: Tensor, *targets: Tensor) -> tuple[Tensor, ...]:
        """Normalised frames and targets, in training mixed and masked as the recipe says.

        Args:
            mel: (batch, frames, bands).
            targets: (batch, ...) each, mixed as the frames are.
        """
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
            case Constant():
                return optimizer
            case Plateau() as plateau:
                scheduler = ReduceLROnPlateau(optimizer, "min", plateau.factor, plateau.patience)
                return {
                    "optimizer": optimizer,
                    "lr_scheduler": {"scheduler": scheduler, "monitor": "validation/loss"},
                }
            case Cosine() as curve:
                steps = int(self.trainer.estimated_stepping_batches)
                warm_up = math.ceil(steps * curve.warm_up / self.recipe.epochs)
                return _scheduled(
                    optimizer, partial(warm_up_cosine, warm_up=warm_up, total=steps), "step"
                )
            case WarmUpLinear() as line:
                return _scheduled(
                    optimizer,
                    partial(warm_up_hold_decay, **line.model_dump(exclude={"name"})),
                    "epoch",
                )


def _scheduled(
    optimizer: Optimizer, multiplier: Callable[[int], float], interval: str
) -> dict[str, Any]:
    return {
        "optimizer": optimizer,
        "lr_scheduler": {"scheduler": LambdaLR(optimizer, multiplier), "interval": interval},
    }
