"""The folder of a training run, and what it says about itself.

- `recipe.yaml`: the recipe with all defaults.
- `run.json`: when, on what, from which commit, with which versions; the classes; what came of it in
  figures.
- `last.ckpt`: all that is needed to continue, after every epoch.
- `best.safetensors`: all weights of the best epoch.
- `network.safetensors`: the network of the best epoch, or the mean of several if the recipe says
  so.
- `metrics.csv`: a row an epoch; and events for TensorBoard in `logs/`.
"""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from safetensors.torch import load_file
from torch import nn

from auricle.errors import TrainingError
from auricle.models.files import write_atomically
from auricle.training.data.material import TRAINING_PARTS, Material
from auricle.training.recipe import Recipe
from auricle.training.run.backbones import build
from auricle.training.run.recipes import load_recipe

RECIPE, RUN, NETWORK = "recipe.yaml", "run.json", "network.safetensors"

PACKAGES: Final = ("auricle", "lightning", "numpy", "torch")
"""Packages whose versions a run notes."""


def load_run(folder: Path) -> tuple[Recipe, nn.Module, dict[str, Any]]:
    """Read a finished run.

    Returns:
        Its recipe; its network with its weights, in evaluation; and what `run.json` says.

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
            f"{folder}: not a finished run: {what}; auricle-train fit continues it"
        ) from error
    recipe = load_recipe(folder / RECIPE)
    network = build(recipe.network, max(1, len(notes["classes"])), recipe.segment_size)
    network.load_state_dict(weights)
    return recipe, network.eval(), notes


def begin_run(
    folder: Path,
    recipe: Recipe,
    material: Material,
    classes: Sequence[str],
    unmeasured: Sequence[str],
    network: nn.Module,
) -> None:
    """Write what a run is; in a folder that has one, check that it is the same.

    Args:
        folder: Folder of the run.
        recipe: The recipe.
        material: What it learns from.
        classes: Names of the logits.
        unmeasured: Classes that validation cannot measure.
        network: The network, for its size.

    Raises:
        TrainingError: The folder has another run.
        OSError: It cannot be written.
    """
    text, identity = recipe.to_yaml(), _identity(material)
    if (folder / RECIPE).exists():
        _check_same_run(folder, text, identity, classes)
        return
    folder.mkdir(parents=True, exist_ok=True)
    note(
        folder,
        {
            "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "commit": _commit(),
            "versions": {name: _version(name) for name in PACKAGES},
            "machine": platform.platform(),
            "seed": recipe.seed,
            "corpus": material.name,
            "material": identity,
            "features": str(material.features.folder),
            "front_end": material.features.about["front_end"]["name"],
            "teachers": [teacher.card.name for teacher in material.teachers],
            "tracks": {part: len(material.tracks(part)) for part in TRAINING_PARTS},
            "parameters": sum(weights.numel() for weights in network.parameters()),
            "classes": classes,
            "unmeasured": unmeasured,
        },
    )
    write_atomically(folder / RECIPE, text.encode())


def note(folder: Path, notes: dict[str, Any]) -> None:
    """Add to `run.json`."""
    file = folder / RUN
    known = json.loads(file.read_bytes()) if file.exists() else {}
    write_atomically(file, json.dumps({**known, **notes}, indent=2).encode())


def _check_same_run(folder: Path, text: str, identity: str, classes: Sequence[str]) -> None:
    if (folder / RECIPE).read_text(encoding="utf-8") != text:
        raise TrainingError(f"{folder}: has a run of another recipe; choose another folder")
    notes = json.loads((folder / RUN).read_bytes())
    if notes["classes"] != list(classes):
        raise TrainingError(f"{folder}: has a run of other classes; choose another folder")
    # Runs of earlier versions have no such entry.
    if notes.get("material", identity) != identity:
        raise TrainingError(
            f"{folder}: has a run on other tracks or parts, mel frames or teachers; "
            "choose another folder"
        )


def _identity(material: Material) -> str:
    """A hash of the tracks and their parts, the kind of mel frames, and the teachers."""
    tracks = [
        [track.track_id, track.part] for part in TRAINING_PARTS for track in material.tracks(part)
    ]
    teachers = [[each.card.name, each.card.sha256, each.hop_size] for each in material.teachers]
    content = json.dumps([tracks, material.features.about, teachers])
    return hashlib.sha256(content.encode()).hexdigest()


def _version(package: str) -> str:
    """The version of a package; a checkout of ours need not be installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    """The commit of the checkout with this module, with a plus if changed; empty without one."""
    here = str(Path(__file__).parent)
    command = ["git", "-C", here, "describe", "--always", "--dirty=+", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
