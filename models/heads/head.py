"""Heads: small multi-layer perceptrons from embeddings to activations, without torch.

A head is a model folder whose model file is one of

- `model.safetensors`, arrays `layers.0.weight`, `layers.0.bias`, `layers.1.weight`, ... Weights are
  stored (out, in), as in torch; the card's `layer_activations` has the activation of each layer;
- an ONNX chain like that of Essentia's 2-D classifiers (see `onnx_mlp`).

Either way it becomes plain arrays, so that any number of heads on one backbone can be computed
together.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from auricle.errors import ModelError
from auricle.models.card import (
    Activation,
    Card,
    EmbeddingModel,
    InferenceSpec,
    Schema,
    TensorSpec,
    first_repeated,
    load_card,
    model_path,
    save_card,
)
from auricle.models.files import new_folder, sha256, write_atomically
from auricle.models.heads.mlp import Layer
from auricle.models.heads.onnx_mlp import read_onnx_mlp

_FILE_NAME: Final = "model.safetensors"
_TYPES: Final[dict[Activation, str]] = {
    "softmax": "multi-class classifier",
    "sigmoid": "multi-label classifier",
    "relu": "regression",
    "linear": "regression",
}


@dataclass(frozen=True, slots=True)
class Mlp:
    """A head: affine layers with their activations, and one label per output.

    Attributes:
        layers: Layers, first to last.
        labels: Label of each output.
        card: Card of the head.

    Raises:
        ModelError: There are no layers, their sizes do not fit each other or the card, a value is
            not finite, or the number of labels is wrong.
    """

    layers: tuple[Layer, ...]
    labels: tuple[str, ...]
    card: Card

    def __post_init__(self) -> None:
        where = f"head '{self.card.name}'"
        if not self.layers:
            raise ModelError(f"{where}: no layers")
        for index, layer in enumerate(self.layers):
            if layer.weight.ndim != 2 or layer.bias.shape != layer.weight.shape[1:]:
                shapes = f"weight {layer.weight.shape} (in, out) and bias {layer.bias.shape}"
                raise ModelError(f"{where}: layer {index}: {shapes} do not fit")
            if not (np.isfinite(layer.weight).all() and np.isfinite(layer.bias).all()):
                raise ModelError(f"{where}: layer {index} has values that are not finite")
        for index, (before, after) in enumerate(itertools.pairwise(self.layers)):
            if before.size != after.weight.shape[0]:
                gives, takes = before.size, after.weight.shape[0]
                raise ModelError(
                    f"{where}: layer {index} gives {gives} values, layer {index + 1} takes {takes}"
                )
        if len(self.labels) != self.output_size:
            raise ModelError(
                f"{where}: {self.output_size} outputs, but the card has {len(self.labels)} classes"
            )
        if self.card.input_size not in (None, self.input_size):
            raise ModelError(
                f"{where}: takes {self.input_size} values, the card says {self.card.input_size}"
            )

    @property
    def input_size(self) -> int:
        """Length of the embeddings that the head takes, shape `(input_size,)`."""
        return int(self.layers[0].weight.shape[0])

    @property
    def output_size(self) -> int:
        """Number of activations that the head gives, shape `(output_size,)`."""
        return self.layers[-1].size

    def __call__(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Activations, shape (n, outputs), for embeddings of shape (n, inputs)."""
        x = embeddings
        for layer in self.layers:
            x = layer(x)
        return x


def load_head(path: str | Path) -> Mlp:
    """Read a head.

    Args:
        path: A model folder, or a card file with its model beside it (as Essentia publishes them).

    Raises:
        ModelError: The card or the model file is missing or cannot be used, the file is damaged, or
            the network is not a plain MLP.
    """
    card = load_card(path)
    file = model_path(path, card)
    try:
        if card.sha256 is not None and sha256(file) != card.sha256:
            raise ModelError(
                f"head '{card.name}': {file} is damaged: its sha256 is not that of the card"
            )
        if file.suffix == ".onnx":
            prediction = card.output("predictions") or card.io.outputs[0]
            layers = read_onnx_mlp(file, prediction.name)
        else:
            layers = _read_safetensors(file, card)
    except OSError as error:
        raise ModelError(f"head '{card.name}': {file} cannot be read: {error.strerror}") from error
    return Mlp(layers, card.classes, card)


