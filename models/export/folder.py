"""From a network in torch to a model folder that the engine runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from auricle.models.card import Card, InferenceSpec, Schema, save_card
from auricle.models.export.deviation import deviation
from auricle.models.export.files import save_program, write_onnx
from auricle.models.export.modules import Exportable, InPrecision, exportable
from auricle.models.export.options import Export
from auricle.models.files import new_folder, sha256


def write_model_folder(
    network: nn.Module,
    folder: Path,
    export: Export,
    segments: Sequence[NDArray[np.float32]] = (),
    tried_on: str = "",
) -> Card:
    """Write a model folder.

    Args:
        network: A `Maest` or another network of `auricle.models.networks` that returns (logits,
            embeddings), with its weights.
        folder: Folder to write, which must not exist; it appears as a whole or not at all.
        export: Options of the export.
        segments: Mel frames of the front end, not normalised, shape (segment_size, bands) each, on
            which the file is compared with the network. They should be music, since quantisation
            depends on its input.
        tried_on: Description of the segments, for the card.

    Returns:
        The card, with the deviation of the file from the network if there are segments.

    Raises:
        ModelError: The network cannot give the outputs asked for, or an output of the file is not
            finite.
        OSError: The folder cannot be written.
    """
    module = exportable(network, export)
    halved = export.precision == "fp16"
    half = InPrecision(module.in_half_precision(), half=True) if halved else None
    with new_folder(folder) as new:
        file, program = new / "model.onnx", new / "model.pt2"
        write_onnx(module, file)
        if export.program:
            save_program(half or InPrecision(module, half=False), program)
        card = _card(module, file, program if export.program else None)
        if len(segments):
            found = deviation(module, file, half, segments, tried_on)
            card = card.model_copy(update={"deviation": found})
        save_card(card, new)
    return card


def _card(module: Exportable, file: Path, program: Path | None) -> Card:
    export = module.export
    return Card(
        name=export.name,
        type="auto-tagging" if export.labels else "feature extractor",
        version="1",
        classes=export.labels,
        io=Schema(inputs=(module.input_spec(),), outputs=module.outputs),
        inference=InferenceSpec(sample_rate=module.front_end.sample_rate),
        description=export.description,
        release_date=export.release_date,
        dataset=export.dataset,
        licence=export.licence,
        source=export.source,
        file=file.name,
        sha256=sha256(file),
        front_end=module.front_end,
        segment_size=module.segment_size,
        segment_hop_size=module.hop_size,
        patch_grid=module.grid,
        patchout=module.levels,
        program=program.name if program else None,
        program_sha256=sha256(program) if program else None,
        precision="fp16" if export.half_weights else export.precision,
    )
