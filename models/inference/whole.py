"""How a backbone gets from segments to outputs: the whole model each time, or with what segments
share.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Inference(Protocol):
    """Runs a model on the segments of one stream, in order."""

    def run(
        self, names: list[str], position: int, segment: NDArray[np.float32]
    ) -> list[NDArray[np.float32]]:
        """Outputs of the model for a segment.

        Args:
            names: Of the outputs.
            position: Index of the segment's first frame.
            segment: Its frames, shape (segment_size, bands).
        """


class WholeInference:
    """The whole model for each segment.

    Args:
        session: Of the model.
    """

    def __init__(self, session: Any) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name

    def run(
        self, names: list[str], position: int, segment: NDArray[np.float32]
    ) -> list[NDArray[np.float32]]:
        """See `Inference`."""
        results: list[NDArray[np.float32]] = self._session.run(names, {self._input: segment[None]})
        return results
