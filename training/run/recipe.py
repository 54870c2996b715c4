"""Recipes: what is trained, on what, and how; a YAML file each.

Those that come with Auricle lie in `training/recipes/` and are named without folder and ending. A
file can name another recipe that it `extends`, and then has only what is different. A field that is
not known is refused, and so is a value out of range.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from auricle.errors import RecipeError

RECIPES: Final = Path(__file__).parents[1] / "recipes"

Association = Literal["track", "release", "artist", "label"]
Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


# -- what is learned -------------------------------------------------------------------------------


class Tags(_Part):
    """The genres of the manifest, several a track (DiscogsEffNet, MAEST)."""

    kind: Literal["tags"]
    least_tracks: Positive = Field(
        10, description="Of a tag, in the training part; rarer ones are left out."
    )
    most_tags: Positive = Field(5, description="Of a track; tracks with more are left out.")
    balanced: Positive | None = Field(
        None,
        description="Tracks of an epoch, drawn with rare tags more often, or all there are if these are "
        "fewer; if left out, crops_per_track of each track.",
    )
    taught: bool = Field(
        False,
        description="The distillation token of MAEST learns from a teacher with the same tags.",
    )


class Associations(_Part):
    """Which tracks belong together, by contrast (COLA with editorial metadata)."""

    kind: Literal["associations"]
    weights: dict[Association, Annotated[float, Field(gt=0)]] = Field(min_length=1)
    width: Positive = Field(512, description="Values of a projection.")


class Teachers(_Part):
    """What other models say (distillation)."""

    kind: Literal["teachers"]
    temperature: Annotated[float, Field(gt=0)] = 1.0
    embeddings: Annotated[float, Field(ge=0)] = Field(
        0.0, description="Weight of the embeddings' distance."
    )
    samples: Positive | None = Field(
        None, description="Segments of an epoch, drawn anew; all of them, if left out."
    )


# -- the network -----------------------------------------------------------------------------------


class EfficientNetB0(_Part):
    """See `auricle.models.networks.efficientnet`."""

    name: Literal["efficientnet_b0"]
    dropout: Share = 0.2
    drop_path: Share = 0.2


class ResNet10(_Part):
    """See `auricle.models.networks.resnet10`."""

    name: Literal["resnet10"]
    widths: tuple[Positive, Positive, Positive, Positive, Positive] = (24, 48, 96, 192, 384)
    embedding_size: Positive = 512
    dropout: Share = 0.0


class ResNet50(_Part):
    """See `auricle.models.networks.resnet`."""

    name: Literal["resnet50"]


class MusiCNN(_Part):
    """See `auricle.models.networks.musicnn`."""

    name: Literal["musicnn"]


class Maest(_Part):
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


class Optimizer(_Part):
    """Adam, with L2 (`adam`) or decoupled weight decay (`adamw`)."""

    name: Literal["adam", "adamw"] = "adam"
    lr: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.0


class Constant(_Part):
    """The same rate all the time."""

    name: Literal["constant"]


class Plateau(_Part):
    """The rate is multiplied where the validation loss has not fallen for some epochs."""

    name: Literal["plateau"]
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    patience: Positive = 10


class Cosine(_Part):
    """A linear warm-up, then half a cosine to zero at the last step."""

    name: Literal["cosine"]
    warm_up: Annotated[float, Field(ge=0)] = Field(1.0, description="Epochs.")


class WarmUpLinear(_Part):
    """Warm-up, constant, linear decay, constant, by epochs (MAEST)."""

    name: Literal["warm_up_linear"]
    warm_up: Positive = 5
    decay_from: Positive = 50
    decay: Positive = 50
    last: Annotated[float, Field(ge=0)] = Field(
        1e-3, description="Of the rate, what is left at the end."
    )


class Averaging(_Part):
    """The mean of the weights of several epochs is what the run gives."""

    begin: Positive = Field(50, description="First epoch, counted from 1, whose weights are taken.")
    every: Positive = 5


class SpecAugment(_Part):
    """See `auricle.training.sampling.augment`."""

    time_masks: Annotated[int, Field(ge=0)] = 20
    time_width: Positive = 8
    band_masks: Annotated[int, Field(ge=0)] = 5
    band_width: Positive = 8


class Recipe(_Part):
    """A recipe. Sizes in mel frames of 16 ms."""

    about: str = Field(description="What it is, and after which paper.")
    objective: Annotated[Tags | Associations | Teachers, Field(discriminator="kind")]
    network: Annotated[Network, Field(discriminator="name")]
    segment_size: Annotated[int, Field(ge=16)]
    mean: float = Field(0.0, description="The network is fed (mel - mean) / std.")
    std: Annotated[float, Field(gt=0)] = 1.0
    epochs: Annotated[int, Field(ge=0)] = Field(
        description="0 leaves the network as it began: a baseline."
    )
    batch_size: Positive = Field(
        description="Segments or pairs that go through the network at once."
    )
    batches_per_step: Positive = Field(
        1,
        description="Whose gradients make a step; several processes share them, and the sum is the same.",
    )
    crops_per_track: Positive = Field(
        1, description="Random segments, or pairs, of a track in an epoch."
    )
    optimizer: Optimizer = Optimizer()
    schedule: Annotated[Constant | Plateau | Cosine | WarmUpLinear, Field(discriminator="name")] = (
        Constant(name="constant")
    )
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    mixup: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Alpha of the Beta distribution."
    )
    spec_augment: SpecAugment | None = None
    averaging: Averaging | None = None
    initial: Path | None = Field(
        None,
        description="A run to begin with the network of; for maest also a checkpoint of PaSST or DeiT.",
    )
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _fits(self) -> Self:
        objective = self.objective
        if isinstance(objective, Tags) and objective.taught and not isinstance(self.network, Maest):
            raise ValueError("objective.taught: only maest has a distillation token")
        if isinstance(objective, Associations) and (self.mixup or self.spec_augment):
            raise ValueError("mixup and spec_augment: not with associations")
        if self.averaging and 0 < self.epochs < self.averaging.begin:
            raise ValueError(
                f"averaging.begin={self.averaging.begin}: there are {self.epochs} epochs"
            )
        return self

    def to_yaml(self) -> str:
        """As a file that `load_recipe` reads, with all defaults."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def recipe_names() -> list[str]:
    """The recipes that come with Auricle."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def load_recipe(name: str | Path, changes: dict[str, Any] | None = None) -> Recipe:
    """Read a recipe.

    Args:
        name: Of one that comes with Auricle, or a file.
        changes: Fields to change, with dots for fields of fields, as `optimizer.lr`. A network,
            objective or schedule of another name or kind begins with its defaults.

    Raises:
        RecipeError: It is not there, not YAML, or a field is unknown or out of range.
    """
    path, content = _read(name)
    # The kind of a part goes before its fields: another kind has others.
    for key in sorted(changes or {}, key=lambda key: not key.endswith((".kind", ".name"))):
        _set(content, key, (changes or {})[key], path)
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        # Pydantic also names the branch of a union, which is a value of the file and not a field.
        fields = [str(each) for each in first["loc"] if each not in _BRANCHES]
        place = ".".join(fields) or "recipe"
        what = first["msg"]
        if first["type"] == "extra_forbidden":
            what = f"no such field; there are: {', '.join(_part_of(first['loc']).model_fields)}"
        raise RecipeError(f"{path}: {place}: {what}") from error


def _part_of(location: Sequence[int | str]) -> type[_Part]:
    """Which part of a recipe has the field at a location, as Pydantic gives it."""
    part: type[_Part] = Recipe
    for name in map(str, location[:-1]):
        if name in _BRANCHES:
            part = _BRANCHES[name]
        else:
            annotation = part.model_fields[name].annotation
            part = next(
                each for each in (annotation, *get_args(annotation)) if isinstance(each, type)
            )
    return part


def _read(name: str | Path, extending: tuple[Path, ...] = ()) -> tuple[Path, dict[str, Any]]:
    """A file's fields, and those of the recipe that it extends, which may be a file beside it."""
    path = extending[-1].parent / name if extending else Path(name)
    if path.suffix not in (".yaml", ".yml"):
        path = RECIPES / f"{name}.yaml"
        if not path.is_file():
            raise RecipeError(
                f"no recipe {str(name)!r}; there are: {', '.join(recipe_names())}, or give a file"
            )
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"{path}: not a recipe: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{path}: not a recipe: it has no fields")
    if "extends" not in content:
        return path, content
    base = content.pop("extends")
    if not isinstance(base, str):
        raise RecipeError(f"{path}: extends: {base!r} must be the name of a recipe, or a file")
    here = path.resolve()
    if here in extending:
        raise RecipeError(f"{path}: extends: itself, by way of {extending[-1].name}")
    return path, _merged(_read(base, (*extending, here))[1], content)


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The changes, on top; a part keeps its other fields, unless its kind or name is changed."""
    merged = base | changes
    for key in base.keys() & changes.keys():
        old, new = base[key], changes[key]
        if isinstance(old, dict) and isinstance(new, dict):
            both = {"kind", "name"} & old.keys() & new.keys()
            if all(old[each] == new[each] for each in both):
                merged[key] = old | new
    return merged


_BRANCHES: Final[dict[str, type[_Part]]] = {
    str(get_args(model.model_fields[key].annotation)[0]): model
    for key, models in (
        ("kind", (Tags, Associations, Teachers)),
        ("name", get_args(Network)),
        ("name", (Constant, Plateau, Cosine, WarmUpLinear)),
    )
    for model in models
}


def _set(content: dict[str, Any], key: str, value: Any, path: Path) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        content = content.setdefault(parent, {})
        if not isinstance(content, dict):
            raise RecipeError(f"{path}: {key}: {parent} has no fields")
    if last in ("kind", "name") and content.get(last, value) != value and str(value) in _BRANCHES:
        content.clear()  # of fields that the other kind does not have
    content[last] = value
