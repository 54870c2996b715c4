"""From a checkpoint file to a model folder, tried on music."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.errors import ModelError
from auricle.models.card import Card
from auricle.models.export.folder import write_model_folder
from auricle.models.export.modules import segment_size
from auricle.models.export.options import Export, Precision
from auricle.models.front_end import FRONT_ENDS
from auricle.models.networks.maest import Kind
from auricle.models.networks.maest_weights import load_maest
from auricle.models.published import MAEST_FRONT_END
from auricle.nodes.signal.mel import mel_spectrogram
from bench.audio import DEMO, chord, decode

MOST_SEGMENTS = 3
"""Segments of the music that a file is compared on: the network takes seconds for each."""


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
    tell: Callable[[str], None] = lambda line: None,
) -> Card:
    """Write the model folder of a MAEST checkpoint.

    Args:
        checkpoint: As `auricle.models.networks.maest_weights.load_maest` reads it.
        folder: To be written.
        name, block, kinds, precision, program, licence: See `auricle.models.export.options.Export`.
        heads: Of each attention; None for heads of 64 values.
        labels: File with a label a line, or JSON with `classes`.
        try_on: Music; the demo clip, if None.
        tell: Hears how far it is.

    Returns:
        The card.

    Raises:
        ModelError, InputError: A file that cannot be used.
    """
    export = Export(
        name=name,
        labels=() if labels is None else _labels(labels),
        block=block,
        kinds=kinds,
        precision=precision,
        program=program,
        licence=licence,
        source=checkpoint.name,
    )
    tell(f"reading {checkpoint}")
    network = load_maest(checkpoint, n_heads=heads)
    export.check(network.config)  # before the music is decoded
    segments, what = _music(try_on, segment_size(network))
    tell(f"writing, and comparing on {what}; a minute or so")
    return write_model_folder(network, folder, export, segments, what)


def _music(file: Path | None, size: int) -> tuple[list[NDArray[np.float32]], str]:
    """Segments of mel frames of a file, and what it is."""
    if file is None and not DEMO.is_file():
        samples, what = chord(), "a chord in noise"
    else:
        samples, what = decode(file or DEMO), (file or DEMO).name
    mel = mel_spectrogram(samples, FRONT_ENDS[MAEST_FRONT_END.name])
    if len(mel) < size:
        mel = np.resize(mel, (size, mel.shape[1]))
    starts = range(0, len(mel) - size + 1, size)
    return [mel[start : start + size] for start in starts][:MOST_SEGMENTS], what


def _labels(file: Path) -> tuple[str, ...]:
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
