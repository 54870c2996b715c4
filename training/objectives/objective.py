"""The interface of an objective: everything that training asks of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, TypeVar, cast, get_args

from torch import nn

from auricle.training.data.manifest import Part
from auricle.training.data.material import TRAINING_PARTS, Material
from auricle.training.objectives.system import System
from auricle.training.recipe import ObjectiveSpec, Recipe
from auricle.training.sampling.batches import Batches

S = TypeVar("S", bound=ObjectiveSpec)


class Objective(ABC, Generic[S]):
    """What is learned from some material; a subclass for each kind, each in its own file.

    The type of its fields in a recipe is the type argument of its base: a
    `class Tags(Objective[TagsSpec])` has `TagsSpec`.

    Args:
        recipe: The recipe, with the objective's fields.
        material: What it learns from.

    Attributes:
        recipe: The recipe.
        spec: The objective's fields in it.
        material: What it learns from.
        tracks: Tracks of each part that have features.
        classes: Names of the logits; none if it needs no logits.

    Raises:
        TrainingError: The material is not enough.
    """

    Spec: ClassVar[type[ObjectiveSpec]]

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        for base in vars(cls).get("__orig_bases__", ()):
            for argument in get_args(base):
                if isinstance(argument, type) and issubclass(argument, ObjectiveSpec):
                    cls.Spec = argument

    def __init__(self, recipe: Recipe, material: Material) -> None:
        self.recipe = recipe
        self.spec = cast(S, recipe.objective)
        self.material = material
        self.tracks = {part: material.tracks(part) for part in TRAINING_PARTS}
        self.classes: tuple[str, ...] = ()

    @abstractmethod
    def batches(self, part: Part, epoch: int) -> Batches:
        """The batches of an epoch; they depend only on the recipe, the material and the arguments.

        Args:
            part: "train" or "validation".
            epoch: Number of the epoch, from 0; in validation always `VALIDATION_EPOCH`.

        Raises:
            TrainingError: The material is not enough.
        """

    @abstractmethod
    def system(self, network: nn.Module) -> System:
        """The network with its loss, as Lightning trains it.

        Args:
            network: From mel frames (batch, frames, bands) to logits (batch, classes) and
                embeddings (batch, `network.embedding_size`).
        """

    @property
    def remedy(self) -> str:
        """What to change in the recipe if an epoch of training has too few batches."""
        return "make batch_size smaller, or crops_per_track greater"

    def unmeasured(self) -> tuple[str, ...]:
        """Classes that validation cannot measure.

        Raises:
            TrainingError: The best epoch cannot be determined by validation.
        """
        return ()
