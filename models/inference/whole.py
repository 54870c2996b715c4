"""Running a model on the segments of one stream: the common interface, and the plainest way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from auricle.models.patchout import Patchout


class Inference:
    """Runs a model on the segments of one stream, in order, on the caller's thread.

    One thread at a time calls it; sessions may be shared with other streams.
    """

    incremental: ClassVar[bool] = False
    """Whether it can compute a part of a segment before the segment is complete."""

    def run(
        self, names: Sequence[str], position: int, segment: NDArray[np.float32]
    ) -> list[NDArray[np.float32]]:
        """Outputs of the model for a segment.

        Args:
            names: Names of the outputs.
            position: Index of the segment's first frame in its stream.
            segment: Normalised frames, shape (segment_size, bands), float32.

        Returns:
            The outputs in the order of `names`, each with a batch axis of 1.
        """
        raise NotImplementedError

    def advance(self, position: int, frames: NDArray[np.float32]) -> bool:
        """Compute a part of the next segment in advance.

        Args:
            position: Index of the segment's first frame in its stream.
            frames: Normalised frames from that one on, as far as they have come, shape
                (any, bands), float32.

        Returns:
            Whether there was anything to compute.
        """
        return False

    def use(self, patchout: Patchout) -> None:
        """Keep other patches from the next segment on; no effect on a model without patches."""


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
        """Run the model on a segment, shape (segment_size, bands); see `Inference`."""
        results: list[NDArray[np.float32]] = self._session.run(names, {self._input: segment[None]})
        return results
