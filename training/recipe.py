"""The form of a recipe: what is trained, on what, and how.

What is learned and on which material is the objective's own part, which its file defines (see
`auricle.training.objectives`); all other parts are here. Recipe files are read by
`auricle.training.run.recipes`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, model_validator

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class RecipePart(BaseModel):
    """A group of fields of a recipe. Unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ObjectiveSpec(RecipePart):
    """The fields of an objective; each has its own subclass.

    Attributes:
        kind: Short name of the objective, or `module:Class`.
    """

    kind: str

    def check(self, recipe: Recipe) -> None:
        """Check that the objective fits the rest of the recipe.

        Raises:
            ValueError: The objective cannot be trained as the recipe says.
        """


# -- the network -----------------------------------------------------------------------------------


class EfficientNetB0(RecipePart):
    """See `auricle.models.networks.efficientnet`."""

    name: Literal["efficientnet_b0"]
    dropout: Share = 0.2
    drop_path: Share = 0.2


class ResNet10(RecipePart):
    """See `auricle.models.networks.resnet10`."""

    name: Literal["resnet10"]
    widths: tuple[Positive, Positive, Positive, Positive, Positive] = (24, 48, 96, 192, 384)
    embedding_size: Positive = 512
    dropout: Share = 0.0


class ResNet50(RecipePart):
    """See `auricle.models.networks.resnet`."""

    name: Literal["resnet50"]


class MusiCNN(RecipePart):
    """See `auricle.models.networks.musicnn`."""

    name: Literal["musicnn"]


class Maest(RecipePart):
    """See `auricle.models.networks.maest`."""

    name: Literal["maest"]
    width: Positive = 768
    depth: Positive = 12
    n_heads: Positive = 12
    s_patchout_t: Annotated[int, Field(ge=0)] = 0
    s_patchout_f: Annotated[int, Field(ge=0)] = 0
    u_patchout: Annotated[int, Field(ge=0)] = 0


Network = EfficientNetB0 | ResNet10 | ResNet50 | MusiCNN | Maest


# -- how -------------------------------------------------------------------------------------------


class Optimizer(RecipePart):
    """Adam, with L2 (`adam`) or decoupled weight decay (`adamw`)."""

    name: Literal["adam", "adamw"] = "adam"
    lr: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.0


class Constant(RecipePart):
    """The same rate throughout."""

    name: Literal["constant"]


class Plateau(RecipePart):
    """The rate is multiplied by `factor` when the validation loss stops falling."""

    name: Literal["plateau"]
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    patience: Positive = Field(10, description="Epochs without a fall before that.")


class Cosine(RecipePart):
    """A linear warm-up, then half a cosine to zero at the last step."""

    name: Literal["cosine"]
    warm_up: Annotated[float, Field(ge=0)] = Field(1.0, description="Epochs.")


class WarmUpLinear(RecipePart):
    """Warm-up, constant, linear decay, constant, by epochs (MAEST)."""

    name: Literal["warm_up_linear"]
    warm_up: Positive = 5
    decay_from: Positive = 50
    decay: Positive = 50
    last: Annotated[float, Field(ge=0)] = Field(
        1e-3, description="Share of the rate that is left at the end."
    )


Schedule = Constant | Plateau | Cosine | WarmUpLinear


class Averaging(RecipePart):
    """The run yields the mean of the weights of several epochs."""

    begin: Positive = Field(50, description="First epoch, counted from 1, whose weights are taken.")
    every: Positive = 5


class SpecAugment(RecipePart):
    """See `auricle.training.sampling.augment`."""

    time_masks: Annotated[int, Field(ge=0)] = 20
    time_width: Positive = 8
    band_masks: Annotated[int, Field(ge=0)] = 5
    band_width: Positive = 8


class Recipe(RecipePart):
    """A recipe. Sizes are in mel frames of 16 ms."""

    about: str = Field(description="What it is, and after which paper.")
    objective: SerializeAsAny[ObjectiveSpec]
    network: Annotated[Network, Field(discriminator="name")]
    segment_size: Annotated[int, Field(ge=16)]
    mean: float = Field(0.0, description="The network is fed (mel - mean) / std.")
    std: Annotated[float, Field(gt=0)] = 1.0
    epochs: Annotated[int, Field(ge=0)] = Field(
        description="0 leaves the network as initialised: a baseline."
    )
    batch_size: Positive = Field(
        description="Segments or pairs that pass through the network together."
    )
    batches_per_step: Positive = Field(
        1,
        description="Batches whose gradients make a step; several processes share them, "
        "and the sum is the same.",
    )
    crops_per_track: Positive = Field(
        1, description="Random segments, or pairs, of a track in an epoch."
    )
    optimizer: Optimizer = Optimizer()
    schedule: Annotated[Schedule, Field(discriminator="name")] = Constant(name="constant")
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    mixup: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Alpha of the Beta distribution."
    )
    spec_augment: SpecAugment | None = None
    averaging: Averaging | None = None
    initial: Path | None = Field(
        None,
        description="A run to take the initial weights from; for maest also a checkpoint of PaSST "
        "or DeiT.",
    )
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _fits(self) -> Self:
        self.objective.check(self)
        if self.averaging and 0 < self.epochs < self.averaging.begin:
            raise ValueError(
                f"averaging.begin={self.averaging.begin}: there are {self.epochs} epochs"
            )
        return self

    def to_yaml(self) -> str:
        """As a file that `auricle.training.run.recipes.load_recipe` reads, with all defaults."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
