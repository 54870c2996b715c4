"""The mean of a network's weights over epochs ("stochastic weight averaging").

P. Izmailov et al., "Averaging weights leads to wider optima and better generalization" (UAI 2018).
The learning rate is left to its schedule, as in MAEST's paper; Lightning's own callback validates
with the mean, which does not exist before the first epoch that counts.
"""

from __future__ import annotations

from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from torch.optim.swa_utils import AveragedModel

from auricle.training.objectives.schedules import is_averaged
from auricle.training.objectives.system import System
from auricle.training.recipe import Averaging


class Averages(Callback):
    """Keeps the mean, in the checkpoints too; statistics of batch norm are averaged as weights are.

    Args:
        settings: Part of the recipe that says which epochs count.

    Attributes:
        mean: Mean of the network's weights; None before training.
    """

    def __init__(self, settings: Averaging) -> None:
        self.settings = settings
        self.mean: AveragedModel | None = None

    def setup(self, trainer: lightning.Trainer, system: System, stage: str) -> None:
        """See Lightning."""
        if self.mean is None:
            self.mean = AveragedModel(system.network, use_buffers=True)

    def on_train_epoch_end(self, trainer: lightning.Trainer, system: System) -> None:
        """See Lightning."""
        assert self.mean is not None
        if is_averaged(
            trainer.current_epoch, first=self.settings.begin - 1, every=self.settings.every
        ):
            self.mean.update_parameters(system.network)

    def state_dict(self) -> dict[str, Any]:
        """See Lightning."""
        assert self.mean is not None
        return {"mean": self.mean.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """See Lightning."""
        assert self.mean is not None
        self.mean.load_state_dict(state_dict["mean"])
