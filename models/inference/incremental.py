"""Running a split model on the overlapping segments of one stream: what they share is computed
once.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from auricle.models.inference.sessions import SplitSession
from auricle.models.inference.split import FEATURES, FRAMES

LONGEST_CHUNK = 32
"""Most columns that one run of the front computes. A run of 32 takes 1.8 ms; shorter ones are as
fast a column, longer ones leave more to do when the last frame of a segment has come."""


def chunk_size(hop_size: int) -> int:
    """Columns of a run of the front for segments `hop_size` frames apart: equal parts of a hop."""
    return math.ceil(hop_size / math.ceil(hop_size / LONGEST_CHUNK))


class IncrementalInference:
    """The feature columns of one stream's next segment, and the runs that fill and use them.

    Columns are computed in chunks whose ends are fixed by the segments, so results are the same to
    the bit however the frames arrive. 0.5 MB a stream, for MusiCNN.

    Args:
        session: The split model.
        segment_size: Frames of a segment.
        hop_size: Frames from one segment to the next.
    """

    def __init__(self, session: SplitSession, segment_size: int, hop_size: int) -> None:
        self._session = session
        # Frames of a segment before the first that has a column.
        self._lead = segment_size - session.width
        self._chunk = chunk_size(hop_size)
        self._columns = np.zeros((1, session.channels, session.width, 1), np.float32)
        self._filled = 0
        self._position = 0

    def advance(self, position: int, frames: NDArray[np.float32]) -> bool:
        """Compute one chunk of columns, if the frames for it are there.

        Args:
            position: Index of the first frame of the next segment.
            frames: From that one on, shape (any, bands).

        Returns:
            Whether there was one to compute.
        """
        self._move_to(position)
        left = self._session.width - self._filled
        stop = self._session.width - (math.ceil(left / self._chunk) - 1) * self._chunk
        if not left or len(frames) < self._lead + stop:
            return False
        first = self._lead + self._filled - self._session.history
        taken = frames[max(0, first) : self._lead + stop]
        if first < 0:
            # No column that this segment or a later one uses depends on frames before the segment.
            taken = np.concatenate([np.zeros((-first, frames.shape[1]), np.float32), taken])
        (columns,) = self._session.front.run(None, {FRAMES: taken[None]})
        self._columns[:, :, self._filled : stop] = columns
        self._filled = stop
        return True

    def run(
        self, names: list[str], position: int, segment: NDArray[np.float32]
    ) -> list[NDArray[np.float32]]:
        """Outputs of the model for a segment.

        Args:
            names: Of the outputs.
            position: Index of the segment's first frame.
            segment: Its frames, shape (segment_size, bands).
        """
        while self.advance(position, segment):
            pass
        inputs = {self._session.input: segment[None], FEATURES: self._columns}
        results: list[NDArray[np.float32]] = self._session.back.run(names, inputs)
        return results

    def _move_to(self, position: int) -> None:
        """Keep what the segment at `position` shares with the one before."""
        moved = position - self._position
        if moved:
            kept = max(0, self._filled - moved) if moved > 0 else 0
            self._columns[:, :, :kept] = self._columns[:, :, self._filled - kept : self._filled]
            self._filled = kept
            self._position = position
