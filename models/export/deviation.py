"""The deviation of an exported file from the network that it was made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from auricle.errors import ModelError
from auricle.models.card import Deviation
from auricle.models.export.modules import Exportable, InPrecision

Array = NDArray[Any]


def deviation(
    module: Exportable,
    file: Path,
    half: InPrecision | None,
    segments: Sequence[NDArray[np.float32]],
    tried_on: str,
) -> Deviation:
    """Run a file and its network on the same segments, with all patches and with the fewest.

    ONNX Runtime computes in float32 on a CPU whatever the file says, so `half` is run as well, as
    the file will be on a GPU; the worse of both counts.

    Args:
        module: The network, in float32.
        file: ONNX file of the network.
        half: The network in float16, for files of half precision; None for others.
        segments: Mel frames of the front end, not normalised, shape (segment_size, bands) each.
        tried_on: Description of the segments, for the card.

    Raises:
        ModelError: An output is not finite.
    """
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    differences: list[float] = []
    cosines: list[float] = []
    for inputs in _inputs(module, segments):
        tensors = [torch.from_numpy(each) for each in inputs]
        with torch.no_grad():
            expected = [each.numpy() for each in module(*tensors)]
            found = [session.run(module.names, dict(zip(module.inputs, inputs, strict=True)))]
            if half is not None:
                found.append([each.numpy() for each in half(*tensors)])
        for outputs in found:
            for name, one, other in zip(module.names, outputs, expected, strict=False):
                if not np.isfinite(one).all():
                    raise ModelError(f"{module.export.name}: its {name} are not finite: {tried_on}")
                if name == "activations":
                    differences.append(float(np.abs(one - other).max()))
                else:
                    cosines.append(_cosine(one, other))
    return Deviation(
        activations=max(differences, default=None),
        cosine=min(cosines, default=None),
        tried_on=tried_on,
    )


def _inputs(
    module: Exportable, segments: Sequence[NDArray[np.float32]]
) -> Iterator[tuple[Array, ...]]:
    """Inputs for every segment, at the first and at the last level of patchout."""
    mean, std = module.front_end.mean, module.front_end.std
    for segment in segments:
        mel = ((segment - mean) / std).astype(np.float32)[None]
        if module.grid is None:
            yield (mel,)
            continue
        for level in (module.levels[0], module.levels[-1]):
            columns, rows = module.grid.kept(level)
            yield mel, np.array(columns), np.array(rows)


def _cosine(one: Array, other: Array) -> float:
    return float(np.sum(one * other) / (np.linalg.norm(one) * np.linalg.norm(other)))
