"""Training: a recipe and material become the folder of a run."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import lightning
import torch
from lightning.pytorch.callbacks import Callback, RichProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from safetensors.torch import load_file
from torch import nn

from auricle.errors import TrainingError
from auricle.models.networks.maest import Maest
from auricle.models.networks.maest_weights import initialise
from auricle.training.data.material import Material
from auricle.training.objectives import find_objective
from auricle.training.objectives.objective import Objective
from auricle.training.objectives.system import System
from auricle.training.recipe import Recipe
from auricle.training.run.averaging import Averages
from auricle.training.run.backbones import build
from auricle.training.run.checkpoints import BEST, LAST, Checkpoints, WholeFiles, write_weights
from auricle.training.run.folder import NETWORK, RUN, begin_run, load_run, note
from auricle.training.run.loaders import Loaders

SHOWN: Final = 5
"""Classes, of those that validation cannot measure, in a line; `run.json` has all."""


def fit(
    recipe: Recipe,
    material: Material,
    folder: Path,
    workers: int = 0,
    accelerator: str = "auto",
    progress: bool = True,
    report: Callable[[str], object] = lambda line: None,
) -> dict[str, float]:
    """Train, or continue a run that was interrupted.

    For several processes start it with torchrun; each makes its share of every step's batches.

    Args:
        recipe: The recipe.
        material: What it learns from.
        folder: Folder of the run (see `auricle.training.run.folder`). One that exists must be of
            the same recipe and material.
        workers: Processes that make batches, beside each process that trains.
        accelerator: Name as in Lightning: "cpu", "gpu", "auto".
        progress: Whether to show a bar.
        report: Called with a line on what validation cannot measure, before training.

    Returns:
        The figures of the best epoch in the validation part, by name.

    Raises:
        TrainingError: The material is not enough, or the folder has another run.
        OSError: The run cannot be written; its last checkpoint stays.
    """
    _quieten()
    objective = find_objective(recipe.objective.kind)(recipe, material)
    loaders = Loaders(objective, workers)
    system = make_system(objective)
    averages = Averages(recipe.averaging) if recipe.averaging else None
    callbacks: list[Callback] = [Checkpoints(folder), *([averages] if averages else [])]
    trainer = _make_trainer(recipe, folder, accelerator, progress, callbacks)
    if trainer.is_global_zero:
        network = system.network
        begin_run(folder, recipe, material, objective.classes, loaders.unmeasured, network)
        if loaders.unmeasured:
            report(f"{folder / RUN}: {_unmeasured_line(loaders.unmeasured, objective.classes)}")
    began = time.monotonic()
    if recipe.epochs:
        _train(trainer, system, loaders, folder)
    _take_best(system, averages, folder, trained=recipe.epochs > 0)
    trainer.validate(system, loaders, verbose=False)
    figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
    if trainer.is_global_zero:
        write_weights(folder / NETWORK, system.network)
        took_s = round(time.monotonic() - began, 1)
        note(folder, {"figures": figures, "trained_s": took_s, "epochs": recipe.epochs})
    return figures


def make_system(objective: Objective[Any]) -> System:
    """The network of a recipe as it begins, with the loss of the objective.

    Raises:
        TrainingError, ModelError: The initial weights cannot be read, or are of another network.
    """
    recipe, classes = objective.recipe, objective.classes
    torch.manual_seed(recipe.seed)
    # Some objectives need no logits; the fewest are one.
    network = build(recipe.network, max(1, len(classes)), recipe.segment_size)
    if recipe.initial is not None:
        _load_initial(network, recipe.initial, classes)
    return objective.system(network)


# -- initial weights -------------------------------------------------------------------------------


def _load_initial(network: nn.Module, initial: Path, classes: Sequence[str]) -> None:
    """Take the weights of a run, or, for MAEST, of a checkpoint.

    Those of the classifier are taken if the run has the same classes.
    """
    if isinstance(network, Maest):
        initialise(network, initial / NETWORK if initial.is_dir() else initial)
        return
    _, other, notes = load_run(initial)
    weights, own = other.state_dict(), network.state_dict()
    if notes["classes"] != list(classes):
        weights, own = _without_classifier(weights), _without_classifier(own)
    for name in weights.keys() | own.keys():
        if name not in weights or name not in own or weights[name].shape != own[name].shape:
            raise TrainingError(f"{initial}: initial: of another network; they differ in {name}")
    network.load_state_dict(weights, strict=False)


def _without_classifier(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value for name, value in weights.items() if not name.startswith("classifier")}


# -- Lightning -------------------------------------------------------------------------------------


def _make_trainer(
    recipe: Recipe,
    folder: Path,
    accelerator: str,
    progress: bool,
    callbacks: Sequence[Callback],
) -> lightning.Trainer:
    bar = [RichProgressBar(leave=True, console_kwargs={"stderr": True})] if progress else []
    # torchrun sets these; without it there is one process, however many devices there are.
    processes, here = (int(os.environ.get(name, 1)) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    trainer = lightning.Trainer(
        accelerator=accelerator,
        devices=here,
        num_nodes=processes // here,
        # A contrast leaves the classifier out, and labels alone the head of the distillation token.
        strategy="ddp_find_unused_parameters_true" if processes > 1 else "auto",
        plugins=[WholeFiles()],
        precision=recipe.precision,
        max_epochs=recipe.epochs,
        callbacks=[*callbacks, *bar],
        logger=TensorBoardLogger(folder, name="logs", version=""),
        enable_progress_bar=progress,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=10,
        use_distributed_sampler=False,
        reload_dataloaders_every_n_epochs=1,
    )
    if recipe.batches_per_step % trainer.world_size:
        raise TrainingError(
            f"batches_per_step={recipe.batches_per_step} cannot be shared by "
            f"{trainer.world_size} processes"
        )
    trainer.accumulate_grad_batches = recipe.batches_per_step // trainer.world_size
    return trainer


def _train(trainer: lightning.Trainer, system: System, loaders: Loaders, folder: Path) -> None:
    checkpoint = folder / LAST
    try:
        trainer.fit(
            system,
            loaders,
            ckpt_path=checkpoint if checkpoint.exists() else None,
            weights_only=True,
        )
    except SystemExit as error:
        # What Lightning makes of an interrupt.
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise


def _take_best(system: System, averages: Averages | None, folder: Path, trained: bool) -> None:
    """Load the mean of the epochs that count, if there is one, or the weights of the best epoch."""
    if averages is not None and averages.mean is not None and averages.mean.n_averaged:
        system.network.load_state_dict(averages.mean.module.state_dict())
    elif trained:
        system.load_state_dict(load_file(folder / BEST))


def _unmeasured_line(unmeasured: Sequence[str], classes: Sequence[str]) -> str:
    names = ", ".join([*unmeasured[:SHOWN], *(["..."] if len(unmeasured) > SHOWN else [])])
    return (
        f"unmeasured: {len(unmeasured)} of {len(classes)} tags, which all tracks of the "
        f"validation part have, or none: {names}"
    )


def _quieten() -> None:
    """Silence Lightning's advice and its notes on itself."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*")
