"""The models that Auricle can fetch, and how each is made from the `musicnn` wheel.

A model folder gets `model.onnx`, `card.json` and the licence text of the weights. Nothing in the
wheel is executed: the checkpoint is read as data, and the labels are literals picked out of the
syntax tree of its `configuration.py`.
"""

import ast
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from auricle.errors import ModelError
from auricle.models.card import Card, FrontEndSpec, InferenceSpec, Schema, TensorSpec, save_card
from auricle.models.convert import musicnn
from auricle.models.convert.tensor_bundle import TensorBundle
from auricle.models.files import sha256, write_atomically

LICENCE: Final = "ISC"
MODEL_FILE: Final = "model.onnx"

FRONT_END: Final = FrontEndSpec.of("musicnn")
# Essentia's patchHopSize for these models: segments overlap by half.
SEGMENT_HOP_SIZE: Final = 93

_Build = Callable[[Mapping[str, musicnn.Array], Mapping[str, str]], bytes]


@dataclass(frozen=True, slots=True)
class Network:
    """What the models of one architecture share."""

    title: str
    build: _Build
    parameters: int
    embedding_size: int
    algorithm: str | None


@dataclass(frozen=True, slots=True)
class Recipe:
    """One model that can be fetched. `checkpoint` is the wheel's folder, `labels` the variable with
    its tags."""

    name: str
    network: Network
    checkpoint: str
    labels: str
    corpus: str
    roc_auc: float
    pr_auc: float

    @property
    def description(self) -> str:
        return f"{self.network.title} auto-tagging, 50 tags, trained on the {self.corpus}"


_MUSICNN: Final = Network(
    "MusiCNN",
    musicnn.build_musicnn,
    musicnn.MUSICNN_PARAMETERS,
    musicnn.MUSICNN_EMBEDDING,
    "TensorflowPredictMusiCNN",
)
_VGG_MTT: Final = Network(
    "VGG", musicnn.build_vgg, musicnn.VGG_PARAMETERS, musicnn.VGG_EMBEDDING, None
)
_VGG_MSD: Final = replace(_VGG_MTT, build=partial(musicnn.build_vgg, pools=musicnn.VGG_MSD_POOLS))
_MTT: Final = "MagnaTagATune data set"
_MSD: Final = "Million Song Dataset"

# The figures are those of the wheel's README: macro averages on the data set's test split.
RECIPES: Final = {
    recipe.name: recipe
    for recipe in (
        Recipe("musicnn-mtt", _MUSICNN, "MTT_musicnn", "MTT_LABELS", _MTT, 0.9067, 0.3831),
        Recipe("musicnn-msd", _MUSICNN, "MSD_musicnn", "MSD_LABELS", _MSD, 0.8802, 0.2891),
        Recipe("vgg-mtt", _VGG_MTT, "MTT_vgg", "MTT_LABELS", _MTT, 0.9030, 0.3823),
        Recipe("vgg-msd", _VGG_MSD, "MSD_vgg", "MSD_LABELS", _MSD, 0.8768, 0.2819),
    )
}


def convert(recipe: Recipe, wheel: Path, folder: Path) -> Card:
    """Fill the empty `folder` with a model made from the wheel.

    Raises:
        ModelError: the wheel does not hold what the recipe says.
        OSError: the folder cannot be written.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            prefix = f"musicnn/{recipe.checkpoint}/"
            index = archive.read(f"{prefix}.index")
            shard = archive.read(f"{prefix}.data-00000-of-00001")
            settings = archive.read("musicnn/configuration.py").decode()
            licence = next(
                archive.read(name) for name in archive.namelist() if "dist-info/LICENSE" in name
            )
    except (zipfile.BadZipFile, KeyError, StopIteration) as error:
        raise ModelError(
            f"{wheel.name}: not the wheel that '{recipe.name}' is made from: {error}"
        ) from error

    bundle = TensorBundle(index, [shard], f"{wheel.name}, {recipe.checkpoint}")
    arrays = musicnn.model_arrays({name: bundle.read(name) for name in bundle.names()})
    labels = _labels(settings, recipe.labels)
    # ISC asks that its notice goes with every copy.
    write_atomically(folder / "LICENSE", licence)
    write_atomically(folder / MODEL_FILE, recipe.network.build(arrays, _metadata(recipe, labels)))
    card = _card(recipe, labels, sha256(folder / MODEL_FILE))
    save_card(card, folder)
    return card


def _labels(settings: str, variable: str) -> tuple[str, ...]:
    for statement in ast.parse(settings).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == variable:
            labels = tuple(str(label) for label in ast.literal_eval(statement.value))
            if len(labels) != musicnn.N_CLASSES:
                raise ModelError(
                    f"configuration.py: {variable} has {len(labels)} tags, expected {musicnn.N_CLASSES}"
                )
            return labels
    raise ModelError(f"configuration.py: no {variable}")


def _metadata(recipe: Recipe, labels: tuple[str, ...]) -> dict[str, str]:
    """The card's essentials, for tools that are handed the model file alone."""
    values: dict[str, Any] = {**FRONT_END.model_dump(), "segment_size": musicnn.SEGMENT_SIZE}
    values |= {
        "name": recipe.name,
        "front_end": FRONT_END.name,
        "labels": "\n".join(labels),
        "licence": LICENCE,
    }
    return {key: str(value) for key, value in values.items()}


def _card(recipe: Recipe, labels: tuple[str, ...], model_hash: str) -> Card:
    outputs = (
        TensorSpec(
            name="activations",
            shape=("batch", len(labels)),
            op="Sigmoid",
            output_purpose="predictions",
        ),
        TensorSpec(
            name="embeddings",
            shape=("batch", recipe.network.embedding_size),
            output_purpose="embeddings",
        ),
    )
    mel = TensorSpec(name="mel", shape=("batch", musicnn.SEGMENT_SIZE, musicnn.N_MELS))
    return Card(
        name=recipe.name,
        type="auto-tagging",
        link="https://github.com/jordipons/musicnn",
        version="1",
        description=recipe.description,
        author="Jordi Pons",
        release_date="2019-08-18",
        framework="onnx",
        classes=labels,
        model_types=("onnx",),
        dataset={
            "name": recipe.corpus,
            "metrics": {"ROC-AUC": recipe.roc_auc, "PR-AUC": recipe.pr_auc},
        },
        io=Schema(inputs=(mel,), outputs=outputs),
        inference=InferenceSpec(
            sample_rate=FRONT_END.sample_rate, algorithm=recipe.network.algorithm
        ),
        file=MODEL_FILE,
        sha256=model_hash,
        licence=LICENCE,
        source=f"checkpoint {recipe.checkpoint} of the musicnn 0.1.0 wheel, converted by Auricle",
        front_end=FRONT_END,
        segment_size=musicnn.SEGMENT_SIZE,
        segment_hop_size=SEGMENT_HOP_SIZE,
    )
