"""Objectives: tags, contrast, distillation; a file each, found by the `kind` in a recipe."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from auricle.errors import RecipeError, did_you_mean

if TYPE_CHECKING:
    from auricle.training.objectives.objective import Objective

OBJECTIVES: Final = {
    "tags": "auricle.training.objectives.tags:Tags",
    "associations": "auricle.training.objectives.contrast:Contrast",
    "teachers": "auricle.training.objectives.distillation:Distillation",
}
"""Kinds that recipes name, and where each is found; imported when a recipe has one."""


def find_objective(kind: str) -> type[Objective[Any]]:
    """The objective with the short name `kind`, or found at `module:Class`.

    Raises:
        RecipeError: It is unknown, cannot be imported, or is not an objective.
    """
    from auricle.training.objectives.objective import Objective

    module_name, _, class_name = OBJECTIVES.get(str(kind), str(kind)).partition(":")
    if not class_name:
        raise RecipeError(
            f"objective.kind: no objective {kind!r}{did_you_mean(str(kind), OBJECTIVES)}; "
            f"there are: {', '.join(OBJECTIVES)}, or give module:Class"
        )
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise RecipeError(f"objective.kind: {kind!r} cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Objective)):
        raise RecipeError(f"objective.kind: {kind!r} is not an objective")
    return found
