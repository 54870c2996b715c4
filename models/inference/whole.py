"""Running a model on the segments of one stream: what all ways have in common, and the plainest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from auricle.models.patchout import Patchout


class Inference:
    """Runs a model on the segments of one stream, in order, on the caller's thread."""

    incremental: ClassVar[bool] = False
    """Whether it can compute a part of a segment before the segment is complete."""

    def run(
        self, names: Sequence[str], position: int, segment: NDArray[np.float32]
    ) -> list[NDArray[np.float32]]:
        """Outputs of the model for a segment.

        Args:
            names: Names of the outputs.
            position: Index of the segment's first frame in its stream.
            segment: Its frames, normalised, shape (segment_size, bands).

        Returns:
            The outputs in the order of `names`, each with a batch axis of one.
        """
        raise NotImplementedError

    def advance(self, position: int, frames: NDArray[np.float32]) -> bool:
        """Compute ahead a part of the next segment.

        Args:
            position: Index of the segment's first frame in its stream.
            frames: The frames there are from that one on, normalised, shape (any, bands).

        Returns:
            Whether there was anything to compute.
        """
        return False

    def use(self, patchout: Patchout) -> None:
        """Keep other patches from the next segment on; of no effect on a model without patches."""


class WholeInference(Inference):
    """Runs the whole model on every segment.

    Args:
        session: The model's `onnxruntime.InferenceSession`.
    """

    def __init__(self, session: Any) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name

    def run(
        self, names: Sequence[str], position: int, segment: NDArray[np.float32]
    ) -> list[NDArray[np.float32]]:
        """See `Inference`."""
        results: list[NDArray[np.float32]] = self._session.run(names, {self._input: segment[None]})
        return results