def save_head(
    folder: str | Path,
    layers: Sequence[Layer],
    *,
    name: str,
    labels: Sequence[str],
    embedding_model: str,
    embedding_sha256: str | None = None,
    sample_rate: int = 16000,
    description: str = "",
    licence: str = "",
    source: str = "",
    dataset: dict[str, Any] | None = None,
) -> Mlp:
    """Write a head folder, replacing an existing one; `load_head` reads it back.

    Args:
        folder: Folder to write.
        layers: Layers, first to last.
        name: Name of the head.
        labels: Label of each output.
        embedding_model: Name of the backbone whose embeddings the head takes.
        embedding_sha256: Hash of its file, with which the engine refuses the head on any other
            backbone; None if unknown.
        sample_rate: Sample rate of the backbone's input, Hz.
        description: Description in one line, for the card.
        licence: Licence of the weights, for the card.
        source: Origin of the weights, for the card.
        dataset: Data that it was trained on, with its scores there, for the card.

    Returns:
        The head as it was written.

    Raises:
        ModelError: The layers and labels do not make a head; nothing is written.
        OSError: The folder cannot be written.
    """
    from safetensors.numpy import save

    arrays = {}
    for index, layer in enumerate(layers):
        arrays[f"layers.{index}.weight"] = np.ascontiguousarray(layer.weight.T, np.float32)
        arrays[f"layers.{index}.bias"] = np.ascontiguousarray(layer.bias, np.float32)
    if not arrays:
        raise ModelError(f"head '{name}': no layers")
    if (label := first_repeated(labels)) is not None:
        raise ModelError(f"head '{name}': label {label!r} occurs twice")
    last = layers[-1].activation
    inputs = TensorSpec(name="embeddings", shape=("batch", int(layers[0].weight.shape[0])))
    outputs = TensorSpec(
        name="activations",
        shape=("batch", len(labels)),
        op=last.capitalize(),
        output_purpose="predictions",
    )
    card = Card(
        name=name,
        type=_TYPES[last],
        version="1",
        description=description,
        framework="safetensors",
        classes=tuple(labels),
        model_types=("safetensors",),
        io=Schema(inputs=(inputs,), outputs=(outputs,)),
        inference=InferenceSpec(
            sample_rate=sample_rate,
            embedding_model=EmbeddingModel(model_name=embedding_model, sha256=embedding_sha256),
        ),
        file=_FILE_NAME,
        licence=licence or None,
        source=source or None,
        dataset=dataset,
        layer_activations=tuple(layer.activation for layer in layers),
    )
    head = Mlp(tuple(layers), card.classes, card)
    with new_folder(Path(folder)) as fresh:
        write_atomically(fresh / _FILE_NAME, save(arrays))
        card = card.model_copy(update={"sha256": sha256(fresh / _FILE_NAME)})
        save_card(card, fresh)
    return Mlp(head.layers, head.labels, card)


def _read_safetensors(file: Path, card: Card) -> tuple[Layer, ...]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(file.read_bytes())
    except (SafetensorError, KeyError) as error:  # KeyError: a type that numpy does not have
        raise ModelError(f"{file}: not a safetensors file that can be read: {error}") from error
    activations = card.layer_activations
    if activations is None:
        raise ModelError(
            f"head '{card.name}': 'layer_activations' is missing in the card of {file}"
        )
    expected = [
        f"layers.{i}.{part}" for i in range(len(activations)) for part in ("bias", "weight")
    ]
    if sorted(arrays) != sorted(expected):
        have = ", ".join(sorted(arrays))
        raise ModelError(
            f"{file}: has {have}; the card's 'layer_activations' ask for {', '.join(expected)}"
        )
    return tuple(
        Layer(arrays[f"layers.{i}.weight"].T, arrays[f"layers.{i}.bias"], activation)
        for i, activation in enumerate(activations)
    )
