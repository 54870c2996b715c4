"""A whole model in ONNX Runtime, for batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.models.patchout import KEEP_F, KEEP_T, Kept


class OnnxRunner:
    """See `auricle.models.inference.owner.Runner`.

    Args:
        session: Of the model.
        names: Of the outputs that are wanted.

    Attributes:
        batch: Segments of every batch, where the file leaves no choice; else None.
    """

    def __init__(self, session: Any, names: Sequence[str]) -> None:
        self._session = session
        self._names = list(names)
        (mel,) = (each for each in session.get_inputs() if each.name not in (KEEP_T, KEEP_F))
        self._mel = mel.name
        self.batch = mel.shape[0] if isinstance(mel.shape[0], int) else None

    def prepare(self, size: int, kept: Kept | None) -> None:
        """Nothing: the first run does it."""

    def run(self, segments: NDArray[np.float32], kept: Kept | None) -> list[NDArray[np.float32]]:
        """See `auricle.models.inference.owner.Runner`."""
        inputs: dict[str, NDArray[Any]] = {self._mel: segments}
        if kept is not None:
            inputs |= {
                name: np.array(each) for name, each in zip((KEEP_T, KEEP_F), kept, strict=True)
            }
        results: list[NDArray[np.float32]] = self._session.run(self._names, inputs)
        return results
