"""From a checkpoint file to a model folder, compared with the network on music."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.cli.graph_names import SHIPPED
from auricle.errors import InputError, ModelError
from auricle.models.card import Card
from auricle.models.export.folder import write_model_folder
from auricle.models.export.modules import segment_size
from auricle.models.export.options import Export, Precision
from auricle.models.front_end import FRONT_ENDS
from auricle.models.networks.maest import Kind
from auricle.models.networks.maest_weights import load_maest
from auricle.models.published import MAEST_FRONT_END
from auricle.nodes.signal.mel import mel_spectrogram
from auricle.nodes.signal.reading import read_samples

DEMO = SHIPPED / "demo" / "demo.ogg"
"""The demo clip, which is installed with the graphs."""

MOST_SEGMENTS = 3
"""Segments of the music that the file and the network are compared on; the network takes seconds
for each."""


def export_checkpoint(
    checkpoint: Path,
    folder: Path,
    *,
    name: str,
    labels: Path | None = None,
    block: int,
    kinds: tuple[Kind, ...],
    heads: int | None = None,
    precision: Precision = "fp32",
    program: bool = False,
    try_on: Path | None = None,
    licence: str | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> Card:
    """Write the model folder of a MAEST checkpoint.

    Args:
        checkpoint: File that `auricle.models.networks.maest_weights.load_maest` can read.
        folder: Folder to write; must not exist.
        name: Name of the model.
        labels: Text file with one label per line, or JSON with a list `classes`; None leaves out
            the activations.
        block: Transformer block whose tokens make the embeddings, from 0.
        kinds: Kinds of tokens that make the embeddings, stacked; none leaves out the embeddings.
        heads: Attention heads per block; None for heads of 64 values.
        precision: Precision of the weights, as in `auricle.models.export.options.Export`.
        program: Whether to write the torch program too, which torch-tensorrt compiles.
        try_on: Audio file on which the written file is compared with the network; None for the demo
            clip.
        licence: SPDX identifier for the card.
        progress: Function to call with a line about each step as it begins.

    Returns:
        The card, with the deviation of the written file from the network.

    Raises:
        ModelError: A checkpoint or file of labels that cannot be used, or options that exclude each
            other.
        InputError: An audio file that cannot be decoded.
    """
    export = Export(
        name=name,
        labels=() if labels is None else _read_labels(labels),
        block=block,
        kinds=kinds,
        precision=precision,
        program=program,
        licence=licence,
        source=checkpoint.name,
    )
    progress(f"reading {checkpoint}")
    network = load_maest(checkpoint, n_heads=heads)
    export.check(network.config)  # before the music is decoded
    music = try_on or DEMO
    segments = _read_segments(music, segment_size(network))
    progress(f"writing, and comparing on {music.name}; takes about a minute")
    return write_model_folder(network, folder, export, segments, music.name)


def _read_segments(file: Path, size: int) -> list[NDArray[np.float32]]:
    """The first segments of mel frames of a file, `(size, n_mels)` each; a short file is looped."""
    front_end = FRONT_ENDS[MAEST_FRONT_END.name]
    samples = read_samples(file, front_end.sample_rate)
    if not len(samples):
        raise InputError(f"{file}: no audio could be decoded")
    mel = mel_spectrogram(samples, front_end)
    if len(mel) < size:
        mel = np.resize(mel, (size, mel.shape[1]))
    starts = range(0, len(mel) - size + 1, size)
    return [mel[start : start + size] for start in starts[:MOST_SEGMENTS]]


def _read_labels(file: Path) -> tuple[str, ...]:
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ModelError(f"{file}: not a text file in UTF-8") from None
    if file.suffix != ".json":
        return tuple(line.strip() for line in text.splitlines() if line.strip())
    try:
        classes: Any = json.loads(text)["classes"]
    except (ValueError, TypeError, KeyError):
        classes = None
    if not isinstance(classes, list):
        raise ModelError(f"{file}: not a JSON file with a list `classes`")
    return tuple(map(str, classes))
