"""Trying out a model: whether it loads, and whether inputs and outputs are those of its card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from auricle.errors import ModelError
from auricle.models.card import Card, Dimension, TensorSpec, check_program, model_path
from auricle.models.heads.head import load_head
from auricle.models.patchout import KEEP_F, KEEP_T


def try_out(folder: Path, card: Card) -> None:
    """Load a model, compare inputs and outputs with the card, and run a segment.

    The model is loaded as it will be in a graph; the hash of its torch program is checked, too. May
    take seconds.

    Args:
        folder: Folder of the model.
        card: Card of the model, whose hash was compared with the model file.

    Raises:
        ModelError: The model is not what its card says, or cannot be run.
    """
    path = model_path(folder, card)
    if card.program is not None:
        check_program(folder, card)
    if path.suffix != ".onnx":
        load_head(folder)
        return
    session = _load(path, card)
    where = f"model '{card.name}': {path}"
    _compare_all(card.io.inputs, session.get_inputs(), where)
    _compare_all(card.io.outputs, session.get_outputs(), where)
    if card.front_end is not None and card.segment_size is not None:
        _run_segment(session, card, card.segment_size, card.front_end.n_mels, where)


def _load(path: Path, card: Card) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # failures are reported once, by us
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own exceptions have no base class but this
        raise ModelError(
            f"model '{card.name}': ONNX Runtime does not load {path}: {_first_line(error)}"
        ) from error


def _compare_all(declared: Sequence[TensorSpec], found: Sequence[Any], where: str) -> None:
    shapes = {tensor.name: tensor.shape for tensor in found}
    for spec in declared:
        if spec.name not in shapes:
            raise ModelError(
                f"{where} has no '{spec.name}', which the card names; it has {', '.join(shapes)}"
            )
        _compare(spec, shapes[spec.name], where)


def _run_segment(session: Any, card: Card, frames: int, bands: int, where: str) -> None:
    """Compare a backbone's inputs and outputs with its card's segments and patches."""
    grid, mel = card.patch_grid, card.io.inputs[0].name
    shapes = {tensor.name: tensor.shape for tensor in session.get_inputs()}
    for name in (KEEP_T, KEEP_F):
        if (name in shapes) != (grid is not None):
            has, says = ("an", "no") if grid is None else ("no", "a")
            raise ModelError(f"{where} has {has} input '{name}', and the card {says} 'patch_grid'")
    said = f"'segment_size' of {frames} and 'front_end.n_mels' of {bands}"
    if not _agree((frames, bands), shapes[mel]):
        raise ModelError(f"{where}: '{mel}' has shape {shapes[mel]}, the card says {said}")
    kept = {}
    if grid is not None:
        said = f"{said}, with 'patch_grid' of {grid}"
        frames = (grid.columns - 1) * grid.stride + grid.size
        kept = {KEEP_T: np.arange(grid.columns), KEEP_F: np.arange(grid.rows)}
    try:
        segment = np.zeros((1, frames, bands), np.float32)
        results = session.run([spec.name for spec in card.io.outputs], {mel: segment, **kept})
    except Exception as error:  # ONNX Runtime's own exceptions have no base class but this
        raise ModelError(
            f"{where} does not run on the card's {said}: {_first_line(error)}"
        ) from error
    _compare_results(card, results, where)


def _compare_results(card: Card, results: Sequence[Any], where: str) -> None:
    predictions = card.output("predictions") or card.io.outputs[0]
    for spec, result in zip(card.io.outputs, results, strict=True):
        _compare(spec, result.shape, where)
        if card.classes and spec is predictions and result.shape[-1:] != (len(card.classes),):
            shape = f"'{spec.name}' has shape {list(result.shape)}"
            raise ModelError(f"{where}: {shape}, the card has {len(card.classes)} 'classes'")


def _compare(spec: TensorSpec, shape: Sequence[Dimension | None], where: str) -> None:
    if not _agree(spec.shape, shape):
        raise ModelError(
            f"{where}: '{spec.name}' has shape {list(shape)}, the card says {list(spec.shape)}"
        )


def _agree(declared: Sequence[Dimension], found: Sequence[Dimension | None]) -> bool:
    """Whether two shapes agree.

    Cards may leave out the batch axis, and free dimensions may have any name.
    """
    pairs = zip(reversed(declared), reversed(found), strict=False)
    return all(a == b or isinstance(a, str) or not isinstance(b, int) for a, b in pairs)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
