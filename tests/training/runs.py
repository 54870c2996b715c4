"""Recipes that learn from a small corpus in a moment."""

from __future__ import annotations

from typing import Any

from auricle.training.data.material import Material
from auricle.training.objectives import find_objective
from auricle.training.objectives.objective import Objective
from auricle.training.recipe import Recipe
from auricle.training.run.recipes import make_recipe

BASE: dict[str, Any] = {
    "about": "A test.",
    "segment_size": 40,
    "epochs": 3,
    "batch_size": 4,
    "optimizer": {"name": "adam", "lr": 3e-3},
}
RESNET = {"name": "resnet10", "widths": [2, 2, 4, 4, 8], "embedding_size": 8}
MAEST = {
    "name": "maest",
    "width": 8,
    "depth": 2,
    "n_heads": 2,
    "s_patchout_t": 1,
    "s_patchout_f": 2,
}
TAGS = {"kind": "tags", "least_tracks": 1}


def objective(chosen: Recipe, whole: Material) -> Objective[Any]:
    """The objective of a recipe, as `auricle.training.run.fit` makes it."""
    return find_objective(chosen.objective.kind)(chosen, whole)


def recipe(objective: dict[str, Any], network: dict[str, Any] = RESNET, **more: Any) -> Recipe:
    """Three epochs of batches of four, unless more is said."""
    return make_recipe({**BASE, "objective": objective, "network": network, **more})
