"""The files a run writes after each epoch: a checkpoint, the best weights, and its figures."""

from __future__ import annotations

import csv
import io
import math
import os
from pathlib import Path
from typing import Any, Final

import lightning
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins import TorchCheckpointIO
from safetensors.torch import save
from torch import nn

from auricle.models.files import write_atomically
from auricle.training.objectives.system import System
from auricle.training.resuming import resumable

LAST: Final = "last.ckpt"
BEST: Final = "best.safetensors"
METRICS: Final = "metrics.csv"


class WholeFiles(TorchCheckpointIO):
    """Writes checkpoints whole or not at all; Lightning copies its own slowly from `/tmp`."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """See Lightning.

        Raises:
            OSError: The file cannot be written.
        """
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write_atomically(Path(path), content.getbuffer())


class Checkpoints(Checkpoint):
    """Writes these files, the checkpoint last, so that what a kill leaves is consistent.

    Args:
        folder: Folder of the run.

    Attributes:
        best: Best figure so far; NaN before the first epoch.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.best = math.nan
        self._rows: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: lightning.Trainer, system: System) -> None:
        """See Lightning, which calls this behind the validation and all other callbacks."""
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        figure = figures[system.goal]
        sign = 1 if system.goal_mode == "max" else -1
        better = math.isnan(self.best) or sign * figure > sign * self.best
        if better:
            self.best = figure
        now = {"epoch": trainer.current_epoch + 1, "step": trainer.global_step}
        once = {
            name: value for name, value in figures.items() if not name.endswith(("_step", "_epoch"))
        }
        self._rows.append(now | once)
        with resumable():
            if trainer.is_global_zero:
                if better:
                    write_weights(self.folder / BEST, system)
                write_atomically(self.folder / METRICS, _table(self._rows))
            trainer.save_checkpoint(self.folder / LAST)

    def state_dict(self) -> dict[str, Any]:
        """See Lightning."""
        return {"best": self.best, "rows": self._rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """See Lightning."""
        self.best, self._rows = state_dict["best"], state_dict["rows"]


def write_weights(file: Path, module: nn.Module) -> None:
    """All weights of a module as safetensors, in the usual order in memory."""
    write_atomically(
        file, save({name: each.contiguous() for name, each in module.state_dict().items()})
    )


def _table(rows: list[dict[str, float]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
