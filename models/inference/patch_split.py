"""Splitting a spectrogram transformer at its projected patches, so that segments can share them.

The projection of a patch depends on its frames alone: neither on its position in the segment, which
is added later, nor on other patches. So a segment that overlaps the last one needs new projections
for new frames only. The exported model has the projected patches as the value `PATCHES`; cut there,
it is a *front* from frames to patches, and a *back* from patches to the model's outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auricle.errors import ModelError
from auricle.models.onnx_file import load_onnx
from auricle.models.patchout import KEEP_F, KEEP_T, PATCHES


@dataclass(frozen=True, slots=True)
class PatchSplit:
    """A model in two parts, as serialized ONNX models.

    Attributes:
        front: Model from the original input (batch, frames, bands), `KEEP_T` and `KEEP_F` to
            `PATCHES`.
        back: Model from `PATCHES` (batch, rows, columns, width), `KEEP_T` and `KEEP_F` to the
            original outputs.
        input: Name of the original input.
    """

    front: bytes
    back: bytes
    input: str


@dataclass(frozen=True, slots=True)
class PatchSession:
    """The two parts of a model, loaded.

    Attributes:
        front: Session from frames to projected patches.
        back: Session from these to the model's outputs.
        input: Name of the model's own input.
        what: Model and file, for messages.
    """

    front: Any
    back: Any
    input: str
    what: str


def split_patches(path: Path) -> PatchSplit:
    """Split a model that was exported with its patches as a named value.

    Args:
        path: ONNX file of the model.

    Raises:
        ModelError: The file is not an ONNX model, or lacks the inputs or the value needed here.
    """
    from onnx.utils import Extractor

    model = load_onnx(path)
    inputs = [each.name for each in model.graph.input]
    values = {name for node in model.graph.node for name in node.output}
    missing = [name for name in (KEEP_T, KEEP_F) if name not in inputs]
    missing += [name for name in (PATCHES,) if name not in values]
    if missing:
        raise ModelError(
            f"{path}: no {' nor '.join(missing)}; patches of this model cannot be left out"
        )
    (mel,) = (name for name in inputs if name not in (KEEP_T, KEEP_F))
    extractor = Extractor(model)

    def extract(taken: list[str], given: list[str]) -> bytes:
        return bytes(extractor.extract_model(taken, given).SerializeToString())

    front = extract([mel, KEEP_T, KEEP_F], [PATCHES])
    _read_batch_size_off_patches(extractor.graph.node, mel)
    outputs = [each.name for each in model.graph.output]
    return PatchSplit(front, extract([PATCHES, KEEP_T, KEEP_F], outputs), mel)


def _read_batch_size_off_patches(nodes: Sequence[Any], mel: str) -> None:
    """Make the blocks, which reshape by the size of the batch, take it from the patches.

    They took it from the frames, which the back does not have.
    """
    # A conversion to another number type puts a cast before everything, and last in the list.
    casts = {node.output[0] for node in nodes if node.op_type == "Cast" and node.input[0] == mel}
    for node in nodes:
        bounds = {each.name: each.i for each in node.attribute}
        if node.op_type == "Shape" and node.input[0] in {mel, *casts} and bounds.get("end") == 1:
            node.input[0] = PATCHES
