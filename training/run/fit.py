"""A training run: a folder with its recipe, its course and what came of it.

- `recipe.yaml`: the recipe with all defaults.
- `run.json`: when, on what, from which commit, with which versions; the classes; what came of it in
  figures.
- `last.ckpt`: after every epoch, all that is needed to go on.
- `best.safetensors`: all weights of the best epoch.
- `network.safetensors`: the network of the best epoch, or the mean of several if the recipe says
  so.
- `metrics.csv`: a row an epoch; and events for TensorBoard in `logs/`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import subprocess
import time
import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import lightning
import torch
from lightning.pytorch.callbacks import Callback, RichProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from safetensors.torch import load_file
from torch import nn

from auricle.errors import TrainingError
from auricle.models.files import write_atomically
from auricle.models.networks.maest import Maest
from auricle.models.networks.maest_weights import initialise
from auricle.training.objectives.contrast import Contrast
from auricle.training.objectives.distillation import Distillation
from auricle.training.objectives.system import System
from auricle.training.objectives.tagging import Tagging
from auricle.training.run import recipe
from auricle.training.run.averaging import Averages
from auricle.training.run.backbones import build, embedding_size
from auricle.training.run.checkpoints import BEST, LAST, Checkpoints, WholeFiles, write_weights
from auricle.training.sampling.loaders import PARTS, Loaders, Material

RECIPE, RUN, NETWORK = "recipe.yaml", "run.json", "network.safetensors"

SHOWN: Final = 5
"""Tags, of those that validation cannot measure, in a line; `run.json` has all."""

PACKAGES: Final = ("auricle", "lightning", "numpy", "torch")


def fit(
    chosen: recipe.Recipe,
    material: Material,
    folder: Path,
    workers: int = 0,
    accelerator: str = "auto",
    progress: bool = True,
    tell: Callable[[str], object] = lambda line: None,
) -> dict[str, float]:
    """Train, or go on with a run that was interrupted.

    Over several processes it is started by torchrun; each makes its share of every step's batches.

    Args:
        chosen: The recipe.
        material: What it learns from.
        folder: Of the run. One that is there must be of the same recipe.
        workers: Processes that make batches, beside each of training.
        accelerator: As Lightning names them: "cpu", "gpu", "auto".
        progress: Whether to show a bar.
        tell: Called with a line on what validation cannot measure, before training.

    Returns:
        The figures of the best epoch in the validation part.

    Raises:
        TrainingError: The material is not enough, or the folder has another run.
        OSError: The run cannot be written; its last checkpoint stays.
    """
    _quieten()
    loaders = Loaders(chosen, material, workers)
    system = make_system(chosen, material, loaders.classes)
    averages = Averages(chosen.averaging) if chosen.averaging else None
    callbacks: list[Callback] = [Checkpoints(folder), *([averages] if averages else [])]
    if progress:
        callbacks.append(RichProgressBar(leave=True, console_kwargs={"stderr": True}))
    # As torchrun says it; without it there is one process, however many devices there are.
    processes, here = (int(os.environ.get(name, 1)) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    trainer = lightning.Trainer(
        accelerator=accelerator,
        devices=here,
        num_nodes=processes // here,
        # A contrast leaves the classifier out, and labels alone the head of the distillation token.
        strategy="ddp_find_unused_parameters_true" if processes > 1 else "auto",
        plugins=[WholeFiles()],
        precision=chosen.precision,
        max_epochs=chosen.epochs,
        callbacks=callbacks,
        logger=TensorBoardLogger(folder, name="logs", version=""),
        enable_progress_bar=progress,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=10,
        use_distributed_sampler=False,
        reload_dataloaders_every_n_epochs=1,
    )
    if chosen.batches_per_step % trainer.world_size:
        raise TrainingError(
            f"batches_per_step={chosen.batches_per_step} cannot be shared by {trainer.world_size} processes"
        )
    trainer.accumulate_grad_batches = chosen.batches_per_step // trainer.world_size
    if trainer.is_global_zero:
        _begin(folder, chosen, material, loaders, system)
        if loaders.unmeasured:
            count, total = len(loaders.unmeasured), len(loaders.classes)
            names = ", ".join([*loaders.unmeasured[:SHOWN], *(["..."] if count > SHOWN else [])])
            tell(
                f"{folder / RUN}: unmeasured: {count} of {total} tags, which all tracks of the validation "
                f"part have, or none: {names}"
            )
    began = time.monotonic()
    if chosen.epochs:
        _train(trainer, system, loaders, folder)
    if averages is not None and averages.mean is not None and averages.mean.n_averaged:
        system.network.load_state_dict(averages.mean.module.state_dict())
    elif chosen.epochs:
        system.load_state_dict(load_file(folder / BEST))
    trainer.validate(system, loaders, verbose=False)
    figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
    if trainer.is_global_zero:
        write_weights(folder / NETWORK, system.network)
        took_s = round(time.monotonic() - began, 1)
        _note(folder, {"figures": figures, "trained_s": took_s, "epochs": chosen.epochs})
    return figures


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


def make_system(chosen: recipe.Recipe, material: Material, classes: Sequence[str]) -> System:
    """What a recipe trains.

    Raises:
        TrainingError, ModelError: What it begins with cannot be read, or is of another network.
    """
    torch.manual_seed(chosen.seed)
    # A contrast needs no logits; the fewest are one.
    network = build(chosen.network, max(1, len(classes)), chosen.segment_size)
    if chosen.initial is not None:
        _begin_with(network, chosen.initial, classes)
    match chosen.objective:
        case recipe.Tags():
            return Tagging(chosen, network)
        case recipe.Associations():
            return Contrast(chosen, network, embedding_size(network))
        case recipe.Teachers():
            sizes = [teacher.card.embedding_size or 0 for teacher in material.teachers]
            return Distillation(chosen, network, embedding_size(network), sizes)


def _begin_with(network: nn.Module, initial: Path, classes: Sequence[str]) -> None:
    """The weights of a run, or of a checkpoint for MAEST; the classifier's if a run has the same
    classes.
    """
    if isinstance(network, Maest):
        initialise(network, initial / NETWORK if initial.is_dir() else initial)
        return
    _, other, notes = load_run(initial)
    weights, own = other.state_dict(), network.state_dict()
    if notes["classes"] != list(classes):
        weights, own = (
            {name: value for name, value in each.items() if not name.startswith("classifier")}
            for each in (weights, own)
        )
    for name in weights.keys() | own.keys():
        if name not in weights or name not in own or weights[name].shape != own[name].shape:
            raise TrainingError(f"{initial}: initial: of another network; they differ in {name}")
    network.load_state_dict(weights, strict=False)


def load_run(folder: Path) -> tuple[recipe.Recipe, nn.Module, dict[str, Any]]:
    """The recipe of a finished run, its network with its weights, in evaluation, and what
    `run.json` says.

    Raises:
        TrainingError: The folder has no run, or one that is not finished.
        RecipeError: Its recipe cannot be used.
    """
    try:
        notes = json.loads((folder / RUN).read_bytes())
        weights = load_file(folder / NETWORK)
    except (OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or error
        raise TrainingError(
            f"{folder}: not a finished run: {what}; auricle-train fit goes on with it"
        ) from error
    chosen = recipe.load_recipe(folder / RECIPE)
    network = build(chosen.network, max(1, len(notes["classes"])), chosen.segment_size)
    network.load_state_dict(weights)
    return chosen, network.eval(), notes


def _begin(
    folder: Path, chosen: recipe.Recipe, material: Material, loaders: Loaders, system: System
) -> None:
    """Say what the run is; or, where there is one, make sure that it is the same."""
    text, identity = chosen.to_yaml(), _identity(material)
    if (folder / RECIPE).exists():
        if (folder / RECIPE).read_text(encoding="utf-8") != text:
            raise TrainingError(f"{folder}: has a run of another recipe; choose another folder")
        notes = json.loads((folder / RUN).read_bytes())
        if notes["classes"] != list(loaders.classes):
            raise TrainingError(f"{folder}: has a run of other classes; choose another folder")
        # Runs of earlier versions do not say it.
        if notes.get("material", identity) != identity:
            raise TrainingError(
                f"{folder}: has a run on other tracks or parts, mel frames or teachers; choose another folder"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    _note(
        folder,
        {
            "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "commit": _commit(),
            "versions": {name: _version(name) for name in PACKAGES},
            "machine": platform.platform(),
            "seed": chosen.seed,
            "corpus": material.name,
            "material": identity,
            "features": str(material.features.folder),
            "front_end": material.features.about["front_end"]["name"],
            "teachers": [teacher.card.name for teacher in material.teachers],
            "tracks": {split: len(material.tracks(split)) for split in PARTS},
            "parameters": sum(weights.numel() for weights in system.network.parameters()),
            "classes": loaders.classes,
            "unmeasured": loaders.unmeasured,
        },
    )
    write_atomically(folder / RECIPE, text.encode())


def _identity(material: Material) -> str:
    """A hash of what a run learns from: its tracks in their parts, the kind of mel frames, who
    teaches.
    """
    tracks = [[track.track_id, track.part] for part in PARTS for track in material.tracks(part)]
    teachers = [[each.card.name, each.card.sha256, each.hop_size] for each in material.teachers]
    content = json.dumps([tracks, material.features.about, teachers])
    return hashlib.sha256(content.encode()).hexdigest()


def _note(folder: Path, notes: dict[str, Any]) -> None:
    """Add to `run.json`."""
    file = folder / RUN
    known = json.loads(file.read_bytes()) if file.exists() else {}
    write_atomically(file, json.dumps({**known, **notes}, indent=2).encode())


def _version(package: str) -> str:
    """Of a package; a checkout of ours need not be installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    """Of the checkout that this module is in, with a plus if it is changed; empty if it is in none."""
    command = [
        "git",
        "-C",
        str(Path(__file__).parent),
        "describe",
        "--always",
        "--dirty=+",
        "--abbrev=12",
    ]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _quieten() -> None:
    """Without what Lightning says of itself and advises."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*")
