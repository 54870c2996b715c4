"""The models that Auricle makes from the `musicnn` wheel, and how each is converted.

A model folder gets `model.onnx`, `card.json` and the licence text of the weights. Nothing in the
wheel is executed: the checkpoint is read as data, and the labels are literals taken from the syntax
tree of its `configuration.py`.
"""

import ast
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from auricle.errors import ModelError
from auricle.models.card import Card, InferenceSpec, Schema, TensorSpec, save_card
from auricle.models.convert import musicnn
from auricle.models.convert.tensor_bundle import TensorBundle
from auricle.models.files import sha256, write_atomically
from auricle.models.published import MUSICNN_SEGMENTS

LICENCE: Final = "ISC"
MODEL_FILE: Final = "model.onnx"

_Build = Callable[[Mapping[str, musicnn.Array], Mapping[str, str]], bytes]


@dataclass(frozen=True, slots=True)
class Network:
    """Common facts of the models of one architecture.

    Attributes:
        title: Name for people.
        build: Function from arrays and metadata to the bytes of an ONNX file.
        parameters: Number of trained parameters.
        embedding_size: Length of the embeddings.
        algorithm: Essentia's equivalent algorithm; None if it has none.
    """

    title: str
    build: _Build
    parameters: int
    embedding_size: int
    algorithm: str | None


@dataclass(frozen=True, slots=True)
class Conversion:
    """One model that can be made from the wheel.

    Attributes:
        name: Name of the model.
        network: Architecture of the network.
        checkpoint: Folder of its checkpoint in the wheel.
        labels: Name of the variable with its tags.
        corpus: Name of the data set that it was trained on.
        roc_auc: Macro average on the data set's test split, from 0 to 1.
        pr_auc: Macro average on the data set's test split, from 0 to 1.
    """

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
CONVERSIONS: Final = {
    conversion.name: conversion
    for conversion in (
        Conversion("musicnn-mtt", _MUSICNN, "MTT_musicnn", "MTT_LABELS", _MTT, 0.9067, 0.3831),
        Conversion("musicnn-msd", _MUSICNN, "MSD_musicnn", "MSD_LABELS", _MSD, 0.8802, 0.2891),
        Conversion("vgg-mtt", _VGG_MTT, "MTT_vgg", "MTT_LABELS", _MTT, 0.9030, 0.3823),
        Conversion("vgg-msd", _VGG_MSD, "MSD_vgg", "MSD_LABELS", _MSD, 0.8768, 0.2819),
    )
}


def convert(conversion: Conversion, wheel: Path, folder: Path) -> Card:
    """Fill a folder with a model made from the wheel.

    Args:
        conversion: The model to make.
        wheel: File of the `musicnn` wheel.
        folder: Empty folder to fill.

    Returns:
        The card that was written.

    Raises:
        ModelError: The wheel does not contain what the conversion names.
        OSError: The folder cannot be written.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            prefix = f"musicnn/{conversion.checkpoint}/"
            index = archive.read(f"{prefix}.index")
            shard = archive.read(f"{prefix}.data-00000-of-00001")
            settings = archive.read("musicnn/configuration.py").decode()
            licence = next(
                archive.read(name) for name in archive.namelist() if "dist-info/LICENSE" in name
            )
    except (zipfile.BadZipFile, KeyError, StopIteration) as error:
        raise ModelError(
            f"{wheel.name}: not the wheel that '{conversion.name}' is made from: {error}"
        ) from error

    bundle = TensorBundle(index, [shard], f"{wheel.name}, {conversion.checkpoint}")
    arrays = musicnn.model_arrays({name: bundle.read(name) for name in bundle.names()})
    labels = _labels(settings, conversion.labels)
    # ISC requires its notice in every copy.
    write_atomically(folder / "LICENSE", licence)
    write_atomically(
        folder / MODEL_FILE, conversion.network.build(arrays, _metadata(conversion, labels))
    )
    card = _card(conversion, labels, sha256(folder / MODEL_FILE))
    save_card(card, folder)
    return card


def _labels(settings: str, variable: str) -> tuple[str, ...]:
    for statement in ast.parse(settings).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == variable:
            labels = tuple(str(label) for label in ast.literal_eval(statement.value))
            if len(labels) != musicnn.N_CLASSES:
                raise ModelError(
                    f"configuration.py: {variable} has {len(labels)} tags, "
                    f"expected {musicnn.N_CLASSES}"
                )
            return labels
    raise ModelError(f"configuration.py: no {variable}")


def _metadata(conversion: Conversion, labels: tuple[str, ...]) -> dict[str, str]:
    """The card's essentials, for tools that see the model file alone."""
    values: dict[str, Any] = {
        **MUSICNN_SEGMENTS.front_end.model_dump(),
        "segment_size": MUSICNN_SEGMENTS.size,
    }
    values |= {
        "name": conversion.name,
        "front_end": MUSICNN_SEGMENTS.front_end.name,
        "labels": "\n".join(labels),
        "licence": LICENCE,
    }
    return {key: str(value) for key, value in values.items()}


def _card(conversion: Conversion, labels: tuple[str, ...], model_hash: str) -> Card:
    outputs = (
        TensorSpec(
            name="activations",
            shape=("batch", len(labels)),
            op="Sigmoid",
            output_purpose="predictions",
        ),
        TensorSpec(
            name="embeddings",
            shape=("batch", conversion.network.embedding_size),
            output_purpose="embeddings",
        ),
    )
    mel = TensorSpec(name="mel", shape=("batch", MUSICNN_SEGMENTS.size, musicnn.N_MELS))
    return Card(
        name=conversion.name,
        type="auto-tagging",
        link="https://github.com/jordipons/musicnn",
        version="1",
        description=conversion.description,
        author="Jordi Pons",
        release_date="2019-08-18",
        framework="onnx",
        classes=labels,
        model_types=("onnx",),
        dataset={
            "name": conversion.corpus,
            "metrics": {"ROC-AUC": conversion.roc_auc, "PR-AUC": conversion.pr_auc},
        },
        io=Schema(inputs=(mel,), outputs=outputs),
        inference=InferenceSpec(
            sample_rate=MUSICNN_SEGMENTS.front_end.sample_rate,
            algorithm=conversion.network.algorithm,
        ),
        file=MODEL_FILE,
        sha256=model_hash,
        licence=LICENCE,
        source=(
            f"checkpoint {conversion.checkpoint} of the musicnn 0.1.0 wheel, converted by Auricle"
        ),
        front_end=MUSICNN_SEGMENTS.front_end,
        segment_size=MUSICNN_SEGMENTS.size,
        segment_hop_size=MUSICNN_SEGMENTS.hop_size,
    )
